"""Comparing laws: stacking against brute force, what a comparison makes of given scores, one real.

Scores are given by hand where their arithmetic is tested, so that nothing is fitted there.
"""

import importlib
import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scipy.stats as st
import xarray as xr

mpl.use("Agg")
import matplotlib.pyplot as plt

import bayes_scaling as bs
from bayes_scaling.cli import main
from bayes_scaling.errors import SpecError

module = importlib.import_module("bayes_scaling.criticism.compare")  # its function hides it
CUTS = [1e20, 1e21]
LAWS = {"chinchilla": bs.ScalingModel(), "kaplan_nd": bs.ScalingModel(bs.KaplanND())}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


# --- weights ------------------------------------------------------------------------------------


def objective(weights, elpd, counts, prior=1.0):
    """What stacking maximises, written out once more."""
    with np.errstate(divide="ignore"):
        fit = counts @ np.log(np.exp(elpd) @ weights)
        return fit + prior / len(weights) * np.log(weights).sum()


def simplex(laws, steps):
    grid = np.stack(np.meshgrid(*[np.arange(steps + 1)] * (laws - 1), indexing="ij"), -1)
    grid = grid.reshape(-1, laws - 1)
    grid = grid[grid.sum(axis=1) <= steps]
    return np.column_stack([grid, steps - grid.sum(axis=1)]) / steps


@pytest.mark.parametrize(("laws", "steps"), [(2, 4000), (3, 200)])
@pytest.mark.parametrize("prior", [1.0, 0.01])
@pytest.mark.parametrize("seed", range(3))
def test_weights_are_the_best_on_a_grid_of_the_simplex(laws, steps, prior, seed):
    rng = np.random.default_rng([laws, seed])
    elpd, counts = rng.normal(size=(15, laws)), rng.uniform(0.2, 1.0, 15)
    weights = bs.stacking(elpd, counts, prior=prior)
    every = simplex(laws, steps)
    values = np.array([objective(w, elpd, counts, prior) for w in every])
    best = every[np.argmax(values)]
    assert objective(weights, elpd, counts, prior) >= values.max()
    assert np.abs(weights - best).max() < 2 / steps
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("n", [1, 9, 200])
def test_a_law_that_is_always_better_has_all_but_what_the_prior_keeps(n):
    """Far behind, a law has what maximises ``(n + 1/2) ln (1 - w) + 1/2 ln w``."""
    weights = bs.stacking({"good": np.zeros(n), "bad": np.full(n, -800.0)})
    assert weights["bad"] == pytest.approx(0.5 / (n + 1))
    sure = bs.stacking({"good": np.zeros(n), "bad": np.full(n, -800.0)}, prior=1e-9)
    assert sure["good"] == pytest.approx(1)


def test_laws_that_predict_alike_share_evenly():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40))
    pair = bs.stacking({"one": one, "again": one, "other": other})
    assert pair["one"] == pytest.approx(pair["again"], abs=1e-8)
    assert pair["one"] + pair["again"] == pytest.approx(
        bs.stacking({"one": one, "other": other})["one"], abs=0.02
    )  # the prior knows of two
    halves = np.where(np.arange(40) < 20, 0.0, -3.0)
    assert bs.stacking(np.column_stack([halves, halves[::-1]])) == pytest.approx([0.5, 0.5])


def test_a_run_that_counts_twice_is_two_runs():
    elpd = np.random.default_rng(1).normal(size=(12, 3))
    counts = np.where(np.arange(12) < 4, 2.0, 1.0)
    twice = np.concatenate([elpd[:4], elpd])
    np.testing.assert_allclose(bs.stacking(elpd, counts), bs.stacking(twice), atol=1e-9)


def test_runs_without_a_score_are_left_out_for_all():
    elpd = np.random.default_rng(2).normal(size=(12, 2))
    gaps = np.vstack([elpd, [[np.nan, 5.0], [-np.inf, -np.inf]]])
    np.testing.assert_allclose(bs.stacking(gaps), bs.stacking(elpd))
    never = np.vstack([elpd, [[-np.inf, 0.0]]])  # of density zero under one law
    assert bs.stacking(never)[0] < bs.stacking(elpd)[0]


@pytest.mark.parametrize(
    ("elpd", "how", "said"),
    [
        ([1.0, 2.0], {}, "found shape"),
        ({"a": [1.0], "b": [1.0, 2.0]}, {}, "not of one length"),
        (np.full((3, 2), np.nan), {}, "no run that every law has a score for"),
        (np.zeros((3, 2)), {"counts": [1.0, 1.0]}, "a number from 0 on for each of 3 runs"),
        (np.zeros((3, 2)), {"prior": 0.0}, "prior: how many runs it is worth"),
    ],
)
def test_scores_that_are_none_are_refused(elpd, how, said):
    with pytest.raises(SpecError, match=said):
        bs.stacking(elpd, **how)


# --- scores given by hand -----------------------------------------------------------------------


def table(rows=12):
    """Six sizes at two budgets each, from 1e19 to 1e22 FLOP."""
    flops = np.geomspace(1e19, 1e22, rows)
    params = np.sqrt(flops / 120)
    loss = 1.8 + 0.4 * (flops / 1e20) ** -0.1
    runs = pd.DataFrame({"params": params, "tokens": 20 * params, "loss": loss, "flops": flops})
    runs["trail"] = [f"t{i // 2}" for i in range(rows)]
    return bs.read_runs(runs)


@pytest.fixture
def given(monkeypatch):
    """Have every fit and refit give what is put in here, by the name of the law."""
    scores = {
        "loo": {}, "lfo": {}, "miss": {}, "pit": {}, "trust": {}, "asked": [],
    }  # fmt: skip

    def fitted(model, runs, seed):
        out = bs.sample_prior(model, runs, draws=8, seed=seed)
        out["observed_data"] = xr.Dataset({"loss": ("run", runs["loss"])}, {"run": runs.index})
        out["constant_data"] = xr.Dataset(
            {k: ("run", runs[k]) for k in ("params", "tokens", "flops")}, {"run": runs.index}
        )
        rng = np.random.default_rng(0)
        like = rng.normal(size=(1, 8, len(runs)))
        out["log_likelihood"] = xr.Dataset({"loss": (("chain", "draw", "run"), like)})
        if model.law.name in scores["trust"]:
            said = [["k-hat", "FAIL", scores["trust"][model.law.name], ""]]
            out.attrs["sampling"] = json.dumps(said)
        return out

    def loo(fit, runs, **how):
        name = json.loads(fit.attrs["model"])["law"]["name"]
        each = {"elpd_i": ("run", np.asarray(scores["loo"][name], float)), "p": 5.0}
        scores["asked"].append(("loo", how))
        return xr.Dataset(each, {"run": runs.index}, {"trust": "trusted"})

    def folds(model, runs, count, *, by, **how):
        scores["asked"].append(("kfold", count, by))
        elpd = np.asarray(scores["loo"][model.law.name], float)
        each = {"elpd_i": ("run", elpd), "elpd": elpd.sum()}
        return xr.Dataset(each, {"run": runs.index}, {"trust": "trusted"})

    def ahead(model, runs, cuts, **how):
        scores["asked"].append(("lfo", cuts))
        flops = runs["flops"].to_numpy()
        above = flops > np.array(CUTS)[:, None]
        name = model.law.name
        given = {k: np.broadcast_to(scores[k].get(name, 0.3), above.shape)
                 for k in ("lfo", "miss", "pit")}  # fmt: skip
        each = {
            "elpd_i": given["lfo"],
            "predicted": runs["loss"].to_numpy() + given["miss"],
            "pit": given["pit"],
        }
        each = {k: (("cut", "run"), np.where(above, v, np.nan)) for k, v in each.items()}
        coords = {"cut": CUTS, "run": runs.index, "flops": ("run", flops)}
        return xr.Dataset(each, coords, {"trust": "trusted", "seed": 0})

    for name, stand_in in (
        ("fit_model", fitted), ("exact_loo", loo), ("kfold", folds), ("leave_future_out", ahead),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, stand_in)
    return scores


def differing(given, rows=12):
    """LOO prefers Kaplan's law by far, the runs ahead the other."""
    rng = np.random.default_rng(4)
    given["loo"] = {"chinchilla": rng.normal(2, 0.3, rows), "kaplan_nd": rng.normal(3, 0.3, rows)}
    given["lfo"] = {
        "chinchilla": rng.normal(2, 0.3, (2, rows)), "kaplan_nd": rng.normal(0, 0.3, (2, rows))
    }  # fmt: skip
    given["miss"] = {"chinchilla": 0.01, "kaplan_nd": np.array([[0.03], [0.05]])}
    given["pit"] = {"chinchilla": 0.9, "kaplan_nd": np.array([[0.9], [0.99]])}
    return given


def test_where_the_two_ways_part_it_says_so_and_which_to_trust(given):
    differing(given)
    found = bs.compare(LAWS, table(), cuts=CUTS)
    assert found.table["loo_rank"].to_dict() == {"chinchilla": 2, "kaplan_nd": 1}
    assert found.table["lfo_rank"].to_dict() == {"chinchilla": 1, "kaplan_nd": 2}
    assert (
        "The two rank laws differently: held-out runs kaplan_nd > chinchilla, runs ahead "
        "chinchilla > kaplan_nd. For a plan beyond the data trust the runs ahead"
    ) in found.verdict
    assert "though" not in found.verdict
    assert found.weights["chinchilla"] > 0.9 > 0.1 > found.table["loo_weight"]["chinchilla"]
    given["loo"]["chinchilla"] = given["loo"]["kaplan_nd"] + 1
    agreed = bs.compare(LAWS, table(), cuts=CUTS)
    assert "differently" not in agreed.verdict
    given["lfo"]["kaplan_nd"] = given["lfo"]["chinchilla"] + 0.01 * np.sin(np.arange(12.0))
    given["loo"]["chinchilla"] = given["loo"]["kaplan_nd"] - 1
    close = bs.compare(LAWS, table(), cuts=CUTS)
    assert "cannot be told from it" in close.said[0]
    assert "cannot" not in close.said[1]


def test_a_run_ahead_of_two_cuts_counts_once(given):
    differing(given)
    runs = table()
    found = bs.compare(LAWS, runs, cuts=CUTS)
    above = runs["flops"].to_numpy() > np.array(CUTS)[:, None]
    counts = above.sum(axis=0)
    assert found.scores["cuts_of"].values.tolist() == counts.tolist()
    assert {0, 1, 2} == set(counts)
    once = counts > 0
    each = {
        k: np.where(above, v, 0.0).sum(axis=0)[once] / counts[once] for k, v in given["lfo"].items()
    }
    row = found.table.loc["kaplan_nd"]
    apart = each["kaplan_nd"] - each["chinchilla"]
    assert row["elpd_lfo"] == pytest.approx(each["kaplan_nd"].sum())
    assert row["lfo_diff"] == pytest.approx(apart.sum())
    assert row["lfo_se"] == pytest.approx(np.sqrt(len(apart) * apart.var()))
    assert row["lfo_better"] == pytest.approx(st.norm.cdf(row["lfo_diff"] / row["lfo_se"]))
    pairs = np.argwhere(above)
    elpd = np.array([[given["lfo"][k][c, r] for k in LAWS] for c, r in pairs])
    share = np.array([1 / counts[r] for _, r in pairs])
    expected = bs.stacking(elpd, share)
    assert found.weights == pytest.approx(dict(zip(LAWS, expected, strict=True)))
    off = np.array([0.05 if c else 0.03 for c, _ in pairs])
    assert row["rmse"] == pytest.approx(np.sqrt(np.average(off**2, weights=share)))
    inside = np.array([0.0 if c else 1.0 for c, _ in pairs])
    assert row["coverage"] == pytest.approx(np.average(inside, weights=share))


def test_loo_columns_are_those_of_the_runs(given):
    differing(given)
    found = bs.compare(LAWS, table(), cuts=CUTS).table
    apart = np.subtract(*(given["loo"][k] for k in ("chinchilla", "kaplan_nd")))
    row = found.loc["chinchilla"]
    assert row["loo_diff"] == pytest.approx(apart.sum())
    assert row["loo_se"] == pytest.approx(np.sqrt(12 * apart.var()))
    assert np.isnan(found.loc["kaplan_nd", "loo_better"])
    weights = bs.stacking({k: given["loo"][k] for k in LAWS})
    assert found["loo_weight"].to_dict() == pytest.approx(weights)


def test_runs_that_go_together_are_held_out_and_counted_together(given):
    differing(given)
    found = bs.compare(LAWS, table(), cuts=CUTS, by="trail")
    assert [a for a in given["asked"] if a[0] == "kfold"] == [("kfold", 6, "trail")] * 2
    apart = np.subtract(*(given["loo"][k] for k in ("chinchilla", "kaplan_nd")))
    pairs = apart.reshape(6, 2).sum(axis=1)
    row = found.table.loc["chinchilla"]
    assert row["loo_diff"] == pytest.approx(apart.sum())
    assert row["loo_se"] == pytest.approx(np.sqrt(6 * pairs.var()))
    assert np.isfinite(row["p_loo"])
    bs.compare(LAWS, table(), cuts=CUTS, folds=4)
    assert given["asked"][-2][0] == "kfold"


def test_a_cut_that_one_law_cannot_be_fitted_below_is_left_out_for_all(given):
    differing(given)
    given["lfo"]["kaplan_nd"] = np.where([[True], [False]], np.nan, given["lfo"]["kaplan_nd"])
    found = bs.compare(LAWS, table(), cuts=CUTS)
    ahead = table()["flops"].to_numpy() > CUTS[1]
    assert found.scores["cuts_of"].values.tolist() == ahead.astype(int).tolist()
    assert found.table.loc["chinchilla", "elpd_lfo"] == pytest.approx(
        given["lfo"]["chinchilla"][1, ahead].sum()
    )


def test_an_untrusted_fit_is_said_to_be_one(given):
    differing(given)
    given["trust"]["kaplan_nd"] = "k-hat 0.93"
    found = bs.compare(LAWS, table(), cuts=CUTS)
    assert found.trust == "kaplan_nd: fit, k-hat: k-hat 0.93"
    assert "Not to be trusted: scores of kaplan_nd" in str(found)
    assert found.table.loc["chinchilla", "trust"] == "trusted"
    figure = bs.plots.plot_compare(found)
    assert any("NOT TO BE TRUSTED: kaplan_nd" in t.get_text() for t in figure.axes[0].texts)


def test_the_picture_shows_differences_and_weights(given):
    differing(given)
    found = bs.compare(LAWS, table(), cuts=CUTS)
    figure = bs.plots.plot_compare(found)
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert names == list(found.table.index) == ["chinchilla", "kaplan_nd"]
    for panel, kind in zip(figure.axes, ("loo", "lfo"), strict=False):
        drawn = panel.get_lines()[-1].get_xdata()
        np.testing.assert_allclose(drawn, found.table[f"{kind}_diff"])
        assert panel.get_xlabel() == "elpd less that of the best (nats)"
    widths = [bar.get_width() for bar in figure.axes[2].patches]
    assert widths == pytest.approx([*found.table["loo_weight"], *found.table["lfo_weight"]])
    with pytest.raises(SpecError, match="plot_compare draws what `compare` returns; found dict"):
        bs.plots.plot_compare({})
    with pytest.raises(SpecError, match="3 Axes needed, 1 given"):
        bs.plots.plot_compare(found, ax=plt.gca())


# --- what is refused, the shell, and a real one --------------------------------------------------


def test_all_that_is_wrong_is_said_at_once():
    runs = table()
    models = {
        "pooled": bs.ScalingModel(pooling=bs.Pooling("trail")),
        "steps": bs.ScalingModel(bs.KaplanNS()),
        "batch": bs.ScalingModel(bs.CriticalBatch("params"), bs.Censored()),
        "plain": bs.ScalingModel(),
    }
    with pytest.raises(SpecError) as raised:
        bs.compare(models, runs, by="trial", cuts=1e30, folds=1)
    text = str(raised.value)
    for said in (
        "2 outcomes (pooled of loss, ",
        "pooled: it pools by trail, and refits do not",
        "steps: model and table: 1 problem",
        "column 'steps'",
        "cut 1e+30 FLOP leaves no run above it",
        "no column 'trial' to tell which runs go together. Did you mean 'trail'?",
        "folds: a whole number from 2 on; found 1",
    ):
        assert said in text
    for models, said in (
        ([bs.Chinchilla()], "two or more to compare; 1 given"),
        ("chinchilla", "a mapping of name to model, or a list"),
        (["chinchila", "kaplan_nd"], "Did you mean 'chinchilla'"),
        (["chinchilla", bs.Chinchilla()], "chinchilla given twice"),
    ):
        with pytest.raises(SpecError, match=said):
            bs.compare(models, runs)


def test_laws_are_named_by_what_they_chose(given):
    rows = np.arange(12.0)
    given["loo"] = {"chinchilla": rows}
    given["lfo"] = {"chinchilla": 1.0}
    models = ["chinchilla", bs.Chinchilla(tied=True), bs.ScalingModel(bs.Chinchilla(floor=False))]
    found = bs.compare(models, table(), cuts=CUTS)
    assert sorted(found.table.index) == ["chinchilla", "chinchilla no floor", "chinchilla tied"]
    assert found.table["lfo_weight"].to_numpy() == pytest.approx(1 / 3)


def test_from_the_shell(given, tmp_path, capsys):
    differing(given)
    path, out = tmp_path / "runs.csv", tmp_path / "both.nc"
    table()[["params", "tokens", "loss", "flops", "trail"]].to_csv(path, index=False)
    asked = ["compare", str(path), "--laws", "chinchilla,kaplan_nd", "--cuts", "1e20", "1e21"]
    picture = tmp_path / "laws.png"
    assert main([*asked, "--out", str(out), "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "The two rank laws differently" in shown
    assert picture.stat().st_size > 1000
    made = bs.open_fit(out)
    weights = json.loads(made.attrs["average"])["weights"]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["weights"] == pytest.approx(weights)
    assert [row["law"] for row in told["laws"]] == ["chinchilla", "kaplan_nd"]
    given["trust"]["kaplan_nd"] = "k-hat 0.93"
    assert main(asked) == 2
    assert main(["compare", str(path), "--laws", ","]) == 1


@pytest.mark.slow
def test_the_right_law_is_picked_where_the_other_is_wrong(ladder):
    """The additive law with Kaplan's exponents, for runs that have a floor and steeper ones.

    A right program finds a difference of many standard errors: beyond 5 of them is asked for, which
    noise alone would bring about once in three million.
    """
    runs = bs.read_runs(ladder(0, nu=1e9))
    shallow = {k: bs.Prior.of("LogNormal", median=m, sigma=0.01)
               for k, m in (("alpha", 0.076), ("beta", 0.103))}  # fmt: skip
    models = {
        "wrong": bs.ScalingModel(observation=bs.Normal(), priors=shallow),
        "right": bs.ScalingModel(observation=bs.Normal()),
    }
    found = bs.compare(models, runs, draws=400)
    assert found.table.index.tolist() == ["right", "wrong"]
    wrong = found.table.loc["wrong"]
    for kind in ("loo", "lfo"):
        assert wrong[f"{kind}_diff"] < -5 * wrong[f"{kind}_se"] < 0
        assert wrong[f"{kind}_better"] < 1e-6
    assert found.weights["right"] > 0.95
    assert found.table.loc["right", "rmse"] < wrong["rmse"]
    assert "differently" not in found.verdict
    loo = bs.exact_loo(found.fits["right"], runs, draws=400)
    assert found.table.loc["right", "elpd_loo"] == pytest.approx(loo.elpd.item())
    assert found.table.loc["right", "p_loo"] == pytest.approx(loo.p.item())
    both = bs.average(found.fits, found)
    share = float((both["posterior"].which == 0).mean())  # "wrong" is the first of the two
    assert share == pytest.approx(1 - found.weights["right"], abs=1e-3)
