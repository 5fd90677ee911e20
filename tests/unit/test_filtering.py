"""Pools that are repeated, and asymptotes of fixed data: formulas, limits, recovery, the choice."""

from dataclasses import replace

import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling import priors
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Asymptote, Filtering

LAW = Filtering(reference=(("tokens", 1e9), ("unique_tokens", 1e9)))
THETA = {"E": 0.2, "a0": 0.6, "b": 0.2, "tau": 4.0}
SHARED = (("E", "shared"), ("a0", "shared"), ("b", "free"), ("tau", "free"))


def paper(n, passes, theta):
    """The printed formula, after whole passes over a pool of n samples."""
    delta, a = 2 ** (-1 / theta["tau"]), theta["a0"] * 1e9**0.15
    left = a * n ** -theta["b"]
    for j in range(2, passes + 1):
        left *= (j / (j - 1)) ** (-theta["b"] * delta ** (j - 1))
    return theta["E"] + left


@pytest.mark.parametrize("passes", [1, 2, 3, 10, 100])
def test_whole_passes_are_the_printed_formula(passes):
    for n in (1e8, 3e9):
        got = LAW(THETA, {"tokens": n * passes, "unique_tokens": n})
        assert got == pytest.approx(paper(n, passes, THETA), rel=1e-12)


def test_a_pass_under_way_lies_between_and_moves_without_a_jump():
    passes = np.linspace(0.5, 6, 200)
    loss = LAW(THETA, {"tokens": 1e9 * passes, "unique_tokens": 1e9})
    assert np.all(np.diff(loss) < 0)
    assert np.abs(np.diff(loss, 2)).max() < 2e-3


def test_without_decay_samples_are_samples():
    endless = {**THETA, "tau": 1e9}
    x = {"tokens": np.array([5e8, 4e9, 6e10]), "unique_tokens": 1e9}
    expected = 0.2 + 0.6 * 1e9**0.15 * x["tokens"] ** -0.2
    np.testing.assert_allclose(LAW(endless, x), expected, rtol=1e-7)
    gone, x = {**THETA, "tau": 1e-2}, {"tokens": 6e10, "unique_tokens": 1e9}
    assert LAW(gone, x) == pytest.approx(LAW(THETA, {**x, "tokens": 1e9}), rel=1e-12)


def test_merging_a_pool_with_its_like_is_a_pool_twice_as_large_that_decays_half_as_fast():
    x = {"tokens": np.array([1e9, 8e9, 5e10]), "unique_tokens": 2e9}
    slower = {**THETA, "tau": 8.0}
    np.testing.assert_allclose(LAW.merged([THETA, THETA], x), LAW(slower, x), rtol=1e-12)
    assert LAW.merged([THETA], x) == pytest.approx(LAW(THETA, x))


def test_what_the_prior_says_of_merging_two_pools():
    """The catalogue: P(the merged pool beats the best one) 0, 0.15, 0.29, 0.43, 0.49.

    At 1, 4, 10, 30 and 100 passes over the best of two ordered pools, of fifty times the samples at
    which they are worth the same; of 4,000 draws, so that five standard errors are 0.04.
    """
    rng, count = np.random.default_rng(0), 4000
    prior = {p.name: p.prior for p in LAW.params}
    drawn = {
        name: priors.draw(prior[name], priors.values(prior[name], {}), rng, (2, count))[0]
        for name in ("b", "tau")
    }
    drawn["b"] = -np.sort(-drawn["b"], axis=0)  # the better pool first
    best, other = (
        {"E": 0.2, "a0": 0.6, "b": drawn["b"][i][:, None], "tau": drawn["tau"][i][:, None]}
        for i in (0, 1)
    )
    law, seen = replace(LAW, origin=2e7), 1e9 * np.array([1.0, 4.0, 10.0, 30.0, 100.0])
    alone = law(best, {"tokens": seen, "unique_tokens": 1e9})
    both = law.merged([best, other], {"tokens": seen, "unique_tokens": 2e9})
    np.testing.assert_allclose((both < alone).mean(0), [0, 0.15, 0.29, 0.43, 0.49], atol=0.04)


TRUTH = {"best": (0.22, 1.0), "middle": (0.20, 8.0), "rest": (0.10, 10.0)}  # b and tau
SEEN = np.array([6e8, 1.2e10, 6e10, 6e11])  # of pools of 1e9: whole passes over one, two and three


def merged(keep, seen):
    """The printed formula of merged pools: half-lives are `keep` times as long."""
    pools = list(TRUTH.values())[:keep]
    size, log_left = min(seen, keep * 1e9), np.log(0.6 * 1e9**0.15)
    for j in range(1, max(1, round(seen / size)) + 1):
        ratio = size if j == 1 else j / (j - 1)
        slope = np.mean([b * 2 ** (-(j - 1) / (keep * tau)) for b, tau in pools])
        log_left -= slope * np.log(ratio)
    return 0.2 + np.exp(log_left)


@pytest.fixture(scope="module")
def fit():
    """Return a fit of three pools: the best decays fastest."""
    rng, rows = (
        np.random.default_rng(1),
        {"pool": [], "tokens": [], "unique_tokens": [], "loss": []},
    )
    for pool, (b, tau) in TRUTH.items():
        for n in (1e8, 1e9):
            for passes in (1, 2, 4, 8, 16, 32):
                theta = {**THETA, "b": b, "tau": tau}
                loss = LAW(theta, {"tokens": n * passes, "unique_tokens": n})
                values = (pool, n * passes, n, loss * np.exp(0.003 * rng.normal()))
                for column, value in zip(rows, values, strict=True):
                    rows[column].append(value)
    runs = bs.read_runs(rows, require=("tokens", "unique_tokens", "loss"))
    model = bs.ScalingModel(Filtering(), bs.Normal(), pooling=bs.Pooling("pool", SHARED))
    return bs.fit(model, runs, seed=0)


def test_quality_and_half_life_of_every_pool_are_recovered(fit):
    """Six 99.5 % intervals; a right one misses one time in two hundred, and the seed is fixed."""
    for pool, (b, tau) in TRUTH.items():
        for name, truth in (("b_group", b), ("tau_group", tau)):
            drawn = fit.posterior[name].sel(pool=pool)
            low, high = drawn.quantile([0.0025, 0.9975]).values
            assert low < truth < high, (pool, name)
            assert high / low < 3, (pool, name)


def test_the_filter_loosens_with_compute(fit):
    """The best pool alone before it is repeated, then two, by 12 posterior sds; never three."""
    found = bs.best_pool(fit, SEEN, unique=1e9)
    assert found.pools.values.tolist() == ["best", "best + middle", "best + middle + rest"]
    truth = np.array([[merged(k, seen) for seen in SEEN] for k in (1, 2, 3)])
    margin = np.diff(np.sort(truth, axis=0), axis=0)[0]
    assert np.all(margin > 12 * found.excess.std(("chain", "draw")).max("keep"))
    assert found.choice.values.tolist() == (truth.argmin(0) + 1).tolist() == [1, 2, 2, 2]
    np.testing.assert_allclose(found.p_best.sum("keep"), 1.0)
    assert np.all(found.excess >= 0)
    assert np.isinf(found.switch.sel(keep=1)).all()
    assert found.attrs["verdict"].startswith("from 600M samples keep best (best with ")


def test_merged_pools_are_worth_what_the_printed_formula_says(fit):
    """Twelve losses within eight posterior sds; half-lives left as they are would be off by 30."""
    found = bs.best_pool(fit, SEEN, unique=1e9).loss
    truth = np.array([[merged(k, seen) for seen in SEEN] for k in (1, 2, 3)])
    off = (found.mean(("chain", "draw")) - truth) / found.std(("chain", "draw"))
    assert np.abs(off).max() < 8


def test_one_pool_or_another_law_is_refused(fit):
    with pytest.raises(SpecError, match="pools are groups of a fit of Filtering"):
        bs.best_pool(bs.load_posterior("chinchilla"), 1e10, unique=1e9)
    with pytest.raises(SpecError, match="positive samples of one pool"):
        bs.best_pool(fit, 1e10, unique=-1)


# Asymptotes.


@pytest.fixture(scope="module")
def infinite():
    """Return a fit of models and ensembles on three numbers of unique tokens."""
    rng = np.random.default_rng(2)
    cells = np.meshgrid(np.geomspace(1e7, 1e9, 5), [1e8, 4e8, 16e8], [1.0, 2, 4, 8])
    size, unique, members = (v.ravel() for v in cells)
    reference = (("params", 1e8), ("unique_tokens", 4e8), ("members", 3.0))
    law = Asymptote(data=True, reference=reference)
    theta = {"E": 2.6, "a0": 0.3, "alpha": 0.5, "b0": 0.7, "beta": 0.4, "gain": 0.06, "kappa": 1.0}
    x = {"params": size, "unique_tokens": unique, "members": members}
    loss = law(theta, x) * np.exp(0.003 * rng.normal(size=len(size)))
    return bs.fit(bs.ScalingModel(Asymptote(data=True)), {**x, "loss": loss}, seed=0)


@pytest.mark.slow
def test_asymptotes_are_recovered(infinite):
    """Three 99 % intervals of right width; each misses one time in a hundred, the seed is fixed."""
    found = bs.asymptotes(infinite, unique=4e8)
    for name, truth in (("single", 3.3), ("ensemble", 3.3 * 0.94), ("gain", 0.06)):
        low, high = found[name].quantile([0.005, 0.995]).values.ravel()
        assert low < truth < high, name
    left = (found.ensemble - infinite.posterior.E) / (found.single - infinite.posterior.E)
    worth = left ** (-1 / infinite.posterior.beta)
    np.testing.assert_allclose(found.data_worth, worth.where(left > 0, np.inf))
    kept = 1 - (1 - found.members**-infinite.posterior.kappa)
    np.testing.assert_allclose(kept, 0.1, rtol=1e-9)


def test_what_the_prior_says_an_ensemble_gains():
    """The catalogue: 0.3 to 34 % of the asymptote with 95 %."""
    (prior,) = [p.prior for p in Asymptote().params if p.name == "gain"]
    drawn = priors.draw(prior, priors.values(prior, {}), np.random.default_rng(0), 20_000)[0]
    np.testing.assert_allclose(np.quantile(drawn, [0.025, 0.975]), [0.003, 0.34], atol=0.01)


@pytest.mark.slow
def test_fewer_than_one_member_is_refused(infinite):
    at = {"params": 1e8, "unique_tokens": 4e8, "members": 0.5}
    with pytest.raises(SpecError, match=r"members: found 0\.5; give numbers of at least 1"):
        bs.predict(infinite, at)


@pytest.mark.slow
def test_unique_tokens_are_asked_for_where_they_are_read(infinite):
    with pytest.raises(SpecError, match="the law reads unique tokens"):
        bs.asymptotes(infinite)
    with pytest.raises(SpecError, match="has no asymptote of fixed data"):
        bs.asymptotes(bs.load_posterior("chinchilla"))
