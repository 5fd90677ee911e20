"""Published and independently measured posteriors, on the real table.

References are to a log of measurements made with other programs (a random-walk sampler, NUTS on a
hand-written density, least squares); tolerances are theirs plus our Monte Carlo error, which for
the mean of 8,000 draws is about 0.015 posterior sd.
"""

import warnings

import arviz_stats
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

import bayes_scaling as bs
from bayes_scaling.param import Prior
from tests.helpers import needs_real_tables

COLUMNS = ["params", "tokens", "loss", "flops"]
# The priors of the reference posterior: wider contributions than the defaults, and a floor stated
# in nats instead of as a share of the best loss.
WIDER = {
    "E": Prior.of("LogNormal", median=1.7, sigma=0.3),
    "a0": Prior.of("LogNormal", median=0.4, sigma=1.0),
    "b0": Prior.of("LogNormal", median=0.4, sigma=1.0),
}


@pytest.fixture(scope="module")
def tables():
    full, kept = (bs.load_dataset(name)[COLUMNS] for name in ("chinchilla-245", "chinchilla"))
    assert (len(full), len(kept)) == (245, 240)
    small = {"222": full[full["flops"] < 1e21], "217": kept[kept["flops"] < 1e21]}
    assert {k: len(v) for k, v in small.items()} == {"222": 222, "217": 217}
    return {"245": full, "240": kept, **{k: v.reset_index(drop=True) for k, v in small.items()}}


@pytest.fixture(scope="module")
def fits(tables):
    """Fit each table once per model, when it is first asked for."""
    made = {}

    def fit(rows, observation="student_t", **priors):
        key = (rows, observation, tuple(sorted(priors)))
        if key not in made:
            kind = bs.OBSERVATIONS[observation]
            model = bs.ScalingModel(observation=kind(), priors=priors)
            made[key] = bs.fit(model, tables[rows], draws=8000, seed=0)
        return made[key]

    return fit


def mean(fit, name):
    return float(fit.posterior[name].mean())


@needs_real_tables
@pytest.mark.parametrize("priors", [{}, WIDER], ids=["default priors", "reference priors"])
def test_the_reference_posterior_of_240_points(fits, priors):
    """The default priors have to agree with the wider ones: 240 points outvote either."""
    fit = fits("240", **priors)
    assert mean(fit, "alpha") == pytest.approx(0.345, abs=0.004)
    assert mean(fit, "beta") == pytest.approx(0.3605, abs=0.005)
    assert mean(fit, "E") == pytest.approx(1.806, abs=0.006)
    assert mean(fit, "a") == pytest.approx(0.511, abs=0.005)
    sd = {n: float(fit.posterior[n].std()) for n in ("alpha", "beta", "E")}
    assert sd == pytest.approx({"alpha": 0.009, "beta": 0.010, "E": 0.016}, rel=0.1)
    assert mean(fit, "nu") == pytest.approx(2.9, abs=0.2)
    assert mean(fit, "sigma") == pytest.approx(0.0041, abs=0.0002)
    plan = bs.allocate(fit, [5.76e23, 3.8e25]).tokens_per_param
    low, middle, high = plan.quantile([0.025, 0.5, 0.975], dim=("chain", "draw")).values
    # Ends of ratios, given to three digits: 5 % is a tenth of their posterior sd.
    np.testing.assert_allclose(middle, [18.8, 17.2], rtol=0.03)
    np.testing.assert_allclose(low, [12.5, 9.7], rtol=0.05)
    np.testing.assert_allclose(high, [28.3, 30.4], rtol=0.05)
    larger = float((fit.posterior.alpha > fit.posterior.beta).mean())
    assert larger == pytest.approx(0.14, abs=0.025)


@needs_real_tables
def test_five_outliers_barely_move_it(fits):
    fit = fits("245", **WIDER)
    assert mean(fit, "alpha") == pytest.approx(0.342, abs=0.004)
    assert mean(fit, "beta") == pytest.approx(0.362, abs=0.005)
    assert mean(fit, "E") == pytest.approx(1.804, abs=0.006)
    assert mean(fit, "nu") == pytest.approx(1.6, abs=0.15)
    assert abs(mean(fit, "a") - mean(fits("240", **WIDER), "a")) < 0.010


@needs_real_tables
@pytest.mark.parametrize(
    ("rows", "middle", "low", "high"),
    [
        ("240", 0.511, 0.490, 0.533),
        ("245", 0.514, 0.493, 0.536),
        ("217", 0.541, 0.521, 0.560),
        ("222", 0.541, 0.522, 0.561),
    ],
)
def test_an_independent_random_walk_sampler(fits, rows, middle, low, high):
    """`a` and its 95 % interval; a chain of 60,000 steps and weak priors stand on the other side.

    Their priors are not written down, so agreement within 0.003 and 0.005, a third and a half of
    the posterior sd of 0.010, is what can be asked of any weak prior, the defaults among them.
    """
    for fit in (fits(rows), fits(rows, **WIDER)):
        ends = fit.posterior.a.quantile([0.025, 0.975]).values
        assert mean(fit, "a") == pytest.approx(middle, abs=0.003)
        np.testing.assert_allclose(ends, [low, high], atol=0.005)


@needs_real_tables
def test_heavy_tails_beat_the_normal_on_outliers(fits):
    elpd = {}
    with warnings.catch_warnings():  # the Normal's Pareto k is bad: that is the finding
        warnings.filterwarnings("ignore", message="Estimated shape parameter")
        for name in ("student_t", "normal"):
            elpd[name] = arviz_stats.loo(fits("245", name), pointwise=True)
    assert elpd["student_t"].elpd - elpd["normal"].elpd == pytest.approx(224, abs=20)
    assert float(elpd["student_t"].pareto_k.max()) < 0.7 < float(elpd["normal"].pareto_k.max())
    # ... and the Normal pays with the exponent that the outliers pull.
    assert mean(fits("245", "normal"), "beta") == pytest.approx(0.61, abs=0.05)


def test_least_squares_of_the_nine_runs():
    """Needs no data: five parameters through nine points of the shipped study."""
    runs: pd.DataFrame = bs.load_dataset("nine-runs")
    law = bs.Chinchilla(reference=(("params", 5e8), ("tokens", 1e10)))
    x = {name: runs[name].to_numpy(float) for name in law.inputs}
    names = [p.name for p in law.params]

    def residual(logs):
        return law(dict(zip(names, np.exp(logs), strict=True)), x) - runs["loss"].to_numpy(float)

    start = np.log([1.5, 0.5, 0.5, 0.1, 0.1])
    found = least_squares(residual, start, xtol=1e-15, ftol=1e-15, gtol=1e-15, max_nfev=10_000)
    theta = dict(zip(names, np.exp(found.x), strict=True))
    assert theta["E"] == pytest.approx(1.096, abs=6e-4)
    assert theta["alpha"] == pytest.approx(0.0703, abs=6e-5)
    assert theta["beta"] == pytest.approx(0.0980, abs=6e-5)
    ahead = law(theta, {"params": 70e9, "tokens": 1.4e12})
    assert ahead == pytest.approx(2.088, abs=6e-4)
    assert np.sqrt(np.mean(found.fun**2)) < 1e-4
