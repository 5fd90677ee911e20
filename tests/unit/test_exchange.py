"""Size against samples at inference: the law, bins of difficulty, exchange rates, the frontier."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.model import model_for
from tests.unit.test_laws import theta_of

REFERENCE = (("params", 1e9), ("samples", 1.0))
TRUTH = {  # of three bins: share solved at 4e9 with one sample, gains in size and samples
    "easy": (0.7, 0.5, 0.6),
    "medium": (0.3, 0.45, 0.4),
    "hard": (0.05, 0.5, 0.2),
}


def known(**theta):
    held = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 50.0} | theta
    priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    law = bs.TestTime(reference=REFERENCE)
    return bs.sample_prior(bs.ScalingModel(law, bs.Attempts("bin"), priors), draws=2)


@pytest.fixture(scope="module")
def fit():
    """A simulated study: no public table crosses sizes with samples."""
    rng, rows = np.random.default_rng(0), []
    for bin_, (acc, lam, mu) in TRUTH.items():
        for n in (1e9, 4e9, 16e9):
            for k in (1, 4, 16, 64):
                z = np.log(acc / (1 - acc)) + lam * np.log(n / 4e9) + mu * np.log(k)
                p = rng.beta(80 / (1 + np.exp(-z)), 80 / (1 + np.exp(z)))
                rows.append((bin_, n, k, 200, rng.binomial(200, p)))
    table = pd.DataFrame(rows, columns=["difficulty", "params", "samples", "attempts", "solved"])
    pooling = bs.Pooling("difficulty", (("acc", "free"),))
    return bs.fit(bs.ScalingModel(bs.TestTime(), bs.Attempts("bin"), pooling=pooling), table)


def test_one_sample_has_no_term():
    law = bs.TestTime(reference=REFERENCE)
    theta = theta_of(law, 50)
    one = law(theta, {"params": 1e9, "samples": 1.0})
    np.testing.assert_allclose(one, theta["acc"], rtol=1e-12)
    more = law(theta, {"params": 1e9, "samples": 8.0})
    assert np.all(more > one)
    # An e-fold of samples is worth mu / lam of size.
    size = 1e9 * 8 ** (theta["mu"] / theta["lam"])
    np.testing.assert_allclose(law(theta, {"params": size, "samples": 1.0}), more, rtol=1e-9)


def test_what_the_prior_says_of_sixteen_samples():
    """The catalogue: 0.3 becomes 0.3 to 0.9. Of 40,000 draws ends err by 0.002; five times that."""
    mu = theta_of(bs.TestTime(reference=REFERENCE), 40_000)["mu"]
    law = bs.TestTime(reference=REFERENCE)
    theta = {"acc": 0.3, "lam": 0.3, "mu": mu}
    got = np.quantile(law(theta, {"params": 1e9, "samples": 16.0}), [0.025, 0.975])
    ends = np.log(0.3 / 0.7) + 0.3 * np.exp(np.array([-1, 1]) * 1.96 * 0.7) * np.log(16)
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-ends)), atol=0.01)
    np.testing.assert_allclose(got, [0.3, 0.9], atol=0.05)


def test_counts_of_a_bin_are_beta_binomial():
    """Whatever the samples, which the law has counted already."""
    import jax

    model = model_for(bs.TestTime(reference=REFERENCE))
    assert model.observation == bs.Attempts("bin")
    theta = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 40.0}
    x = {"params": np.array([1e9, 4e9]), "samples": np.array([16.0, 1.0]),
         "attempts": np.array([100.0, 50.0])}  # fmt: skip
    s = model.law(theta, x)
    with jax.enable_x64(True):
        got = np.asarray(model.distribution(theta, x).log_prob(np.array([0.4, 0.6])))
    expected = st.betabinom([100, 50], 40 * s, 40 * (1 - s)).logpmf([40, 30])
    np.testing.assert_allclose(got, expected, rtol=1e-9)
    many = {k: np.full((4000, 1), v) for k, v in theta.items()}
    drawn = model.draw(np.random.default_rng(0), many, x)
    spread = np.sqrt(st.betabinom([100, 50], 40 * s, 40 * (1 - s)).var()) / [100, 50]
    np.testing.assert_allclose(drawn.mean(axis=0), s, atol=5 * spread.max() / np.sqrt(4000))
    np.testing.assert_allclose(drawn.std(axis=0), spread, rtol=0.08)


def test_bins_are_recovered(fit):
    """99.9 % intervals of every bin hold the truth."""
    found = bs.exchange_rate(fit, small=1e9, large=8e9, samples=[4, 64])
    assert found.group.values.tolist() == ["easy", "hard", "medium"]
    for bin_, (_, lam, mu) in TRUTH.items():
        low, high = found.rate.sel(group=bin_).quantile([0.0005, 0.9995])
        assert low < mu / lam < high, bin_
    assert found.rate.sel(group="easy").median() > found.rate.sel(group="hard").median()
    assert np.all(found.holds.sel(k=64).values >= found.holds.sel(k=4).values)
    assert float(found.holds.sel(k=64, group="easy")) > 0.9
    assert float(found.holds.sel(k=4, group="hard")) < 0.1


def test_what_samples_are_worth():
    found = bs.exchange_rate(known(), small=1e9, large=4e9, samples=[15, 17])
    np.testing.assert_allclose(found.rate, 0.5)
    np.testing.assert_allclose(found.needed, 16.0, rtol=1e-9)
    assert found.holds.values.tolist() == [[0.0, 1.0]]
    assert "needed" not in bs.exchange_rate(known())
    with pytest.raises(SpecError, match="two sizes, small and large"):
        bs.exchange_rate(known(), small=1e9)
    with pytest.raises(SpecError, match="small is to be smaller"):
        bs.exchange_rate(known(), small=4e9, large=1e9)
    with pytest.raises(SpecError, match="knows no samples at a size"):
        bs.exchange_rate(bs.load_posterior("chinchilla"))


def test_the_frontier_at_equal_compute():
    """A query costs 2 N (prompt + k tokens): 16 samples of 512 tokens at 8e9 are 1.31e14 FLOP."""
    flops = bs.sample_flops(8e9, 512, 16)
    found = bs.sampling_frontier(known(), [flops, 1e12], [8e9, 32e9], tokens=512)
    assert found.samples.values.tolist() == [[16, 4], [0, 0]]
    law = bs.TestTime(reference=REFERENCE)
    theta = {"acc": 0.3, "lam": 0.6, "mu": 0.3}
    expected = law(theta, {"params": np.array([8e9, 32e9]), "samples": np.array([16.0, 4.0])})
    np.testing.assert_allclose(found.success.values[0, 0, 0], [expected, [0, 0]])
    assert found.best.values[0].tolist() == [[0, 1], [0, 0]]
    read = bs.sampling_frontier(known(), flops, [8e9], tokens=512, prompt=512)
    assert read.samples.values.tolist() == [[15]]
    other = bs.sampling_frontier(known(mu=0.9), flops, [8e9, 32e9], tokens=512)
    assert other.best.values.tolist() == [[[1, 0]]]
    assert "8e+09 parameters with 16 samples" in other.attrs["verdict"]


def test_the_frontier_has_a_row_for_every_bin(fit):
    found = bs.sampling_frontier(fit, 1e14, [1e9, 4e9, 16e9], tokens=512)
    assert found.success.dims == ("chain", "draw", "group", "budget", "size")
    np.testing.assert_allclose(found.best.sum("size"), 1.0)
    assert found.attrs["verdict"].count("samples, probability") == 3


def test_samples_are_a_demand_like_any_other():
    """A served token of a small model with samples costs as the frontier says."""
    demand = bs.ServingDemand(1e12, prompt=2.0, candidates=16)
    per_token = bs.sample_flops(8e9, 1.0, 16) + bs.sample_flops(8e9, 2.0)
    assert 2 * 8e9 * demand.multiple == pytest.approx(per_token)
