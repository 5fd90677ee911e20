"""Routed models by granularity and by sparsity: published numbers, what the priors say, choices."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.data.accounting import granular_flops
from bayes_scaling.errors import SpecError, TableError
from bayes_scaling.model import model_to_json

KRAJEWSKI = {"E": 0.47, "a": 18.1, "g": 2.1, "gamma": 0.58, "alpha": 0.115, "B": 30.8,
             "beta": 0.147}  # fmt: skip
ABNAR = {"E": 0.94, "A": 16612.5, "alpha": 0.5962, "B": 5455.67, "beta": 0.3954, "c": 0.4598,
         "lam": -0.1666, "d": 17.26, "delta": 0.1603, "gamma": 0.1595}  # fmt: skip
AT = (("total_params", 1e9), ("tokens", 2e10))
DRAWS = ("chain", "draw")
SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99)


def known(law, paper, draws=200, **spread):
    """A fit of stated draws: those of `spread` scatter by so much, on their own scale."""
    rng = np.random.default_rng(0)
    theta = {**law.from_paper(paper), "sigma": 0.003, "nu": 20.0}
    made = {k: (DRAWS, v + spread.get(k, 0.0) * rng.normal(size=(1, draws)))
            for k, v in theta.items()}  # fmt: skip
    fit = xr.DataTree.from_dict({"posterior": xr.Dataset(made)})
    fit.attrs["model"] = model_to_json(bs.ScalingModel(law))
    return fit


def prior_draws(law, count=100_000):
    rng = np.random.default_rng(0)
    stats = {"min_loss": 2.0, "mean_loss": 2.5}
    return {p.name: priors.draw(p.prior, priors.values(p.prior, stats), rng, count)[0]
            for p in law.params}  # fmt: skip


# Granularity.


def test_published_losses_of_four_granularities():
    law = bs.MoEGranular(AT)
    at = {"total_params": 1e9, "tokens": 2e10, "granularity": np.array([1.0, 4, 8, 16])}
    got = law(law.from_paper(KRAJEWSKI), at)
    np.testing.assert_allclose(got, [3.2761, 3.1691, 3.1404, 3.1212], atol=5e-5)


def test_at_granularity_one_the_law_is_the_additive_one():
    law, x = bs.MoEGranular(AT), {"tokens": np.geomspace(1e9, 1e12, 4)}
    theta = law.from_paper(KRAJEWSKI)
    additive = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    dense = additive(theta, {**x, "params": 7e9})
    got = law(theta, {**x, "total_params": 7e9, "granularity": 1.0})
    np.testing.assert_allclose(got, dense, rtol=1e-14)
    endless = law(theta, {**x, "total_params": 7e9, "granularity": np.inf})
    left = KRAJEWSKI["a"] / (KRAJEWSKI["a"] + KRAJEWSKI["g"])
    smaller = additive({**theta, "a0": theta["a0"] * left}, {**x, "params": 7e9})
    np.testing.assert_allclose(endless, smaller, rtol=1e-13)


def test_the_prior_says_what_finer_experts_may_do():
    """From G = 1 to 16 the size's term shrinks by 2 to 40 %, the catalogue says, to two points."""
    theta = prior_draws(bs.MoEGranular(AT))
    lower = 100 * np.quantile(theta["z"] * (1 - 16 ** -theta["gamma"]), [0.025, 0.975])
    np.testing.assert_allclose(lower, [2, 40], atol=2)


@pytest.mark.parametrize(
    ("flops", "size", "tokens", "granularity", "loss"),
    [
        (2.95e18, 64 * 1e8, 4.37e9, 8, 3.133),
        (1.93e20, 64 * 1e9, 2.894e10, 16, 2.491),
        (6.46e21, 64 * 7e9, 1.3760e11, 32, 2.076),
        (4.16e23, 64 * 7e10, 9.4107e11, 32, 1.694),
        (5.69e24, 64 * 3e11, 2.96e12, 64, 1.503),
    ],
)
def test_the_published_plans(flops, size, tokens, granularity, loss):
    """Krajewski et al., table 2, whose "64 x 100M" holds 43 copies of 100M: 516 of 12 d^2.

    Their coefficients are printed to two or three digits. Granularity is of powers of two, and the
    optimum so flat that the neighbour is as good to 0.002 nats.
    """
    total = size / 64 * 516 / 12
    assert granular_flops(total, granularity) * tokens == pytest.approx(flops, rel=0.02)
    plan = bs.best_granularity(known(bs.MoEGranular(AT), KRAJEWSKI, 4), flops, 2.0 ** np.arange(8))
    one = plan.isel(chain=0, draw=0, budget=0)
    theirs = one.sel(granularity=granularity)
    assert float(theirs.loss - one.loss_opt) < 0.002
    assert abs(np.log2(float(one.granularity_opt) / granularity)) <= 1
    assert float(theirs.total) == pytest.approx(total, rel=0.3)
    assert float(theirs.tokens) == pytest.approx(tokens, rel=0.3)
    assert float(theirs.loss) == pytest.approx(loss, abs=0.03)


def test_the_best_of_a_granularity_is_the_least_loss_on_the_budget():
    law = bs.MoEGranular(AT)
    fit = known(law, KRAJEWSKI, gamma=0.1, z=0.02)
    plan = bs.best_granularity(fit, [1e19, 1e22], [4, 32], experts=32)
    assert plan.granularity.values.tolist() == [1, 4, 32]
    theta = {k: fit["posterior"][k] for k in law.from_paper(KRAJEWSKI)}
    for nudge in (1.0, 0.9, 1.1):
        n = plan.total * nudge
        grains = (plan.granularity + 0 * n).transpose(*n.dims)
        cost = n.copy(data=granular_flops(n.values, grains.values, experts=32))
        if nudge == 1.0:
            np.testing.assert_allclose(cost * plan.tokens / plan.budget, 1.0)
            continue
        x = {"total_params": n, "tokens": plan.budget / cost, "granularity": plan.granularity}
        assert np.all(law(theta, x) > plan.loss)
    np.testing.assert_allclose(plan.chosen.sum("granularity"), 1.0)
    assert np.all(plan.loss_coarse == plan.loss.sel(granularity=1))
    small = bs.best_granularity(fit, 1e22, [4], memory=bs.ServingMemory(1e10))
    assert float(small.total.max()) <= bs.ServingMemory(1e10).params


# Sparsity.


def test_the_papers_equation():
    law, p = bs.MoESparsity(reference=AT), ABNAR
    n, d, s = 3e9, 5e10, np.array([0.0, 0.5, 0.95])
    expected = p["E"] + p["A"] / n ** p["alpha"] + p["B"] / d ** p["beta"]
    expected += p["c"] / (1 - s) ** p["lam"] + p["d"] / ((1 - s) ** p["delta"] * n ** p["gamma"])
    got = law(law.from_paper(p), {"total_params": n, "tokens": d, "sparsity": s})
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_the_published_optimal_sparsity_rises_with_size():
    fit = known(bs.MoESparsity(reference=AT), ABNAR, 4)
    plan = bs.best_sparsity(fit, 1e20, SPARSITIES, total=[3e8, 1e9, 3e9, 1e10, 3e10])
    best = plan.sparsity_opt.isel(chain=0, draw=0, budget=0)
    assert best.values.tolist() == [0.75, 0.9, 0.95, 0.98, 0.99]
    np.testing.assert_allclose(plan.tokens * 6 * plan.params, 1e20)
    np.testing.assert_allclose(plan.params / plan.total, 0 * plan.total + 1 - plan.sparsity)


def test_along_a_budget_sparser_models_are_larger_and_fewer_of_their_parameters_active():
    """Abnar et al.: at fixed compute the best N rises with S, and the best active N falls."""
    law = bs.MoESparsity(reference=AT)
    fit = known(law, ABNAR)
    plan = bs.best_sparsity(fit, [1e20, 1e22], SPARSITIES)
    assert np.all(plan.total.diff("sparsity") > 0)
    assert np.all(plan.params.diff("sparsity") < 0)
    theta = {k: fit["posterior"][k] for k in law.from_paper(ABNAR)}
    for nudge in (0.9, 1.1):
        n = plan.total * nudge
        x = {"total_params": n, "tokens": plan.budget / (6 * (1 - plan.sparsity) * n),
             "sparsity": plan.sparsity}  # fmt: skip
        assert np.all(law(theta, x) > plan.loss)
    assert plan.attrs["verdict"].endswith("more may be better still.")


def test_a_memory_bounds_all_parameters():
    fit, memory = known(bs.MoESparsity(reference=AT), ABNAR), bs.ServingMemory(8e9)
    free = bs.best_sparsity(fit, 1e21, [0.5, 0.95])
    plan = bs.best_sparsity(fit, 1e21, [0.5, 0.95], memory=memory)
    assert float(free.total.max()) > memory.params
    assert float(plan.total.max()) <= memory.params * (1 + 1e-12)
    assert np.all(plan.loss >= free.loss)


def test_the_prior_says_what_sparsity_may_do():
    """Its own term changes by 0.2 to 4.6 times from S = 0 to 0.98, the catalogue says."""
    theta = prior_draws(bs.MoESparsity(reference=AT))
    times = np.quantile(0.02 ** -theta["lam"], [0.025, 0.975])
    np.testing.assert_allclose(times, [0.2, 4.6], rtol=0.1)


def simulated(law, paper, seed=0, scatter=0.003):
    last = {"granularity": [1, 2, 4, 8, 16], "sparsity": [0, 0.5, 0.75, 0.9, 0.97]}[law.inputs[-1]]
    cells = np.meshgrid(np.geomspace(3e8, 1e11, 5), np.geomspace(2e9, 3e11, 4), last)
    x = {k: v.ravel() for k, v in zip(law.inputs, cells, strict=True)}
    loss = law(law.from_paper(paper), x)
    rng = np.random.default_rng(seed)
    return bs.read_runs(
        pd.DataFrame({**x, "loss": loss * np.exp(scatter * rng.normal(size=len(loss)))}),
        require=(*law.inputs, "loss"),
    )


@pytest.mark.parametrize(
    ("law", "paper", "of"),
    [
        (bs.MoEGranular(AT), KRAJEWSKI, {"granularity": [1.0, 32.0]}),
        (bs.MoESparsity(alone=False, reference=AT), ABNAR, {"sparsity": [0.0, 0.98]}),
        (bs.MoESparsity(reference=AT), ABNAR, {"sparsity": [0.0, 0.98]}),
    ],
    ids=["granularity", "sparsity", "sparsity of five terms"],
)
@pytest.mark.slow
def test_a_simulated_table_is_recovered(law, paper, of):
    """What finer or sparser experts change at a size not seen: 99.8 %, one in five hundred."""
    fit = bs.fit(bs.ScalingModel(law), simulated(law, paper), seed=0)
    assert bs.check(fit).status != "FAIL"
    x = {"total_params": np.full(2, 2e11), "tokens": np.full(2, 4e11), **of}
    there = bs.predict(fit, x)["loss_mean"]
    got = (there.isel(point=0) - there.isel(point=1)).quantile([0.001, 0.999]).values
    truth = law(law.from_paper(paper), {k: np.asarray(v) for k, v in x.items()})
    assert got[0] < truth[0] - truth[1] < got[1]
    assert got[1] - got[0] < 0.3  # nats; the prior allows ten times that


def test_values_that_were_not_tried_are_named():
    law = bs.MoESparsity(alone=False, reference=AT)
    fit = bs.fit(bs.ScalingModel(law), simulated(law, ABNAR), seed=0)
    plan = bs.best_sparsity(fit, 1e21, [0.9, 0.99])
    assert plan.attrs["untried"] == [0.99]
    assert np.all(plan.beyond.values >= 0)


def test_the_figure_shows_what_designs_waste_and_which_is_best():
    mpl.use("Agg")
    plan = bs.best_sparsity(known(bs.MoESparsity(reference=AT), ABNAR, lam=0.03), [1e20, 1e22],
                            SPARSITIES)  # fmt: skip
    left, right = bs.plots.plot_designs(plan).axes
    assert [t.get_text() for t in right.get_xticklabels()] == ["0", *(f"{s:g}" for s in SPARSITIES)]
    middle = (plan.loss - plan.loss_opt).isel(budget=0).median(DRAWS)
    np.testing.assert_allclose(left.lines[0].get_ydata(), middle)
    np.testing.assert_allclose(right.lines[1].get_ydata(), plan.chosen.isel(budget=1))
    with pytest.raises(SpecError, match="what best_experts"):
        bs.plots.plot_designs(plan.drop_vars("chosen"))


def test_what_cannot_be_is_refused():
    fine, sparse = (known(bs.MoEGranular(AT), KRAJEWSKI, 4),
                    known(bs.MoESparsity(reference=AT), ABNAR, 4))  # fmt: skip
    for call, said in [
        (lambda: bs.best_sparsity(fine, 1e20, [0.5]), "fit `MoESparsity`"),
        (lambda: bs.best_granularity(sparse, 1e20, [2]), "fit `MoEGranular`"),
        (lambda: bs.best_sparsity(sparse, 1e20, [0.5, 1.0]), "sparsity: found 1; give numbers"),
        (lambda: bs.best_sparsity(sparse, 1e20, ["half"]), "sparsity: one finite number"),
        (lambda: bs.best_sparsity(sparse, 1e20, []), "sparsity: one finite number"),
        (lambda: bs.best_sparsity(sparse, 1e20, [0.5], total=7), "total"),
        (lambda: bs.best_granularity(fine, 1e20, [0.5]), "granularity: found 0.5"),
        (lambda: bs.best_granularity(fine, -1, [2]), "budget must be positive"),
        (lambda: bs.best_granularity(fine, 1e20, [2], experts=0), "experts: how many"),
        (
            lambda: bs.best_sparsity(sparse, 1e20, 0.5, total=1e9, memory=bs.ServingMemory(8e9)),
            "leave one out",
        ),
    ]:
        with pytest.raises(SpecError, match=said):
            call()
    runs = {"total_params": [1e9, 2e9], "tokens": [1e10, 2e10], "sparsity": [0.5, 1.2],
            "loss": [2.5, 2.4]}  # fmt: skip
    with pytest.raises(TableError, match="sparsity"):
        bs.read_runs(pd.DataFrame(runs), require=("total_params", "tokens", "sparsity", "loss"))
