"""Multi-start optimum: where the density peaks, how it curves there, and whether it peaks twice."""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.inference._kept import Kept
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.target import Target

STARTS = 12  # eight of them any prior draw: a basin with a quarter of the prior is missed 1 in 10
SCREEN = 2000  # prior draws of which the best are started from
ABREAST = 6  # searches of one call on a CPU, where twelve are no faster than twice six
STEPS = 100
ENOUGH = 0.66  # of the searches: the last few take as long again and find what the others found
DECREMENT = 1e-7  # nats, twice: how far below the optimum a search may stop
ROUNDING = 1e-13  # steps at rounding level are taken, or convergence would hang on luck
LEVEL = 1e-3  # nats within which two searches are at one height
SAME_MODE = 3.0  # Mahalanobis distance below which two optima are one


class Look(NamedTuple):
    """A request for the log density at points, (point, d)."""

    z: np.ndarray


class Climb(NamedTuple):
    """A request to climb from points, (point, d), each with ``stiff / 2 (along @ z - at)^2`` added.

    The answer is where each arrived, minus the log density and its Hessian there, the spring
    included, and whether it has arrived.
    """

    z: np.ndarray
    along: np.ndarray
    at: np.ndarray
    stiff: np.ndarray


@dataclass(frozen=True)
class Optimum:
    """The best of several optima, and the others.

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
    hessians : (m, d, d) array
        Their curvatures.
    log_mass : (m,) array
        Laplace's estimate of each mode's log mass, relative to the best.
    """

    z: np.ndarray
    potential: float
    hessian: np.ndarray
    converged: bool
    modes: np.ndarray
    hessians: np.ndarray
    log_mass: np.ndarray


def search(points: np.ndarray, starts: int = STARTS) -> Generator[Look | Climb, Any, "Optimum"]:
    """Look for the modes of a density: yield requests, be sent their answers.

    Whoever holds the density drives it, for one posterior or for hundreds in step.

    Parameters
    ----------
    points : (point, d) array
        Prior draws.
    starts : int
        How many searches run side by side: a third from the best of the points, the rest from any.

    Notes
    -----
    Each search is a damped Newton iteration on the absolute eigenvalues of the Hessian (Dauphin et
    al. 2014, arXiv:1406.2572), which leaves saddles and needs a few tens of steps: derivatives of
    a law in five to twelve parameters are cheap, line searches are not.
    """
    heights = yield Look(points)
    order = np.argsort(np.where(np.isfinite(heights), -heights, np.inf))
    best = order[: starts // 3]
    rest = order[len(best) :: max(1, len(points) // (starts - len(best)))]
    chosen = points[np.concatenate([best, rest])[:starts]]
    found = yield Climb(chosen, np.zeros_like(chosen), np.zeros(starts), np.zeros(starts))
    return modes_of(*found)


def modes_of(z: Any, f: Any, hessian: Any, done: Any) -> Optimum:
    """Sort what searches found into distinct modes, the best first."""
    z, f, hessian, done = (np.asarray(v) for v in (z, f, hessian, done))
    # Of two at one height the one that has arrived: others were stopped on their way there.
    order = np.argsort(np.where(np.isfinite(f), f - LEVEL * done, np.inf))
    z, f, hessian, done = z[order], f[order], hessian[order], done[order]
    keep, log_mass = [], []
    for i in range(len(z)):
        if not (np.isfinite(f[i]) and done[i]) and i > 0:
            continue
        apart = [_distance(z[i] - z[k], hessian[k]) > SAME_MODE for k in keep]
        if all(apart):
            keep.append(i)
            sign, logdet = np.linalg.slogdet(hessian[i])
            log_mass.append(-f[i] - 0.5 * logdet if sign > 0 else -np.inf)
    mass = np.array(log_mass)
    relative = mass - mass[0] if np.isfinite(mass[0]) else mass
    best = (z[0], float(f[0]), hessian[0], bool(done[0]))
    return Optimum(*best, z[keep], hessian[keep], relative)


def _distance(step: np.ndarray, hessian: np.ndarray) -> float:
    return float(np.sqrt(max(step @ hessian @ step, 0.0) / len(step)))


@in_float64
def climb(target: Target, request: Climb, data: Any) -> Any:
    """Answer a `Climb`, a few searches at a time: few and many then share one program."""
    wide = ABREAST if jax.default_backend() == "cpu" else STARTS
    cuts = range(wide, len(request.z), wide)
    lots = zip(*(np.split(v, cuts) for v in request), strict=True)
    found = [jax.device_get(_climb(target, Climb(*lot), data)) for lot in lots]
    return tuple(np.concatenate(v) for v in zip(*found, strict=True))


@in_float64
def climb_many(target: Target, request: Climb, data: Any) -> Any:
    """Answer several side by side: everything has a leading dimension."""
    return jax.device_get(_climb_many(target, request, data))


@Kept
def _climb(target: Target, request: Any, data: Any) -> Any:
    return _newton(target, request, data)


@Kept
def _climb_many(target: Target, request: Any, data: Any) -> Any:
    return jax.vmap(partial(_newton, target))(request, data)


def _newton(target: Target, request: Any, data: Any) -> Any:
    """Climb from every start until enough have arrived."""
    slope = jax.value_and_grad(partial(target.potential, data=data))
    starts, springs = request[0], tuple(request[1:])

    def gradient(z: Any) -> Any:
        f, g = slope(z)
        return g, (f, g)

    def look(z: Any, spring: Any) -> Any:
        # Forward over reverse: d tangents of one gradient, no d x d graph to differentiate.
        hessian, (f, g) = target.bend(gradient, z)
        along, at, stiff = spring
        gap = along @ z - at
        bend = stiff * jnp.outer(along, along)
        return f + 0.5 * stiff * gap**2, g + stiff * gap * along, hessian + bend

    def step(trial: Any, here: Any, damping: Any, promised: Any, done: Any, spring: Any) -> Any:
        z, (f, g, hessian) = here
        there = look(trial, spring)
        ok = (
            (there[0] <= f + ROUNDING * jnp.abs(f))
            & jnp.isfinite(there[0])
            & jnp.all(jnp.isfinite(there[2]))
        )
        kept = (f - there[0]) / promised  # of the gain that the quadratic model promised
        easier = jnp.where(kept > 0.75, 0.1, jnp.where(kept < 0.25, 2.0, 0.5))
        damping = jnp.where(ok, damping * easier, jnp.maximum(damping * 8, 1e-3))
        here = (z, (f, g, hessian)) = jax.tree.map(
            lambda new, old: jnp.where(ok, new, old), (trial, there), here
        )
        w, v = jnp.linalg.eigh(hessian)
        size = jnp.maximum(jnp.abs(w), 1e-8)
        along = v.T @ g
        move = along / (size * (1 + damping) + damping)
        promised = jnp.maximum(jnp.sum(move * (along - 0.5 * w * move)), jnp.finfo(f.dtype).tiny)
        arrived = (w[0] > 0) & (jnp.sum(along**2 / size) < DECREMENT)
        return z - v @ move, here, damping, promised, done | arrived

    def steps(state: Any) -> Any:
        searches, count = state
        return jax.vmap(step)(*searches, spring=springs), count + 1

    def going(state: Any) -> Any:
        (*_, done), count = state
        return (jnp.sum(done) < ENOUGH * len(starts)) & (count < STEPS)

    # The first look happens inside the loop, so that the derivatives are compiled once.
    n, d = starts.shape
    nothing = (jnp.full(n, jnp.inf), jnp.zeros((n, d)), jnp.tile(jnp.eye(d), (n, 1, 1)))
    first = (starts, (starts, nothing), jnp.ones(n), jnp.ones(n), jnp.zeros(n, bool))
    (_, (z, (f, _, hessian)), _, _, done), _ = jax.lax.while_loop(
        going, steps, (first, jnp.asarray(0))
    )
    return z, f, hessian, done
