"""The importance-sampled Laplace engine: a posterior in a fraction of a second, certified.

Draw from a multivariate t about the optimum, weigh by the true density, smooth the weights, and
look at their tail. Where the tail says that the proposal was poor, let a mixture of t's learn the
shape from the weighted draws (adaptive importance sampling) and draw again. The certificate is
always that of draws which the proposal has not seen.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from bayes_scaling.inference import psis
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.optimum import Optimum
from bayes_scaling.inference.proposal import Mixture, single, spread_over
from bayes_scaling.inference.target import Target

GOOD_K = 0.7  # above it, importance weights are not to be trusted (Vehtari et al. 2024)
CALM_K = 0.5  # below it, another round cannot help much
SLACK = 2  # proposals per draw kept
LEAST = 8000  # proposals, however few draws are kept: a tail of fewer certifies nothing
ROUNDS = 10  # a first proposal, one reshaped, then mixtures
COMPONENTS = 8
LEARN = 400  # effective draws that a refit should rest on; weights are tempered until it does


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
        Draws to return; twice as many are proposed, and 8,000 at least.
    seed : int

    Returns
    -------
    Weighted
        Of the first proposal that is good enough, else of the best one tried.
    """
    rng = np.random.default_rng(seed)
    proposal = single(optimum.z, scale_of(optimum.hessian))
    tried: list[tuple[float, float, Mixture]] = []
    for attempt in range(1, ROUNDS + 1):
        got, z, log_ratio = _propose(target, data, proposal, draws, rng, attempt)
        if got.k_hat < CALM_K and got.effective > len(z) / 8:
            return got
        tried.append((got.k_hat, -got.effective, proposal))
        weight = _tempered(log_ratio)
        if attempt == 2:
            proposal = spread_over(rng, z, weight, COMPONENTS)
        proposal = proposal.refit(z, weight)
    # The least of ten k-hats flatters: the best proposal is drawn from anew, and certified on that.
    best = min(tried, key=lambda t: t[:2])[2]
    return _propose(target, data, best, draws, rng, ROUNDS + 1)[0]


def _propose(
    target: Target,
    data: Any,
    proposal: Mixture,
    draws: int,
    rng: np.random.Generator,
    attempt: int,
) -> tuple[Weighted, np.ndarray, np.ndarray]:
    """Draw from a proposal, weigh and resample; return also the proposals and their log ratios."""
    z = proposal.draw(rng, max(draws * SLACK, LEAST))
    log_density = log_density_at(target, z, data)
    log_ratio = np.where(np.isfinite(log_density), log_density, -np.inf) - proposal.log_density(z)
    log_weight, k_hat = psis.smooth(log_ratio)
    pick = psis.resample(log_weight, draws, rng)
    effective = psis.effective(log_weight)
    return Weighted(z[pick], log_density[pick], k_hat, effective, attempt), z, log_ratio


def _tempered(log_ratio: np.ndarray) -> np.ndarray:
    """Return weights, flattened by a power until enough draws count."""
    finite = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
    finite = finite - finite.max()
    power = 1.0
    for _ in range(30):
        weight = np.exp(power * finite)
        weight = weight / weight.sum()
        if 1 / np.sum(weight**2) > LEARN:
            break
        power *= 0.8
    return weight


def scale_of(hessian: np.ndarray) -> np.ndarray:
    """Return a square root of the inverse of a Hessian, indefinite directions cut off."""
    w, v = np.linalg.eigh(hessian)
    return v / np.sqrt(np.maximum(np.abs(w), 1e-6 * np.abs(w).max()))


@in_float64
def log_density_at(target: Target, z: np.ndarray, data: Any) -> np.ndarray:
    """Return the log density at points of R^d, (point, d) to (point,)."""
    return np.asarray(_log_density(target, z, data))


@partial(jax.jit, static_argnums=0)
def _log_density(target: Target, z: Any, data: Any) -> Any:
    return -jax.vmap(lambda point: target.potential(point, data))(z)


@in_float64
def evaluate(target: Target, z: np.ndarray, data: Any) -> dict[str, dict[str, np.ndarray]]:
    """Return what draws stand for, as `Target.evaluate`, with a leading draw dimension."""
    return jax.device_get(_evaluate(target, z, data))


@partial(jax.jit, static_argnums=0)
def _evaluate(target: Target, z: Any, data: Any) -> Any:
    return jax.vmap(lambda point: target.evaluate(point, data))(z)
