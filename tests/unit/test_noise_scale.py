"""The gradient noise scale: recovered from gradients, one-sided where they are, and put to use.

Statistical tests say how often a right answer fails them; seeds are fixed, so a pass stays one.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.stats as st

import bayes_scaling as bs
from bayes_scaling.errors import SpecError
from bayes_scaling.param import Prior

DRAWS = ("chain", "draw")
B_SIMPLE = 1e6
MODEL = bs.ScalingModel(bs.NoiseScale(), bs.Gamma())
BAND = st.binom(100, 0.9).interval(1 - 0.005)
COLUMNS = ("batch_size_tokens", "grad_norm_sq")


def gradients(seed, batches, repeats=8, dim=40):
    """Squared norms of noisy gradients: ``g_B = G + noise / sqrt(B)``, its covariance uneven."""
    rng = np.random.default_rng(seed)
    signal, spread = rng.normal(size=dim), np.geomspace(1.0, 0.1, dim)
    spread *= B_SIMPLE * (signal @ signal) / spread.sum()  # tr(Sigma) = B_simple |G|^2
    batch = np.repeat(batches, repeats)
    g = signal + np.sqrt(spread / batch[:, None]) * rng.normal(size=(len(batch), dim))
    return read(batch, np.sum(g**2, axis=1))


def norms(seed, batches, repeats=8, b_simple=B_SIMPLE, shape=10.0):
    """Squared norms straight from the model."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(batches, repeats)
    return read(batch, 3 * (1 + b_simple / batch) * rng.gamma(shape, 1 / shape, len(batch)))


def read(batch, norm):
    table = pd.DataFrame(dict(zip(COLUMNS, (batch, norm), strict=True)))
    return bs.read_runs(table, require=COLUMNS)


def plug_in(runs):
    """The textbook ratio of two differences, from the smallest and the largest batch size."""
    mean = runs.groupby("batch_size_tokens")["grad_norm_sq"].mean()
    (small, at_small), *_, (big, at_big) = mean.items()
    signal = (big * at_big - small * at_small) / (big - small)
    return (at_small - at_big) / (1 / small - 1 / big) / signal


def covered(found, truth):
    low, high = found["B_simple"].quantile([0.05, 0.95], DRAWS)
    return int(((low < truth) & (truth < high)).sum())


def test_the_law_is_signal_plus_noise_over_batch():
    law = bs.NoiseScale(reference=(("batch_size_tokens", 3e5),))
    batch = np.geomspace(1.0, 1e12, 25)
    theta = law.from_paper({"G_sq": 0.3, "B_simple": 1e6})
    expected = 0.3 + 0.3 * 1e6 / batch
    np.testing.assert_allclose(law(theta, {"batch_size_tokens": batch}), expected, rtol=1e-12)


def test_a_gamma_scatters_about_its_mean():
    """Five standard errors of 40,000 draws: a false alarm in 2e6 runs."""
    drawn = bs.Gamma().draw(np.random.default_rng(0), np.full(40_000, 7.0), {"shape": 4.0}, {})
    assert drawn.mean() == pytest.approx(7.0, abs=5 * 3.5 / 200)
    assert drawn.std() == pytest.approx(3.5, rel=0.05)


@pytest.mark.parametrize("simulate", [gradients, norms])
def test_noise_scales_are_covered(simulate):
    """A 90 % interval covers Binomial(100, 0.9) of 100 tables; a right one leaves the band once in
    200 seeds.
    """
    tables = [simulate(seed, (2e4, 2e5, 2e6, 2e7)) for seed in range(100)]
    found = bs.fit_many(MODEL, tables, draws=500)
    assert BAND[0] <= covered(found, B_SIMPLE) <= BAND[1]
    middle = np.log(found["B_simple"].median(DRAWS) / B_SIMPLE)
    assert float(np.sqrt((middle**2).mean())) < 0.25


def test_where_the_ratio_is_negative_ours_is_not():
    """Batch sizes of a fiftieth and a sixth of B_simple: the signal is a difference of noises."""
    tables = [norms(seed, (2e4, 1.6e5)) for seed in range(100)]
    ratios = np.array([plug_in(runs) for runs in tables])
    assert np.sum(ratios < 0) >= 5
    off = np.abs(np.log(np.abs(ratios) / B_SIMPLE))
    found = bs.fit_many(MODEL, tables, draws=500)
    assert BAND[0] <= covered(found, B_SIMPLE) <= 100  # the prior helps: more is no fault
    assert bool((found["B_simple"] > 0).all())
    ours = np.abs(np.log(found["B_simple"].median(DRAWS) / B_SIMPLE))
    assert float(ours.max()) < off.max()
    assert float(np.sqrt((ours**2).mean())) < np.sqrt(np.mean(off**2))


@pytest.mark.parametrize(("b_simple", "above"), [(1e9, True), (1e3, False)])
def test_batches_on_one_side_leave_the_other_side_open(b_simple, above):
    """One end of the 90 % interval is near the data's, the other most of the prior's way out."""
    batches = (2e4, 2e5)
    fit = bs.fit(MODEL, norms(0, batches, repeats=16, b_simple=b_simple), seed=0)
    low, high = np.log(fit["posterior"]["B_simple"].quantile([0.05, 0.95]).values)
    edge = np.log(batches[1] if above else batches[0])
    near, far = (low, high) if above else (high, low)
    sign = 1 if above else -1
    assert sign * (far - edge) > 2.0  # e-folds beyond the last batch that was tried
    assert (high - low) > 1.5
    assert -1.5 < sign * (near - edge) < sign * (np.log(b_simple) - edge)


@pytest.fixture(scope="module")
def measured():
    return bs.fit(MODEL, norms(3, (2e4, 2e5, 2e6, 2e7)), seed=0)


@pytest.fixture(scope="module")
def sweep():
    """Steps at batch sizes a fiftieth of the critical one and less: they know E_min alone."""
    batch = np.geomspace(2e3, 2e4, 8)
    steps = 5000 * (1 + B_SIMPLE / batch) * np.exp(0.05 * np.random.default_rng(0).normal(size=8))
    table = pd.DataFrame({"batch_size_tokens": batch, "steps": np.round(steps)})
    return bs.read_runs(table, require=("batch_size_tokens", "steps"))


def test_what_it_gives(measured):
    found = bs.noise_scale(measured)
    np.testing.assert_allclose(found["trace"], found["signal"] * found["b_simple"])
    np.testing.assert_allclose(found["b_simple"], measured["posterior"]["B_simple"])
    low, high = found["signal"].quantile([0.005, 0.995])
    assert low < 3.0 < high
    assert found["b_simple"].attrs["units"] == "tokens"
    assert found.attrs["trust"] == "trusted"


def exactly(b_crit, draws=2000):
    """A "fit" that knows the critical batch size to a hundredth."""
    law = bs.CriticalBatch(reference=(("batch_size_tokens", b_crit),))
    priors = {"b_crit": Prior.of("LogNormal", median=1.0, sigma=0.01),
              "s0": Prior.of("Fixed", value=1e4)}  # fmt: skip
    return bs.sample_prior(bs.ScalingModel(law, bs.Normal(), priors=priors), draws=draws)


def test_how_far_the_critical_batch_is_from_it(measured):
    alone = measured["posterior"]["B_simple"].values.ravel()
    for b_crit in (1e6, 2.2e6, 1e7):
        beside = bs.critical_batch(exactly(b_crit))
        found = bs.noise_scale(measured, beside=beside)
        expected = np.mean(np.abs(np.log(b_crit / alone)) < np.log(2))
        assert float(found["within"].mean()) == pytest.approx(expected, abs=0.02)
        assert float(found["ratio"].median()) == pytest.approx(b_crit / np.median(alone), rel=0.03)
    wider = bs.noise_scale(measured, beside=beside, factor=30)
    assert float(wider["within"].mean()) > 0.99


def test_the_pairs_are_of_independent_draws(measured):
    """Two fits' draws may share an order; their correlation is 0 to five standard errors."""
    same = bs.noise_scale(measured)["b_simple"].rename("b_crit").to_dataset()
    found = bs.noise_scale(measured, beside=same.expand_dims("point"))
    other = found["ratio"].squeeze("point") * found["b_simple"]
    count = found["b_simple"].size
    r = np.corrcoef(np.log(other).values.ravel(), np.log(found["b_simple"]).values.ravel())[0, 1]
    assert abs(r) < 5 / np.sqrt(count)
    np.testing.assert_allclose(
        np.sort(other.values.ravel()), np.sort(same["b_crit"].values.ravel())
    )


def test_a_measured_noise_scale_is_a_prior_of_the_critical_batch(measured):
    law = bs.CriticalBatch(reference=(("batch_size_tokens", 5e4),))
    logs = np.log(measured["posterior"]["B_simple"].values)
    for discrepancy in (1.5, 3.0):
        prior = dict(bs.batch_prior(measured, law, discrepancy=discrepancy).args)
        assert prior["median"] == pytest.approx(np.exp(np.median(logs)) / 5e4)
        assert prior["sigma"] == pytest.approx(np.hypot(logs.std(), np.log(discrepancy)), rel=0.05)
    by_hand = dict(bs.batch_prior((2e6, 4.0), law, discrepancy=1.0).args)
    assert by_hand["median"] == pytest.approx(40.0)
    reach = st.norm(np.log(2e6), by_hand["sigma"]).ppf([0.05, 0.95])
    np.testing.assert_allclose(np.exp(reach), [5e5, 8e6])


def test_it_says_what_a_one_sided_sweep_cannot(measured, sweep):
    """Such a sweep bounds B_crit from below and leaves the rest to its prior."""
    law = bs.laws.bind(bs.CriticalBatch(), {"batch_size_tokens": sweep["batch_size_tokens"]})
    off = {}
    for name, priors in (("alone", {}), ("with", {"b_crit": bs.batch_prior(measured, law)})):
        fit = bs.fit(bs.ScalingModel(law, bs.Normal(), priors=priors), sweep, seed=0)
        b_crit = bs.critical_batch(fit)["b_crit"]
        low, middle, high = np.log(b_crit.quantile([0.05, 0.5, 0.95]).values / B_SIMPLE)
        off[name] = abs(middle)
    assert off["alone"] > np.log(4)
    assert off["with"] < 0.7 * off["alone"]
    assert low < 0 < high
    assert high - low > 1.0  # the discrepancy stays: B_simple is not B_crit


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: bs.noise_scale(f, factor=1.0), "factor: a number above one"),
        (lambda f: bs.noise_scale(f, beside=bs.noise_scale(f)), "what critical_batch"),
        (lambda _: bs.noise_scale(bs.load_posterior("chinchilla")), "knows no gradient noise"),
        (lambda f: bs.critical_batch(f), "knows no batch size"),
        (lambda f: bs.batch_prior(f, bs.CriticalBatch()), "no reference sizes yet"),
        (lambda f: bs.batch_prior(f, exact_law(), discrepancy=0.5), "discrepancy: a factor"),
        (lambda _: bs.batch_prior((-1.0, 2.0), exact_law()), "measured: a fit of NoiseScale"),
        (lambda _: bs.batch_prior((1e6, 0.5), exact_law()), "measured: a fit of NoiseScale"),
    ],
)
def test_what_cannot_be_answered_is_said(measured, call, said):
    with pytest.raises(SpecError, match=said):
        call(measured)


def exact_law():
    return bs.CriticalBatch(reference=(("batch_size_tokens", 1e6),))
