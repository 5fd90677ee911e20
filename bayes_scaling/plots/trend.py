"""The state of the art against date: releases, records, the envelope and its trend."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.decision.trend import law_of
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.trend import DATE
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import light, quantiles, runs_of
from bayes_scaling.predict import predict
from bayes_scaling.results import theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 60
NAMES = {"horizon": "task horizon (minutes)", "flops": "training compute (FLOP)"}


def plot_trend(
    fit: xr.DataTree, *, to: float | None = None, group: str | None = None, ax: Any = None
) -> Axes:
    """Draw the outcome of a `time_trend` against date, and how the frontier goes on.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `time_trend`.
    to : float, year, optional
        How far to extend the curves; by default half the span of the table beyond its end.
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
        Another law, or `to` does not lie after the first date.

    Notes
    -----
    The inner bands are of the trend, the outer dashed lines the 90 % interval of what a date's
    state of the art (of `Records`), or a release, would be.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> table = {"date": [2020, 2021.2, 2022.1, 2023, 2024, 2024.2],
    ...          "horizon": [1, 3, 7, 20, 50, 30]}
    >>> fit = bs.fit(bs.ScalingModel(bs.TimeTrend(), bs.Records()), table, seed=0)
    >>> bs.plots.plot_trend(fit).get_ylabel()
    'task horizon (minutes)'
    """
    trust = warn_if_untrusted(fit)
    law, thin, runs = law_of(fit), light(fit), runs_of(fit, group)
    t0 = dict(law.reference or ())[DATE]
    seen_at = np.array([t0 - 2.0, t0 + 2.0]) if runs is None else runs[DATE].to_numpy(float)
    low, end = float(seen_at.min()), float(seen_at.max())
    far = end + 0.5 * max(end - low, 1.0) if to is None else float(to)
    if not low < far < np.inf:
        msg = f"to: a year after {low:.1f}; found {to!r}"
        raise SpecError(msg)
    grid = np.linspace(low, far, POINTS)
    theta = theta_of(thin, group)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.6, 5.0))
    style.tidy(ax)
    curve = quantiles(law(theta, {DATE: xr.DataArray(grid, dims="point")}))
    style.fan(ax, grid, curve, style.BLUE, "trend")
    made = predict(thin, {DATE: grid}, group=group)[f"{law.outcome}_run"]
    outer = quantiles(made, (0.05, 0.95))
    for i, edge in enumerate(outer):
        label = "where the state of the art would lie, 90 %" if i == 0 else "_outer"
        ax.plot(grid, edge, color=style.BLUE, linestyle="--", linewidth=0.9, label=label)
    if runs is not None:
        ordered = runs.sort_values(DATE)
        date, seen = ordered[DATE].to_numpy(float), ordered[law.outcome].to_numpy(float)
        best = np.maximum.accumulate(seen)
        first = seen > np.concatenate([[-np.inf], best[:-1]])
        ax.step(date, best, where="post", color=style.INK, linewidth=1.0, label="records")
        ax.scatter(date[first], seen[first], s=22, color=style.INK, zorder=5, label="_records")
        if (~first).any():
            ax.scatter(date[~first], seen[~first], s=16, facecolors="none", zorder=5,
                       edgecolors=style.GREY, label="no record")  # fmt: skip
    ticks.log_axis(ax.yaxis, ticks.count)
    ax.set(xlabel="date", ylabel=NAMES[law.outcome])
    style.legend([ax], own, 2)
    q = quantiles(theta["doubling"])
    middle = f"doubles every {q[2]:.2g} years [{q[0]:.2g}, {q[4]:.2g}]; {style.BANDS}"
    style.heading(ax, own, "The state of the art against date", middle, trust)
    return ax
