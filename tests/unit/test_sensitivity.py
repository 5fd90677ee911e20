"""What a posterior rests on: closed forms of a normal, ArviZ, priors far off, runs gone wrong."""

import json

import arviz_stats
import numpy as np
import pytest
import scipy.stats as st
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.criticism._quantities import decided_by
from bayes_scaling.criticism.influence import influence_verdict
from bayes_scaling.criticism.sensitivity import _cjs, _sensitivity, prior_verdict
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.results import SAMPLES

NORMAL = bs.ScalingModel(observation=bs.Normal())
FAR = bs.Prior.of("LogNormal", median=1.5, sigma=0.08)  # of alpha, which is 0.35


@pytest.fixture(scope="module")
def runs(ladder):
    return bs.read_runs(ladder(0, nu=1e9))


@pytest.fixture(scope="module")
def fit(runs):
    return bs.fit(NORMAL, runs, method="laplace", seed=0)


@pytest.fixture(scope="module")
def pulled(runs):
    """The prior of alpha put where its runs are not."""
    model = bs.ScalingModel(observation=bs.Normal(), priors={"alpha": FAR})
    return bs.fit(model, runs, method="laplace", seed=0)


def conjugate(fit, y, prior=(0.0, 1.0), draws=4000):
    """Make a fit whose posterior of one parameter is known: a mean of normals of sd 1.

    The model in its attributes is another; nothing but draws and log densities is looked at.
    """
    precision = 1 / prior[1] ** 2 + len(y)
    mean, sd = (prior[0] / prior[1] ** 2 + np.sum(y)) / precision, precision**-0.5
    x = mean + sd * st.norm.ppf((np.random.default_rng(0).permutation(draws) + 0.5) / draws)
    x = x.reshape(4, -1)
    like = st.norm.logpdf(np.asarray(y), x[..., None], 1.0)
    groups = {
        "posterior": xr.Dataset({"mu": (SAMPLES, x)}),
        "log_prior": xr.Dataset({"mu": (SAMPLES, st.norm.logpdf(x, *prior))}),
        "log_likelihood": xr.Dataset({"loss": ((*SAMPLES, "run"), like)}),
    }
    out = xr.DataTree.from_dict({f"/{k}": v for k, v in groups.items()})
    out.attrs["model"] = fit.attrs["model"]
    return out, mean, sd


def test_powers_of_a_conjugate_normal(fit):
    """The scaled posterior is normal too, and its mean and CJS are those of the formula.

    The draws are quantiles of the posterior, so that no more than Pareto smoothing and the
    truncated tails are between the two: 2 % of a shift.
    """
    y = np.array([1.0, 1.4, 0.2, 0.9, 1.5])
    made, mean, sd = conjugate(fit, y)
    found = bs.sensitivity(made, quantities=["mu"])
    x = made["posterior"]["mu"].values
    grid = np.linspace(x.min(), x.max(), 20_001)  # CJS is over the range of the draws
    gaps = np.diff(grid)
    for part in ("prior", "likelihood"):
        expected = []
        for alpha in found.alpha.values:
            own, of = (alpha, 1) if part == "prior" else (1, alpha)
            precision = own + of * len(y)
            there = of * y.sum() / precision
            shift = found["shift"].sel(component=part, alpha=alpha).item()
            assert shift == pytest.approx((there - mean) / sd, rel=0.02)
            p, q = st.norm.cdf(grid, mean, sd), st.norm.cdf(grid, there, precision**-0.5)
            both = [_cjs(a[1:], b[1:], gaps) for a, b in ((p, q), (1 - p, 1 - q))]
            expected.append(max(both) / abs(np.log2(alpha)))
        measured = found["sensitivity"].sel(component=part).item()
        assert measured == pytest.approx(np.mean(expected), rel=0.03)
    assert (found.k_hat < 0.7).all()


def test_cjs_is_its_definition():
    """``integral p log2(p / m) + (m - p) / ln 2``, both ways, over the mass of both."""
    x = np.linspace(0, 1, 2001)[1:-1]
    gaps = np.full(len(x), 1 / 2000)
    p, q = x, x**2
    m = 0.5 * (p + q)
    ways = [np.sum(gaps * (a * np.log2(a / m) + (m - a) / np.log(2))) for a in (p, q)]
    expected = np.sqrt(sum(ways) / np.sum(gaps * (p + q)))
    assert _cjs(p, q, gaps) == pytest.approx(expected)
    assert _cjs(p, p, gaps) == 0
    assert _cjs(p, q, 1e6 * gaps) == pytest.approx(expected)  # the unit does not matter


def test_arviz_finds_the_same(fit):
    """Its weights are smoothed at both ends of another tail: a twentieth of a value."""
    for alphas in ((0.8, 1.25), (0.99, 1.01)):
        found = bs.sensitivity(fit, alphas=alphas)
        for group in ("prior", "likelihood"):
            theirs = arviz_stats.psense(fit, group=group, alphas=alphas)
            for name in found["quantity"].values:
                ours = float(found["sensitivity"].sel(component=group, quantity=name))
                assert ours == pytest.approx(float(theirs[name]), rel=0.05, abs=1e-4), name


def test_a_quantity_of_its_own_unit_and_sign_is_as_sensitive(fit):
    x = fit["posterior"]["alpha"].values
    log = fit["log_prior"]["alpha"].values.ravel()
    weights = np.exp(0.25 * log) / np.exp(0.25 * log).sum()
    for y in (1e9 * x, -x, 5 - 2 * x):
        assert _sensitivity(y.ravel(), weights[None, None], [1.25]) == pytest.approx(
            _sensitivity(x.ravel(), weights[None, None], [1.25]), rel=1e-6
        )


def test_a_prior_far_off_is_found_and_named(fit, pulled):
    usual = bs.sensitivity(fit, budget=1e23)
    assert set(usual.diagnosis.values) == {"ok"}
    assert usual.attrs["verdict"] == "no quantity is sensitive to a prior"
    odd = bs.sensitivity(pulled, quantities=["alpha", "E"], budget=1e23)
    assert odd.diagnosis.sel(quantity="alpha") == "prior-data conflict"
    assert odd["prior"].sel(quantity="alpha") == "alpha"
    assert float(odd["shift"].sel(component="prior", alpha=1.25, quantity="alpha")) > 0
    assert float(odd["shift"].sel(component="likelihood", alpha=1.25, quantity="alpha")) < 0
    assert odd.attrs["verdict"].startswith("alpha: prior-data conflict (")
    assert prior_verdict(fit, None)[0].status == "PASS"
    (verdict,) = prior_verdict(pulled, 1e23)
    assert verdict.status == "REVIEW"
    assert "the prior of alpha" in verdict.do
    assert "ln N* at 1e23 FLOP" in verdict.found


def test_what_the_runs_say_nothing_of_rests_on_its_prior(fit):
    """A parameter with a prior and no likelihood: strong prior or weak likelihood."""
    rng = np.random.default_rng(0)
    idle = rng.normal(size=(fit["posterior"].sizes["chain"], fit["posterior"].sizes["draw"]))
    made = fit.copy()
    made["log_prior"] = fit["log_prior"].to_dataset().assign(idle=(SAMPLES, st.norm.logpdf(idle)))
    found = bs.sensitivity(made, quantities={"idle": idle, "E": fit["posterior"]["E"].values})
    assert found.diagnosis.values.tolist() == ["strong prior or weak likelihood", "ok"]
    assert found["prior"].values[0] == "idle"


def test_priors_of_groups_are_learned_and_do_not_count(fit):
    made = fit.copy()
    group = fit["log_prior"].to_dataset()
    made["log_prior"] = group.assign(a0_z=5 * group["alpha"])
    components = bs.sensitivity(made, quantities=["E"])
    same = bs.sensitivity(fit, quantities=["E"])
    assert "prior of a0_z" not in components["component"].values
    xr.testing.assert_equal(components["sensitivity"], same["sensitivity"])


def test_without_a_likelihood_priors_can_still_be_looked_at(fit):
    bare = fit.drop_nodes(["log_likelihood"])
    found = bs.sensitivity(bare, quantities=["E"])
    assert "likelihood" not in found["component"].values
    assert found.diagnosis.item() == "ok"
    with pytest.raises(FitError, match="carries no log prior"):
        bs.sensitivity(fit.drop_nodes(["log_prior"]))
    with pytest.raises(FitError, match="carries no log likelihood"):
        bs.influence(bare)
    assert prior_verdict(fit.drop_nodes(["log_prior"]), None) == []


def test_quantities_are_those_of_the_decision(fit):
    found = bs.sensitivity(fit, quantities=["a"], at={"params": 7e10, "tokens": [1e12, 2e12]},
                           budget=[1e23, 1e24])  # fmt: skip
    assert found["quantity"].values.tolist() == [
        "a",
        "ln N* at 1e23 FLOP",
        "loss at 1e23 FLOP",
        "ln N* at 1e24 FLOP",
        "loss at 1e24 FLOP",
        "loss at params 70.0B, tokens 1.00T",
        "loss at params 70.0B, tokens 2.00T",
    ]
    drawn, plan = decided_by(fit, 1e23), bs.allocate(fit, 1e23)
    np.testing.assert_allclose(drawn["ln N* at 1e23 FLOP"], np.log(plan.params_opt.values.ravel()))
    np.testing.assert_allclose(drawn["loss at 1e23 FLOP"], plan.loss_opt.values.ravel())
    assert next(iter(decided_by(fit))) == "ln N* at 3e22 FLOP"  # ten times the largest run
    unknown = fit.copy()
    unknown.attrs = {**fit.attrs, "largest": "{}"}
    assert list(decided_by(unknown)) == ["E", "a0", "b0", "alpha", "beta", "a"]


def test_all_that_is_wrong_is_said_at_once(fit):
    with pytest.raises(SpecError) as error:
        bs.sensitivity(fit, quantities=["alpha", "gamma"], budget=-1.0, alphas=(1.1, 1.2))
    for words in ("3 problems", "do not enclose 1", "no 'gamma'", "budget must be positive FLOP"):
        assert words in str(error.value)
    with pytest.raises(SpecError, match="4000 draws are wanted; found 3"):
        bs.influence(fit, quantities={"x": [1.0, 2.0, 3.0]})


# Single runs.


def test_a_run_less_in_a_conjugate_normal(fit):
    y = np.array([1.0, 1.4, 0.2, 0.9, 1.5, 0.8, 1.1, 0.6, 1.3, 3.0])
    made, mean, sd = conjugate(fit, y)
    found = bs.influence(made, quantities=["mu"]).sortby("run")
    without = (y.sum() - y) / (len(y))  # one run less, the prior's own counted
    np.testing.assert_allclose(found["shift"].values[:, 0], (without - mean) / sd, atol=0.03)
    assert bs.influence(made, quantities=["mu"]).run.values[0] == 9


def test_a_run_gone_wrong_is_found(fit, runs):
    """The run of most compute 5 % off, ten times the scatter: it moves the plan by its all."""
    wrong = runs.assign(loss=runs["loss"].where(runs.index != 84, runs["loss"] * 1.05))
    bad = bs.fit(NORMAL, wrong, method="laplace", seed=0)
    found = bs.influence(bad)
    assert found.run.values[0] == 84
    # A refit moves ln N* by 1.39 sd and the loss by -1.17. Weights of a Pareto k above 0.8 say 0.6
    # to 1.4 and -0.7 to -1.1 over eight seeds, and less than 0.4 of any other run: which run it is
    # and which way it pulls, and that how far is unsure.
    first, second = found.isel(run=0), found.isel(run=1)
    assert float(first["shift"].sel(quantity="ln N* at 3e22 FLOP")) > 0.5
    assert float(first["shift"].sel(quantity="loss at 3e22 FLOP")) < -0.5
    assert float(np.abs(second["shift"]).max()) < 0.5
    assert found.attrs["verdict"].startswith("run 84 moves ")
    assert "as far as weights of Pareto k" in found.attrs["verdict"]
    assert influence_verdict(bad, None).status == "REVIEW"
    assert "run 84 moves" in influence_verdict(bad, None).found
    usual = influence_verdict(fit, None)
    assert usual.status == "PASS", usual
    assert "sd" in usual.found
    exact = bs.fit(NORMAL, wrong.drop(index=84), method="laplace", seed=0)
    at = {"params": 7e9, "tokens": 1.4e11}
    before, after = (bs.predict(f, at).loss_mean for f in (bad, exact))
    moved = float((after.mean() - before.mean()) / before.std())
    weighed = bs.influence(bad, at=at).sel(run=84)
    # The weights of such a run rest on few draws: which way it moves things, not how far, is sure.
    assert float(weighed["pareto_k"]) > 0.5
    assert 0.3 < float(weighed["shift"].item()) / moved < 1.5


# The check.


def test_the_check_says_both(fit, pulled):
    table = bs.check(pulled, budget=1e23).to_frame().set_index("name")
    assert table.loc["prior", "status"] == "REVIEW"
    assert "furthest, by" in table.loc["leave-one-out", "found"]
    bare = fit.drop_nodes([g for g in fit.children if g != "posterior"])
    assert "prior" not in set(bs.check(bare).to_frame()["name"])


def test_a_published_posterior_brings_back_what_was_found_of_its_priors(pulled):
    found = bs.check(pulled)
    bare = pulled.drop_nodes([g for g in pulled.children if g != "posterior"])
    bare.attrs["recorded"] = json.dumps([list(v) for v in found.verdicts])
    again = {v.name: v for v in bs.check(bare).verdicts}
    assert again["prior"] == next(v for v in found.verdicts if v.name == "prior")
    assert [*again.values()].count(again["prior"]) == 1
    assert "SKIP" not in {v.status for v in again.values()}


def test_a_table_of_very_many_runs_is_looked_at_under_fewer_draws(fit, monkeypatch):
    monkeypatch.setattr("bayes_scaling.criticism.predictive.RUNS", 48)
    monkeypatch.setattr("bayes_scaling.criticism.predictive.DRAWS", 1000)
    found, runs = bs.sensitivity(fit, quantities=["E"]), bs.influence(fit)
    assert runs.sizes["run"] == 48
    monkeypatch.undo()
    every = bs.sensitivity(fit, quantities=["E"])
    # The likelihood is of all runs; 1,000 draws for 4,000: a tenth.
    ours, theirs = (f["sensitivity"].sel(component="likelihood").item() for f in (found, every))
    assert ours == pytest.approx(theirs, rel=0.15)
