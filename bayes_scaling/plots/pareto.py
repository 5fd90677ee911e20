"""Time against compute: the tokens that a number of steps to the target costs, over batch sizes."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.data.numbers import values_of
from bayes_scaling.decision._critical import law_of, points_of
from bayes_scaling.decision.batch import batch_tradeoff, critical_batch
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, of_group, quantiles, runs_of
from bayes_scaling.plots.batch import by_steps, where
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 80
ENDS = (1 / 30, 30.0)  # times B_crit: three per cent over the least of either
ROOM = 1.6  # beyond the curve and the runs
OUTSIDE = 1e6  # times all that is drawn: where an infinite band ends


class Sweep(NamedTuple):
    """One curve: its group, where it is, its runs where the fit carries them, its colour."""

    group: str | None
    at: Any
    runs: pd.DataFrame | None
    color: Any


def plot_pareto(
    fit: xr.DataTree,
    at: Any = None,
    *,
    group: str | None = None,
    overhead: float = 0.2,
    ax: Any = None,
) -> Axes:
    """Draw the tokens to a target loss against the steps to it, as the batch size goes.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs`.
    at : mapping, optional
        Where, as of `critical_batch`; by default the middle of the runs of each sweep.
    group : str, optional
        Which sweep of a pooled model; all of them without it.
    overhead : float, default 0.2
        Share of tokens over the least whose batch size is marked.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Another law, no positive overhead, or `at` is needed and lacking.
    FitFileError
        No such group.

    Notes
    -----
    The front of McCandlish et al.: steps are time, tokens are compute, and no batch size takes
    fewer of both. Bands are over draws at a number of steps; where some draws say that no batch is
    so quick, they reach up to the edge. A diamond is the critical batch size, a square the batch
    that takes `overhead` more tokens than the least, each with its 90 % intervals in both
    directions; points are the runs. Of one sweep dotted lines are the least of either, and the axis
    on the right counts in multiples of the fewest tokens, all medians.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> batch = np.geomspace(3e4, 3e7, 12)
    >>> runs = {"batch_size_tokens": batch, "steps": np.round(5000 * (1 + 1e6 / batch))}
    >>> fit = bs.fit(bs.ScalingModel(bs.CriticalBatch(), bs.Normal()), runs)
    >>> bs.plots.plot_pareto(fit).get_ylabel()
    'tokens to the target loss (compute)'
    """
    law, thin, runs = law_of(fit), light(fit), runs_of(fit, group)
    sweeps = _sweeps(fit, law, runs, at, group)
    trust = warn_if_untrusted(fit)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.8, 5.2))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.count)
    ticks.log_axis(ax.yaxis, ticks.count)
    corners = np.array([_front(ax, law, thin, sweep, overhead) for sweep in sweeps])
    low, high = corners.min(axis=(0, 1)) / ROOM, corners.max(axis=(0, 1)) * ROOM
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set(xlabel="optimizer steps to the target loss (time)")
    ax.set(ylabel="tokens to the target loss (compute)")
    if len(sweeps) == 1:
        _least(ax, law, thin, sweeps[0])
    white: dict[str, Any] = {"color": "white", "markeredgecolor": style.INK}
    ax.plot([], [], "D", label="critical batch size, 90 % intervals", **white)
    ax.plot([], [], "s", label=f"batch of {overhead:.0%} more tokens than the fewest", **white)
    if runs is not None and "censored" in runs and values_of(runs, "censored").any():
        ax.scatter([], [], s=40, marker="^", color=style.GREY, label="stopped before the target")
    style.legend([ax], own, 2)
    detail = f"{detail_of(fit, runs, group)}; {style.BANDS}"
    style.heading(ax, own, "Tokens against steps to a target loss", detail, trust)
    return ax


def _sweeps(fit: xr.DataTree, law: Any, runs: Any, at: Any, group: str | None) -> list[Sweep]:
    pooling = model_of(fit).pooling
    several = group is None and pooling is not None
    if runs is None and (several or (law.drivers and at is None)):
        msg = "the fit does not carry its runs: say which sweep, group=..., and where, at=..."
        raise SpecError(msg)
    theta_of(fit, group) if group is not None else None
    if at is not None and any(v.size > 1 for v in points_of(fit, at).values()):
        msg = f"at: one place for one curve; found {at!r}"
        raise SpecError(msg)
    names: list[Any] = [group]
    if pooling is not None and runs is not None and group is None:
        names = by_steps(runs, pooling.column)
    out = []
    for i, name in enumerate(names):
        color = style.SEQUENCE(i / max(len(names) - 1, 1)) if several else style.BLUE
        mine = None if runs is None else of_group(fit, runs, name)
        there = where(law, mine) if at is None and mine is not None else at
        out.append(Sweep(name, there, mine, color))
    return out


def _front(ax: Axes, law: Any, fit: xr.DataTree, sweep: Sweep, overhead: float) -> np.ndarray:
    """Draw one sweep; return two corners of what is to be seen of it, (steps, tokens) each."""
    found = critical_batch(fit, sweep.at, overhead=overhead, group=sweep.group)
    theta, points = theta_of(fit, sweep.group), points_of(fit, sweep.at)
    middle = float(found["b_crit"].median())
    batches = middle * np.geomspace(*ENDS, POINTS)
    cost = batch_tradeoff(fit, batches, sweep.at, group=sweep.group).median(SAMPLES)
    steps, tokens = (cost[k].values.ravel() for k in ("steps", "tokens"))
    seen = [np.stack([steps, tokens], axis=1)[[0, -1]]]
    if sweep.runs is not None:
        seen.append(_runs(ax, sweep.runs, sweep.color))
    seen = np.concatenate(seen)
    corners = np.stack([seen.min(axis=0), seen.max(axis=0)])
    # Steps crowd at the least: those of evenly spaced batches, and on to the edges.
    edges = np.geomspace(corners[0, 0] / ROOM, corners[1, 0] * ROOM, POINTS)
    grid = np.sort(np.concatenate([steps, edges]))
    here = xr.DataArray(grid, dims="steps")
    curve = _plain(here * law.batch_at(theta, points, here))
    # inf in the draws where no batch is so quick: a quantile between it and a number is nan.
    curve = curve.quantile(style.PROBS, dim=SAMPLES, method="inverted_cdf").values
    curve = np.minimum(curve, OUTSIDE * corners[1, 1])
    style.fan(ax, grid, curve, sweep.color, sweep.group or "law")
    for name, marker in (("b_crit", "D"), ("batch", "s")):
        taken = law(theta, {**points, BATCH: found[name]})
        x, y = quantiles(_plain(taken)), quantiles(_plain(taken * found[name]))
        ax.plot([x[0], x[4]], [y[2], y[2]], color=style.INK, linewidth=1.6, zorder=5)
        ax.plot([x[2], x[2]], [y[0], y[4]], color=style.INK, linewidth=1.6, zorder=5)
        ax.plot(x[2], y[2], marker, color="white", markeredgecolor=style.INK, zorder=6)
    return corners


def _plain(draws: xr.DataArray) -> xr.DataArray:
    """Return the draws at the one point there is."""
    return draws.isel(point=0) if "point" in draws.dims else draws


def _runs(ax: Axes, runs: pd.DataFrame, color: Any) -> np.ndarray:
    steps = values_of(runs, "steps")
    tokens = steps * values_of(runs, BATCH)
    stopped = values_of(runs, "censored") > 0 if "censored" in runs else np.zeros(len(runs), bool)
    look: dict[str, Any] = {"color": color, "zorder": 4, "linewidths": 0.5, "edgecolors": "white"}
    ax.scatter(steps[~stopped], tokens[~stopped], s=26, **look)
    if stopped.any():
        ax.scatter(steps[stopped], tokens[stopped], s=40, marker="^", **look)
    return np.stack([steps, tokens], axis=1)


def _least(ax: Axes, law: Any, fit: xr.DataTree, sweep: Sweep) -> None:
    theta, points = theta_of(fit, sweep.group), points_of(fit, sweep.at)
    steps = float(law.least_steps(theta).median())
    tokens = float(law.least_tokens(theta, points).median())
    dotted: dict[str, Any] = {"color": style.GREY, "linewidth": 1, "linestyle": ":", "zorder": 1}
    ax.axvline(steps, label="fewest steps, fewest tokens (medians)", **dotted)
    ax.axhline(tokens, **dotted)
    both: Any = (lambda e: e / tokens, lambda ratio: ratio * tokens)
    other = ax.secondary_yaxis("right", functions=both)
    ticks.log_axis(other.yaxis, lambda r: f"{r:g}x")
    other.set_ylabel("over the fewest tokens")
    other.spines["right"].set_visible(False)
