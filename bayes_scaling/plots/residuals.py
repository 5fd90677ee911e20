"""Where the law misses: runs against the posterior median, along compute, size and data."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bayes_scaling.data.coverage import groups
from bayes_scaling.errors import FitError
from bayes_scaling.model import ScalingModel
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, runs_of, with_compute
from bayes_scaling.predict import predict
from bayes_scaling.program import rows_for
from bayes_scaling.results import model_of
from bayes_scaling.trust import warn_if_untrusted

STANDS_OUT = (0.01, 0.99)  # of new runs: one run in fifty is labelled when the model is right
LABELLED = 6
TREND_FROM = 24  # runs below which a running median says nothing
BINS = 8


def plot_residuals(fit: xr.DataTree, runs: pd.DataFrame | None = None, *, ax: Any = None) -> Figure:
    """Draw residuals about the posterior median against compute, size and data.

    They are ln(measured / median), or differences where the model scatters on a linear scale.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    runs : DataFrame, optional
        Runs in raw counts with the outcome, such as a table from `read_runs`; the runs fitted
        without it. Others show how a published fit does on your own runs.
    ax : sequence of three Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    FitError
        The fit carries no runs, and none are given.

    Notes
    -----
    The bands hold 50 and 90 % of new runs at these sizes: parameter uncertainty and scatter, tails
    included. A trend of the running median that leaves the inner band is the law's error, not the
    runs'. The runs furthest out, beyond 98 % of new runs, are labelled.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit, runs = bs.load_posterior("chinchilla"), bs.load_dataset("nine-runs")
    >>> figure = bs.plots.plot_residuals(fit, runs)
    >>> [ax.get_xlabel() for ax in figure.axes[1:3]]
    ['parameters N', 'tokens per parameter D/N']
    """
    trust = warn_if_untrusted(fit)
    fitted = runs_of(fit)
    table = fitted if runs is None else _usable(fit, runs)
    if table is None:
        msg = "this fit carries no runs, as published posteriors do not: pass them as `runs`"
        raise FitError(msg)
    model = model_of(fit)
    table = table.loc[np.isfinite(table[model.law.outcome].to_numpy(float))]  # no loss, no residual
    for column in ("censored", "diverged"):  # nor has a lower bound, or a run that failed
        if column in table:
            table = table.loc[~table[column].astype(bool)]
    miss, scatter = _misses(light(fit), table)
    along = _along(table, model.law.inputs)
    own, axes = ax is None, style.panels(ax, len(along), (4.2, 4.2))
    far = _far(miss, scatter)
    ratio = table["tokens"] / table["params"] if {"params", "tokens"} <= set(table) else None
    for panel, (label, x, write) in zip(axes, along, strict=True):
        style.tidy(panel)
        ticks.log_axis(panel.xaxis, write)
        _bands(panel, x, scatter)
        panel.axhline(0, color=style.INK, linewidth=0.8)
        points = style.by_ratio(panel, x, miss, ratio, label="runs")
        _trend(panel, x, miss)
        _name(panel, x[far], miss[far], [str(i) for i in table.index[far]])
        panel.set_xlabel(label)
    _same_height(axes, model)
    style.legend(axes, own, 5)
    style.ratio_bar(points, axes)
    drawn = "the runs fitted" if runs is None else f"{len(table)} other runs"
    style.heading(axes[0], own, f"Residuals of {drawn}", detail_of(fit, fitted), trust)
    return axes[0].figure  # pyright: ignore[reportReturnType]


def _usable(fit: xr.DataTree, runs: pd.DataFrame) -> pd.DataFrame:
    model = model_of(fit)
    runs = rows_for(model, runs) if "use" in runs else runs
    wanted = (*model.inputs, model.law.outcome)
    missing = [c for c in wanted if c not in runs]
    if missing:
        msg = f"runs: the fit needs {', '.join(wanted)}; {', '.join(missing)} not in the table"
        raise FitError(msg)
    return with_compute(runs)


def _misses(fit: xr.DataTree, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return how far runs, and draws of new runs like them (draw, run), are from the median."""
    model = model_of(fit)
    wanted = [*model.law.inputs, *model.observation.inputs]
    column = model.pooling.column if model.pooling else None
    labels = table[column].astype(str).to_numpy() if column else np.full(len(table), "")
    middle, news, order = np.empty(len(table)), [], []
    for label in dict.fromkeys(labels):
        here = labels == label
        there = predict(fit, table.loc[here, wanted], group=label if column else None)
        of = model.law.outcome
        middle[here] = there[f"{of}_mean"].median(("chain", "draw")).values
        news.append(there[f"{of}_run"].values.reshape(-1, int(here.sum())))
        order.append(np.flatnonzero(here))
    new = np.concatenate(news, axis=1)[:, np.argsort(np.concatenate(order))]
    measured = table[model.law.outcome].to_numpy(float)
    if model.relative:
        return np.log(measured / middle), np.log(new / middle)
    return measured - middle, new - middle


def _along(table: pd.DataFrame, inputs: tuple[str, ...]) -> list[tuple[str, np.ndarray, Any]]:
    """Return what residuals are drawn along: label, values, how to write them."""
    if not {"params", "tokens"} <= set(table):
        named = [c for c in inputs if np.issubdtype(table[c].to_numpy().dtype, np.number)]
        return [(c, table[c].to_numpy(float), ticks.count) for c in named]
    compute, params = table["compute"].to_numpy(float), table["params"].to_numpy(float)
    return [
        (style.COMPUTE, compute, ticks.power),
        ("parameters N", params, ticks.count),
        ("tokens per parameter D/N", table["tokens"].to_numpy(float) / params, ticks.count),
    ]


def _bins(x: np.ndarray, most: int) -> list[np.ndarray]:
    """Split runs along an axis into at most so many bins of like size; one budget stays whole."""
    rank = np.argsort(np.argsort(x)) + 0.5
    labels = groups(x)
    middle = np.bincount(labels, rank) / np.bincount(labels)
    bins = np.floor(middle[labels] / len(x) * most)
    return [np.flatnonzero(bins == b) for b in np.unique(bins)]


def _bands(ax: Axes, x: np.ndarray, scatter: np.ndarray) -> None:
    """Step bands of new runs along the axis: scatter may move, and so may what is known."""
    bins = _bins(x, int(np.clip(len(x) // 8, 1, BINS)))
    inner = [np.sqrt(x[a].max() * x[b].min()) for a, b in itertools.pairwise(bins)]
    edges = np.array([x.min() / 1.1, *inner, x.max() * 1.1])
    q = np.array([np.quantile(scatter[:, b], style.PROBS) for b in bins])
    q = np.vstack([q, q[-1]]).T
    for low, high, share, alpha in ((0, 4, 90, 0.14), (1, 3, 50, 0.28)):
        look: dict[str, Any] = {"step": "post", "linewidth": 0, "label": f"{share} % of new runs"}
        ax.fill_between(edges, q[low], q[high], color=style.GREY, alpha=alpha, **look)


def _far(miss: np.ndarray, scatter: np.ndarray) -> np.ndarray:
    below = (scatter < miss).mean(axis=0)
    out = np.flatnonzero((below < STANDS_OUT[0]) | (below > STANDS_OUT[1]))
    return out[np.argsort(-np.abs(miss[out]))][:LABELLED]


def _trend(ax: Axes, x: np.ndarray, miss: np.ndarray) -> None:
    if len(x) < TREND_FROM:
        return
    bins = _bins(x, BINS)
    middle = [np.median(miss[b]) for b in bins]
    at = [np.exp(np.log(x[b]).mean()) for b in bins]
    ax.plot(at, middle, color=style.VERMILLION, linewidth=2, marker="o", markersize=4, zorder=4,
            label="running median")  # fmt: skip


def _name(ax: Axes, x: np.ndarray, miss: np.ndarray, names: list[str]) -> None:
    if not names:
        return
    look: dict[str, Any] = {"facecolors": "none", "edgecolors": style.INK, "linewidths": 1}
    ax.scatter(x, miss, s=60, zorder=5, label="outside 98 % of new runs, by name", **look)
    for where, value, name in zip(x, miss, names, strict=True):
        ax.annotate(name, (where, value), (5, 3), textcoords="offset points", fontsize=style.SMALL)


def _same_height(axes: list[Axes], model: ScalingModel) -> None:
    low = min(a.get_ylim()[0] for a in axes)
    high = max(a.get_ylim()[1] for a in axes)
    for panel in axes:
        panel.set_ylim(low, high + 0.05 * (high - low))
        if model.relative:
            panel.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    plain = f"measured - posterior median, {model.law.outcome}"
    text = "ln(measured / posterior median)" if model.relative else plain
    axes[0].set_ylabel(text)
