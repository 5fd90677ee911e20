"""Do intervals contain the truth as often as they say?

A 90 % interval that is right covers Binomial(300, 0.9) of 300 tables: mean 270, sd 5.2. A right
one leaves the band once in 200 choices of seeds per quantity, so at most once in 22 for nine of
them; the seeds are fixed here. Intervals too short by a sixth (250 expected) are found three times
in four, per quantity.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.inference import sample
from bayes_scaling.param import Prior
from bayes_scaling.program import prepare

TABLES = 300
BAND = st.binom(TABLES, 0.9).interval(1 - 0.005)
HOFFMANN = {"E": 1.6934, "A": 406.4, "B": 410.7, "alpha": 0.33917, "beta": 0.28491}
REFERENCE = (("params", 1e9), ("tokens", 2e10))
LAW = bs.Chinchilla(reference=REFERENCE)


def with_derived(theta):
    """Add what decisions are made of: the exponent of the optimum, and a loss far ahead."""
    ahead = LAW(theta, {"params": 70e9, "tokens": 1.4e12})
    return {**theta, "a": theta["beta"] / (theta["alpha"] + theta["beta"]), "ahead": ahead}


def coverage(model, tables, method="laplace"):
    """Count over tables how often the middle 90 % of each quantity's draws holds its truth."""
    hits = []
    for seed, (runs, truth) in enumerate(tables):
        ready = prepare(model, runs)
        got = sample(ready.program, ready.data, method=method, seed=seed)
        draws = with_derived({k: got.values[k].ravel() for k in truth})
        below = {k: np.mean(draws[k] < v) for k, v in with_derived(truth).items()}
        hits.append({k: 0.05 <= share <= 0.95 for k, share in below.items()})
    return pd.DataFrame(hits).sum().to_dict()


def outside(counts, names):
    return {k: n for k, n in counts.items() if k in names and not BAND[0] <= n <= BAND[1]}


def measured(design, theta, seed):
    """Measure the runs of a design anew, with scatter of the default observation model."""
    rng = np.random.default_rng([seed, 77])
    x = {k: design[k].to_numpy(float) for k in ("params", "tokens")}
    scatter = theta["sigma"] * rng.standard_t(theta["nu"], len(design))
    return design.assign(loss=LAW(theta, x) * np.exp(scatter)), theta


@pytest.mark.slow
@pytest.mark.parametrize("paper", ["Besiroglu", "Hoffmann"])
def test_published_laws_are_recovered_under_the_default_priors(paper, ladder, truth):
    """One truth three hundred times: priors that were wrong about published laws would show here.

    sigma and nu are left out: a t with 4 degrees of freedom is far out in the prior of nu (mean
    21), which 96 runs do not overrule, and sigma goes along with nu: they cover about 80 and 63 of
    a hundred times. The law's own parameters, which decisions are made of, do not mind.
    """
    at_reference = LAW.from_paper(truth if paper == "Besiroglu" else HOFFMANN)
    theta = {k: float(v) for k, v in at_reference.items()} | {"sigma": 0.005, "nu": 4.0}
    tables = [measured(ladder(0), theta, seed) for seed in range(TABLES)]
    counts = coverage(bs.ScalingModel(LAW), tables)
    assert not outside(counts, {"E", "a0", "b0", "alpha", "beta", "a", "ahead"}), counts


# A prior that does not look at the table, so that truths can be drawn before there is one. Then
# coverage is exact for any right sampler, over all parameters: what is tested is the engine.
KNOWING = {
    "E": Prior.of("LogNormal", median=1.7, sigma=0.1),
    "a0": Prior.of("LogNormal", median=0.4, sigma=0.3),
    "b0": Prior.of("LogNormal", median=0.4, sigma=0.3),
    "alpha": Prior.of("LogNormal", median=0.33, sigma=0.15),
    "beta": Prior.of("LogNormal", median=0.33, sigma=0.15),
    "sigma": Prior.of("LogNormal", median=0.006, sigma=0.4),
    "nu": Prior.of("Gamma", shape=4, rate=0.8, plus=1.0),
}
VAGUE = {
    "E": Prior.of("LogNormal", median=1.7, sigma=0.2),
    "a0": Prior.of("LogNormal", median=0.4, sigma=0.5),
    "b0": Prior.of("LogNormal", median=0.4, sigma=0.5),
}


def from_prior(priors, design, seed):
    model = bs.ScalingModel(LAW, priors=priors)
    drawn = bs.sample_prior(model, draws=TABLES, seed=seed).posterior.isel(chain=0)
    names = [p.name for p in model.params]
    truths = [{n: float(drawn[n][i]) for n in names} for i in range(TABLES)]
    return model, [measured(design, theta, i) for i, theta in enumerate(truths)]


@pytest.mark.slow
def test_truths_from_the_prior_are_covered(ladder):
    model, tables = from_prior(KNOWING, ladder(0), seed=5)
    counts = coverage(model, tables)
    assert len(counts) == 9
    assert not outside(counts, counts), counts


@pytest.mark.slow
def test_truths_from_a_vague_prior_are_covered(ladder):
    """Tables with scatter up to 5 % that hardly identify the floor: auto has to know its limits."""
    model, tables = from_prior(VAGUE, ladder(0), seed=5)
    counts = coverage(model, tables, method="auto")
    assert not outside(counts, counts), counts
