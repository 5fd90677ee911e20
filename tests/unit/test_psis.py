"""Pareto smoothing against ArviZ's own, and what resampling promises."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_scaling.inference import psis


def log_ratios(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw log importance ratios whose tails range from none to no mean."""
    if kind == "light":  # a wide normal for a narrow one: bounded ratios
        return -1.5 * rng.normal(size=size) ** 2
    if kind == "normal":
        return rng.normal(size=size)
    shape = {"k = 0.3": 0.3, "k = 0.7": 0.7, "k = 1.2": 1.2}[kind]
    return -shape * np.log(rng.uniform(size=size))


KINDS = ("light", "normal", "k = 0.3", "k = 0.7", "k = 1.2")


@pytest.mark.parametrize("size", [400, 8000])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_k_hat_are_arvizs(kind, size):
    ratio = log_ratios(kind, size, np.random.default_rng(5))
    log_weight, k_hat = psis.smooth(ratio)
    # ArviZ takes log likelihoods, whose ratios are their negatives, and rounds the length of the
    # tail down where we round up: one draw more, in the fifth digit of k-hat.
    theirs, their_k = array_stats.psislw(-ratio)
    theirs = theirs - np.log(np.exp(theirs - theirs.max()).sum()) - theirs.max()
    assert k_hat == pytest.approx(float(their_k), abs=0.02)
    assert np.exp(log_weight).sum() == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(np.exp(log_weight), np.exp(theirs), rtol=0.03, atol=1e-6)
    assert psis.effective(log_weight) == pytest.approx(1 / np.sum(np.exp(2 * theirs)), rel=0.03)


@pytest.mark.parametrize(("kind", "shape"), [("k = 0.3", 0.3), ("k = 0.7", 0.7), ("k = 1.2", 1.2)])
def test_k_hat_finds_the_shape_of_the_tail(kind, shape):
    # The tail is 3 sqrt(S) = 600 draws, and the shape's sd (1 + k) / sqrt(600): 5 sd.
    ratio = log_ratios(kind, 40_000, np.random.default_rng(1))
    assert psis.smooth(ratio)[1] == pytest.approx(shape, abs=5 * (1 + shape) / np.sqrt(600))


@pytest.mark.parametrize("copies", [2, 60, 150])
@pytest.mark.parametrize("place", [0.9, 0.965, 0.99, 1.0])
def test_copies_of_a_draw_leave_the_shape_of_the_tail(copies, place):
    """Resampled draws come in copies, which may lie across the edge of the tail."""
    ratio = np.sort(log_ratios("k = 0.3", 4000, np.random.default_rng(1)))
    alone = psis.smooth(ratio)[1]
    at = min(int(place * 4000), 3999)
    many = np.concatenate([ratio, np.full(copies - 1, ratio[at])])
    log_weight, k_hat = psis.smooth(many)
    assert k_hat == pytest.approx(alone, abs=0.35)
    assert np.exp(log_weight).sum() == pytest.approx(1.0, abs=1e-12)


def test_a_tail_of_too_few_draws_has_no_shape():
    ratio = np.concatenate([np.zeros(996), [1.0, 1.0, 2.0, 3.0]])
    assert psis.smooth(ratio)[1] == np.inf


def test_a_constant_does_not_matter_and_order_is_kept():
    ratio = log_ratios("normal", 2000, np.random.default_rng(2))
    log_weight, k_hat = psis.smooth(ratio)
    moved, k_moved = psis.smooth(ratio + 700.0)
    np.testing.assert_allclose(moved, log_weight, rtol=1e-9)
    assert k_moved == pytest.approx(k_hat, rel=1e-9)
    assert np.all(np.diff(log_weight[np.argsort(ratio)]) >= -1e-12)


def test_smoothing_leaves_the_body_alone_and_caps_the_largest():
    ratio = log_ratios("k = 1.2", 2000, np.random.default_rng(3))
    log_weight, _ = psis.smooth(ratio)
    body = np.argsort(ratio)[: -int(np.ceil(3 * np.sqrt(2000)))]
    gaps = log_weight[body] - ratio[body]
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-9)
    assert (log_weight - gaps[0]).max() <= ratio.max() + 1e-9


def test_equal_ratios_are_perfect():
    log_weight, k_hat = psis.smooth(np.full(1000, -3.0))
    np.testing.assert_allclose(log_weight, -np.log(1000))
    assert k_hat == 0.0
    assert psis.effective(log_weight) == pytest.approx(1000)


def test_draws_of_no_density_get_no_weight():
    ratio = log_ratios("normal", 1000, np.random.default_rng(4))
    ratio[::3] = [-np.inf, np.nan][0]
    ratio[1] = np.nan
    log_weight, k_hat = psis.smooth(ratio)
    assert np.isfinite(k_hat)
    assert np.all(np.exp(log_weight[::3]) == 0)
    assert np.exp(log_weight[1]) == 0
    assert np.exp(log_weight).sum() == pytest.approx(1.0)


@pytest.mark.parametrize("ratio", [np.full(100, -np.inf), np.full(100, np.nan), np.zeros(10)])
def test_what_cannot_be_weighed_is_never_called_good(ratio):
    log_weight, k_hat = psis.smooth(ratio)
    assert k_hat == np.inf
    np.testing.assert_allclose(log_weight, -np.log(len(ratio)))


def test_resampling_counts_are_proportional_to_weights():
    rng = np.random.default_rng(6)
    weight = rng.dirichlet(np.full(500, 0.3))
    pick = psis.resample(np.log(weight), 4000, rng)
    counts = np.bincount(pick, minlength=500)
    assert counts.sum() == 4000
    assert np.abs(counts - 4000 * weight).max() < 1.0 + 1e-6  # systematic: no luck involved
    assert np.all(np.diff(pick) >= 0)


def test_the_ess_of_neighbours_pays_for_copies():
    rng = np.random.default_rng(8)
    value = rng.normal(size=4000)
    plain = psis.resample(np.full(4000, -np.log(4000)), 4000, rng)
    np.testing.assert_array_equal(np.sort(plain), plain)
    assert array_stats.ess(value[plain].reshape(4, -1), chain_axis=0, draw_axis=1) > 3000

    # One proposal in ten carries all the weight: 4,000 draws are 400 values, ten copies each.
    few = np.where(np.arange(4000) % 10 == 0, np.log(1 / 400), -np.inf)
    copies = psis.resample(few, 4000, rng)
    assert len(np.unique(copies)) == 400
    ess = array_stats.ess(value[copies].reshape(4, -1), chain_axis=0, draw_axis=1)
    assert 250 < ess < 650


def test_weights_that_are_all_but_equal_have_no_tail():
    """A run that every draw is sure of (a stopped run far below its target) leaves nothing out."""
    rng = np.random.default_rng(0)
    for size in (1e-15, 1e-10, 1e-9):
        log_ratio = size * np.exp(3 * rng.normal(size=4000))  # heavy tails of nothing
        log_weight, k_hat = psis.smooth(log_ratio)
        assert k_hat == 0
        np.testing.assert_allclose(log_weight, -np.log(4000), atol=1e-2)
