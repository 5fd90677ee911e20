"""Routed models: the published numbers, the laws at their ends, and what experts are worth."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.laws import from_zero, misfits
from bayes_scaling.laws.experts import decades_of_experts
from bayes_scaling.model import model_for, model_to_json
from tests.helpers import needs_real_tables

S_BASE = {"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104, "E_start": 1.847, "E_max": 314.478}
RL_R = {"a": -0.083, "b": -0.126, "c": 0.012, "d": 1.111, "E_start": 1.880, "E_max": 469.982}
LUDZIEJEWSKI = {"E": 1.3637, "A": 35.91, "alpha_1": 0.1889, "delta_1": 0.2285, "g": 0.0098,
                "B": 35.98, "beta_1": 0.1775, "omega_1": 0.5529, "z": 0.0259, "E_start": 2.07,
                "E_max": 290.45}  # fmt: skip
AT = (("params", 1e8),)
PLANE = (("params", 1e9), ("tokens", 2e10))
DRAWS = ("chain", "draw")
TRUTH = {"a0": 2.7, "alpha": 0.08, "gain": 0.038, "fade": 0.011, "start": 1.0, "span": 300.0}
SIMULATED = np.meshgrid(np.geomspace(1.5e7, 1.3e9, 6), 2.0 ** np.arange(0, 10, 1.29).round())


def known(law, theta, draws=400, **spread):
    """A fit of stated draws: those of `spread` scatter by so much, on their own scale."""
    rng = np.random.default_rng(0)
    theta = {**theta, "sigma": 0.003, "nu": 20.0}
    made = {k: (DRAWS, v + spread.get(k, 0.0) * rng.normal(size=(1, draws)))
            for k, v in theta.items()}  # fmt: skip
    fit = xr.DataTree.from_dict({"posterior": xr.Dataset(made)})
    fit.attrs["model"] = model_to_json(bs.ScalingModel(law))
    return fit


def clark(paper=S_BASE, **choices):
    law = bs.ClarkMoE(reference=AT, **choices)
    return law, law.from_paper(paper)


@pytest.mark.parametrize(
    ("params", "experts", "loss"), [(1.3e8, 1, 2.687), (1.3e8, 64, 2.389), (1.3e9, 512, 1.982)]
)
def test_clarks_losses(params, experts, loss):
    law, theta = clark()
    got = law(theta, {"params": params, "experts": experts})
    assert float(got) == pytest.approx(loss, abs=5e-4)


def test_the_papers_equation():
    law, theta = clark(RL_R)
    p, n, e = RL_R, np.geomspace(1e6, 1e12, 7), 48.0
    saturated = 1 / (e - 1 + 1 / (1 / p["E_start"] - 1 / p["E_max"])) + 1 / p["E_max"]
    x, y = np.log10(n), np.log10(1 / saturated)
    expected = 10 ** (p["a"] * x + p["b"] * y + p["c"] * x * y + p["d"])
    np.testing.assert_allclose(law(theta, {"params": n, "experts": e}), expected, rtol=1e-12)


def test_effective_experts_start_dense_and_saturate():
    theta = {"start": 0.847, "span": 312.631}
    assert float(decades_of_experts(theta, 1.0)) == pytest.approx(0.0, abs=1e-15)
    full = np.log10(313.478 / 1.847)
    assert float(decades_of_experts(theta, np.inf)) == pytest.approx(full, rel=1e-2)
    assert np.all(np.diff(decades_of_experts(theta, np.arange(1.0, 1000.0))) > 0)


@pytest.mark.parametrize("law", [bs.ClarkMoE(reference=AT), bs.ClarkMoE(True, AT), bs.Routed(AT)])
def test_a_dense_model_has_no_router(law):
    """With one expert the loss is the same whatever gain, fade, start and span."""
    rng, x = np.random.default_rng(0), {"params": np.array([1e7, 1e9, 1e12]), "experts": 1.0}
    theta = {"E": 1.4, "a0": 1.2, "alpha": 0.18, "ahead_n": 0.8, "ahead_e": 0.02}
    router = [{"gain": rng.normal(), "fade": rng.normal(), "start": rng.exponential(),
               "span": 300 * rng.exponential()} for _ in range(2)]  # fmt: skip
    one, other = (law({**theta, **r}, x) for r in router)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_no_number_of_experts_makes_size_hurt():
    law = bs.ClarkMoE(reference=AT)
    theta = {**TRUTH, "fade": 0.5}
    loss = law(theta, {"params": np.geomspace(1e6, 1e14, 9), "experts": 512.0})
    assert np.all(np.diff(loss) < 0)


def test_the_prior_says_what_experts_may_do():
    """64 experts lower the loss by 3.5/13/42 % at the reference, by -11/8/39 % at a hundred times.

    To 2.5 points: those figures are rounded, and E_start and E_max vary here as well. The
    quantiles of 200,000 draws are known ten times better.
    """
    law, rng = bs.ClarkMoE(reference=AT), np.random.default_rng(0)
    theta = {p.name: priors.draw(p.prior, priors.values(p.prior, {"mean_loss": 2.5}), rng, 200_000)
             for p in law.params}  # fmt: skip
    theta = {k: v for k, (v, _) in theta.items()}
    for params, expected in ((1e8, (3.5, 13, 42)), (1e10, (-11, 8, 39))):
        dense, routed = (law(theta, {"params": params, "experts": e}) for e in (1.0, 64.0))
        lower = 100 * np.quantile(1 - routed / dense, [0.025, 0.5, 0.975])
        np.testing.assert_allclose(lower, expected, atol=2.5)


def test_a_law_without_tokens_scatters_alike_everywhere():
    """Only of a law of size and data is the scatter taken to move with compute."""
    assert model_for(bs.Routed()).observation == bs.StudentT()
    assert model_for(bs.Coupled()).observation == bs.StudentT(noise="compute")


def test_a_table_ends_where_its_largest_runs_lie():
    x = {"params": np.array([1e7] * 30 + [4e8, 8e8, 1.6e9]), "experts": np.full(33, 4.0)}
    ends = dict(bs.Routed().anchors(x))
    assert ends == {"params_edge": pytest.approx(8e8, rel=1e-5), "params_top": 1.6e9}


def test_beyond_the_runs_the_exponent_and_the_floor_are_their_own():
    """Up to the largest runs nothing moves; far beyond, the slope is `ahead_n` times alpha."""
    at = (("params", 1e8), ("params_edge", 1e9), ("params_top", 1e9))
    law, theta = bs.Routed(at), {**TRUTH, "E": 1.4, "ahead_n": 0.5, "ahead_e": 0.1}
    still = {**theta, "ahead_n": 1.0, "ahead_e": 0.0}
    inside = {"params": np.array([1e6, 9e8]), "experts": 8.0}
    np.testing.assert_allclose(law(theta, inside), law(still, inside), rtol=1e-14)
    far = {"params": np.array([1e30, 1e31]), "experts": 1.0}
    slope = -np.diff(np.log10(law(theta, far) - law.irreducible(theta)))
    assert float(slope[0]) == pytest.approx(0.5 * 0.08, rel=0.01)
    assert float(law.irreducible(theta)) == pytest.approx(1.4 * np.exp(-0.1))


# What experts are worth.


def test_clarks_effective_parameters():
    """5M parameters with 128 experts are worth a dense model of 5.2e7: b and c as published."""
    law, theta = clark()
    found = bs.routing(known(law, theta), 5e6, 128)
    assert float(found.params_worth.median()) == pytest.approx(5.2e7, rel=0.01)
    assert float(found.times.median()) == pytest.approx(10.4, rel=0.01)
    p, first = S_BASE, np.log10(1.847)
    effective = first + float(decades_of_experts(theta, 128.0))
    alpha = p["a"] + p["c"] * effective, p["a"] + p["c"] * first
    exact = (alpha[0] * np.log10(5e6) + p["b"] * (effective - first)) / alpha[1]
    assert float(np.log10(found.params_worth).median()) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("paper", "cut"), [(S_BASE, 1e12), (RL_R, 10**10.5)])
def test_the_cut_off_is_minus_b_over_c(paper, cut):
    law, theta = clark(paper)
    found = bs.routing(known(law, theta), 1e9, [2, 512])
    np.testing.assert_allclose(found.cut_off, cut, rtol=1e-9)
    for side, helps in ((0.99, 1.0), (1.01, 0.0)):
        np.testing.assert_array_equal(bs.routing(known(law, theta), side * cut, 64).helps, helps)


@pytest.mark.parametrize("ahead", [0.4, 1.0, 2.5])
def test_the_cut_off_of_a_law_ahead_is_where_the_losses_meet(ahead):
    law = bs.Routed((("params", 1e8), ("params_edge", 1e9), ("params_top", 1e9)))
    theta = {**TRUTH, "E": 1.4, "ahead_n": ahead, "ahead_e": 0.05}
    for fade in (0.011, 0.1):  # beyond the largest runs, and among them
        here = {**theta, "alpha": 0.3, "fade": fade}
        cut = float(law.cut_off(here, 64.0))
        dense, routed = (law(here, {"params": cut, "experts": e}) for e in (1.0, 64.0))
        assert float(routed) == pytest.approx(float(dense), rel=1e-9)


def test_a_cut_off_that_may_not_be_is_quantiles_and_a_probability():
    """Of draws with fade below zero there is none, however large: P(N(0.01, 0.01) < 0) = 0.16."""
    law = bs.ClarkMoE(reference=AT)
    found = bs.routing(known(law, {**TRUTH, "fade": 0.01}, 4000, fade=0.01), 1e9, 64)
    none = float(found.cut_off_none.squeeze())
    assert none == pytest.approx(0.159, abs=5 * np.sqrt(0.159 * 0.841 / 4000))
    low, middle, high = found.cut_off_quantile.values.ravel()
    assert np.isinf(high)
    assert low < middle < np.inf
    assert "at no size" in found.attrs["verdict"]
    assert "none]" in found.attrs["verdict"]


def test_the_dense_model_of_a_loss_has_that_loss():
    """Where the floor gives way with size too."""
    law = bs.Routed((("params", 1e8), ("params_edge", 1e9), ("params_top", 1e9)))
    theta = {**TRUTH, "E": 1.4, "ahead_n": 0.7, "ahead_e": 0.1}
    found = bs.routing(known(law, theta), [1e8, 1e10], [4, 64])
    worth = found.params_worth.isel(draw=0).squeeze()
    routed = law(theta, {"params": found.params, "experts": found.experts})
    np.testing.assert_allclose(law(theta, {"params": worth, "experts": 1.0}), routed, rtol=1e-12)


def test_a_joint_law_is_asked_at_a_number_of_tokens():
    fit = known(*joint())
    with pytest.raises(SpecError, match=r"hold\(fit, tokens="):
        bs.routing(fit, 1e9, 64)
    found = bs.routing(bs.hold(fit, tokens=2e10), 1e9, 16)
    assert float(found.saved.median()) == pytest.approx(2.5777 - 2.4814, abs=2e-4)
    assert "cut_off" not in found


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: bs.routing(f, 1e9, 1), "more than the one of a dense model; found 1"),
        (lambda f: bs.routing(f, 70, 64), "raw counts"),
        (lambda _: bs.routing(bs.load_posterior("chinchilla"), 1e9, 64), "not in params and exp"),
        (lambda f: bs.best_experts(f, 1e21, 8, share=0.5), "experts are chosen by a law in params"),
        (lambda _: bs.plots.plot_routing(bs.load_posterior("chinchilla")), "of experts and size"),
        (lambda f: bs.predict(f, {"params": 1e9, "experts": 0.5}), "experts: found 0.5"),
        (lambda _: bs.total_params(1e9, 8, 1.5), "share: .* at most 1"),
        (lambda _: bs.total_params(1e9, 2, 0.5, per_token=4), "at least the 4"),
        (lambda _: bs.ServingMemory(1e9, total=0.5), "total, all parameters over the active"),
    ],
)
def test_what_cannot_be_answered_is_said(call, said):
    with pytest.raises(SpecError, match=said):
        call(known(*clark()))


def test_a_table_with_half_an_expert_is_refused():
    law = bs.ClarkMoE()
    assert from_zero(law) == ()
    assert [m.column for m in misfits(law, {"experts": [0.5, 1.0]})] == ["experts"]
    runs = pd.DataFrame({"params": [1e8, 1e9], "experts": [0, 4], "loss": [2.5, 2.4]})
    with pytest.raises(TableError, match="experts"):
        bs.read_runs(runs, require=("params", "experts", "loss"))


# Which experts to train.


def joint():
    law = bs.MoEJoint(reference=PLANE)
    return law, law.from_paper(LUDZIEJEWSKI)


def test_the_joint_law_as_it_is_implemented():
    """Signs are those under which experts help: no published loss confirms them."""
    law, theta = joint()
    got = law(theta, {"params": 1e9, "tokens": 2e10, "experts": np.array([1.0, 2, 4, 8, 16])})
    np.testing.assert_allclose(got, [2.5777, 2.5587, 2.5352, 2.5088, 2.4814], atol=5e-5)


def test_dense_models_of_the_joint_law_are_those_of_the_additive_one():
    law, theta = joint()
    x = {"params": np.geomspace(1e8, 1e11, 4), "tokens": 2e10}
    dense = law(theta, {**x, "experts": 1.0})
    np.testing.assert_allclose(dense, bs.Chinchilla(reference=PLANE)(theta, x), rtol=1e-12)


def test_all_parameters_of_active_ones():
    np.testing.assert_allclose(bs.total_params(1e9, [1, 2, 64], 0.5), [1e9, 1.5e9, 32.5e9])
    np.testing.assert_allclose(bs.total_params(1e9, [1, 2, 64], 0.5, per_token=2),
                               [1e9, 1e9, 16.5e9])  # fmt: skip


@needs_real_tables
def test_all_parameters_of_clarks_models():
    """One share of a size's active parameters is routed, whatever the experts, to 3 %."""
    runs = bs.load_dataset("routing_moe", raw=True)
    kept = runs["is_final"].astype(bool) & (runs["routing_frequency"] == 0.5)
    kept &= (runs["experts_per_token"] == 1) & (runs["seed"] == 42) & (runs["experts"] > 1)
    runs = runs[kept]
    n, total, e = (runs[k].to_numpy(float) for k in ("params_dense", "params_total", "experts"))
    share = pd.Series((total / n - 1) / (e - 1)).groupby(n).transform("median").to_numpy()
    assert share.min() > 0.2
    assert share.max() < 0.5
    made = [float(bs.total_params(a, b, c)) for a, b, c in zip(n, e, share, strict=True)]
    np.testing.assert_allclose(made, total, rtol=0.03)


@pytest.fixture(scope="module")
def planned():
    law, theta = joint()
    return known(law, theta, gain_n=0.03, gain_d=0.03)


def test_the_best_experts_are_those_of_least_loss(planned):
    plan = bs.best_experts(planned, [1e20, 1e22], [4, 16, 64], share=0.5)
    assert plan.experts.values.tolist() == [1, 4, 16, 64]
    spent = 6 * plan.params * plan.tokens / plan.budget
    np.testing.assert_allclose(spent, 1.0)
    np.testing.assert_allclose(plan.loss_opt, plan.loss.min("experts"))
    np.testing.assert_allclose(plan.chosen.sum("experts"), 1.0)
    np.testing.assert_array_equal(plan.beats.sel(experts=1), 0.0)
    assert np.all(plan.regret >= 0)
    better = plan.beats.sel(experts=64).values
    assert np.all((better > 0.5) & (better < 1))
    nudged = plan.params * 1.05  # any other size on that budget is worse
    x = {"params": nudged, "tokens": plan.budget / (6 * nudged), "experts": plan.experts}
    theta = {k: planned["posterior"][k] for k in joint()[1]}
    assert np.all(bs.MoEJoint(reference=PLANE)(theta, x) > plan.loss)


def test_a_memory_holds_all_parameters_and_bounds_the_dense_model_too(planned):
    memory = bs.ServingMemory(8e9)
    free = bs.best_experts(planned, 1e21, [4, 64], share=0.5)
    plan = bs.best_experts(planned, 1e21, [4, 64], share=0.5, memory=memory)
    assert memory.params == pytest.approx(3.2e9)
    assert float(free.total.sel(experts=64).min()) > memory.params
    assert float(plan.total.max()) <= memory.params * (1 + 1e-12)
    np.testing.assert_allclose(plan.bytes, 2 * plan.total)
    assert np.all(plan.loss >= free.loss)
    at = float(plan.beats.sel(experts=64).squeeze())
    assert at < float(free.beats.sel(experts=64).squeeze())
    assert "equal compute and memory" in plan.attrs["verdict"] or "dense" in plan.attrs["verdict"]


def test_a_fit_held_at_a_number_of_experts_is_planned_with(planned):
    plan = bs.best_experts(planned, 1e21, [64], share=0.5).sel(experts=64)
    held = bs.hold(planned, experts=64)
    np.testing.assert_allclose(bs.allocate(held, 1e21).params_opt, plan.params, rtol=1e-6)
    total = float(bs.total_params(1.0, 64, 0.5))
    small = bs.decide(held, bs.ComputeBudget(1e21), bs.ServingMemory(4e10, total=total))
    sizes = small.params.where(small.allowed)
    assert float(sizes.max()) <= 0.8 * 4e10 / 2 / total * (1 + 1e-9)
    dense = bs.decide(bs.hold(planned, experts=1), bs.ComputeBudget(1e21), bs.ServingMemory(4e10))
    assert float(dense.params.where(dense.allowed).max()) > float(sizes.max())


# Fits.


def simulated(seed, scatter=0.003):
    params, experts = (v.ravel() for v in SIMULATED)
    law = bs.ClarkMoE(reference=(("params", 1.4e8),))
    loss = law(TRUTH, {"params": params, "experts": experts})
    loss = loss * np.exp(scatter * np.random.default_rng(seed).normal(size=len(loss)))
    table = pd.DataFrame({"N": params, "n_experts": experts, "val_loss": loss})
    return bs.read_runs(table, require=("params", "experts", "loss"))


@pytest.fixture(scope="module")
def fit():
    law = bs.ClarkMoE(reference=(("params", 1.4e8), ("experts", 60.0)))
    return bs.fit(bs.ScalingModel(law), simulated(0), seed=0)


def test_a_simulated_table_is_recovered(fit):
    """Each 99.9 % interval misses once in a thousand tables."""
    for name, truth in TRUTH.items():
        low, high = fit["posterior"][name].quantile([0.0005, 0.9995])
        assert low < truth < high, name
    assert float(fit["posterior"]["fade"].std()) < 0.003  # of a prior's 0.01
    assert bs.check(fit).status != "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("scatter", [0.001, 0.003, 0.01])
def test_intervals_cover_at_three_levels_of_noise(scatter):
    """Of 100 tables Binomial(100, 0.9) of 90 % intervals cover: fewer than 79 once in 2,000."""
    tables = [simulated(seed, scatter) for seed in range(100)]
    law = bs.ClarkMoE(reference=(("params", 1.4e8), ("experts", 60.0)))
    many = bs.fit_many(bs.ScalingModel(law), tables, draws=500)
    for name in ("gain", "fade", "alpha"):
        low, high = many[name].quantile([0.05, 0.95], DRAWS)
        assert int(((low < TRUTH[name]) & (high > TRUTH[name])).sum()) >= 79, name


def test_the_figure_has_a_curve_per_size_and_where_experts_help(fit):
    mpl.use("Agg")
    figure = bs.plots.plot_routing(fit)
    left, right = figure.axes
    curves = [c for c in left.lines if c.get_label().startswith("N = ")]
    assert len(curves) == 6
    assert [c.get_ydata()[0] > c.get_ydata()[-1] for c in curves] == [True] * 6
    (helps,) = (c for c in right.lines if c.get_label() == "probability of helping")
    assert helps.get_ydata()[0] == 1.0
    assert helps.get_ydata()[-1] < 0.5
    assert len(bs.plots.plot_routing(fit, [1e9]).axes[0].lines) == 1


def test_the_cards_say_what_the_law_without_a_floor_makes_of_size():
    """The cut-off of the published law is mostly the floor that it lacks."""
    found = {k: bs.routing(bs.load_posterior(k), 1e12, 64)
             for k in ("routing-clark", "routing-floor")}  # fmt: skip
    assert float(found["routing-clark"].helps.squeeze()) < 0.6
    assert float(found["routing-floor"].helps.squeeze()) > 0.95
    low, _, high = found["routing-clark"].cut_off_quantile.values.ravel()
    assert np.log10(high / low) > 1
    assert low < 7.8e11 < high
