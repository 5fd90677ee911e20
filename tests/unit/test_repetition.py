"""Repeated tokens: Muennighoff's published numbers, the limits, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.decision._problem import Problem
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Chinchilla, DataConstrained, Repetition
from bayes_scaling.laws.repetition import fed_by

REFERENCE = (("params", 1e9), ("tokens", 2e10))
# The fit of C4 in Muennighoff et al. 2023, as their repository has it.
C4 = {"E": np.exp(0.6254804), "A": np.exp(6.255414), "B": np.exp(7.3049974),
      "alpha": 0.3526596, "beta": 0.3526596}  # fmt: skip
LAW = Chinchilla(reference=REFERENCE)
UNIQUE = 2.5e10


def test_what_epochs_are_worth():
    epochs = np.array([2, 4, 8, 16, 40])
    share = Repetition().tokens_worth(epochs * 3e9, 3e9) / (epochs * 3e9)
    np.testing.assert_allclose(share, [0.9841, 0.9314, 0.8280, 0.6614, 0.3792], atol=5e-5)


def test_the_published_losses():
    theta, repetition = LAW.from_paper(C4), Repetition()
    fed = fed_by(LAW, theta, UNIQUE)
    assert fed / UNIQUE == pytest.approx(0.05099, rel=1e-4)
    worth = {
        "params": repetition.params_worth(np.array([6.34e9, 8.67e9]), fed),
        "tokens": repetition.tokens_worth(np.array([2.42e11, 1.78e11]), UNIQUE),
    }
    published = [2.2256440889984477, 2.2269634075087867]
    np.testing.assert_allclose(LAW(theta, worth), published, rtol=1e-12)


def test_the_published_allocation():
    theta = {k: np.full((1, 1, 1), v) for k, v in LAW.from_paper(C4).items()}
    problem = Problem(LAW, theta, 0.0, np.full((1, 1, 1), UNIQUE), Repetition())
    params, tokens = problem.best(np.full((1, 1, 1), 1e22))
    # Their grid of sizes and epochs has steps of some 1e-3.
    assert params.item() == pytest.approx(7.02e9, rel=2e-3)
    assert tokens.item() == pytest.approx(2.373e11, rel=2e-3)
    assert tokens.item() / UNIQUE == pytest.approx(9.49, rel=2e-3)


@pytest.mark.parametrize("repetition", [Repetition(), Repetition(2.0, 0.5), Repetition(np.inf)])
def test_tokens_for_undoes_tokens_worth(repetition):
    tokens = UNIQUE * np.geomspace(0.01, 12.0, 50)
    worth = repetition.tokens_worth(tokens, UNIQUE)
    assert np.all(np.diff(worth) > 0)
    np.testing.assert_allclose(repetition.tokens_for(worth, UNIQUE), tokens, rtol=1e-9)


def test_all_repeats_together_are_worth_a_limit():
    repetition = Repetition(tokens=15.0, params=5.0)
    assert repetition.tokens_worth(1e30, 1e10) == pytest.approx(16e10, rel=1e-12)
    assert repetition.params_worth(1e30, 1e10) == pytest.approx(6e10, rel=1e-12)
    needed = repetition.tokens_for(np.array([15.999e10, 16e10, 17e10, np.inf]), 1e10)
    assert np.isfinite(needed).tolist() == [True, False, False, False]


@pytest.mark.parametrize("what", ["tokens_worth", "params_worth", "tokens_for"])
def test_nothing_changes_below_the_wall(what):
    below = UNIQUE * np.array([1e-6, 0.3, 1.0])
    np.testing.assert_array_equal(getattr(Repetition(), what)(below, UNIQUE), below)


def test_the_limits_of_the_rates():
    free, worthless = Repetition(np.inf, np.inf), Repetition(1e-12, 1e-12)
    amounts = UNIQUE * np.array([0.5, 3.0, 50.0])
    for what in ("tokens_worth", "params_worth", "tokens_for"):
        np.testing.assert_allclose(getattr(free, what)(amounts, UNIQUE), amounts, rtol=1e-12)
    np.testing.assert_allclose(
        worthless.tokens_worth(amounts, UNIQUE), UNIQUE * np.array([0.5, 1, 1])
    )
    # No jump where the rate is so small that repeats are counted as new.
    near = [Repetition(1e9 * (1 + s)).tokens_worth(5 * UNIQUE, UNIQUE) for s in (-1e-6, 1e-6)]
    assert near[0] == pytest.approx(near[1], rel=1e-8)


def test_a_repeat_is_worth_exponentially_less():
    """The marginal worth of a token after R repeats is exp(-R / R*)."""
    repetition, repeats = Repetition(tokens=10.0), np.array([0.5, 5.0, 30.0])
    ends = [repetition.tokens_worth(UNIQUE * (1 + repeats + s), UNIQUE) for s in (-1e-4, 1e-4)]
    slope = (ends[1] - ends[0]) / (2e-4 * UNIQUE)
    np.testing.assert_allclose(slope, np.exp(-repeats / 10), rtol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_the_size_that_unique_tokens_feed_is_on_the_laws_optimum(nested):
    law = Chinchilla(nested=nested, reference=REFERENCE)
    rng = np.random.default_rng(0)
    theta = {"E": 1.7, "a0": rng.uniform(0.1, 1, 50), "b0": rng.uniform(0.1, 1, 50),
             "alpha": rng.uniform(0.1, 0.6, 50), "beta": rng.uniform(0.1, 0.6, 50)}  # fmt: skip
    theta |= {"q": rng.uniform(0.3, 1.4, 50)} if nested else {}
    unique = np.geomspace(1e8, 1e14, 50)
    fed = fed_by(law, theta, unique)
    params, tokens = law.optimum(theta, fed * unique)
    np.testing.assert_allclose(params, fed, rtol=1e-9)
    np.testing.assert_allclose(tokens, unique, rtol=1e-9)


def test_draws_with_names_and_arrays_of_jax_pass_through():
    repetition, tokens = Repetition(), np.array([1e9, 2e10, 9e10])
    plain = repetition.tokens_worth(tokens, np.array([[1e10], [5e10]]))
    assert plain.shape == (2, 3)
    named = repetition.tokens_worth(
        xr.DataArray(tokens, dims="point"), xr.DataArray([1e10, 5e10], dims="draw")
    )
    np.testing.assert_array_equal(named.transpose("draw", "point"), plain)
    back = repetition.tokens_for(named, xr.DataArray([1e10, 5e10], dims="draw"))
    np.testing.assert_allclose(back.transpose("draw", "point"), tokens + 0 * plain, rtol=1e-9)
    traced = jax.jit(lambda t: repetition.tokens_worth(t, 1e10))(jnp.asarray(tokens))
    np.testing.assert_allclose(traced, plain[0], rtol=1e-5)
    slope = jax.grad(lambda t: repetition.params_worth(t, 1e10))(6e10)
    assert float(slope) == pytest.approx(np.exp(-5 / repetition.params), rel=1e-4)


@pytest.mark.parametrize("numbers", [(0.0, 1.0), (1.0, -1.0), (np.nan, 1.0), (1.0, np.nan)])
def test_repeats_without_a_positive_number_are_refused(numbers):
    with pytest.raises(SpecError, match="both numbers of repeats are positive; found Repetition"):
        Repetition(*numbers)


# The law that is fitted.


@pytest.mark.parametrize("tied", [False, True])
def test_in_one_epoch_and_at_a_size_that_is_fed_the_law_is_the_additive_one(tied):
    law = DataConstrained(tied=tied, reference=(*REFERENCE, ("unique_tokens", 1e10)))
    theta = law.from_paper({**C4, "R_D": 15.0, "R_N": 5.0})
    tokens = np.array([1e9, 1e11])
    fed = fed_by(law.fresh(), theta, tokens)
    x = {"params": fed * np.array([0.1, 1.0]), "tokens": tokens, "unique_tokens": tokens * 3}
    np.testing.assert_allclose(law(theta, x), law.fresh()(theta, x), rtol=1e-12)


def test_rates_of_nothing_and_of_no_end_are_the_limits():
    law = DataConstrained(reference=(*REFERENCE, ("unique_tokens", 1e10)))
    x = {"params": 4e10, "tokens": 3e11, "unique_tokens": UNIQUE}
    free = law.from_paper({**C4, "R_D": 1e12, "R_N": 1e12})
    assert law(free, x) == pytest.approx(law.fresh()(free, x), rel=1e-9)
    worthless = law.from_paper({**C4, "R_D": 1e-12, "R_N": 1e-12})
    unique = {"params": fed_by(law.fresh(), worthless, UNIQUE), "tokens": UNIQUE}
    assert law(worthless, x) == pytest.approx(law.fresh()(worthless, unique), rel=1e-9)


def test_what_the_prior_says_epochs_are_worth():
    """The catalogue's 2.5, 50 and 97.5 %: 0.65, 0.90, 0.98 of 4 epochs, 0.19, 0.55, 0.87 of 16."""
    law = DataConstrained(reference=REFERENCE)
    (prior,) = [p.prior for p in law.params if p.name == "lam_D"]
    drawn = priors.draw(prior, priors.values(prior, {}), np.random.default_rng(0), 20_000)[0]
    for epochs, said in ((4.0, [0.65, 0.90, 0.98]), (16.0, [0.19, 0.55, 0.87])):
        share = law.repeated({"lam_D": drawn}, epochs)[0] / epochs
        np.testing.assert_allclose(np.quantile(share, [0.025, 0.5, 0.975]), said, atol=0.015)


@pytest.fixture(scope="module")
def simulated():
    """Return runs of 1 to 64 epochs on a known law: the sizes of a small study."""
    rng = np.random.default_rng(0)
    cells = [np.geomspace(*e) for e in ((2e7, 2e9, 4), (3e8, 3e10, 4), (1.0, 64.0, 6))]
    params, unique, passes = (v.ravel() for v in np.meshgrid(*cells, indexing="ij"))
    x = {"params": params, "tokens": unique * passes, "unique_tokens": unique}
    law = DataConstrained(reference=(("params", 2e8), ("tokens", 2e10), ("unique_tokens", 3e9)))
    theta = law.from_paper({**C4, "R_D": 15.387756, "R_N": 5.309743, "beta": 0.37})
    loss = law(theta, x) * np.exp(0.004 * rng.standard_t(5, len(params)))
    return bs.fit(bs.ScalingModel(DataConstrained()), {**x, "loss": loss}, seed=0)


def test_the_rates_are_recovered(simulated):
    """Each of two 99 % intervals misses one time in a hundred; the seed is fixed."""
    for name, truth in (("R_D", 15.387756), ("R_N", 5.309743)):
        low, high = simulated.posterior[name].quantile([0.005, 0.995]).values
        assert low < truth < high
        assert high / low < 4


def test_epochs_are_what_the_law_says(simulated):
    found = bs.epochs(simulated, unique=2e10, params=1e9, epochs=[1, 4, 64, 128])
    lam = 1 / simulated.posterior.R_D
    worth = 1 + (1 - np.exp(-3 * lam)) / lam
    np.testing.assert_allclose(found.worth.sel(epoch=4), worth / 4, rtol=1e-12)
    np.testing.assert_allclose(found.marginal.sel(epoch=64), np.exp(-63 * lam), rtol=1e-9)
    np.testing.assert_allclose(np.exp(-lam * (found.most_epochs - 1)), 0.5, rtol=1e-12)
    assert np.all(found.worth.sel(epoch=1) == 1)
    assert np.all(found.loss.sel(epoch=1) == found.loss_fresh.sel(epoch=1))
    assert np.all(found.loss >= found.loss_fresh * (1 - 1e-12))
    assert np.isnan(found.gained.sel(epoch=1)).all()
    assert bool((found.gained.sel(epoch=4) < 1).all())
    assert found.beyond.values.tolist() == [False, False, False, True]
    assert found.near_fresh.sel(epoch=1) == 1
    assert "the table ends at 64" in found.attrs["verdict"]


def test_epochs_of_a_law_without_repeats_are_refused():
    with pytest.raises(SpecError, match="knows no repeats: fit DataConstrained"):
        bs.epochs(bs.load_posterior("chinchilla"), unique=1e11, params=1e9)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"least": 1.5}, "between 0 and 1; found 1.5"),
        ({"epochs": [0]}, "positive numbers of passes"),
        ({"unique": -1}, "unique: a positive raw count; found -1"),
        ({"unique": "100B"}, "unique: a positive raw count; found '100B'"),
        ({"params": 7}, r"params: 7 is too small for a raw count \(70e9, not 70\)"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(simulated, wrong, says):
    with pytest.raises(SpecError, match=says):
        bs.epochs(simulated, **{"unique": 1e10, "params": 1e9, **wrong})


@pytest.mark.slow
def test_a_wall_is_planned_with_the_fits_own_rates(simulated):
    budget, unique = 1e22, 2.5e10
    found = bs.decide(simulated, bs.ComputeBudget(budget), bs.DataWall(unique))
    held = bs.allocate(bs.hold(simulated, unique_tokens=unique), budget)
    np.testing.assert_allclose(
        found.params_opt.values.ravel(), held.params_opt.values.ravel(), rtol=1e-3
    )
    plan = bs.plan_of(found)
    assert plan.tokens.item() > 2 * unique, "repeats are worth their compute"
    endless = bs.decide(simulated, bs.ComputeBudget(budget))
    fresh = bs.allocate(bs.hold(simulated, unique_tokens=1e30), budget)
    np.testing.assert_allclose(
        endless.loss_opt.values.ravel(), fresh.loss_opt.values.ravel(), rtol=1e-9
    )
    assert float(plan.loss.mean()) > float(bs.plan_of(endless).loss.mean())


def test_a_wall_with_rates_of_its_own_beside_the_fits_is_refused(simulated):
    with pytest.raises(SpecError, match="the fit has rates of its own: leave it out"):
        bs.decide(simulated, bs.ComputeBudget(1e22), bs.DataWall(2.5e10, Repetition()))


@pytest.mark.slow
def test_a_target_behind_a_wall_takes_what_the_law_says(simulated):
    held = bs.hold(simulated, unique_tokens=2.5e10)
    loss = float(bs.allocate(held, 1e21).loss_opt.median())
    found = bs.decide(simulated, bs.LossTarget(loss, probability=0.5), bs.DataWall(2.5e10))
    plan = bs.plan_of(found)
    got = bs.predict(simulated, {"params": plan.params.item(), "tokens": plan.tokens.item(),
                                 "unique_tokens": 2.5e10}).loss_mean  # fmt: skip
    assert float(got.median()) == pytest.approx(loss, rel=2e-3)


def test_to_allocate_something_has_to_be_held(simulated):
    with pytest.raises(SpecError, match="hold the others"):
        bs.allocate(simulated, 1e22)
