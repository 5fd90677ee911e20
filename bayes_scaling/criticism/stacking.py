"""Stacking: the weights under which several laws together would have predicted best."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_scaling.errors import SpecError

ROUNDS, CLOSE = 200, 1e-10  # of Newton's method; what it may leave of the gradient, 1 at the best
SHORT = 0.99  # share of the way to a weight of zero that a step may go
ENOUGH = 0.25  # share of the drop that its slope promises which a step must bring


def stacking(elpd: Any, counts: Any = None, *, prior: float = 1.0) -> np.ndarray | dict[str, float]:
    """Weigh laws by how well they predicted runs that they had not seen.

    Parameters
    ----------
    elpd : (run, law) array, or mapping of name to (run,) array
        Log densities of held-out runs: `elpd_i` of `exact_loo`, `kfold` or `leave_future_out`, the
        same runs for every law. Runs that a law has no score for, NaN, are left out for all.
    counts : (run,) array, optional
        How often each run counts; once unless given.
    prior : float, default 1
        How many runs the prior is worth, shared among the laws; positive.

    Returns
    -------
    (law,) array or dict of str to float
        Weights that sum to 1.

    Raises
    ------
    SpecError
        No law, no run that all laws have a score for, counts that are none, or no prior.

    Notes
    -----
    The weights maximise ``sum_i ln sum_k w_k exp(elpd_ik) + (prior / K) sum_k ln w_k``: the mixture
    that foretells held-out runs best, which is not the posterior probability of each law, and asks
    for no law to be true. The second part is a Dirichlet(1 + prior / K): one more run, in equal
    shares, that each law alone foresaw. It is there because held-out runs are few beyond a cut, and
    without it a law that was second in each of nine of them has no weight at all; with it none has
    less than ``1 / (K (n + 1))``, which is what n runs can say. It also makes the maximum unique:
    laws that predict alike share evenly. The problem is convex; Newton's method solves it.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman 2018, Using stacking to average Bayesian predictive
    distributions, doi:10.1214/17-BA1091 (without the prior).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> same = [-1.0, -2.0, 0.5]
    >>> bs.stacking({"a": same, "b": same})
    {'a': 0.5, 'b': 0.5}
    >>> round(bs.stacking({"a": [5.0] * 99, "b": [-5.0] * 99})["a"], 3)
    0.995
    """
    names = [str(k) for k in elpd] if isinstance(elpd, Mapping) else None
    try:
        scores = np.array(list(elpd.values()) if isinstance(elpd, Mapping) else elpd, float)
    except ValueError as error:
        msg = "elpd: one score per run and law; these are not of one length, or no numbers"
        raise SpecError(msg) from error
    scores = scores.T if names else scores
    if scores.ndim != 2 or not scores.shape[1]:
        msg = f"elpd: a (run, law) array or a mapping; found shape {scores.shape}"
        raise SpecError(msg)
    times = np.ones(len(scores)) if counts is None else np.asarray(counts, float)
    if times.shape != (len(scores),) or not np.all(np.isfinite(times) & (times >= 0)):
        msg = f"counts: a number from 0 on for each of {len(scores)} runs; found {counts!r}"
        raise SpecError(msg)
    if not (np.isfinite(prior) and prior > 0):
        msg = f"prior: how many runs it is worth, positive; found {prior!r}"
        raise SpecError(msg)
    top = scores.max(axis=1, initial=-np.inf)
    known = np.isfinite(top) & (times > 0)
    if not known.any():
        msg = "elpd: no run that every law has a score for, so that nothing tells them apart"
        raise SpecError(msg)
    laws = scores.shape[1]
    seen = np.exp(scores[known] - top[known, None])
    weights = _maximum(
        np.concatenate([seen, np.eye(laws)]),
        np.concatenate([times[known], np.full(laws, prior / laws)]),
    )
    return dict(zip(names, map(float, weights), strict=True)) if names else weights


def _maximum(density: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Maximise ``sum_i times_i ln (density_i . w)`` over weights that sum to 1.

    The sum of the weights is taken off instead of held: at the maximum of ``mean_i ln (density_i .
    w) - sum_k w_k`` it is 1, since scaling w by c adds ``ln c`` and takes ``c - 1``.
    """
    share = times / times.sum()
    weights = np.full(density.shape[1], 1 / density.shape[1])
    value = share @ np.log(density @ weights) - weights.sum()
    for _ in range(ROUNDS):
        ratio = density / (density @ weights)[:, None]
        slope = share @ ratio - 1
        if np.abs(slope).max() < CLOSE:
            break
        move = np.linalg.solve((ratio * share[:, None]).T @ ratio, slope)
        length, rise = 1 / max(1.0, np.max(-move / weights) / SHORT), slope @ move
        while length * rise > CLOSE**2:
            there = weights + length * move
            new = share @ np.log(density @ there) - there.sum()
            if new >= value + ENOUGH * length * rise:
                break
            length /= 2
        else:
            break  # no step is better: rounding is all that is left
        weights, value = there, new
    return weights / weights.sum()
