"""The importance-sampled Laplace engine: a posterior in a fraction of a second, certified.

Draw from a multivariate t about the optimum, weigh by the true density, smooth the weights, and
look at their tail. Where the tail says that the proposal was poor, move and reshape it by the
weighted draws and try again (adaptive importance sampling, Cappe et al. 2008,
doi:10.1007/s11222-008-9059-x).
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.inference import psis
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.optimum import Optimum
from bayes_scaling.inference.target import Target

DF = 7.0  # tails heavier than a posterior's, light enough to keep most draws useful
ROUNDS = 4
GOOD_K = 0.7  # above it, importance weights are not to be trusted (Vehtari et al. 2024)
CALM_K = 0.5  # below it, another round cannot help much
SLACK = 2  # proposals per draw kept


@dataclass(frozen=True)
class Weighted:
    """Draws from a proposal, resampled in proportion to the true density.

    Parameters
    ----------
    z : (draws, d) array
        Equally weighted draws; copies of one proposal are neighbours.
    log_density : (draws,) array
        Of the unconstrained target.
    k_hat : float
        Shape of the tail of the weights.
    effective : float
        Kish's effective number of the proposals.
    rounds : int
        Proposals tried.
    """

    z: np.ndarray
    log_density: np.ndarray
    k_hat: float
    effective: float
    rounds: int


@in_float64
def importance(
    target: Target, data: Any, optimum: Optimum, draws: int = 4000, seed: int = 0
) -> Weighted:
    """Sample a posterior by importance from a t about its optimum.

    Parameters
    ----------
    target, data
        The density and what its program reads.
    optimum : Optimum
        Where to centre the first proposal, and its curvature.
    draws : int
        Draws to return; twice as many are proposed.
    seed : int

    Returns
    -------
    Weighted
    """
    rng = np.random.default_rng(seed)
    centre, chol = optimum.z, scale_of(optimum.hessian)
    best = None
    for attempt in range(1, ROUNDS + 1):
        unit = _t_draws(rng, draws * SLACK, target.size)
        log_t = -0.5 * (DF + target.size) * np.log1p(np.sum(unit**2, axis=1) / DF)
        z, log_density = jax.device_get(_weigh(target, unit, centre, chol, data))
        log_ratio = np.where(np.isfinite(log_density), log_density, -np.inf) - log_t
        log_weight, k_hat = psis.smooth(log_ratio)
        effective = psis.effective(log_weight)
        pick = psis.resample(log_weight, draws, rng)
        got = Weighted(z[pick], log_density[pick], k_hat, effective, attempt)
        if best is None or (k_hat, -effective) < (best.k_hat, -best.effective):
            best = got
        if k_hat < CALM_K and effective > draws / 4:
            break
        weight = np.exp(log_weight)
        centre = weight @ z
        spread = (z - centre).T @ ((z - centre) * weight[:, None])
        chol = np.linalg.cholesky(spread + 1e-10 * np.trace(spread) * np.eye(target.size))
        chol = chol * np.sqrt((DF - 2) / DF)
    assert best is not None  # noqa: S101 (ROUNDS is positive)
    return best


def scale_of(hessian: np.ndarray) -> np.ndarray:
    """Return a square root of the inverse of a Hessian, indefinite directions cut off."""
    w, v = np.linalg.eigh(hessian)
    return v / np.sqrt(np.maximum(np.abs(w), 1e-6 * np.abs(w).max()))


def _t_draws(rng: np.random.Generator, count: int, size: int) -> np.ndarray:
    return rng.normal(size=(count, size)) / np.sqrt(rng.chisquare(DF, size=(count, 1)) / DF)


@partial(jax.jit, static_argnums=0)
def _weigh(target: Target, unit: Any, centre: Any, chol: Any, data: Any) -> Any:
    z = centre + unit @ chol.T
    return z, -jax.vmap(lambda point: target.potential(point, data))(z)


def log_density(target: Target, z: np.ndarray, data: Any) -> np.ndarray:
    """Return the log density at points of R^d, (point, d) to (point,)."""
    unit, none = np.asarray(z), np.zeros(target.size)
    return np.asarray(_weigh(target, unit, none, np.eye(target.size), data)[1])


@in_float64
def evaluate(target: Target, z: np.ndarray, data: Any) -> dict[str, dict[str, np.ndarray]]:
    """Return what draws stand for, as `Target.evaluate`, with a leading draw dimension."""
    return jax.device_get(_evaluate(target, z, data))


@partial(jax.jit, static_argnums=0)
def _evaluate(target: Target, z: Any, data: Any) -> Any:
    return jax.vmap(lambda point: target.evaluate(point, data))(z)
