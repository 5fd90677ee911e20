"""Multi-start optimum: where the density peaks, how it curves there, and whether it peaks twice."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.target import Target, starts_for

STARTS = 16  # eight of them any prior draw: a basin with a quarter of the prior is missed 1 in 10
SCREEN = 256  # prior draws of which the best are started from
STEPS = 100
DECREMENT = 1e-7  # nats, twice: how far below the optimum a search may stop
ROUNDING = 1e-13  # steps at rounding level are taken, or convergence would hang on luck
SAME_MODE = 3.0  # Mahalanobis distance below which two optima are one


@dataclass(frozen=True)
class Optimum:
    """The best of several optima.

    Parameters
    ----------
    z : (d,) array
        Where the unconstrained density peaks.
    potential : float
        Minus its log density there.
    hessian : (d, d) array
        The curvature there.
    converged : bool
        Whether the Newton decrement vanished at a proper minimum.
    modes : (m, d) array
        Distinct optima, the best first.
    log_mass : (m,) array
        Laplace's estimate of each mode's log mass, relative to the best.
    """

    z: np.ndarray
    potential: float
    hessian: np.ndarray
    converged: bool
    modes: np.ndarray
    log_mass: np.ndarray


@in_float64
def optimise(target: Target, data: Any, seed: int = 0, starts: int = STARTS) -> Optimum:
    """Find the peak of a density from several starts drawn from the prior.

    Parameters
    ----------
    target : Target
        The density.
    data : pytree of arrays
        What its program reads.
    seed : int
        Of the starts.
    starts : int
        How many Newton searches run, side by side.

    Returns
    -------
    Optimum

    Notes
    -----
    Half the starts are the best of 256 prior draws, half are any. Each search is a damped Newton
    iteration on the absolute eigenvalues of the Hessian (Dauphin et al. 2014, arXiv:1406.2572),
    which leaves saddles and needs a few tens of steps: derivatives of a law in five to twelve
    parameters are cheap, line searches are not.
    """
    points = starts_for(target, data, SCREEN, seed)
    z, f, hessian, done = (np.array(v) for v in _search(target, starts, points, data))
    order = np.argsort(np.where(np.isfinite(f), f, np.inf))
    z, f, hessian, done = z[order], f[order], hessian[order], done[order]
    keep, log_mass = [], []
    for i in range(starts):
        if not (np.isfinite(f[i]) and done[i]) and i > 0:
            continue
        apart = [_distance(z[i] - z[k], hessian[k]) > SAME_MODE for k in keep]
        if all(apart):
            keep.append(i)
            sign, logdet = np.linalg.slogdet(hessian[i])
            log_mass.append(-f[i] - 0.5 * logdet if sign > 0 else -np.inf)
    mass = np.array(log_mass)
    relative = mass - mass[0] if np.isfinite(mass[0]) else mass
    return Optimum(z[0], float(f[0]), hessian[0], bool(done[0]), z[keep], relative)


def _distance(step: np.ndarray, hessian: np.ndarray) -> float:
    return float(np.sqrt(max(step @ hessian @ step, 0.0) / len(step)))


@partial(jax.jit, static_argnums=(0, 1))
def _search(target: Target, starts: int, points: Any, data: Any) -> Any:
    potential = partial(target.potential, data=data)
    heights = jax.vmap(potential)(points)
    order = jnp.argsort(jnp.where(jnp.isfinite(heights), heights, jnp.inf))
    best, rest = order[: starts // 2], order[starts // 2 :: max(1, SCREEN // starts)]
    chosen = points[jnp.concatenate([best, rest])[:starts]]
    return jax.vmap(partial(_newton, potential))(chosen)


def _newton(potential: Any, start: Any) -> Any:
    slope = jax.value_and_grad(potential)

    def look(z: Any) -> Any:
        # Forward over reverse: d tangents of one gradient, no d x d graph to differentiate.
        push = lambda v: jax.jvp(lambda y: slope(y)[1], (z,), (v,))[1]  # noqa: E731
        return (*slope(z), jax.vmap(push)(jnp.eye(z.size)))

    def step(state: Any) -> Any:
        trial, here, damping, _, count = state
        z, (f, g, hessian) = here
        there = look(trial)
        ok = (
            (there[0] <= f + ROUNDING * jnp.abs(f))
            & jnp.isfinite(there[0])
            & jnp.all(jnp.isfinite(there[2]))
        )
        damping = jnp.where(ok, damping * 0.1, jnp.maximum(damping * 8, 1e-3))
        here = (z, (f, g, hessian)) = jax.tree.map(
            lambda new, old: jnp.where(ok, new, old), (trial, there), here
        )
        w, v = jnp.linalg.eigh(hessian)
        size = jnp.maximum(jnp.abs(w), 1e-8)
        along = v.T @ g
        move = -v @ (along / (size * (1 + damping) + damping))
        done = (w[0] > 0) & (jnp.sum(along**2 / size) < DECREMENT)
        return z + move, here, damping, done, count + 1

    def going(state: Any) -> Any:
        return ~state[3] & (state[4] < STEPS)

    # The first look happens inside the loop, so that the derivatives are compiled once.
    nothing = (jnp.inf, jnp.zeros(start.size), jnp.eye(start.size))
    first = (start, (start, nothing), jnp.asarray(1.0), jnp.asarray(False), jnp.asarray(0))
    _, (z, (f, _, hessian)), _, done, _ = jax.lax.while_loop(going, step, first)
    return z, f, hessian, done
