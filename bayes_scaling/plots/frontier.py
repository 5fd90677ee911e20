"""The compute-optimal frontier: sizes, tokens and their ratio against compute."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_scaling.decision import allocate
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import (
    detail_of,
    in_the_plane,
    largest,
    light,
    plan_label,
    quantiles,
    runs_of,
)
from bayes_scaling.trust import warn_if_untrusted

POINTS = 60
DECADES_AHEAD = 2.0  # beyond the largest run, where no plan asks for more
RULE = 20.0  # tokens per parameter: Hoffmann et al. 2022, section 3
WRITTEN = 4  # plans whose medians are written out; more would overlap


def plot_frontier(
    fit: xr.DataTree,
    plan: xr.Dataset | None = None,
    *,
    budgets: Any = None,
    group: str | None = None,
    ax: Any = None,
) -> Figure:
    """Draw the optimal size, data and tokens per parameter against compute.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    plan : xarray.Dataset, optional
        From `allocate`: its budgets are marked with bars of their 50 and 90 % intervals.
    budgets : (point,) array, FLOP, optional
        Where the curves are computed; by default from the smallest run to 100 times the largest,
        or three times the largest budget of `plan`.
    group : str, optional
        Which group of a pooled model; the population's without it.
    ax : sequence of two Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure
        Left panel N* and D*, right panel D*/N*, with 50 and 90 % intervals; the range of compute
        of the runs fitted is shaded.

    Raises
    ------
    SpecError
        The law is not in `params` and `tokens`, `budgets` are no curve, or `ax` is not two Axes.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> figure = bs.plots.plot_frontier(fit, bs.allocate(fit, 1e24))
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['parameters N*, tokens D*', 'tokens per parameter D*/N*']
    """
    trust = warn_if_untrusted(fit)
    if plan is not None and trust == "trusted":
        trust = plan.attrs.get("trust", trust)
    in_the_plane(fit, group)
    runs, thin = runs_of(fit, group), light(fit)
    grid = _grid(fit, plan, budgets, runs)
    curve = allocate(thin, grid, group=group)
    own, (left, right) = ax is None, style.panels(ax, 2, (5.4, 4.6))
    for panel in (left, right):
        style.tidy(panel)
        ticks.log_axis(panel.xaxis, ticks.power)
        ticks.log_axis(panel.yaxis, ticks.count)
        panel.set(xlabel=style.COMPUTE, xlim=(grid[0], grid[-1]))
    for panel, name, label, color in (
        (left, "tokens_opt", "optimal tokens D*", style.VERMILLION),
        (left, "params_opt", "optimal parameters N*", style.BLUE),
        (right, "tokens_per_param", "optimal D*/N*", style.GREEN),
    ):
        style.fan(panel, grid, quantiles(curve[name]), color, label)
        _mark(panel, plan, name, color)
    left.set_ylabel("parameters N*, tokens D*")
    right.set_ylabel("tokens per parameter D*/N*")
    rule = (0, (5, 3))
    right.axhline(RULE, color=style.INK, linestyle=rule, linewidth=1, label="20 per parameter")
    for panel in (left, right):
        _room(panel)
        _shade(panel, fit, runs, grid)
    style.legend([left, right], own, 3)
    detail = f"{detail_of(fit, runs, group)}; {style.BANDS}"
    style.heading(left, own, "Compute-optimal size and data", detail, trust)
    return left.figure  # pyright: ignore[reportReturnType]


def _grid(
    fit: xr.DataTree, plan: xr.Dataset | None, budgets: Any, runs: pd.DataFrame | None
) -> np.ndarray:
    if budgets is not None:
        given = np.sort(np.atleast_1d(np.asarray(budgets, float)))
        if len(given) < 2 or not given[0] > 0:
            msg = f"budgets: two or more positive FLOP make a curve; found {budgets!r}"
            raise SpecError(msg)
        return given
    top = largest(fit, runs) or 1e22
    low = top / 1e4 if runs is None else float(runs["compute"].to_numpy().min())
    high = top * 10**DECADES_AHEAD
    if plan is not None:
        marked = plan["budget"].values
        low, high = min(low, marked.min() / 3), max(high, marked.max() * 3)
    return np.geomspace(low, high, POINTS)


def _shade(panel: Axes, fit: xr.DataTree, runs: pd.DataFrame | None, grid: np.ndarray) -> None:
    """Shade the compute that was seen; without runs, all up to the largest on record."""
    top = largest(fit, runs)
    if top is None:
        return
    low = grid[0] if runs is None else float(runs["compute"].to_numpy().min())
    label = "up to the largest run fitted" if runs is None else "range of the runs fitted"
    panel.axvspan(low, top, color=style.PALE, zorder=0, label=label)


def _mark(panel: Axes, plan: xr.Dataset | None, name: str, color: str) -> None:
    if plan is None:
        return
    budgets = plan["budget"].values
    q = quantiles(plan[name])
    style.interval_bars(panel, budgets, q, color)
    if len(budgets) > WRITTEN:
        return
    for budget, top, text in zip(budgets, q[4], plan_label(plan, name), strict=True):
        panel.annotate(
            text,
            (budget, top),
            (0, 5),
            textcoords="offset points",
            ha="center",
            color=color,
            fontsize=9,
            fontweight="bold",
        )


def _room(panel: Axes) -> None:
    """Fit the axis to what is drawn, and to a factor of ten at least.

    A narrow band must look narrow. Matplotlib's own limits start from the 0 to 1 of empty axes.
    """
    drawn = [np.asarray(line.get_ydata(), float) for line in panel.lines]
    drawn += [path.vertices[:, 1] for c in panel.collections for path in c.get_paths()]  # pyright: ignore
    values = np.concatenate(drawn)
    low, high = values[values > 0].min() / 1.3, values.max() * 1.6
    middle = np.sqrt(low * high)
    panel.set_ylim(min(low, middle / 10**0.5), max(high, middle * 10**0.5))
