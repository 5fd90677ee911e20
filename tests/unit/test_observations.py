"""Observation models are densities of the loss, and their draws come from them.

Statistical tests reject a right answer once in 1e5 runs; seeds are fixed, so a pass stays one.
"""

from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
import scipy.stats as st
from scipy.special import digamma, gammaln, polygamma

from bayes_scaling import priors
from bayes_scaling._distributions import ExGaussian, OrFailed, log_gamma_step
from bayes_scaling.errors import SpecError, UnknownNameError
from bayes_scaling.laws import to_dict
from bayes_scaling.observations import (
    OBSERVATIONS,
    Clustered,
    Normal,
    Observation,
    StudentT,
    Sweep,
    UnderTuned,
    observation_from_dict,
)

FALSE_ALARM = 1e-5
DRAWS = 40_000
MU = 2.5
THETA = {"sigma": 0.01, "nu": 4.0, "h": -0.2, "debt": 0.03, "shape": 100.0,
         "warp": 0.2, "margin": 1.2, "cliff": 0.3, "shared": 0.6, "span": 1.5}  # fmt: skip
X = {"flops": 3e21, "flops_ref": 1e20, "loss_sd": 0.02, "censored": 0.0, "diverged": 0.0,
     "excess": 0.04, "overshoot": 0.9, "tokens": 1e10}  # fmt: skip

SHARES = ("binomial", "beta_binomial", "average_share", "chained", "attempts")  # of their own
OTHERS = ("censored", "gamma", "sweep", "clustered", "records", *SHARES)
CASES = {
    " ".join([name, scale, noise, "known" * known]).strip(): OBSERVATIONS[name](
        scale=scale, noise=noise, known=known
    )
    for name, scale, noise, known in product(
        [n for n in OBSERVATIONS if n not in OTHERS],
        ("log", "linear"),
        ("constant", "compute"),
        (False, True),
    )
} | {name: OBSERVATIONS[name]() for name in ("censored", "gamma")}
CASES |= {
    " ".join(["sweep", scale, "divergence" * failures]).strip(): Sweep(scale, failures)
    for scale, failures in product(("log", "linear"), (False, True))
}
CASES |= {
    " ".join(["clustered", along, scale, noise]): Clustered("run", along, scale, noise)
    for along, scale, noise in product(("tokens", ""), ("log", "linear"), ("constant", "compute"))
}
every_model = pytest.mark.parametrize("model", CASES.values(), ids=CASES)


def theta_of(model):
    return {p.name: THETA[p.name] for p in model.params}


def loss_grid(model):
    """Space losses by sinh about MU: fine where the density is, and far out for heavy tails."""
    steps = np.sinh(np.linspace(-9, 9, 20_001)) * 0.01
    if getattr(model, "scale", "log") == "linear":
        return MU + steps
    return MU * np.exp(steps[np.abs(steps) < 30])


def failing(model):
    """Return the probability that a run has no loss at all."""
    return 1 / (1 + np.exp((1.2 - 0.9) / 0.3)) if getattr(model, "divergence", False) else 0.0


def density(model, loss, mu=MU, x=X):
    with jax.enable_x64(True):
        return np.exp(np.asarray(model.distribution(mu, theta_of(model), x).log_prob(loss)))


@every_model
def test_the_density_of_the_loss_integrates_to_one_and_draws_follow_it(model, distance):
    grid = loss_grid(model)
    rng = np.random.default_rng(11)
    drawn = model.draw(rng, np.full(DRAWS, MU), theta_of(model), X)
    assert drawn.shape == (DRAWS,)
    # Draws are of runs that have a loss.
    gap, mass = distance(drawn, grid, density(model, grid) / (1 - failing(model)))
    # Beyond the grid, 40 units of scatter away, a t with 4 degrees of freedom has 1e-13.
    assert mass == pytest.approx(1.0, abs=1e-5)
    assert gap < st.kstwo.isf(FALSE_ALARM, DRAWS)


@every_model
def test_a_model_is_a_frozen_value_in_plain_data(model):
    assert isinstance(model, Observation)
    assert hash(model) == hash(replace(model))
    assert observation_from_dict(to_dict(model)) == model
    reads = {"flops": ("noise", "compute"), "loss_sd": ("known", True)}
    reads |= {"censored": ("name", "censored"), "diverged": ("divergence", True)}
    expected = {c for c, (choice, value) in reads.items() if getattr(model, choice, None) == value}
    assert set(model.inputs) == expected


@every_model
def test_draws_broadcast_over_draws_and_runs(model):
    mu = np.array([[2.0, 3.0, 4.0], [2.1, 3.1, 4.1]])
    theta = {k: np.array([[v], [2 * v]]) for k, v in theta_of(model).items()}
    x = {"flops": np.array([1e20, 1e21, 1e22]), "flops_ref": 1e21, "loss_sd": np.full(3, 0.01),
         "excess": np.array([0.0, 0.01, 0.02])}  # fmt: skip
    drawn = model.draw(np.random.default_rng(0), mu, theta, x)
    assert drawn.shape == (2, 3)
    assert np.all(np.abs(np.log(drawn / mu)) < 1.0)
    assert len(np.unique(drawn / mu)) == 6  # every row has its own scatter
    again = model.draw(np.random.default_rng(0), mu, theta, x)
    np.testing.assert_array_equal(drawn, again)


@every_model
def test_gradients_are_finite_far_from_the_law(model):
    names = list(theta_of(model))

    def log_prob(logs, mu, loss):
        theta = dict(zip(names, jnp.exp(logs), strict=True))
        if "h" in theta:
            theta["h"] = -theta["h"]
        return model.distribution(mu, theta, X).log_prob(loss)

    logs = np.log(np.abs([THETA[n] for n in names]))
    loss = MU * np.exp(np.array([-3.0, -0.5, -0.05, -1e-6, 0.0, 1e-6, 0.05, 0.5, 3.0]))
    every = jax.vmap(jax.value_and_grad(log_prob, argnums=(0, 1)), in_axes=(None, None, 0))
    with jax.enable_x64(True):
        found = jax.jit(every)(logs, MU, loss)
    assert all(np.all(np.isfinite(v)) for v in jax.tree.leaves(found))
    # The density falls away from the law on either side.
    height = np.asarray(found[0])
    assert height[0] < height[1] < height[2]
    assert height[-1] < height[-2] < height[-3]


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("kind", [Normal, StudentT, UnderTuned])
def test_known_noise_adds_in_quadrature(kind, scale):
    sigma = 0.03 if scale == "log" else 0.03 * MU
    known = {"loss_sd": 0.04 * MU}  # 3, 4, 5
    both = kind(scale=scale, known=True).distribution(MU, {**THETA, "sigma": sigma}, known)
    plain = kind(scale=scale).distribution(MU, {**THETA, "sigma": sigma * 5 / 3}, {})
    loss = np.linspace(2.2, 2.9, 9)
    np.testing.assert_allclose(both.log_prob(loss), plain.log_prob(loss), rtol=2e-5)


@pytest.mark.parametrize("kind", [Normal, StudentT, UnderTuned])
def test_noise_moves_as_a_power_of_compute(kind):
    theta = {**THETA, "sigma": 0.01, "h": -0.25}
    x = {"flops": 1e24, "flops_ref": 1e20}  # 1e4 ** -0.25 = 0.1
    moved = kind(noise="compute").distribution(MU, theta, x)
    plain = kind().distribution(MU, {**theta, "sigma": 0.001}, {})
    loss = MU * (1 + np.linspace(-0.003, 0.003, 9))
    np.testing.assert_allclose(moved.log_prob(loss), plain.log_prob(loss), rtol=1e-3)
    at_reference = kind(noise="compute").distribution(MU, theta, {**x, "flops": 1e20})
    plain = kind().distribution(MU, theta, {})
    np.testing.assert_allclose(at_reference.log_prob(loss), plain.log_prob(loss), rtol=1e-5)


def test_priors_of_scatter_in_nats_scale_with_the_loss():
    (sigma,) = Normal(scale="linear").params
    assert sigma.prior.times == "mean_loss"
    assert sigma.unit == "nat/token"
    (sigma,) = Normal().params
    assert sigma.prior.times == ""


# Sweeps: scatter that grows with the miss, and runs that fail.


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_scatter_of_a_sweep_grows_with_the_excess(scale):
    x = {"excess": np.array([0.0, 0.2, 1.5])}  # 0.2 of it: 0, 0.04, 0.3
    sd = np.sqrt(0.03**2 + np.array([0.0, 0.04, 0.3]) ** 2)
    assert sd[1] == pytest.approx(0.05)
    loss = np.linspace(2.2, 2.9, 9)[:, None]
    with jax.enable_x64(True):
        got = Sweep(scale).distribution(MU, {**THETA, "sigma": 0.03}, x).log_prob(loss)
        plain = StudentT(scale).distribution(MU, {**THETA, "sigma": sd}, {}).log_prob(loss)
    np.testing.assert_allclose(got, plain, rtol=1e-12)


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_the_prior_of_a_sweeps_scatter_keeps_off_zero(scale):
    """At the bottom of a bowl the scatter is sigma alone: a run there has any density at sigma 0.

    One in every sweep gives ``sigma^-G`` with G sweeps; what vanishes like a power would not do.
    """
    sigma = Sweep(scale).params[0]
    numbers = priors.values(sigma.prior, {"mean_loss": 3.0})
    tiny = np.array([1e-5, 1e-6, 1e-7])
    log = np.asarray(priors.distribution(sigma.prior, numbers).log_prob(tiny))
    assert np.all(np.diff(log) < -20 * np.log(10))


def test_the_odds_of_failing_are_even_at_the_margin_and_rise_e_fold_per_cliff():
    model, theta = Sweep(divergence=True), {**THETA, "margin": 1.2, "cliff": 0.3}
    np.testing.assert_allclose(model.log_odds(theta, np.array([0.9, 1.2, 1.8])), [-1, 0, 2])


@pytest.mark.parametrize("overshoot", [-3.0, 0.9, 1.2, 2.5])
def test_a_failure_counts_by_its_probability_and_a_loss_by_its_density_beside_it(overshoot):
    model = Sweep(divergence=True)
    share = st.logistic.cdf((overshoot - 1.2) / 0.3)
    loss = np.array([2.0, 2.49, 2.6, 9.0])
    x = {**X, "overshoot": overshoot, "diverged": np.array([1.0, 0.0, 0.0, 1.0])}
    with jax.enable_x64(True):
        found = model.distribution(MU, theta_of(model), x)
        got = np.asarray(found.log_prob(loss))
        plain = np.asarray(Sweep().distribution(MU, theta_of(model), x).log_prob(loss))
    assert isinstance(found, OrFailed)
    np.testing.assert_allclose(got[[0, 3]], np.log(share), rtol=1e-9)  # whatever it ended at
    np.testing.assert_allclose(got[1:3], plain[1:3] + np.log1p(-share), rtol=1e-9)


@pytest.mark.parametrize("overshoot", [-3.0, 0.9, 2.5])
def test_failing_and_every_loss_together_have_probability_one(overshoot):
    model, x = Sweep(divergence=True), {**X, "overshoot": overshoot}
    grid = loss_grid(model)
    ran = density(model, grid, x=x)
    failed = density(model, MU, x={**x, "diverged": 1.0})
    total = failed + np.sum(0.5 * (ran[1:] + ran[:-1]) * np.diff(grid))
    assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("logit", [-800.0, -3.0, 0.0, 3.0, 800.0])
@pytest.mark.parametrize("failed", [0.0, 1.0])
def test_failures_have_finite_slopes_and_know_nothing_of_the_loss(logit, failed):
    def log_prob(logit, mu):
        return OrFailed(dist.Normal(mu, 0.5), logit, failed, validate_args=False).log_prob(2.0)

    with jax.enable_x64(True):
        value, (by_logit, by_mu) = jax.value_and_grad(log_prob, argnums=(0, 1))(logit, 2.3)
    assert np.isfinite(value)
    sign = 1 if failed else -1
    assert float(by_logit) == pytest.approx(sign * st.logistic.sf(sign * logit), rel=1e-9)
    assert float(by_mu) == (0.0 if failed else pytest.approx((2.0 - 2.3) / 0.5**2))


def test_samples_of_runs_that_may_fail_are_of_runs_that_did_not(distance):
    found = OrFailed(dist.Normal(2.0, 0.5), 0.3, np.zeros(3))
    drawn = np.asarray(found.sample(jax.random.key(0), (DRAWS,)), float)
    assert found.batch_shape == (3,)
    grid = np.linspace(-1, 5, 4001)
    gap, _ = distance(drawn.ravel()[:DRAWS], grid, st.norm.pdf(grid, 2.0, 0.5))
    assert gap < st.kstwo.isf(FALSE_ALARM, DRAWS)


# The exponentially modified Gaussian.


def log_density(value, loc, scale, debt):
    with jax.enable_x64(True):
        return np.asarray(ExGaussian(loc, scale, debt).log_prob(value))


@pytest.mark.parametrize("ratio", [0.02, 0.3, 1.0, 5.0, 100.0])
def test_distributions_is_scipys_exponnorm(ratio):
    loc, scale = 0.9, 0.01
    value = loc + scale * np.linspace(-12, 60, 145)
    expected = st.exponnorm.logpdf(value, ratio, loc=loc, scale=scale)
    got = log_density(value, loc, scale, ratio * scale)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("debt", [1e-4, 1e-6, 1e-9, 1e-15])
def test_without_debt_distributions_is_normal(debt):
    # To first order the debt moves the centre by its mean, which bounds the difference.
    value = 0.9 + 0.01 * np.linspace(-6, 6, 25)
    gap = log_density(value, 0.9, 0.01, debt) - st.norm.logpdf(value, 0.9, 0.01)
    assert np.abs(gap).max() < 10 * debt / 0.01 + 1e-9


def test_without_scatter_distributions_is_exponential():
    value = 0.9 + np.linspace(0.01, 0.5, 25)
    gap = log_density(value, 0.9, 1e-9, 0.03) - st.expon.logpdf(value, 0.9, 0.03)
    np.testing.assert_allclose(gap, 0.0, atol=1e-6)


def test_distributions_samples_itself(distance):
    density = ExGaussian(0.9, 0.01, 0.03)
    grid = np.linspace(0.8, 1.9, 40_001)
    drawn = np.asarray(density.sample(jax.random.key(0), (DRAWS,)), float)
    gap, mass = distance(drawn, grid, np.exp(log_density(grid, 0.9, 0.01, 0.03)))
    assert mass == pytest.approx(1.0, abs=1e-6)
    assert gap < st.kstwo.isf(FALSE_ALARM, DRAWS)
    assert ExGaussian(np.zeros(3), 0.01, np.ones((2, 1))).sample(jax.random.key(0)).shape == (2, 3)


# Plain data, and what is said of mistakes.


def test_an_unknown_observation_model_is_told_what_was_meant():
    with pytest.raises(UnknownNameError, match=r"no observation model is named 'studentt'.*Did"):
        observation_from_dict("studentt")


def test_an_unknown_choice_is_told_what_was_meant():
    with pytest.raises(SpecError, match=r"'normal' has no choice 'scales'. Did you mean 'scale'"):
        observation_from_dict({"name": "normal", "scales": "log"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "normal", "scale": "logarithmic"},
        {"name": "normal", "noise": "heavy"},
        {"name": "sweep", "scale": "logarithmic"},
        {"name": "sweep", "divergence": "diverged"},
    ],
)
def test_a_value_that_a_choice_does_not_have(wrong):
    with pytest.raises(SpecError):
        observation_from_dict(wrong)


@every_model
def test_every_default_prior_is_proper(model):
    rng = np.random.default_rng(0)
    for p in model.params:
        numbers = priors.values(p.prior, {"min_loss": 2.0, "mean_loss": 3.0})
        value, _ = priors.draw(p.prior, numbers, rng, 100)
        assert np.all(np.isfinite(value))
        assert p.role == "noise"


@pytest.mark.parametrize("x", [1e-3, 0.5, 0.75, 1.0, 2.0, 3.5, 10.0, 100.0, 1e4])
def test_the_step_of_log_gamma_and_its_derivatives(x):
    with jax.enable_x64(True):
        value = log_gamma_step(x)
        slope = jax.grad(log_gamma_step)(x)
        bend = jax.grad(jax.grad(log_gamma_step))(x)
    # The differences lose digits where both are large; ours does not.
    size = max(abs(float(gammaln(x))), 1.0)
    assert float(value) == pytest.approx(gammaln(x + 0.5) - gammaln(x), abs=1e-13 * size)
    assert float(slope) == pytest.approx(digamma(x + 0.5) - digamma(x), rel=1e-9)
    assert float(bend) == pytest.approx(polygamma(1, x + 0.5) - polygamma(1, x), rel=1e-8)
