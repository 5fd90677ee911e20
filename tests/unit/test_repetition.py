"""Repeated tokens: Muennighoff's published numbers, the limits, and the way back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from bayes_scaling.decision._problem import Problem
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Chinchilla, Repetition
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
