"""A backtest: coverage and error against distance ahead, and where runs fell in their intervals."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks

ASIDE = 0.13  # of the room between two distances, between two models
NEEDS = ("coverage", "covered_low", "covered_high", "own_low", "own_high", "rmse", "pit", "verdict")
UNITS = {"flops": "compute", "params": "size", "tokens": "data"}


def plot_backtest(result: xr.Dataset, *, prob: float = 0.95, ax: Any = None) -> Figure:
    """Draw how far intervals held and predictions erred, against distance ahead.

    Parameters
    ----------
    result : xarray.Dataset
        From `backtest`.
    prob : {0.5, 0.8, 0.9, 0.95}
        Of the intervals whose coverage is drawn.
    ax : sequence of three Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Not a backtest, or intervals of that probability were not scored.

    Notes
    -----
    Left, the share of runs inside their intervals with its binomial 95 % interval, and shaded where
    it would lie were the intervals of the first model right. Middle, the error of the predicted
    median. Right, the distribution of PIT values: on the diagonal if intervals of every probability
    hold, an S across it if they are too wide, its mirror image if too narrow.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> found = bs.backtest(bs.ScalingModel(), runs, cuts=1.5e21, baselines=["mse"])
    >>> [ax.get_ylabel() for ax in bs.plots.plot_backtest(found).axes]
    ['runs inside their 95 % interval', 'RMSE of the predicted median', 'share of runs below']
    """
    if missing := [v for v in NEEDS if v not in result]:
        msg = f"a result of `backtest` is asked for; this has no {', '.join(missing)}"
        raise SpecError(msg)
    if not np.isclose(result["prob"].values, prob).any():
        known = ", ".join(f"{p:g}" for p in result["prob"].values)
        msg = f"prob {prob!r} was not scored; choose one of: {known}"
        raise SpecError(msg)
    own, axes = ax is None, style.panels(ax, 3, (4.4, 4.0))
    there = [i for i in range(result.sizes["ahead"]) if int(result["runs"][:, i].max()) > 0]
    shown = result.isel(ahead=there).sel(prob=prob, method="nearest")
    for panel in axes:
        style.tidy(panel)
    _coverage(axes[0], shown, prob)
    _error(axes[1], shown)
    _pit(axes[2], result)
    style.legend(axes, own, 5)
    first = result.isel(model=0)
    title = f"Backtest of {first['model'].item()}: fitted below {result.sizes['cut']} cuts"
    flags = "" if result.attrs["trust"] == "trusted" else f"; flagged: {result.attrs['trust']}"
    style.heading(axes[0], own, title, f"{first['verdict'].item()}{flags}", "trusted")
    return axes[0].figure  # pyright: ignore[reportReturnType]


def _places(shown: xr.Dataset, model: int) -> np.ndarray:
    models = shown.sizes["model"]
    return np.arange(shown.sizes["ahead"]) + ASIDE * (model - (models - 1) / 2)


def _coverage(ax: Axes, shown: xr.Dataset, prob: float) -> None:
    first = shown.isel(model=0)
    edges = np.arange(shown.sizes["ahead"] + 1) - 0.5
    low, high = (np.append(v, v[-1:]) for v in (first["own_low"].values, first["own_high"].values))
    ax.fill_between(edges, low, high, step="post", color=style.GREY, alpha=0.18, linewidth=0,
                    label=f"if the intervals of {first['model'].item()} were right")  # fmt: skip
    ax.axhline(prob, color=style.INK, linewidth=1, linestyle="--", label="nominal")
    for i, name in enumerate(shown["model"].values):
        one = shown.isel(model=i)
        x, color = _places(shown, i), style.COLORS[i % len(style.COLORS)]
        ax.vlines(x, one["covered_low"], one["covered_high"], color=color, linewidth=1.6)
        ax.plot(x, one["coverage"], marker=_marker(one), linestyle="", color=color,
                label=name if one["runs"].any() else f"{name}: no prediction")  # fmt: skip
    drawn = np.append(shown["covered_low"].values, shown["own_low"].values[0])
    ax.set_ylim(max(-0.03, float(np.nanmin(drawn)) - 0.05), 1.03)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    ax.set_ylabel(f"runs inside their {100 * prob:g} % interval")
    _distances(ax, shown)


def _error(ax: Axes, shown: xr.Dataset) -> None:
    for i in range(shown.sizes["model"]):
        one, color = shown.isel(model=i), style.COLORS[i % len(style.COLORS)]
        ax.plot(_places(shown, i), one["rmse"], marker=_marker(one), color=color, linewidth=1.2)
    ax.set_yscale("log")
    ticks.log_axis(ax.yaxis, lambda v: f"{v:g}")
    ax.set_ylabel("RMSE of the predicted median")
    _distances(ax, shown)


def _pit(ax: Axes, result: xr.Dataset) -> None:
    ax.plot([0, 1], [0, 1], color=style.INK, linewidth=1, linestyle="--")
    for i in range(result.sizes["model"]):
        values = np.sort(result["pit"].isel(model=i).values.ravel())
        values = values[np.isfinite(values)]
        if len(values):
            share = np.arange(1, len(values) + 1) / len(values)
            ax.step(values, share, where="post", color=style.COLORS[i % len(style.COLORS)])
    ax.set_xlabel("PIT: where in its predictive distribution")
    ax.set_ylabel("share of runs below")


def _marker(one: xr.Dataset) -> str:
    return "o" if one["kind"].item() == "model" else "s"


def _distances(ax: Axes, shown: xr.Dataset) -> None:
    most = shown["runs"].max("model").values
    labels = [f"{a}\n{n} runs" for a, n in zip(shown["ahead"].values, most, strict=True)]
    ax.set_xticks(np.arange(len(labels)), labels, fontsize=style.SMALL)
    ax.set_xlim(-0.5, len(labels) - 0.5)
    along = UNITS.get(str(shown.attrs["along"]), shown.attrs["along"])
    ax.set_xlabel(f"decades of {along} beyond the runs fitted")
