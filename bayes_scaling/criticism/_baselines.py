"""Predictions of runs ahead without a posterior: point fits and parabolas, with their bootstrap."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayes_scaling.criticism._cuts import compute_of
from bayes_scaling.criticism._held_out import TRUSTED, log_mean
from bayes_scaling.data.coverage import groups
from bayes_scaling.data.numbers import values_of
from bayes_scaling.errors import FitError
from bayes_scaling.inference.point import (
    HUBER,
    NAMES,
    Sizes,
    best_point,
    log_losses,
    point_fits,
    sizes_of,
    vertices,
)
from bayes_scaling.laws import PowerLaw

REFITS = 200
KNOTS = 200  # residuals that the density of a new run is made of, by quantiles
MOST = 20_000  # runs: 200 tables of them fit in memory
SIZES, BUDGETS = 3, 4  # to bend at one budget, and to bend towards a floor along them
LADDER = 0.5  # of the runs: budgets that hold fewer are chance neighbours
EXPONENTS = np.geomspace(0.01, 2.0, 200)
COLUMNS = ("params", "tokens", "loss")


class Ahead(NamedTuple):
    """What is predicted of runs ahead.

    Parameters
    ----------
    draws : (draw, run) array
        New runs, jointly: one row shares its parameters. Empty where nothing could be fitted.
    log_score : (run,) array
        Log density of what was measured.
    trust : str
        "trusted", or why not.
    k_hat : float
    """

    draws: np.ndarray
    log_score: np.ndarray
    trust: str = TRUSTED
    k_hat: float = np.nan


def nothing(rows: int, why: str) -> Ahead:
    """Return what is predicted where nothing can be: the reason."""
    return Ahead(np.empty((0, rows)), np.full(rows, np.nan), why)


def baseline(
    name: str, runs: pd.DataFrame, below: np.ndarray, above: np.ndarray, draws: int, rng: Any
) -> Ahead:
    """Fit a baseline to some rows of a table and predict others, or say why that cannot be."""
    lacking = [c for c in COLUMNS if c not in runs]
    if lacking:
        return nothing(len(above), f"the table has no {', '.join(lacking)}")
    if len(below) > MOST:
        return nothing(len(above), f"{len(below)} runs; its bootstrap takes up to {MOST}")
    try:
        return BASELINES[name](runs.iloc[below], runs.iloc[above], draws, rng)
    except FitError as error:
        return nothing(len(above), str(error))


def _additive(delta: float) -> Callable[..., Ahead]:
    def ahead(fitted: pd.DataFrame, held: pd.DataFrame, draws: int, rng: Any) -> Ahead:
        free = len(fitted) - len(NAMES)
        if free < 1:
            msg = f"{len(fitted)} runs for the {len(NAMES)} parameters of the additive law"
            raise FitError(msg)
        at, y = sizes_of(fitted), np.log(values_of(fitted, "loss"))
        best, _ = best_point(at, y, delta)
        middle = log_losses(best, at)
        spare = (y - middle) * np.sqrt(len(y) / free)  # residuals are smaller than the scatter
        again = middle + rng.choice(spare, (REFITS, len(y)))
        refits, _ = point_fits(at, again, np.tile(best, (REFITS, 1)), delta)
        there = Sizes(*sizes_of(held)[:2], at.reference)
        seen = np.log(values_of(held, "loss"))
        new, log_score = _scattered(log_losses(refits, there), spare, seen, draws, rng)
        return Ahead(np.exp(new), log_score - seen)

    return ahead


def _parabolas(fitted: pd.DataFrame, held: pd.DataFrame, draws: int, rng: Any) -> Ahead:
    n, flops, loss = np.log(values_of(fitted, "params")), compute_of(fitted), fitted["loss"]
    y, labels = np.asarray(loss, float), groups(flops)
    rows = [np.flatnonzero(labels == i) for i in np.unique(labels)]
    rows = [r for r in rows if groups(np.exp(n[r])).max() + 1 >= SIZES]
    rows = [r for r in rows if np.isfinite(vertices(n[r], y[r])[0])]
    if sum(map(len, rows)) < LADDER * len(y):
        msg = "no ladder: most runs lie at no budget (within 2 %) with a minimum among its sizes"
        raise FitError(msg)
    if len(rows) < BUDGETS:
        msg = (
            f"{len(rows)} budgets (within 2 %) whose three sizes or more show a minimum; a curve "
            f"with a floor through their minima takes {BUDGETS}"
        )
        raise FitError(msg)
    bent = [np.polyval(np.polyfit(n[r], y[r], 2), n[r]) for r in rows]
    free = sum(map(len, rows)) - 3 * len(rows)
    if free < 1:
        msg = "three sizes at every budget: parabolas pass through all runs and leave no scatter"
        raise FitError(msg)
    spare = np.concatenate([y[r] - b for r, b in zip(rows, bent, strict=True)])
    spare = spare * np.sqrt(len(spare) / free)
    found = [vertices(n[r], b + rng.choice(spare, (REFITS, len(r))))
             for r, b in zip(rows, bent, strict=True)]  # fmt: skip
    where, value, curve = np.moveaxis(np.array(found), 0, -1)
    fine = np.isfinite(where).all(axis=1) & (curve > 0).all(axis=1)
    if fine.mean() < 0.5:
        msg = f"only {fine.sum()} of {REFITS} resampled tables have a minimum at every budget"
        raise FitError(msg)
    logs = np.array([np.log(flops[r]).mean() for r in rows])
    ahead = np.log(compute_of(held))
    lowest = _towards_floor(value[fine], np.exp(logs), np.exp(ahead))
    size, bend = _line(where[fine], logs, ahead), np.exp(_line(np.log(curve[fine]), logs, ahead))
    middle = lowest + 0.5 * bend * (np.log(values_of(held, "params")) - size) ** 2
    return Ahead(*_scattered(middle, spare, values_of(held, "loss"), draws, rng))


def _line(values: np.ndarray, x: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Continue straight lines through (refit, budget) values to (refit, run)."""
    slope, level = np.polyfit(x - x.mean(), values.T, 1)
    return level[:, None] + slope[:, None] * (at - x.mean())


def _towards_floor(values: np.ndarray, flops: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Continue a power law with a floor through (refit, budget) minima; no part is negative."""
    law = PowerLaw("flops", reference=(("flops", np.exp(np.log(flops).mean())),))
    bare = {"E": 0.0, "a0": 1.0, "alpha": EXPONENTS[:, None]}
    u = law(bare, {"flops": flops})
    gap = u - u.mean(axis=1, keepdims=True)
    slope = np.maximum(values @ gap.T / np.sum(gap**2, axis=1), 0.0)  # (refit, exponent)
    floor = values.mean(axis=1, keepdims=True) - slope * u.mean(axis=1)
    through_zero = values @ u.T / np.sum(u**2, axis=1)
    slope, floor = np.where(floor < 0, through_zero, slope), np.maximum(floor, 0.0)
    miss = values[:, None] - floor[..., None] - slope[..., None] * u
    best = np.argmin(np.sum(miss**2, axis=2), axis=1)
    own = {"E": np.take_along_axis(floor, best[:, None], 1),
           "a0": np.take_along_axis(slope, best[:, None], 1),
           "alpha": EXPONENTS[best][:, None]}  # fmt: skip
    return law(own, {"flops": at})


def _scattered(
    middle: np.ndarray, spare: np.ndarray, seen: np.ndarray, draws: int, rng: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Put residuals about (refit, run) predictions; return draws, and the log density of `seen`.

    The density is that of the draws with every residual a narrow normal: of resampled residuals
    themselves there is none.
    """
    each = -(-draws // len(middle))
    new = np.repeat(middle, each, axis=0)
    new = new + rng.choice(spare, new.shape)
    knots = np.quantile(spare, (np.arange(min(KNOTS, len(spare))) + 0.5) / min(KNOTS, len(spare)))
    quartiles = np.subtract(*np.quantile(spare, [0.75, 0.25])) / 1.349
    wide = 0.9 * min(spare.std(), quartiles or spare.std()) * len(spare) ** -0.2  # Silverman 1986
    wide = max(wide, 1e-12)
    log_score = np.empty(len(seen))
    for i, value in enumerate(seen):
        z = (value - middle[:, i, None] - knots) / wide
        log_score[i] = log_mean(-0.5 * z.ravel() ** 2) - np.log(wide * np.sqrt(2 * np.pi))
    return new, log_score


BASELINES: dict[str, Callable[..., Ahead]] = {
    "huber": _additive(HUBER),
    "mse": _additive(np.inf),
    "parabola": _parabolas,
}
