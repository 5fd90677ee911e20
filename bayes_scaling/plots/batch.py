"""Steps against batch size: the trade-off, the runs, and the critical batch size."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.data.numbers import values_of
from bayes_scaling.decision._critical import law_of
from bayes_scaling.decision.batch import batch_tradeoff, critical_batch
from bayes_scaling.errors import FitFileError
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, of_group, quantiles, runs_of
from bayes_scaling.results import model_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 60
BEYOND = 4.0  # factor past the smallest and the largest batch tried


def plot_batch(fit: xr.DataTree, *, ax: Any = None) -> Axes:
    """Draw the steps to a target loss against batch size, for every sweep of a fit.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs` that carries its runs.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Another law.
    FitFileError
        The fit does not carry its runs.

    Notes
    -----
    A diamond is the critical batch size of a sweep, at its elbow (at twice the least number of
    steps, unless the law has k), with its 90 % interval; a triangle is a run that was stopped
    before it reached the target.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> batch = np.geomspace(3e4, 3e7, 12)
    >>> runs = {"batch_size_tokens": batch, "steps": np.round(5000 * (1 + 1e6 / batch))}
    >>> fit = bs.fit(bs.ScalingModel(bs.CriticalBatch(), bs.Normal()), runs)
    >>> bs.plots.plot_batch(fit).get_xlabel()
    'batch size B (tokens)'
    """
    law, thin, runs = law_of(fit), light(fit), runs_of(fit)
    if runs is None:
        msg = "plot_batch draws the runs of a fit, and this one does not carry them; fit them again"
        raise FitFileError(msg)
    trust = warn_if_untrusted(fit)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.8, 5.2))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.count)
    ticks.log_axis(ax.yaxis, ticks.count)
    pooling = model_of(fit).pooling
    if pooling is None:
        _sweep(ax, law, thin, runs, None, style.BLUE)
    groups = by_steps(runs, pooling.column) if pooling else []
    for i, group in enumerate(groups):
        color = style.SEQUENCE(i / max(len(groups) - 1, 1))
        _sweep(ax, law, thin, of_group(fit, runs, group), group, color)
    if "censored" in runs and values_of(runs, "censored").any():
        ax.scatter([], [], s=40, marker="^", color=style.GREY, label="stopped before the target")
    ax.plot([], [], "D", color="white", markeredgecolor=style.INK,
            label="critical batch size, 90 % interval")  # fmt: skip
    ax.set(xlabel="batch size B (tokens)", ylabel="optimizer steps to the target loss")
    style.legend([ax], own, 3)
    detail = f"{detail_of(fit, runs)}; {style.BANDS}"
    style.heading(ax, own, "Steps to a target loss against batch size", detail, trust)
    return ax


def by_steps(runs: pd.DataFrame, column: str) -> list[str]:
    """Return the sweeps, the easiest first."""
    names = runs[column].astype(str).to_numpy()
    tokens = values_of(runs, "steps") * values_of(runs, BATCH)
    return sorted(set(names), key=lambda k: tokens[names == k].min())


def where(law: Any, runs: pd.DataFrame) -> dict[str, float]:
    """Return what the critical batch size is along, in the middle of the runs of a sweep."""
    return {d: float(np.exp(np.log(values_of(runs, d)).mean())) for d in law.drivers}


def _sweep(
    ax: Axes, law: Any, fit: xr.DataTree, runs: pd.DataFrame, group: Any, color: Any
) -> None:
    batch, steps = values_of(runs, BATCH), values_of(runs, "steps")
    stopped = values_of(runs, "censored") > 0 if "censored" in runs else np.zeros(len(runs), bool)
    at = where(law, runs)
    grid = np.geomspace(batch.min() / BEYOND, batch.max() * BEYOND, POINTS)
    curve = quantiles(batch_tradeoff(fit, grid, at, group=group)["steps"].squeeze())
    style.fan(ax, grid, curve, color, group or "law")
    look: dict[str, Any] = {"color": color, "zorder": 4, "linewidths": 0.5, "edgecolors": "white"}
    ax.scatter(batch[~stopped], steps[~stopped], s=26, **look)
    if stopped.any():
        ax.scatter(batch[stopped], steps[stopped], s=40, marker="^", **look)
    low, _, middle, _, high = quantiles(critical_batch(fit, at, group=group)["b_crit"]).ravel()
    there = float(np.interp(np.log(middle), np.log(grid), curve[2]))
    ax.plot([low, high], [there, there], color=style.INK, linewidth=2, zorder=5)
    ax.plot(middle, there, "D", color="white", markeredgecolor=style.INK, zorder=6)
