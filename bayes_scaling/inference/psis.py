"""Pareto-smoothed importance weights and their certificate, k-hat.

Vehtari, Simpson, Gelman, Yao and Gabry (2024), Pareto smoothed importance sampling, JMLR 25(72);
the generalised Pareto fit is Zhang and Stephens (2009), Technometrics 51(3).
"""

import numpy as np

NO_TAIL = 1e-3  # of the largest weight: a tail within that of its edge is none, and has no shape
FEWEST = 5  # draws that have a tail


def smooth(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Smooth the largest importance ratios and measure their tail.

    Parameters
    ----------
    log_ratio : (draw,) array
        Log of target over proposal, up to a constant; -inf allowed.

    Returns
    -------
    log_weight : (draw,) array
        Smoothed, normalised to sum to one.
    k_hat : float
        Shape of the tail: below 0.7 the weights are to be trusted, inf when they cannot be.

    Notes
    -----
    The tail is the largest ``min(S / 5, 3 sqrt(S))`` ratios. Its shape is that of its distinct
    ratios above the edge: draws that were resampled come in copies, and a copy is no further draw.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.inference.psis import smooth
    >>> log_weight, k_hat = smooth(np.random.default_rng(0).normal(size=1000) * 0.1)
    >>> bool(k_hat < 0.5), round(float(np.exp(log_weight).sum()), 6)
    (True, 1.0)
    """
    log_weight = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
    if not np.isfinite(log_weight.max()):
        return np.full(len(log_ratio), -np.log(len(log_ratio))), np.inf
    log_weight = log_weight - log_weight.max()
    tail = int(np.ceil(min(len(log_weight) / 5, 3 * np.sqrt(len(log_weight)))))
    order = np.argsort(log_weight)
    k_hat = np.inf
    if tail >= FEWEST:
        edge = np.exp(max(log_weight[order[-tail - 1]], np.log(np.finfo(float).tiny)))
        excess = np.exp(log_weight[order[-tail:]]) - edge
        if excess[-1] < NO_TAIL:
            return log_weight - np.log(np.exp(log_weight).sum()), 0.0
        distinct = np.unique(excess[excess > 0])
        if len(distinct) < FEWEST:
            return log_weight - np.log(np.exp(log_weight).sum()), np.inf
        k_hat, sigma = _pareto(distinct)
        p = (np.arange(tail) + 0.5) / tail
        with np.errstate(over="ignore"):  # of a hopeless tail: cut at the largest ratio below
            log = np.log1p(-p)
            quantile = -log if abs(k_hat) < 1e-9 else np.expm1(-k_hat * log) / k_hat
        log_weight = log_weight.copy()
        log_weight[order[-tail:]] = np.minimum(np.log(edge + sigma * quantile), 0.0)
    return log_weight - np.log(np.exp(log_weight).sum()), float(k_hat)


def _pareto(x: np.ndarray) -> tuple[float, float]:
    """Fit a generalised Pareto to sorted excesses; the shape is shrunk a little towards 0.5."""
    n = len(x)
    m = 30 + int(np.sqrt(n))
    b = 1 / x[-1] + (1 - np.sqrt(m / (np.arange(m) + 0.5))) / (3 * x[int(n / 4 + 0.5) - 1])
    k = np.mean(np.log1p(-b[:, None] * x), axis=1)
    log_like = n * (np.log(-b / k) - k - 1)
    weight = np.exp(log_like - log_like.max())
    best = np.sum(b * weight) / np.sum(weight)
    shape = np.mean(np.log1p(-best * x))
    return (n * shape + 5) / (n + 10), -shape / best


def effective(log_weight: np.ndarray) -> float:
    """Return Kish's effective number of draws, ``1 / sum w^2``."""
    return float(1 / np.sum(np.exp(2 * log_weight)))


def resample(log_weight: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Pick draws in proportion to their weights, systematically and in order.

    Copies of a draw stay next to one another, so that the autocorrelation which ArviZ's effective
    sample size measures is that of the copying: the result says how much it is worth.

    Returns
    -------
    (draws,) array of int
    """
    ladder = (np.arange(draws) + rng.uniform()) / draws
    index = np.searchsorted(np.cumsum(np.exp(log_weight)), ladder)
    return np.minimum(index, len(log_weight) - 1)
