"""What a prior means, in NumPy and in NumPyro; elicitation; plain data and its mistakes.

Statistical tests reject a right answer once in 1e5 runs; seeds are fixed, so a pass stays one.
"""

import jax
import numpy as np
import pytest
import scipy.stats as st
from numpyro.distributions import biject_to

import bayes_scaling as bs
from bayes_scaling.errors import SpecError, UnknownNameError
from bayes_scaling.laws import LAWS
from bayes_scaling.observations import OBSERVATIONS
from bayes_scaling.param import Prior
from bayes_scaling.priors import (
    KINDS,
    STATISTICS,
    distribution,
    draw,
    elicit,
    prior_from_dict,
    prior_to_dict,
    values,
)

FALSE_ALARM = 1e-5
DRAWS = 40_000
TABLE = {"min_loss": 2.0, "mean_loss": 3.0}
NUMBERS = {
    "LogNormal": {"median": 0.3, "sigma": 0.5},
    "Normal": {"loc": -0.4, "scale": 1.5},
    "HalfNormal": {"scale": 0.02},
    "Exponential": {"mean": 0.3},
    "Beta": {"a": 4, "b": 2},
    "Gamma": {"shape": 2, "rate": 0.1},
    "StudentT": {"df": 3, "loc": 0.5, "scale": 0.2},
    "Fixed": {"value": 0.7},
}
WAYS = {
    "plain": {},
    "times": {"times": "mean_loss"},
    "plus": {"plus": 1.0},
    "times and plus": {"times": "min_loss", "plus": 1.0},
}
SCIPY = {
    "LogNormal": st.lognorm(0.5, scale=0.3),
    "Normal": st.norm(-0.4, 1.5),
    "HalfNormal": st.halfnorm(scale=0.02),
    "Exponential": st.expon(scale=0.3),
    "Beta": st.beta(4, 2),
    "Gamma": st.gamma(2, scale=10.0),
    "StudentT": st.t(3, 0.5, 0.2),
}


def test_every_kind_is_tested():
    assert set(NUMBERS) == set(KINDS)
    assert set(SCIPY) == set(KINDS) - {"Fixed"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SCIPY)
def test_numpy_draws_and_numpyro_density_are_one_distribution(kind, way):
    prior = Prior.of(kind, **NUMBERS[kind], **WAYS[way])
    numbers = values(prior, TABLE)
    value, _ = draw(prior, numbers, np.random.default_rng(7), DRAWS)
    assert value.shape == (DRAWS,)
    # plus + times X: SciPy's X is the third, independent, opinion.
    shift, scale = WAYS[way].get("plus", 0.0), TABLE.get(WAYS[way].get("times"), 1.0)
    base = (value - shift) / scale
    assert st.kstest(base, SCIPY[kind].cdf).statistic < st.kstwo.isf(FALSE_ALARM, DRAWS)
    with jax.enable_x64(True):
        density = np.asarray(distribution(prior.structure, numbers).log_prob(value[:200]))
    np.testing.assert_allclose(density, SCIPY[kind].logpdf(base[:200]) - np.log(scale), atol=1e-8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SCIPY)
def test_a_draw_in_the_samplers_coordinates_is_that_draw(kind, way):
    prior = Prior.of(kind, **NUMBERS[kind], **WAYS[way])
    numbers = values(prior, TABLE)
    value, loose = draw(prior, numbers, np.random.default_rng(7), (50, 4))
    assert loose.shape == (50, 4)
    with jax.enable_x64(True):
        onto = biject_to(distribution(prior.structure, numbers).support)
        mapped = np.asarray(onto.inv(value))
    np.testing.assert_allclose(loose, mapped, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(("way", "fixed"), [("plain", 0.7), ("times and plus", 2.4)])
def test_fixed_is_fixed(way, fixed):
    prior = Prior.of("Fixed", value=0.7, **WAYS[way])
    value, _ = draw(prior, values(prior, TABLE), np.random.default_rng(0), (2, 3))
    np.testing.assert_array_equal(value, np.full((2, 3), fixed))
    with jax.enable_x64(True):
        assert float(distribution(prior.structure, values(prior, TABLE)).log_prob(fixed)) == 0.0


def test_draws_take_one_scale_per_group():
    prior = Prior.of("Beta", a=4, b=2, times="min_loss")
    numbers = {**values(prior, TABLE), "scale_by": np.array([1.0, 100.0])}
    value, _ = draw(prior, numbers, np.random.default_rng(0), (500, 2))
    assert np.all(value < numbers["scale_by"])
    assert value[:, 1].max() > 50


def test_other_numbers_are_another_value_of_one_structure():
    one, other = Prior.of("Gamma", shape=2, rate=0.1), Prior.of("Gamma", shape=3, rate=7)
    assert one != other
    assert one.structure == other.structure
    assert one.structure != Prior.of("Gamma", shape=2, rate=0.1, times="min_loss").structure


# Elicitation.


@pytest.mark.parametrize(
    ("dist", "quantiles"),
    [
        ("LogNormal", {0.025: 0.11, 0.975: 0.80}),
        ("LogNormal", {0.9: 3.0, 0.2: 0.5}),
        ("Normal", {0.05: -1.0, 0.5: 2.5}),
        ("HalfNormal", {0.9: 0.03}),
        ("Exponential", {0.5: 0.2}),
    ],
)
def test_elicited_quantiles_are_met(dist, quantiles):
    numbers = dict(elicit(dist, quantiles).args)
    made = {
        "LogNormal": lambda: st.lognorm(numbers["sigma"], scale=numbers["median"]),
        "Normal": lambda: st.norm(numbers["loc"], numbers["scale"]),
        "HalfNormal": lambda: st.halfnorm(scale=numbers["scale"]),
        "Exponential": lambda: st.expon(scale=numbers["mean"]),
    }[dist]()
    for p, q in quantiles.items():
        assert made.ppf(p) == pytest.approx(q, rel=1e-9)
    spec = {"dist": dist, "quantiles": {str(p): q for p, q in quantiles.items()}}
    assert prior_from_dict("any", spec) == elicit(dist, quantiles)


def test_elicitation_keeps_what_it_is_relative_to():
    assert elicit("HalfNormal", {0.9: 0.03}, times="mean_loss").times == "mean_loss"


@pytest.mark.parametrize(
    ("dist", "quantiles"),
    [
        ("LogNormal", {0.5: 1.0}),
        ("LogNormal", {0.1: 1.0, 0.5: 2.0, 0.9: 4.0}),
        ("LogNormal", {0.1: -1.0, 0.9: 1.0}),
        ("Normal", {0.1: 1.0, 0.9: 1.0}),
        ("Normal", {0.1: 2.0, 0.9: 1.0}),
        ("Normal", {0.0: 1.0, 0.9: 2.0}),
        ("HalfNormal", {0.1: 1.0, 0.9: 2.0}),
        ("Exponential", {0.5: 0.0}),
    ],
)
def test_quantiles_that_cannot_be_met(dist, quantiles):
    with pytest.raises(SpecError, match=rf"^{dist} is given by [12] quantile.*found {{"):
        elicit(dist, quantiles)


def test_what_has_no_elicitation_says_what_has():
    with pytest.raises(SpecError, match=r"no quantile elicitation for 'Gamma'.*LogNormal, Normal"):
        elicit("Gamma", {0.1: 1.0, 0.9: 2.0})


# Plain data.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", NUMBERS)
def test_a_prior_survives_plain_data(kind, way):
    prior = Prior.of(kind, **NUMBERS[kind], **WAYS[way])
    assert prior_from_dict("any", prior_to_dict(prior)) == prior
    assert hash(prior) == hash(Prior.of(kind, **NUMBERS[kind], **WAYS[way]))


def test_every_default_prior_survives_plain_data():
    params = [p for name in LAWS for p in LAWS[name]().params]
    params += [p for name in OBSERVATIONS for p in OBSERVATIONS[name]().params]
    for p in params:
        assert prior_from_dict(p.name, prior_to_dict(p.prior)) == p.prior
        assert p.prior.times in ("", *STATISTICS)


LOGNORMAL = {"dist": "LogNormal", "median": 0.3, "sigma": 0.5}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"median": None}, r"missing 'median'"),
        ({"mu": 1.0}, r"unknown number 'mu'"),
        ({"sigmas": 1.0}, r"unknown number 'sigmas' Did you mean 'sigma'"),
        ({"sigma": "0.5"}, r"sigma = '0.5' is not a number"),
        ({"sigma": True}, r"sigma = True is not a number"),
        ({"sigma": -1.0}, r"sigma = -1.0 must be positive"),
        ({"sigma": 0}, r"sigma = 0 must be positive"),
        ({"median": float("nan")}, r"median = nan must be finite"),
        ({"median": float("inf")}, r"median = inf must be finite"),
        ({"plus": "one"}, r"plus = 'one' is not a number"),
        ({"times": "min_los"}, r"times = 'min_los' is no statistic.* Did you mean 'min_loss'"),
    ],
)
def test_a_prior_that_is_not_understood(change, said):
    said = said.replace("' Did", r"'.? Did")
    with pytest.raises(SpecError, match=said) as error:
        prior_from_dict("alpha", {**LOGNORMAL, **change})
    assert "'alpha'" in str(error.value)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        (Prior.of("LogNormal", mu=0.5, sigma=0.3), "'E'.*unknown number 'mu'; missing 'median'"),
        (Prior.of("HalfNormal", scale=0.0), "scale = 0.0 must be positive"),
        (Prior.of("LogNormal", median=1.7, sigma=0.3, times="least"), "no statistic of a table"),
    ],
)
def test_a_model_refuses_a_prior_that_is_not_understood(prior, said):
    with pytest.raises(SpecError, match=said):
        bs.ScalingModel(priors={"E": prior})


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"times": "min_los"}, "no statistic of a table"),
        ({"sigma": 0.5}, "sigma"),
        ({"plus": 1.0}, "plus"),
    ],
)
def test_beside_quantiles_nothing_is_dropped_in_silence(extra, said):
    spec = {"dist": "LogNormal", "quantiles": {"0.1": 1.0, "0.9": 2.0}}
    with pytest.raises(SpecError, match=said):
        prior_from_dict("alpha", {**spec, **extra})


def test_all_mistakes_of_a_prior_come_at_once():
    with pytest.raises(SpecError) as error:
        prior_from_dict("alpha", {"dist": "Beta", "a": -1, "beta": 2})
    text = str(error.value)
    assert "unknown number 'beta'" in text
    assert "a = -1 must be positive" in text
    assert "missing 'b'" in text
    assert text.endswith("Beta takes: a, b.")


def test_an_unknown_distribution_is_told_what_was_meant():
    with pytest.raises(UnknownNameError, match=r"'Lognormal'. Did you mean 'LogNormal'"):
        prior_from_dict("alpha", {"dist": "Lognormal", "median": 1, "sigma": 1})
    with pytest.raises(UnknownNameError, match="Known: LogNormal, Normal"):
        prior_from_dict("alpha", {"median": 1, "sigma": 1})


# What the default priors say before any loss is seen.


@pytest.fixture(scope="module")
def prior_fit():
    """Draw the joint law's defaults for losses of 2.7, the floor that of nats per token of text."""
    law = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    share = Prior.of("LogNormal", median=0.15 * 2.7, sigma=0.8)
    floor = Prior.of("LogNormal", median=1.7, sigma=0.3)
    model = bs.ScalingModel(law, priors={"E": floor, "a0": share, "b0": share})
    return bs.sample_prior(model, draws=100_000, seed=1)


def quantiles(draws):
    return draws.quantile([0.025, 0.5, 0.975], dim=("chain", "draw")).values.ravel()


def test_prior_predictive_losses(prior_fit):
    # A 2.5 % point of 1e5 draws has a relative Monte Carlo error below 0.4 % here (sd of a sample
    # quantile, sqrt(p (1 - p) / n) over the density); the expected numbers are rounded by up to
    # 1 %. Four sd and the rounding: 2.5 %.
    at = {"params": [1e9, 7e10], "tokens": [2e10, 1.4e12]}
    mean = bs.predict(prior_fit, at).loss_mean
    here, there = (quantiles(mean.isel(point=i)) for i in (0, 1))
    np.testing.assert_allclose(here, [1.57, 2.73, 5.1], rtol=0.025)
    np.testing.assert_allclose(there, [1.16, 2.0, 3.5], rtol=0.025)


def test_the_prior_does_not_build_twenty_tokens_per_parameter_in(prior_fit):
    np.testing.assert_allclose(quantiles(prior_fit.posterior.a), [0.2, 0.5, 0.8], atol=0.01)
    ratio = quantiles(bs.allocate(prior_fit, 1e21).tokens_per_param)
    # Ends are read to one digit, and their logarithms have a Monte Carlo sd of 0.03.
    np.testing.assert_allclose(np.log(ratio[[0, 2]]), np.log([2.8e-3, 1.5e5]), atol=0.2)
    assert 15 < ratio[1] < 27


def test_prior_draws_need_what_the_priors_refer_to():
    with pytest.raises(SpecError, match=r"statistic of the losses \(prior of E, a0, b0\)"):
        bs.sample_prior(bs.ScalingModel())
    priors = dict.fromkeys(("E", "a0", "b0"), Prior.of("LogNormal", median=1, sigma=1))
    with pytest.raises(SpecError, match="needs reference sizes from a table: give `runs`"):
        bs.sample_prior(bs.ScalingModel(priors=priors))


def test_prior_draws_take_a_tables_statistics(ladder):
    runs = ladder(0)
    fit = bs.sample_prior(bs.ScalingModel(), runs, draws=2000, seed=3)
    assert float(fit.posterior.E.max()) < runs["loss"].min()
    again = bs.sample_prior(bs.ScalingModel(), runs, draws=2000, seed=3)
    assert fit.posterior.equals(again.posterior)
    assert not fit.posterior.equals(
        bs.sample_prior(bs.ScalingModel(), runs, draws=2000, seed=4).posterior
    )
    assert fit.attrs["method"] == "prior"
