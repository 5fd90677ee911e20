"""`backtest`: scores against closed forms, a right law that holds, a wrong one found out."""

import json
import sys
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import scipy.stats as st
from scipy.optimize import minimize

import bayes_scaling as bs
from bayes_scaling.cli import main
from bayes_scaling.criticism import _baselines, _cuts, _scores
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.inference import point
from bayes_scaling.inference.point import fit_point
from bayes_scaling.methods.parabola import vertices

mpl.use("Agg")

NORMAL = bs.ScalingModel(observation=bs.Normal())
CUTS = [1e20, 6e20]  # of eight budgets from 6e18 to 3e21, four and six are fitted


@pytest.fixture(scope="module")
def runs(ladder):
    return bs.read_runs(ladder(0, nu=1e9))


@pytest.fixture(scope="module")
def right(runs):
    return bs.backtest(NORMAL, runs, cuts=CUTS)


@pytest.fixture(scope="module")
def bent(runs):
    """Losses that stop falling half a decade beyond the last run that is fitted."""
    past = np.log10(runs["flops"] / 6e20).clip(lower=0)
    table = runs.assign(loss=runs["loss"] * np.exp(0.08 * past))
    return bs.backtest({"mine": NORMAL}, table, cuts=CUTS[1], baselines=["mse"])


# Scores.


def test_crps_and_intervals_are_those_of_a_normal():
    """``CRPS = s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))``, Gneiting and Raftery 2007.

    Of 40,000 draws the mean of |x - y| has a standard error below 0.006 s: five of them.
    """
    rng, seen = np.random.default_rng(0), np.array([1.0, 2.0, 3.5])
    draws = 2 + 0.5 * rng.normal(size=(40_000, 3))
    z = (seen - 2) / 0.5
    exact = 0.5 * (z * (2 * st.norm.cdf(z) - 1) + 2 * st.norm.pdf(z) - 1 / np.sqrt(np.pi))
    found = _scores.scores(draws, seen, log=False)
    np.testing.assert_allclose(found["crps"], exact, atol=5 * 0.0025)
    np.testing.assert_allclose(found["pit"], st.norm.cdf(z), atol=5 * 0.0025)
    np.testing.assert_allclose(found["error"], 2 - seen, atol=5 * 0.0032)
    wide = 2 * 0.5 * st.norm.isf((1 - np.array(_scores.PROBS)) / 2)
    np.testing.assert_allclose(found["width"], np.tile(wide, (3, 1)), rtol=0.05)
    np.testing.assert_array_equal(found["inside"][:, -1], [0, 1, 0])  # |z| of 2, 0 and 3
    np.testing.assert_array_equal(found["inside"][:, 0], [0, 1, 0])
    logs = _scores.scores(np.exp(draws), np.exp(seen), log=True)
    np.testing.assert_allclose(logs["crps"], found["crps"])


def test_crps_has_no_bias_of_few_draws():
    """Three draws of a normal, 20,000 times: the mean is that of the normal within 5 errors."""
    rng = np.random.default_rng(1)
    found = _scores.crps(rng.normal(size=(3, 20_000)), np.full(20_000, 0.7))
    exact = 0.7 * (2 * st.norm.cdf(0.7) - 1) + 2 * st.norm.pdf(0.7) - 1 / np.sqrt(np.pi)
    assert found.mean() == pytest.approx(exact, abs=5 * found.std() / np.sqrt(20_000))


def test_tails_without_a_mean_have_a_score():
    draws = np.append(np.exp(np.random.default_rng(0).normal(size=999)), np.inf)[:, None]
    assert np.isfinite(_scores.scores(draws, np.array([1.0]), log=True)["crps"]).all()


def test_the_log_score_of_a_baseline_is_that_of_its_scatter():
    """Residuals of a normal about one prediction: the density of it, to a kernel's width."""
    rng = np.random.default_rng(0)
    spare = 0.1 * st.norm.ppf((np.arange(2000) + 0.5) / 2000)
    seen = np.array([2.0, 2.1, 2.25])
    middle = np.full((200, 3), 2.0)
    draws, log_score = _baselines._scattered(middle, spare, seen, 1000, rng)
    assert draws.shape == (1000, 3)
    np.testing.assert_allclose(log_score, st.norm(2, 0.1).logpdf(seen), atol=0.1)
    np.testing.assert_allclose(draws.std(axis=0), 0.1, rtol=0.15)


def test_runs_of_one_fit_miss_together():
    """Draws that differ by a shared shift alone are covered as one: all runs, or none."""
    rng = np.random.default_rng(0)
    shared = np.repeat(rng.normal(size=(2000, 1)), 30, axis=1)
    shared = shared + 1e-6 * rng.normal(size=shared.shape)
    alone = rng.normal(size=(2000, 30))
    at = _scores.PROBS.index(0.95)
    where = [np.ones(30, bool)]
    together = _scores.replicated(shared, where)[0, :, at]
    assert np.quantile(together, 0.025) == 0
    apart = _scores.replicated(alone, where)[0, :, at]
    assert np.quantile(apart, 0.025) >= 25  # of 30 at 95 %: 26, once in 40
    for counts in (together, apart):
        assert counts.mean() == pytest.approx(0.95 * 30, abs=0.2)


def test_distances_fall_into_their_bins():
    found = _scores.bin_of(np.array([np.nan, 1e-9, 0.25, 0.3, 1.0, 1.7, 2.0, 5.0]))
    assert found.tolist() == [-1, 0, 0, 1, 2, 3, 3, 4]
    assert _scores.bin_names() == ["0 to 0.25", "0.25 to 0.5", "0.5 to 1", "1 to 2", "over 2"]


def test_wilsons_interval():
    low, high = _scores.binomial(np.array([0, 33, 5]), np.array([10, 46, 0]))
    for i, k in enumerate((0, 33)):
        exact = st.binomtest(k, (10, 46)[i]).proportion_ci(method="wilson")
        assert (low[i], high[i]) == pytest.approx((exact.low, exact.high))
    assert np.isnan(low[2])
    assert np.isnan(high[2])


# A right law and a wrong one.


def test_a_right_law_holds_and_its_scores_add_up(runs, right):
    """The verdict alarms once in 20 tables by design; of 60 such ladders it did in none."""
    assert right.verdict.values[0].endswith("they hold")
    assert right.attrs["trust"] == "trusted"
    assert right.kind.values.tolist() == ["model", "baseline", "baseline", "baseline"]
    size, one = runs["flops"].to_numpy(), right.sel(model="chinchilla")
    for at, cut in enumerate(CUTS):
        ahead = size > cut
        assert np.array_equal(np.isfinite(one.predicted.values[at]), ahead)
        reach = np.log10(size[ahead] / size[~ahead].max())
        np.testing.assert_allclose(right.distance.values[at, ahead], reach)
    which = _scores.bin_of(right.distance.values)
    for b in np.flatnonzero(one.runs.values):
        rows = which == b
        assert one.runs.values[b] == rows.sum()
        error = one.error.values[rows]
        assert one.rmse.values[b] == pytest.approx(np.sqrt(np.mean(error**2)))
        relative = np.abs(error / np.broadcast_to(right.measured.values, rows.shape)[rows])
        assert one.mre.values[b] == pytest.approx(relative.mean())
        np.testing.assert_allclose(one.coverage.values[b], one.inside.values[rows].mean(axis=0))
        assert one.mean_crps.values[b] == pytest.approx(one.crps.values[rows].mean())
        assert one.pit_histogram.values[b].sum() == rows.sum()
    # The scatter is half a per cent of the loss: its CRPS is 0.56 sd where parameters are known.
    assert 0.5 * 0.005 < float(one.crps.mean()) < 0.9 * 0.005


def test_it_agrees_with_leave_future_out(runs, right):
    """The same refits and densities, and medians of the same draws."""
    ahead = bs.leave_future_out(NORMAL, runs, CUTS)
    one = right.sel(model="chinchilla")
    np.testing.assert_allclose(one.log_score, ahead.elpd_i)
    np.testing.assert_allclose(one.predicted, ahead.predicted)
    np.testing.assert_allclose(one.pit, ahead.pit, atol=1e-3)


def test_a_law_that_bends_is_found_out(bent):
    """36 % of the intervals would be right once in 1e8; half a decade is 4 % of the loss."""
    said = bent.attrs["verdict"]
    assert said.startswith("mine: nominal 95 % intervals covered")
    assert said.endswith("intervals are too narrow")
    assert "decades ahead (binomial" in said
    far = bs.backtest_table(bent).loc[("0.5 to 1", "mine")]
    assert far["coverage"] < 0.36 < far["own_low"]
    assert bent.pit_histogram.sel(model="mine").sum("ahead").values[-1] > 5  # measured above


def test_intervals_that_are_too_wide_are_found_out():
    by = {k: np.full((5, 4), np.nan) for k in ("coverage", "covered_low", "covered_high")}
    by |= {k: np.full((5, 4), np.nan) for k in ("own_low", "own_high", "p_narrow", "p_wide")}
    by["runs"] = np.array([0, 40, 0, 0, 0])
    for name, values in (("coverage", 1.0), ("p_narrow", 1.0), ("p_wide", 0.001)):
        by[name][1] = values
    by["covered_low"][1], by["covered_high"][1] = 0.91, 1.0
    by["own_low"][1], by["own_high"][1] = 0.3, 0.7
    assert _scores.verdict_of(by, 0.5) == (
        "nominal 50 % intervals covered 100 % of 40 runs 0.25 to 0.5 decades ahead (binomial 91 to "
        "100 %; if they were right, 30 to 70 %): intervals are too wide"
    )
    by["p_wide"][1] = 0.2
    assert _scores.verdict_of(by, 0.5).endswith("(binomial 91 to 100 %): they hold")
    by["runs"] = np.array([0, 4, 0, 0, 0])
    assert _scores.verdict_of(by, 0.5) == "4 runs ahead: too few to judge the intervals by"


# Baselines.


def test_point_fits_are_least_of_the_published_loss(runs):
    """Another optimiser finds no lower sum; the objective is the loss that was asked for."""
    at, y = point.sizes_of(runs), np.log(runs["loss"].to_numpy())

    def loss(p, delta):
        gap = np.abs(point.log_losses(np.asarray(p), at) - y)
        near = np.minimum(gap, delta)
        return float(np.sum(near * (gap - 0.5 * near)))

    for delta in (point.HUBER, np.inf):
        best, objective = point.best_point(at, y, delta)
        assert loss(best, delta) == pytest.approx(objective, rel=1e-9)
        other = minimize(lambda p: 1e4 * loss(p, delta), best, method="Nelder-Mead")  # noqa: B023
        assert objective <= other.fun / 1e4 * (1 + 1e-6)
        theta = fit_point(runs, delta)
        assert theta["objective"] == objective
        assert theta["alpha"] == pytest.approx(np.exp(best[3]))


def test_weights_count_runs(runs):
    """Twenty of 76 runs given twice are 96: the same program, padded and not."""
    at, y = point.sizes_of(runs.iloc[:76]), np.log(runs["loss"].to_numpy()[:76])
    starts = np.tile(point.best_point(at, y, np.inf)[0], (point.STARTS, 1))
    twice = np.r_[np.arange(76), np.arange(20)]
    more = point.Sizes(at.n[twice], at.d[twice], at.reference)
    counted = np.where(np.arange(76) < 20, 2.0, 1.0)
    one = point.point_fits(at, y, starts, np.inf, counted)[0]
    two = point.point_fits(more, y[twice], starts, np.inf)[0]
    np.testing.assert_allclose(one, two, atol=1e-5)
    assert np.abs(one - starts).max() > 1e-3


@pytest.mark.parametrize(("name", "delta"), [("huber", 1e-3), ("mse", np.inf)])
def test_baselines_predict_what_the_point_fit_does(runs, right, name, delta):
    """The median of 200 refits is the point fit's prediction, to half the scatter of a run."""
    below = runs.loc[runs["flops"] <= CUTS[1]]
    ahead = runs.loc[runs["flops"] > CUTS[1]]
    paper = fit_point(below, delta)
    there = paper["E"] + paper["A"] * ahead["params"] ** -paper["alpha"]
    there += paper["B"] * ahead["tokens"] ** -paper["beta"]
    found = right.sel(model=name).isel(cut=1).predicted.values
    np.testing.assert_allclose(found[np.isfinite(found)] / there, 1, atol=0.5 * 0.005)


def test_residuals_of_a_point_fit_are_as_wide_as_the_scatter(right):
    """Half a per cent, by five parameters less than 72 runs show: 1.35 times it is 50 %."""
    width = right.width.sel(model="mse", prob=0.5).isel(cut=1).mean() / right.measured.mean()
    assert float(width) == pytest.approx(1.35 * 0.005, rel=0.3)


def test_parabolas_continue_a_law_of_their_own_shape():
    """Runs that are parabolas in ln N with lines for minima are predicted exactly, wide ahead."""
    budgets, off = np.geomspace(1e18, 1e21, 7), np.linspace(-1, 1, 7)
    flops, u = (v.ravel() for v in np.meshgrid(budgets, off, indexing="ij"))
    x = np.log(flops / 1e18)
    best = 18 + 0.5 * x
    loss = 1.7 + 1.5 * np.exp(-0.15 * x) + 0.5 * 0.2 * np.exp(-0.1 * x) * u**2
    noise = 1e-5 * np.random.default_rng(0).normal(size=len(loss))
    table = bs.read_runs({"params": np.exp(best + u), "flops": flops, "loss": loss + noise,
                          "tokens": flops / 6 / np.exp(best + u)})  # fmt: skip
    below, above = (np.flatnonzero(table["flops"] < 2e20), np.flatnonzero(table["flops"] > 2e20))
    rng = np.random.default_rng(0)
    found = _baselines.baseline("parabola", table, below, above, 1000, rng)
    middle = np.median(found.draws, axis=0)
    np.testing.assert_allclose(middle, loss[above], atol=0.003)
    where, value, curve = vertices(np.array([-1.0, 0, 1, 2]), np.array([5.0, 3, 3, 5]))
    assert (where, value, curve) == pytest.approx((0.5, 2.75, 2.0))


def test_what_a_baseline_cannot_do_is_said(runs, right):
    scattered = runs.assign(flops=runs["flops"] * np.geomspace(0.5, 2, len(runs)))
    rng = np.random.default_rng(0)
    rows = np.arange(72), np.arange(72, 96)
    says = {
        "no ladder": _baselines.baseline("parabola", scattered, *rows, 1000, rng),
        "3 budgets": _baselines.baseline("parabola", runs, np.arange(36), rows[1], 1000, rng),
        "4 runs for the 5 parameters": _baselines.baseline(
            "mse", runs, np.arange(4), rows[1], 1000, rng
        ),
        "no params": _baselines.baseline("mse", runs.drop(columns="params"), *rows, 1000, rng),
    }
    for words, found in says.items():
        assert words in found.trust
        assert not len(found.draws)
        assert np.isnan(found.log_score).all()
    assert right.trust.sel(model="parabola").values.tolist() == ["trusted", "trusted"]


def test_a_baseline_that_cannot_run_is_a_row_of_nothing(runs):
    found = bs.backtest(NORMAL, runs, cuts=5e19, baselines=["parabola"])
    assert found.verdict.values[1].startswith("no prediction: 3 budgets")
    assert np.isnan(found.predicted.sel(model="parabola")).all()
    table = bs.backtest_table(found).xs("parabola", level="model")
    assert len(table) == 3
    assert not table["runs"].any()
    figure = bs.plots.plot_backtest(found)
    names = figure.axes[0].get_legend_handles_labels()[1]
    assert "parabola: no prediction" in names


# Cuts, tables and what is wrong with them.


def test_default_cuts_lie_between_budgets_and_leave_enough_runs():
    ladder = np.repeat(np.geomspace(1e18, 1e21, 10), 12) * np.tile([0.99, 1.0, 1.01], 40)
    cuts = _cuts.default_cuts(ladder, 20)
    assert len(cuts) == _cuts.CUTS
    below = [(ladder <= c).sum() for c in cuts]
    assert below == sorted(below)
    assert below[0] == 24
    assert below[-1] == 108
    assert all(b % 12 == 0 for b in below)
    smooth = np.geomspace(1e18, 1e21, 121)
    cuts = _cuts.default_cuts(smooth, 20)
    assert (smooth <= cuts[0]).sum() == 20
    np.testing.assert_allclose(np.diff(np.log(cuts)), np.diff(np.log(cuts)).mean(), atol=0.06)
    assert not len(_cuts.default_cuts(smooth[:20], 20))


def test_along_sizes_and_data(runs):
    """The smallest models predict the largest: distance is then in parameters."""
    cut = float(np.median(runs["params"]))
    found = bs.backtest(NORMAL, runs, along="params", cuts=cut, baselines=[], draws=200)
    assert found.fitted.item() == (runs["params"] <= cut).sum()
    reach = np.log10(runs["params"].max() / runs.loc[runs["params"] <= cut, "params"].max())
    assert float(found.distance.max()) == pytest.approx(reach)


def test_flags_of_refits_are_carried(runs, monkeypatch):
    bs.backtest  # noqa: B018 (the module is there once its function is)
    module = sys.modules["bayes_scaling.criticism.backtest"]
    real = module.refit_parts

    def doubted(*args: Any, **how: Any) -> Any:
        first, *rest = real(*args, **how)
        return [replace(first, trust="k-hat 0.9 is not below 0.7"), *rest]

    monkeypatch.setattr(module, "refit_parts", doubted)
    found = bs.backtest(NORMAL, runs, cuts=CUTS, baselines=[])
    assert found.attrs["trust"] == "1 of 2 refits: k-hat 0.9 is not below 0.7"
    assert found.trust.values[0].tolist() == ["k-hat 0.9 is not below 0.7", "trusted"]
    assert found.runs.sum() == 72  # flagged, and scored


def test_all_that_is_wrong_is_said_at_once(runs):
    pooled = bs.ScalingModel(pooling=bs.Pooling("recipe"))
    with pytest.raises(SpecError) as error:
        bs.backtest({"mse": NORMAL, "b": pooled, "c": 3}, runs, along="size",
                    baselines=["huber", "mse", "ols"])  # fmt: skip
    for words in ("5 problems", "model 'b' pools", "model 'c': a ScalingModel is wanted; found 3",
                  "along 'size' is none of: flops, params, tokens", "no baseline is named 'ols'",
                  "'mse' names a model and a baseline"):  # fmt: skip
        assert words in str(error.value)
    for cuts, words in (
        ([1e30, -1.0], "2 problems"),
        (1e10, "leaves no run at or below it: the runs span 6e+18 to 3e+21"),
        ([], "cuts must be positive numbers"),
        ("x", "cuts must be positive numbers"),
    ):
        with pytest.raises(SpecError, match=words.replace("+", r"\+")):
            bs.backtest(NORMAL, runs, cuts=cuts)
    with pytest.raises(SpecError, match="no cut leaves 18 runs below it"):
        bs.backtest(NORMAL, runs.iloc[:15])
    with pytest.raises(SpecError, match="no model was given"):
        bs.backtest({}, runs)
    with pytest.raises(SpecError, match=r"give a list, such as \['mse'\]"):
        bs.backtest(NORMAL, runs, baselines="mse")
    with pytest.raises(TableError, match="tokens"):
        bs.backtest(NORMAL, runs.drop(columns="tokens"))


def test_the_table_and_the_figure(right):
    table = bs.backtest_table(right, prob=0.5)
    assert table.index.names == ["ahead", "model"]
    assert [a for a, _ in table.index[:4]] == ["0.25 to 0.5"] * 4
    coverage = right.coverage.sel(model="mse", ahead="0.5 to 1", prob=0.5).item()
    assert table.loc[("0.5 to 1", "mse"), "coverage"] == coverage
    with pytest.raises(SpecError, match=r"choose one of: 0\.5, 0\.8, 0\.9, 0\.95"):
        bs.backtest_table(right, prob=0.7)
    figure = bs.plots.plot_backtest(right)
    assert len(figure.axes) == 3
    assert "Backtest of chinchilla" in figure.axes[0].get_title(loc="left")
    assert len(figure.axes[2].lines) == 5  # the diagonal and four distributions
    with pytest.raises(SpecError, match="a result of `backtest` is asked for"):
        bs.plots.plot_backtest(right[["rmse"]])


def test_the_command(capsys, tmp_path, monkeypatch, runs):
    monkeypatch.setattr(bs, "load_model", lambda _: NORMAL)
    runs[["params", "tokens", "flops", "loss"]].to_csv(tmp_path / "runs.csv")
    argv = ["backtest", str(tmp_path / "runs.csv"), "--model", "mine", "--cut", "6e20", "--bare"]
    assert main([*argv, "--plot", str(tmp_path / "x.png")]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Fitted up to 6e20, predicted above" in out
    assert "nominal 95 % intervals covered" in out
    assert (tmp_path / "x.png").stat().st_size > 10_000
    assert main([*argv, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cuts"] == [6e20]
    assert found["verdict"]["mine"].startswith("nominal 95 %")
    assert {row["model"] for row in found["scores"]} == {"mine"}
    assert main(["backtest", str(tmp_path / "runs.csv"), "--cut", "1e30"]) == 1
