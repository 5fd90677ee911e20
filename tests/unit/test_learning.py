"""Learning curves at a constant rate: the prior, points of one run, sizes together, saturation."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.model import model_for, model_from_dict, model_to_dict
from bayes_scaling.results import model_of
from tests.unit.test_laws import theta_of

DRAWS = ("chain", "draw")
LAW = bs.PowerLaw("tokens", curve=True)
TOKENS = np.geomspace(5e8, 2e10, 24)
FLOORS = {"70M": 3.1, "160M": 2.8, "410M": 2.5}
AR = 0.9  # correlation of the residuals of neighbours


def curve(floor, alpha, rng, sigma=0.004, a0=0.6):
    """Checkpoints whose residuals remember the one before."""
    z = rng.normal(size=len(TOKENS))
    for i in range(1, len(z)):
        z[i] = AR * z[i - 1] + np.sqrt(1 - AR**2) * z[i]
    return (floor + a0 * (TOKENS / 3e9) ** -alpha) * np.exp(sigma * z)


def one_run(seed):
    table = {"run": "one", "tokens": TOKENS, "loss": curve(2.5, 0.5, np.random.default_rng(seed))}
    return bs.read_runs(pd.DataFrame(table), require=("tokens", "loss"))


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"run": name, "size": name, "tokens": TOKENS, "loss": curve(floor, 0.45, rng)})
        for name, floor in FLOORS.items()
    ]
    return bs.read_runs(pd.concat(parts), require=("tokens", "loss"))


@pytest.fixture(scope="module")
def fit(runs):
    pooling = bs.Pooling("size", (("alpha", "partial"),))
    return bs.fit(bs.ScalingModel(LAW, bs.Clustered(), pooling=pooling), runs, seed=0)


def test_what_the_prior_says_is_left_of_a_run():
    """The catalogue: from 30 to 100 % of a run 0.27, 0.55, 0.76 of the reducible loss stays.

    Of 40,000 draws the ends err by 1 %; a false alarm needs five times that.
    """
    alpha = theta_of(bs.PowerLaw("tokens", curve=True), 40_000)["alpha"]
    left = np.quantile(0.3**alpha, [0.025, 0.5, 0.975])
    np.testing.assert_allclose(left, [0.27, 0.55, 0.76], rtol=0.05)
    slower = theta_of(bs.PowerLaw("tokens"), 40_000)["alpha"]
    assert np.median(0.3**slower) > 0.65  # as losses fall from run to run


def test_the_usual_model_remembers_along_the_run():
    model = model_for(bs.PowerLaw("steps", curve=True))
    assert model.observation == bs.Clustered(by="run", along="steps")
    assert model_for(bs.PowerLaw("steps")).observation == bs.StudentT()
    spec = model_to_dict(model)
    assert spec["law"] == {"name": "power_law", "of": "steps", "curve": True}
    assert model_from_dict(spec).law == model.law


@pytest.mark.parametrize("choices", [{"of": "flops"}, {"of": "tokens", "floor": False}])
def test_curves_that_are_none(choices):
    with pytest.raises(SpecError, match="a learning curve is along tokens or steps"):
        bs.PowerLaw(**choices, curve=True)


@pytest.mark.slow
def test_sizes_lend_each_other_their_exponent(fit):
    for name, floor in FLOORS.items():
        level = bs.saturation(fit, group=name)
        low, high = level.loss.quantile([0.0005, 0.9995])
        assert low < floor < high, name
        last = floor + 0.6 * (TOKENS[-1] / 3e9) ** -0.45
        low, high = level.left.quantile([0.0005, 0.9995])
        assert low < last - floor < high, name
    assert level.left.attrs["units"] == "nat/token"
    assert level.attrs["tokens"] == TOKENS[-1]
    with pytest.raises(SpecError, match="leave `params` out"):
        bs.saturation(fit, 1e8)


@pytest.mark.slow
def test_what_more_tokens_buy(fit):
    need = bs.size_to_reach(fit, [2.6, 2.0], group="410M")
    assert need.reachable.values[0] > 0.9
    assert need.reachable.values[1] < 0.1


def test_a_floor_borrowed_from_many_sizes():
    """What the joint law says of a size is the prior; a short run alone knows it worse."""
    joint = bs.load_posterior("chinchilla")
    borrowed = bs.saturation_prior(joint, 1e9)
    drawn = bs.saturation(joint, 1e9).loss
    low, high = drawn.quantile([0.05, 0.95])
    ends = st.lognorm(dict(borrowed.args)["sigma"], scale=dict(borrowed.args)["median"])
    np.testing.assert_allclose(ends.ppf([0.05, 0.95]), [low, high], rtol=0.01)
    model = bs.ScalingModel(LAW, bs.Clustered(), priors={"E": borrowed})
    assert model.prior("E").times == ""
    with pytest.raises(SpecError, match="params: the size of the run"):
        bs.saturation_prior(joint, -1)


@pytest.mark.slow
def test_single_curves_are_calibrated():
    """Of 60 curves whose truths the prior draws: a right law fails once in a hundred seeds."""
    found = bs.calibrate(bs.ScalingModel(LAW, bs.Clustered()), one_run(0), 60, false_alarm=0.01)
    assert found.passed.all(), found.p_value.to_series()


@pytest.mark.slow
def test_intervals_of_single_curves():
    """Of 60 runs 90 % intervals of the loss at three times the tokens cover Binomial(60, 0.9).

    Right ones leave that band once in 100. They do not where one curve, which remembers itself over
    two fifths of its length, has to say how much it scatters: its own curvature takes up part of
    that, and intervals of the usual model are too short, as `Clustered` says they are. Points read
    as runs of their own are surer yet.
    """
    tables, ahead = [one_run(s) for s in range(60)], {"tokens": 3 * TOKENS[-1]}
    truth = 2.5 + 0.6 * (ahead["tokens"] / 3e9) ** -0.5
    known = {
        "sigma": bs.Prior.of("LogNormal", median=0.004, sigma=0.05),
        "shared": bs.Prior.of("Beta", a=80.0, b=1.0),
        "span": bs.Prior.of("LogNormal", median=1.5, sigma=0.05),
    }
    models = {
        "known": bs.ScalingModel(LAW, bs.Clustered(), priors=known),
        "clustered": bs.ScalingModel(LAW, bs.Clustered()),
        "student_t": bs.ScalingModel(LAW, bs.StudentT()),
    }
    covered = {}
    for name, model in models.items():
        found = bs.fit_many(model, tables, draws=500)
        theta = {k: found[k] for k in ("E", "a0", "alpha")}
        loss = model_of(bs.one_of(found, 0)).law(theta, ahead)
        low, high = loss.quantile([0.05, 0.95], DRAWS)
        covered[name] = int(((low < truth) & (truth < high)).sum())
    least, _ = st.binom(60, 0.9).interval(1 - 0.01)
    assert covered["student_t"] < covered["clustered"] < least <= covered["known"]
