"""The first two approaches against published figures, closed forms and brute force."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.errors import FitError, SpecError, TableError
from bayes_scaling.laws import Chinchilla, IsoFlop
from bayes_scaling.methods.budgets import budgets_of, runs_of
from bayes_scaling.methods.envelope import winners
from bayes_scaling.methods.parabola import vertices
from bayes_scaling.param import Prior
from bayes_scaling.results import model_of
from benchmarks.p5 import PUBLISHED, SURFACES, TARGET, WIDTHS, law_of, optimal_tokens, table

COLUMNS = ("a", "params", "tokens")


def known(surface):
    """A "fit" whose draws are all one surface."""
    law, theta = law_of(surface)
    noise = {"sigma": 0.01, "nu": 4.0}
    fixed = {k: Prior.of("Fixed", value=v) for k, v in {**theta, **noise}.items()}
    return bs.sample_prior(bs.ScalingModel(law, priors=fixed), draws=3)


@pytest.mark.parametrize("key", PUBLISHED, ids=" ".join)
def test_the_published_bias_of_parabolas(key):
    """Open Athena's table, 100 (D_hat / D* - 1) at 1e24 FLOP: four cells per case, to 0.01."""
    truth = optimal_tokens(key[0], TARGET)
    for width, published in zip(WIDTHS, PUBLISHED[key], strict=True):
        found = bs.approach2(table(*key, width))
        line = np.exp(float(found.log_g_tokens) + float(found.b) * np.log(TARGET))
        assert 100 * (line / truth - 1) == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize("key", [("chin", "centred"), ("asym", "drift to 3x")], ids=" ".join)
def test_a_posterior_knows_the_bias_of_its_grid(key):
    width = 8
    runs = table(*key, width)
    found = bs.approach2(runs)
    law, theta = law_of(key[0])
    true_size, _ = law.optimum(theta, TARGET / 6)
    at_target = np.exp(float(found.log_g) + float(found.a) * np.log(TARGET)) / true_size - 1
    at_budgets = [float(found.params_opt[i]) / law.optimum(theta, c / 6)[0] - 1
                  for i, c in enumerate(found.budget.values)]  # fmt: skip
    with pytest.warns(bs.ParabolaBiasWarning, match="fit the law `isoflop`"):
        bias = bs.parabola_bias(known(key[0]), runs, TARGET)
    assert bias.params_bias.sizes == {"chain": 1, "draw": 3, "budget": 5}
    np.testing.assert_allclose(bias.params_bias[0, 0], at_budgets, atol=1e-6)
    np.testing.assert_allclose(bias.target_bias, at_target, atol=1e-6)
    exponent = float(found.a) - float(law.exponent(theta))
    np.testing.assert_allclose(bias.exponent_bias, exponent, atol=1e-8)


def test_a_symmetric_grid_is_off_by_what_the_expansion_says():
    bias = bs.parabola_bias(known("chin"), table("chin", "centred", 2), TARGET)
    _, _, alpha, beta = SURFACES["chin"]
    w = np.linspace(-np.log(2), np.log(2), 15)
    delta = (alpha - beta) * np.sum(w**4) / (6 * np.sum(w**2))
    np.testing.assert_allclose(np.log1p(bias.params_bias), delta, rtol=0.01)
    assert bias.attrs["verdict"] == "parabolas are off by at most 1 % on this grid"


def test_a_parabola_without_a_lowest_point_is_no_estimate():
    x = np.linspace(0.0, 3.0, 7)
    where, value, bend = vertices(x, np.stack([(x - 1) ** 2 + 2, -((x - 1) ** 2), 5 - 0.0 * x]))
    np.testing.assert_allclose(where, [1.0, np.nan, np.nan])
    np.testing.assert_allclose(value[0], 2.0)
    np.testing.assert_allclose(bend[:2], [2.0, -2.0])
    law, theta = law_of("sym")
    size, tokens = np.geomspace(1e6, 1e7, 5), 1e17 / 6 / np.geomspace(1e6, 1e7, 5)
    loss = 9 - law(theta, {"params": size, "tokens": tokens})
    upside = pd.DataFrame({"params": size, "tokens": tokens, "loss": loss})
    found = bs.approach2(upside)
    assert np.isnan(found.params_opt[0])
    assert np.isnan(found.a)
    assert not found.inside[0]


def test_vertices_outside_the_grid_are_flagged_and_can_be_left_out():
    runs = table("chin", "drift to 3x", 2)  # at 3x the best size is below the smallest trained
    found = bs.approach2(runs)
    assert found.inside.values.tolist() == [True, True, True, False, False]
    fewer = bs.approach2(runs, outside=False)
    slope = np.polyfit(np.log(found.budget[:3]), np.log(found.params_opt[:3]), 1)[0]
    assert float(fewer.a) == pytest.approx(slope, rel=1e-9)
    assert float(found.a) != pytest.approx(slope, rel=1e-3)


def test_the_envelope_is_of_the_runs_that_nothing_cheaper_beats():
    runs = runs_of(bs.load_dataset("simulated-chinchilla"))
    on = set(winners(runs))
    for i in range(len(runs.loss)):
        cheaper = (runs.flops <= runs.flops[i]) & (np.arange(len(runs.loss)) != i)
        assert (i in on) == bool(np.all(runs.loss[cheaper] > runs.loss[i]))
    hull = bs.approach1(bs.load_dataset("simulated-chinchilla"))
    np.testing.assert_array_equal(np.sort(hull.loss), np.sort(runs.loss[list(on)]))
    assert float(hull.a) == pytest.approx(
        np.polyfit(np.log(hull.flops), np.log(hull.params), 1)[0], rel=1e-9
    )


def test_the_envelope_of_a_fine_noiseless_grid_is_the_frontier():
    law, theta = law_of("asym")
    flops = np.geomspace(1e17, 1e21, 60)[:, None]
    size = law.optimum(theta, flops / 6)[0] * np.geomspace(0.2, 5, 101)
    x = {"params": size, "tokens": flops / 6 / size}
    runs = pd.DataFrame({**{k: v.ravel() for k, v in x.items()}, "loss": law(theta, x).ravel()})
    hull = bs.approach1(runs)
    assert float(hull.a) == pytest.approx(float(law.exponent(theta)), abs=0.005)


@pytest.mark.slow
def test_all_three_side_by_side():
    found = bs.three_ways(bs.load_dataset("simulated-chinchilla"), 5.76e23)
    assert list(found.index) == ["1 envelope", "2 parabolas", "2 valleys", "3 joint law"]
    for name in ("2 valleys", "3 joint law"):
        row = found.loc[name]
        assert row["a", 0.05] < 0.5126 < row["a", 0.95]
        assert row["params", 0.05] < 7.225e10 < row["params", 0.95]
        assert row["remark", ""] == ""
    for name in COLUMNS:
        values = found[name].to_numpy(float)
        assert np.all(np.diff(values, axis=1) > 0)
    spent = 6 * found["params", 0.5] * found["tokens", 0.5]
    np.testing.assert_allclose(spent.astype(float), 5.76e23, rtol=0.02)
    assert "low by luck" in found.loc["1 envelope", ("remark", "")]
    assert "parabolas" in found.loc["2 parabolas", ("remark", "")]


def test_without_budgets_the_second_approach_says_why_not(ladder):
    runs = ladder(0)
    rng = np.random.default_rng(0)
    scattered = runs.assign(tokens=runs["tokens"] * np.exp(rng.uniform(0.1, 1.0, len(runs))))
    with pytest.raises(FitError, match="no budget has runs of three sizes"):
        bs.approach2(scattered)
    found = bs.three_ways(scattered, 1e23)
    assert found.loc["2 parabolas", ("remark", "")].startswith("none: no budget has runs")
    assert np.isnan(found.loc["2 parabolas", ("a", 0.5)])
    assert np.isfinite(found.loc["2 valleys", ("a", 0.5)])


def test_what_they_refuse(ladder):
    with pytest.raises(TableError, match="tokens"):
        bs.approach2(pd.DataFrame({"params": [1e8, 1e9], "loss": [3.0, 2.5]}))
    fit = bs.fit(bs.ScalingModel(law=bs.PowerLaw("flops")), bs.read_runs(ladder(0)), draws=400)
    with pytest.raises(SpecError, match="no valleys along a budget"):
        bs.parabola_bias(fit, ladder(0))
    with pytest.raises(SpecError, match="target: positive FLOP"):
        bs.parabola_bias(bs.load_posterior("chinchilla"), ladder(0), -1.0)
    with pytest.raises(FitError, match="no usable run"):
        bs.approach1(bs.read_runs(ladder(0)).assign(use=False))
    with pytest.raises(SpecError, match="tolerance is a share"):
        bs.approach2(ladder(0), tolerance=-1)
    with pytest.raises(SpecError, match="target: positive FLOP"):
        bs.three_ways(ladder(0), -1.0)
    alone = pd.DataFrame({"params": [1e8, 1e9], "tokens": [2e9, 2e10], "loss": [2.5, 3.0]})
    with pytest.raises(FitError, match="envelope needs a range of compute"):
        bs.approach1(alone)


def test_budgets_are_found_within_two_per_cent():
    runs = runs_of(table("chin", "centred", 4))
    found = budgets_of(runs)
    assert [len(b.rows) for b in found] == [15] * 5
    np.testing.assert_allclose([b.flops for b in found], np.logspace(17, 21, 5))


# The valleys of the additive law are the additive law.


def test_the_additive_valleys_are_the_joint_law():
    law, theta = law_of("asym")
    valley = IsoFlop("additive", reference=law.reference)
    ref = dict(law.reference)
    size, tokens = law.optimum(theta, ref["params"] * ref["tokens"])
    best = law(theta, {"params": size, "tokens": tokens})
    same = {"E": theta["E"], "l0": best - theta["E"], "n_opt": size / ref["params"]}
    same |= {k: theta[k] for k in ("alpha", "beta")}
    x = {"params": np.geomspace(1e6, 1e12, 7)[:, None], "tokens": np.geomspace(1e8, 1e13, 6)}
    np.testing.assert_allclose(valley(same, x), law(theta, x), rtol=1e-12)
    a = law.exponent(theta)
    power = IsoFlop(reference=law.reference)
    free = {**same, "a": a, "gamma": theta["alpha"] * a}
    free["curvature"] = theta["alpha"] * theta["beta"] * same["l0"]
    np.testing.assert_allclose(power(free, x), law(theta, x), rtol=1e-12)


@pytest.mark.slow
def test_valleys_with_minima_of_their_own(ladder):
    """Budgets as groups: every minimum is found, and one outside its grid is known by the rest."""
    law, theta = law_of("asym")
    rng = np.random.default_rng(3)
    parts = []
    for budget in (1e18, 1e19, 1e20, 1e21):
        middle = law.optimum(theta, budget / 6)[0] * (6.0 if budget == 1e20 else 1.0)
        params = np.geomspace(middle / 4, middle * 4, 12)
        x = {"params": params, "tokens": budget / 6 / params}
        loss = law(theta, x) * np.exp(0.002 * rng.normal(size=12))
        parts.append(pd.DataFrame({**x, "loss": loss, "budget": f"{budget:.0e}"}))
    runs = bs.read_runs(pd.concat(parts, ignore_index=True))
    modes = (("l0", "shared"), ("n_opt", "partial"), ("curvature", "shared"), ("E", "shared"))
    model = bs.ScalingModel(law=IsoFlop(), pooling=bs.Pooling("budget", modes))
    fit = bs.fit(model, runs, seed=0)
    each = fit["posterior"]["n_opt_group"]
    assert each.sizes["budget"] == 4
    draws = each.stack(sample=("chain", "draw"))
    assert isinstance(draws, xr.DataArray)
    # 99.9 % intervals of one common ratio: the additive law's minima lie on one power law.
    reference = dict(model_of(fit).law.reference)
    size, _ = law.optimum(theta, reference["params"] * reference["tokens"])
    truth = float(size) / reference["params"]
    low, high = draws.quantile([0.0005, 0.9995], dim="sample").values
    assert np.all((low < truth) & (truth < high))


def test_chinchilla_in_other_coordinates_gives_the_same_plan():
    runs = bs.load_dataset("simulated-chinchilla")
    joint = bs.fit(bs.ScalingModel(law=Chinchilla()), runs, seed=0)
    valley = bs.fit(bs.ScalingModel(law=IsoFlop("additive")), runs, seed=0)
    for name, spread in (("params_opt", 0.4), ("loss_opt", 0.4)):
        ours, theirs = (np.log(bs.allocate(f, 1e23)[name]) for f in (valley, joint))
        # One likelihood, two priors: the difference is a share of the posterior's width.
        assert abs(float(ours.mean() - theirs.mean())) < spread * float(theirs.std())


# Lines through optima.


def test_the_line_through_optima_is_the_exact_posterior():
    """Against the closed form: Student's t about weighted least squares, by Kolmogorov's test.

    Two tests at 1e-4 each: a false alarm in 5,000 runs.
    """
    rng = np.random.default_rng(1)
    x, sd = np.geomspace(1e17, 1e20, 9), rng.uniform(0.05, 0.2, 9)
    y = np.exp(1.0 + 0.5 * np.log(x) + sd * rng.normal(size=9))
    line = bs.frontier(x, y, sd, draws=20_000)
    weight = 1 / sd**2
    middle = np.average(np.log(x), weights=weight)
    gap = np.log(x) - middle
    slope = np.sum(weight * gap * np.log(y)) / np.sum(weight * gap**2)
    level = np.average(np.log(y), weights=weight)
    left = np.sum(weight * (np.log(y) - level - slope * gap) ** 2) / 7
    for drawn, mean, var in (
        (line.a, slope, left / np.sum(weight * gap**2)),
        (line.log_g + line.a * middle, level, left / np.sum(weight)),
    ):
        z = (drawn.values.ravel() - mean) / np.sqrt(var)
        assert stats.kstest(z, stats.t(7).cdf).pvalue > 1e-4
    assert float((line.scale**2).mean()) == pytest.approx(left * 7 / 5, rel=0.05)


def test_what_the_errors_are_called_does_not_matter_and_two_tables_are_independent():
    x = np.geomspace(1e17, 1e20, 9)
    rng = np.random.default_rng(2)
    y, other = (np.exp(0.5 * np.log(x) + 0.1 * rng.normal(size=9)) for _ in range(2))
    one, thrice = bs.frontier(x, y, 0.1), bs.frontier(x, y, 0.3)
    np.testing.assert_allclose(one.a, thrice.a, rtol=1e-9)
    np.testing.assert_allclose(one.scale, 3 * thrice.scale, rtol=1e-9)
    apart = bs.frontier(x, other, 0.1)
    correlation = np.corrcoef(one.a.values.ravel(), apart.a.values.ravel())[0, 1]
    assert abs(correlation) < 4.9 / np.sqrt(4000)  # 1e-6


def test_what_a_line_through_optima_needs():
    with pytest.raises(SpecError, match="at least 4 optima"):
        bs.frontier([1e17, 1e18, 1e19], [1e8, 3e8, 1e9])
    with pytest.raises(SpecError, match="draws 0"):
        bs.frontier(np.geomspace(1e17, 1e20, 5), np.arange(1.0, 6.0), draws=0)
    with pytest.raises(SpecError, match="at least 4 optima"):
        bs.frontier(np.geomspace(1e17, 1e20, 5), np.arange(1.0, 5.0))
    with pytest.raises(SpecError, match="positive numbers"):
        bs.frontier([1e17, 1e18, 1e19, 1e20], [1e8, np.nan, 1e9, 3e9])


@pytest.fixture(scope="module")
def one_blind_budget():
    """Five budgets about their optima, but the third has models 15 to 250 times too small."""
    law, theta = law_of("chin")
    rng = np.random.default_rng(0)
    parts = []
    for i, flops in enumerate(np.logspace(17, 21, 5)):
        best, _ = law.optimum(theta, flops / 6)
        params = best * np.geomspace(0.25, 4, 9) / (60 if i == 2 else 1)
        tokens = flops / 6 / params
        loss = law(theta, {"params": params, "tokens": tokens}) * np.exp(rng.normal(0, 0.002, 9))
        parts.append(pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}))
    lonely = pd.DataFrame({"params": [1e9], "tokens": [1e12], "loss": [2.2]})
    return pd.concat([*parts, lonely], ignore_index=True)


@pytest.mark.slow
def test_a_minimum_outside_its_grid_is_the_lines(one_blind_budget):
    law, theta = law_of("chin")
    found = bs.valleys(one_blind_budget, draws=300, seed=1)
    assert found.attrs == {"left_out": 1, "trust": "trusted"}
    assert found.prior_only.values.tolist() == [False, False, True, False, False]
    assert float(found.inside[2]) == 0
    truth = law.optimum(theta, found.budget.values / 6)[0]
    low, high = found.params_opt.quantile([0.005, 0.995], ("chain", "draw"))
    assert np.all((low < truth) & (truth < high))  # five 99 % intervals: one in 20 seeds misses
    width = np.log(high / low)
    assert int(np.argmax(width.values)) == 2
    assert np.quantile(found.a, 0.005) < float(law.exponent(theta)) < np.quantile(found.a, 0.995)


def test_a_hierarchy_needs_budgets(one_blind_budget):
    with pytest.raises(FitError, match="2 budgets have runs of three sizes"):
        bs.valleys(one_blind_budget.iloc[:18])
