"""Slices of the law at fixed compute, with the runs near each."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.decision import allocate
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import (
    detail_of,
    in_the_plane,
    largest,
    light,
    loss_along,
    quantiles,
    runs_of,
)
from bayes_scaling.results import model_of
from bayes_scaling.trust import warn_if_untrusted

NEAR = 0.1  # share of compute within which a run counts as of a budget
APART = 2.5  # least ratio of the budgets chosen: closer slices would overlap
SLICES = 6
SPAN = 10.0  # factor on either side of the best size that a slice shows
POINTS = 60


def plot_isoflop(
    fit: xr.DataTree, *, budgets: Any = None, group: str | None = None, ax: Any = None
) -> Axes:
    """Draw the loss against size at fixed compute, with the minimum and its uncertainty.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    budgets : float or (budget,) array, FLOP, optional
        Compute of the slices, C = 6 N D; by default up to six at which most runs were trained.
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
        The law is not in `params` and `tokens`, or a budget is not positive.

    Notes
    -----
    Points are the runs within 10 % of a slice's compute, as measured. Diamonds are the posterior
    median of the best size, the bar through it its 90 % interval.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> ax = bs.plots.plot_isoflop(bs.load_posterior("chinchilla"), budgets=[1e20, 1e22])
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('parameters N', 'loss (nat/token)')
    """
    trust = warn_if_untrusted(fit)
    in_the_plane(fit, group)
    runs, thin = runs_of(fit, group), light(fit)
    chosen = (
        _chosen(fit, runs) if budgets is None else np.sort(np.atleast_1d(budgets).astype(float))
    )
    best = allocate(thin, chosen, group=group)
    size, least = quantiles(best["params_opt"]), quantiles(best["loss_opt"])
    own, (ax,) = ax is None, style.panels(ax, 1, (7.6, 5.4))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.count)
    shown, tops, ends = 0, [], []
    for i, budget in enumerate(chosen):
        color = style.SEQUENCE(i / max(len(chosen) - 1, 1))
        params, loss = _near(fit, runs, budget)
        sizes = _sizes(size[2, i], params)
        band = loss_along(thin, group, params=sizes, tokens=budget / PER_TOKEN / sizes)
        style.fan(ax, sizes, band, color)
        ax.scatter(params, loss, s=26, color=color, zorder=4, edgecolors="white", linewidths=0.5)
        ax.plot(size[[0, 4], i], least[[2, 2], i], color=style.INK, linewidth=2, zorder=5)
        ax.plot(size[2, i], least[2, i], "D", color="white", markeredgecolor=style.INK, zorder=6)
        place: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 9}
        ax.annotate(ticks.power(budget), (sizes[-1], band[2, -1]), (5, 0), **place)
        shown += len(loss)
        ends.append(sizes[-1])
        tops += [*loss, band[4, -1]]
    bottom, top = float(least[0].min()), max(tops)
    ax.set_ylim(bottom - 0.08 * (top - bottom), top + 0.06 * (top - bottom))
    ax.set_xlim(right=max(ends) * 2.5)  # room for the last slice's label
    ax.set(xlabel="parameters N", ylabel="loss (nat/token)")
    _key(ax, shown, own)
    counted = "curves alone" if runs is None else f"{shown} within 10 % of a slice's compute"
    detail = f"{detail_of(fit, runs, group)}; {counted}"
    style.heading(ax, own, "Loss at fixed compute (FLOP at the right of each slice)", detail, trust)
    return ax


def _chosen(fit: xr.DataTree, runs: pd.DataFrame | None) -> np.ndarray:
    if runs is None:
        top = np.floor(np.log10(largest(fit, None) or 1e22))
        return 10.0 ** (top + np.arange(-3, 1))
    return _crowded(np.sort(runs["compute"].to_numpy(float)))


def _crowded(compute: np.ndarray) -> np.ndarray:
    """Return up to `SLICES` budgets at which most runs were trained, at least `APART`.

    Of equally crowded ones the larger goes first: that is where plans start from.
    """
    logs = np.log(compute)
    free = np.ones(len(logs), bool)
    found = []
    while free.any() and len(found) < SLICES:
        width = np.log1p(NEAR)
        crowd = np.searchsorted(logs, logs + width, "right") - np.searchsorted(logs, logs - width)
        best = np.lexsort((logs, crowd * free))[-1]
        centre = logs[np.abs(logs - logs[best]) <= width].mean()
        found.append(np.exp(centre))
        free &= np.abs(logs - centre) > np.log(APART)
    return np.sort(found)


def _near(fit: xr.DataTree, runs: pd.DataFrame | None, budget: float) -> tuple[Any, Any]:
    """Return sizes and losses of the runs at a budget."""
    if runs is None:
        return np.empty(0), np.empty(0)
    here = np.abs(np.log(runs["compute"].to_numpy() / budget)) <= np.log1p(NEAR)
    return runs["params"].to_numpy()[here], runs[model_of(fit).law.outcome].to_numpy()[here]


def _sizes(best: float, params: np.ndarray) -> np.ndarray:
    low = min(best / SPAN, params.min(initial=np.inf) / 1.2)
    high = max(best * SPAN, params.max(initial=0.0) * 1.2)
    return np.geomspace(low, high, POINTS)


def _key(ax: Axes, shown: int, own: bool) -> None:
    """Explain the marks once, in a colour that belongs to no slice."""
    grey, ink = style.GREY, style.INK
    if shown:
        ax.scatter([], [], s=26, color=grey, label="runs within 10 % of the compute")
    ax.fill_between([], [], color=grey, alpha=0.3, label="law: median, 50 and 90 % intervals")
    ax.plot([], [], "D-", color=ink, markerfacecolor="white", label="best size, 90 % interval")
    style.legend([ax], own, 3)
