"""The loss of the best run against compute: the data, the fan beyond them, the floor."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.decision import allocate
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import HasFloor
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import (
    detail_of,
    in_the_plane,
    largest,
    light,
    quantiles,
    runs_of,
)
from bayes_scaling.results import SAMPLES, theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 80
DECADES_AHEAD = 2.0


def plot_loss(
    fit: xr.DataTree, *, to: float | None = None, group: str | None = None, ax: Any = None
) -> Axes:
    """Draw the loss of the compute-optimal run against compute, beyond the data.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    to : float, FLOP, optional
        How far to extend the curve; by default to the power of ten nearest
        to 100 times the largest run.
    group : str, optional
        Which group of a pooled model; the population's without it.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        The law is not in `params` and `tokens`, or `to` is not positive.

    Notes
    -----
    Runs lie on the fan only if their tokens per parameter were the best ones: the rest lie above
    it, which is what their colour explains. The loss axis is linear, since the distance to the
    floor is what is left to gain.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> ax = bs.plots.plot_loss(bs.load_posterior("chinchilla"), to=1e25)
    >>> ax.get_ylabel(), ax.get_xscale()
    ('loss (nat/token)', 'log')
    """
    trust = warn_if_untrusted(fit)
    law = in_the_plane(fit, group)
    runs, thin = runs_of(fit, group), light(fit)
    end = largest(fit, runs)
    grid = _grid(end or 1e22, runs, to)
    fan = quantiles(allocate(thin, grid, group=group)["loss_opt"])
    own, (ax,) = ax is None, style.panels(ax, 1, (7.6, 5.0))
    draw_fan(ax, grid, fan, f"best run L*(C): {style.BANDS}", end)
    draw_floor(ax, law, thin, group)
    ax.set_xlabel(style.COMPUTE)
    if runs is not None:
        ratio = (runs["tokens"] / runs["params"]).to_numpy()
        points = style.by_ratio(ax, runs["compute"], runs[law.outcome], ratio, label="runs fitted")
        style.ratio_bar(points, ax)
    style.legend([ax], own, 2)
    style.heading(ax, own, "Loss of the compute-optimal run", detail_of(fit, runs, group), trust)
    return ax


def _grid(end: float, runs: pd.DataFrame | None, to: float | None) -> np.ndarray:
    low = end / 1e4 if runs is None else float(runs["compute"].to_numpy().min()) / 1.5
    high = 10.0 ** round(np.log10(end) + DECADES_AHEAD) if to is None else float(to)
    if not 0 < high < np.inf:
        msg = f"to: positive FLOP, such as 1e24; found {to!r}"
        raise SpecError(msg)
    return np.geomspace(min(low, high / 10), high, POINTS)


def draw_fan(ax: Axes, grid: np.ndarray, fan: np.ndarray, label: str, end: float | None) -> None:
    """Draw a loss that falls along a log axis, write its last value, mark the largest run."""
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.power)
    style.fan(ax, grid, fan, style.BLUE, label)
    ax.set(ylabel="loss (nat/token)", xlim=(grid[0], grid[-1] * 1.15))
    style.interval_bars(ax, grid[-1:], fan[:, -1:], style.BLUE)
    # The curve falls, so the upper right corner is free whatever the data.
    small: dict[str, Any] = {"textcoords": "offset points", "va": "top", "fontsize": 9}
    said = f"{ticks.rounded(fan[[0, 2, 4], -1])} at {ticks.power(grid[-1])}"
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    bold = {"ha": "right", "color": style.BLUE, "fontweight": "bold", "bbox": white}
    ax.annotate(said, (1.0, 1.0), (-4, -18), "axes fraction", **small, **bold)
    if end is not None:
        ax.axvline(end, color=style.INK, linewidth=1, linestyle=(0, (1, 2)))
        ax.annotate("largest run", (end, 1.0), (4, -4), ("data", "axes fraction"), **small)


def draw_floor(ax: Axes, law: Any, fit: xr.DataTree, group: str | None) -> None:
    """Draw the floor where the law has one: its 90 % interval right across, and its median."""
    floor = law.irreducible(theta_of(fit, group)) if isinstance(law, HasFloor) else None
    if floor is None or not float(floor.max()) > 0:
        return
    low, middle, high = floor.quantile([0.05, 0.5, 0.95], dim=SAMPLES).values
    ax.axhspan(low, high, color=style.GREY, alpha=0.18, linewidth=0)
    label = f"floor E {ticks.rounded([low, middle, high])}, 90 % interval"
    ax.axhline(middle, color=style.GREY, linewidth=1.2, linestyle=(0, (5, 3)), label=label)
