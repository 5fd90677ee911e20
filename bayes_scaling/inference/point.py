"""Point fits, of the additive law and of parabolas: what the field does without a posterior.

They are here to be repeated and to be judged.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from bayes_scaling.data.numbers import values_of
from bayes_scaling.errors import FitError
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.laws import Chinchilla, bind
from bayes_scaling.program import padded

NAMES = ("E", "a0", "b0", "alpha", "beta")
HUBER = 1e-3  # of ln L: where Hoffmann et al. let the loss turn linear
STARTS = 18
TYPICAL = (1.5, 0.4, 0.4, 0.35, 0.35)
STEPS, FARTHEST, SMALL = 300, 1.0, 1e-6  # e-folds of a parameter that a step may and must move
EASED, STIFFER, STUCK = 0.3, 4.0, 1e8  # the damping after a good step, a bad one, and at the end


class Sizes(NamedTuple):
    """ln N and ln D of runs, (run,) each, and the sizes N0, D0 that the law is taken at, (2,)."""

    n: np.ndarray
    d: np.ndarray
    reference: np.ndarray


def sizes_of(runs: pd.DataFrame) -> Sizes:
    """Return the sizes of runs, and their geometric means for reference."""
    x = {c: values_of(runs, c) for c in ("params", "tokens")}
    reference = np.array([v for _, v in bind(Chinchilla(), x).reference or ()])
    return Sizes(np.log(x["params"]), np.log(x["tokens"]), reference)


def log_losses(p: Any, at: Sizes) -> Any:
    """Return ln L at sizes; `p` is (5,) or (fit, 5), logs of the parameters in `NAMES`."""
    xp = jnp if isinstance(p, jax.Array) else np
    theta = dict(zip(NAMES, xp.exp(p.T[..., None]), strict=True))
    x = {"params": xp.exp(at.n), "tokens": xp.exp(at.d)}
    return xp.log(_law(at.reference)(theta, x))


def _law(reference: Any) -> Chinchilla:
    return Chinchilla(reference=(("params", reference[0]), ("tokens", reference[1])))


@in_float64
def point_fits(
    at: Sizes, y: np.ndarray, starts: np.ndarray, delta: float, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise the sum of Huber losses of ln L, from every start.

    Parameters
    ----------
    at : Sizes
        Of (run,) runs.
    y : (run,) or (fit, run) array
        ln L measured.
    starts : (fit, 5) array
        Logs of the parameters in `NAMES`.
    delta : float
        Where the loss turns linear; inf is least squares.
    weight : (run,) or (fit, run) array, optional
        How often each run counts.

    Returns
    -------
    p : (fit, 5) array
        Logs of the parameters where each arrived.
    objective : (fit,) array

    Notes
    -----
    Levenberg and Marquardt's steps on squares that are weighted anew each time by
    ``min(1, delta / |r|)``, which never lie below the Huber loss: each step taken lowers it.
    """
    rows = len(at.n)
    fill = (
        padded(rows) - rows
    )  # tables of similar size share a program; what is added has no weight
    weight = np.ones(rows) if weight is None else weight
    shape = (len(starts), rows)
    more = [(0, 0), (0, fill)]
    wide = np.pad(np.broadcast_to(y, shape), more, mode="edge")
    heavy = np.pad(np.broadcast_to(weight, shape).astype(float), more)
    n, d = (np.pad(v, (0, fill), mode="edge") for v in (at.n, at.d))
    return jax.device_get(_search(starts, Sizes(n, d, at.reference), wide, heavy, float(delta)))


@jax.jit
@partial(jax.vmap, in_axes=(0, None, 0, 0, None))
def _search(start: Any, at: Sizes, y: Any, weight: Any, delta: Any) -> Any:
    def residual(p: Any) -> Any:
        return log_losses(p, at) - y

    def objective(p: Any) -> Any:
        gap = jnp.abs(residual(p))
        near = jnp.minimum(gap, delta)
        return jnp.sum(weight * near * (gap - 0.5 * near))

    def step(state: Any) -> Any:
        p, f, damping, _, count = state
        r, slope = residual(p), jax.jacfwd(residual)(p)
        w = weight * jnp.minimum(1.0, delta / jnp.maximum(jnp.abs(r), 1e-300))
        bend = slope.T @ (w[:, None] * slope)
        held = bend + jnp.diag(damping * jnp.diag(bend) + 1e-12 * jnp.trace(bend))
        move = jnp.clip(-jnp.linalg.solve(held, slope.T @ (w * r)), -FARTHEST, FARTHEST)
        there = objective(p + move)
        good = there < f
        p, f = jnp.where(good, p + move, p), jnp.where(good, there, f)
        damping = jnp.where(good, jnp.maximum(EASED * damping, 1e-9), STIFFER * damping)
        moved = jnp.where(good, jnp.max(jnp.abs(move)), jnp.inf)
        return p, f, damping, moved, count + 1

    def going(state: Any) -> Any:
        _, _, damping, moved, count = state
        return (count < STEPS) & (moved > SMALL) & (damping < STUCK)

    return jax.lax.while_loop(going, step, (start, objective(start), 1e-2, jnp.inf, 0))[:2]


def best_point(at: Sizes, y: np.ndarray, delta: float, seed: int = 0) -> tuple[np.ndarray, float]:
    """Return the best of 18 point fits, (5,) logs, and its objective.

    Raises
    ------
    FitError
        No start led to a finite fit.
    """
    rng = np.random.default_rng(seed)
    starts = np.log(TYPICAL) + 0.5 * rng.normal(size=(STARTS, len(NAMES)))
    p, f = point_fits(at, y, starts, delta)
    f = np.where(np.isfinite(p).all(axis=1), f, np.inf)
    best = int(np.argmin(f))
    if not np.isfinite(f[best]):
        msg = f"no point fit of the {len(y)} runs is finite: look at their sizes and losses"
        raise FitError(msg)
    return p[best], float(f[best])


def vertices(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fit parabolas by least squares; return their vertices, the values there, the curvatures.

    Parameters
    ----------
    x : (point,) array
    y : (..., point) array

    Returns
    -------
    where, value, curvature : (...) arrays
        `where` is NaN for a parabola that has no lowest point.
    """
    middle, spread = x.mean(), np.ptp(x) / 2
    u = (x - middle) / spread
    c2, c1, c0 = np.moveaxis(y @ np.linalg.pinv(np.vander(u, 3)).T, -1, 0)
    bowl = c2 > 0
    at = np.where(bowl, -c1 / (2 * np.where(bowl, c2, 1.0)), np.nan)
    return middle + spread * at, c0 + c1 * at + c2 * at**2, 2 * c2 / spread**2


def fit_point(runs: pd.DataFrame, delta: float = HUBER, seed: int = 0) -> dict[str, float]:
    """Fit the additive law by the sum of Huber losses on ln L, best of 18 starts.

    Parameters
    ----------
    runs : DataFrame
        Runs with `params`, `tokens` and `loss`, raw counts and nats per token; all are used.
    delta : float, default 1e-3
        Where the loss turns linear; inf is least squares on ln L.
    seed : int
        Of the starts.

    Returns
    -------
    dict of str to float
        E, A, B, alpha, beta, the exponent `a` of the optimum, and the `objective`.

    Raises
    ------
    FitError
        No start led to a finite fit.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556, section 3.3; as a sum, not a mean: Besiroglu et al.
    2024, arXiv:2404.10102.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> from bayes_scaling.inference.point import fit_point
    >>> found = fit_point(bs.load_dataset("simulated-chinchilla"))
    >>> bool(0.30 < found["alpha"] < 0.40), bool(0.45 < found["a"] < 0.55)
    (True, True)
    """
    at = sizes_of(runs)
    p, objective = best_point(at, np.log(values_of(runs, "loss")), delta, seed)
    theta, law = dict(zip(NAMES, np.exp(p), strict=True)), _law(at.reference)
    paper = {k: float(v) for k, v in law.to_paper(theta).items()}
    return {**paper, "a": float(law.exponent(theta)), "objective": objective}
