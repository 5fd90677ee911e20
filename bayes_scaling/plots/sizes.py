"""The optimal size against compute as several schools have it, and what was trained."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.datasets import load_dataset
from bayes_scaling.data.numbers import positive
from bayes_scaling.decision import allocate
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.isoflop import size_on_line
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import light
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted

POINTS = 40
BUDGETS = (1e18, 1e27)


def plot_sizes(
    schools: Mapping[str, Any],
    *,
    budgets: Any = BUDGETS,
    trained: pd.DataFrame | None = None,
    ax: Any = None,
) -> Axes:
    """Draw N*(C) of several fits or frontiers with their bands, beside models that were trained.

    Parameters
    ----------
    schools : mapping of str to DataTree or Dataset
        By label, a fit of a law in `params` and `tokens`, or draws of `a` and `log_g` of a line
        ``N* = e^log_g C^a`` from `frontier`.
    budgets : (low, high), FLOP
        Compute from where to where.
    trained : DataFrame, optional
        Columns `name`, `params`, `tokens`; the data set "flagships" unless given. An empty table
        draws none.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        A school that is neither, no compute between the budgets, or a table without its columns.

    Notes
    -----
    Compute is 6ND throughout, with N as each study counts it; models are placed at 6 times their
    total parameters and tokens.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> ax = bs.plots.plot_sizes({"Besiroglu et al.": bs.load_posterior("chinchilla")})
    >>> ax.get_ylabel()
    'optimal parameters N*'
    """
    if not isinstance(schools, Mapping):
        msg = f"schools are a mapping of label to fit or line; found {type(schools).__name__}"
        raise SpecError(msg)
    points = load_dataset("flagships") if trained is None else trained
    if missing := {"name", "params", "tokens"} - set(points):
        msg = f"trained: column {' and '.join(sorted(missing))} missing; needs name, params, tokens"
        raise SpecError(msg)
    low, high = positive(budgets, "budgets: from low to high FLOP")[[0, -1]]
    if not low < high or not schools:
        msg = f"plot_sizes needs a school and budgets from low to high FLOP; found {budgets!r}"
        raise SpecError(msg)
    grid = np.geomspace(low, high, POINTS)
    own, (ax,) = ax is None, style.panels(ax, 1, (8.4, 5.6))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.power)
    ticks.log_axis(ax.yaxis, ticks.count)
    doubts = []
    for i, (label, school) in enumerate(schools.items()):
        sizes, trust = _sizes(label, school, grid)
        doubts += [f"{label}: {trust}"] if trust != "trusted" else []
        style.fan(ax, grid, sizes, style.COLORS[i % len(style.COLORS)], label)
    ax.set(xlabel=style.COMPUTE, ylabel="optimal parameters N*", xlim=(low, high))
    style.legend([ax], own, 2)
    detail = style.BANDS + ("; diamonds: models as they were trained" if len(points) else "")
    title = "The size that a budget should train, by school"
    style.heading(ax, own, title, detail, "; ".join(doubts) or "trusted")
    _place(ax, points)
    return ax


def _sizes(label: str, school: Any, grid: np.ndarray) -> tuple[np.ndarray, str]:
    """Return quantiles of N* along a grid, (5, point), and whether they can be trusted."""
    if isinstance(school, xr.DataTree):
        plan = allocate(light(school), grid)
        return plan["params_opt"].quantile(style.PROBS, SAMPLES).values, warn_if_untrusted(school)
    if not isinstance(school, xr.Dataset) or not {"a", "log_g"} <= set(school):
        msg = f"{label!r}: a fit, or draws of a and log_g; found {type(school).__name__}"
        raise SpecError(msg)
    a, log_g = (school[v].values.ravel() for v in ("a", "log_g"))
    return np.quantile(size_on_line(a, log_g, grid[:, None]), style.PROBS, axis=1), "trusted"


def _place(ax: Axes, points: pd.DataFrame) -> None:
    """Mark the models."""
    at = np.column_stack([flops_6nd(points["params"], points["tokens"]), points["params"]])
    ax.plot(*at.T, "D", color="white", markeredgecolor=style.INK, markersize=6, zorder=5)
    style.name_points(ax, at, [str(n) for n in points["name"]])
