"""How surprising runs are together, and whether a law errs beyond its data."""

from functools import partial
from typing import Any

import jax
import numpy as np
import xarray as xr
from scipy.special import k0, logsumexp, ndtri

from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.model import ScalingModel
from bayes_scaling.predict import flops_reference
from bayes_scaling.results import theta_of

TAU = 0.003  # HalfNormal scale of the law's error, sd of ln loss per e-fold of compute beyond
REACH = (1e-3, 30.0)  # slopes integrated over, in TAU; beyond, the prior holds e^-30
NODES = 100  # per sign, 10 to the e-fold: steps of half a per cent of the loss per decade at 4 %
CELLS = 2**21  # densities evaluated at once


def joint_p(new: np.ndarray, seen: np.ndarray) -> float:
    """Return the predictive p of several runs together; of one run it is its surprise.

    Parameters
    ----------
    new : (draw, run) array
        Predictive draws.
    seen : (run,) array
        What was measured.
    """
    draws = len(new)
    score = ndtri((np.argsort(np.argsort(new, axis=0), axis=0) + 0.5) / draws)
    w, v = np.linalg.eigh(np.atleast_2d(np.corrcoef(score, rowvar=False)))
    white = v / np.sqrt(np.maximum(w, 1e-9))
    far = np.sum((score @ white) ** 2, axis=1)
    came = np.sum((ndtri(pit_of(new, seen)) @ white) ** 2)
    return float((np.sum(far >= came) + 1) / (draws + 1))


def pit_of(new: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mid-rank of every measured loss among its predictive draws, inside (0, 1)."""
    below = np.sum(new < seen, axis=0) + 0.5 * np.sum(new == seen, axis=0)
    return (below + 0.5) / (len(new) + 1)


def law_error(
    log_likelihood: Any, growth: np.ndarray, tau: float = TAU
) -> tuple[float, tuple[float, float, float]]:
    """Return the evidence that a law errs beyond its data, and by how much if it does.

    Parameters
    ----------
    log_likelihood : callable
        Of (node, run) shifts of the predicted ln loss: the (node, draw) log likelihood.
    growth : (run,) array
        e-folds of compute beyond the data.
    tau : float
        Scale of the HalfNormal prior of the slope's sd.

    Returns
    -------
    bayes_factor : float
    drift : tuple of float
        5, 50 and 95 % quantiles of the error, share of the loss per decade.
    """
    growth = np.where(np.isfinite(growth), growth, 0.0)
    log = np.linspace(np.log(REACH[0]), np.log(REACH[1]), NODES)
    half = k0(np.exp(log)) / np.pi * np.exp(log) * (log[1] - log[0])
    weight = np.concatenate([half[::-1], [1 - 2 * half.sum()], half])  # the rest of it is at zero
    slope = tau * np.concatenate([-np.exp(log[::-1]), [0.0], np.exp(log)])
    if not growth.any():  # no run lies beyond: posterior and prior are one
        log_mean = np.zeros(len(slope))
    else:
        log_mean = logsumexp(log_likelihood(slope[:, None] * growth), axis=1)
    log_mean = np.asarray(log_mean)
    log_mass = np.log(weight) + log_mean
    with np.errstate(over="ignore"):  # evidence without bounds is infinite
        bayes_factor = float(np.exp(logsumexp(log_mass) - log_mean[NODES]))
    share = np.cumsum(np.exp(log_mass - logsumexp(log_mass)))
    at = slope[np.minimum(np.searchsorted(share, [0.05, 0.5, 0.95]), len(slope) - 1)]
    low, mid, high = map(float, np.expm1(at * np.log(10)))
    return bayes_factor, (low, mid, high)


def log_likelihood_of(
    fit: xr.DataTree, model: ScalingModel, there: Any, seen: Any, group: Any
) -> Any:
    """Return the log likelihood of the runs as a function of shifts of their ln loss."""
    theta = {k: v.values.reshape(-1, 1) for k, v in theta_of(fit, group).items()}
    x = {c: there[c].values for c in model.inputs if c in there.coords}
    if "flops" in model.observation.inputs:
        x["flops_ref"] = flops_reference(fit)
    mu = np.asarray(model.law(theta, x))
    mu = np.broadcast_to(mu, (len(mu), len(seen)))

    @in_float64
    def inside(shift: np.ndarray) -> np.ndarray:
        at_once = max(1, CELLS // mu.size)
        parts = np.split(shift, range(at_once, len(shift), at_once))
        return np.concatenate([_densities(model.observation, theta, x, mu, p, seen) for p in parts])

    return inside


@partial(jax.jit, static_argnums=0)
def _densities(observation: Any, theta: Any, x: Any, mu: Any, shift: Any, seen: Any) -> Any:
    moved = mu * jax.numpy.exp(shift[:, None, :])
    return observation.distribution(moved, theta, x).log_prob(seen).sum(axis=-1)
