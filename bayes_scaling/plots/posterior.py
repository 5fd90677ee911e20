"""What was learnt: posterior against prior, one panel per parameter."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bayes_scaling._registry import did_you_mean
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, runs_of
from bayes_scaling.results import SAMPLES, model_of
from bayes_scaling.trust import warn_if_untrusted

WIDEST = 2.0  # posterior widths of prior shown on either side: a spike in a void shows nothing
COLUMNS = 4


def plot_posterior(
    fit: xr.DataTree, *, var_names: Sequence[str] | None = None, ax: Any = None
) -> Figure:
    r"""Draw the posterior density of the parameters against their prior.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    var_names : sequence of str, optional
        Which parameters; by default those of the model and the exponent `a` of the optimum.
    ax : sequence of Axes, optional
        Where to draw, one per parameter; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure
        A panel per parameter with median, 90 % interval, and how much wider the prior's is.

    Raises
    ------
    SpecError
        A name that the posterior does not have.

    Notes
    -----
    Densities are kernel estimates of ArviZ, which do not spill over the edge of the draws. A
    parameter with a value per group gets a line per group beside the population's.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> figure = bs.plots.plot_posterior(bs.load_posterior("chinchilla"), var_names=["E", "a"])
    >>> figure.axes[1].get_xlabel()
    'exponent of the optimal size, N* ~\nC^a'
    """
    trust = warn_if_untrusted(fit)
    posterior = fit["posterior"].to_dataset()
    prior = fit["prior"].to_dataset() if "prior" in fit.children else None
    names = _names(fit, posterior, var_names)
    own, axes = ax is None, style.panels(ax, len(names), (3.0, 2.75), min(COLUMNS, len(names)))
    for panel, name in zip(axes, names, strict=True):
        _panel(panel, name, posterior, prior)
    said = "; prior in grey" if prior is not None else "; prior not in this fit"
    detail = f"{detail_of(fit, runs_of(fit))}; median, 90 % interval{said}"
    style.heading(axes[0], own, "Posterior of the parameters", detail, trust)
    return axes[0].figure  # pyright: ignore[reportReturnType]


def _names(fit: xr.DataTree, posterior: xr.Dataset, wanted: Sequence[str] | None) -> list[str]:
    known = [str(v).removesuffix("_group") for v in posterior.data_vars]
    known = [n for n in dict.fromkeys(known) if not n.endswith(("_sd", "_z"))]
    if wanted is None:
        return [n for n in (*(p.name for p in model_of(fit).params), "a") if n in known]
    for name in wanted:
        if name not in known:
            msg = (
                f"the posterior has no parameter {name!r}.{did_you_mean(name, known)} "
                f"Parameters: {', '.join(known)}."
            )
            raise SpecError(msg)
    return list(wanted)


def _panel(ax: Axes, name: str, posterior: xr.Dataset, prior: xr.Dataset | None) -> None:
    style.tidy(ax)
    ax.grid(False)
    ax.spines["left"].set_visible(False)
    ax.set_yticks([])
    whole, each = _scalar(posterior, name), _each(posterior, name)
    before = None if prior is None else _scalar(prior, name)
    draws = np.concatenate([d for _, d in each]) if whole is None else whole
    peak = 0.0
    if before is not None:
        _density(ax, before, color=style.GREY, linestyle=(0, (4, 2)), label="_prior")
    if whole is not None:
        peak = _density(ax, whole, color=style.BLUE, label="_posterior", filled=True)
    for i, (label, values) in enumerate(each):
        color = style.SEQUENCE(i / max(len(each) - 1, 1))
        peak = max(peak, _density(ax, values, color=color, linewidth=1, label=label))
    ax.set(xlim=_window(draws, before), ylim=(0, 1.45 * peak or 1.0))
    ax.set_xlabel(_meaning(posterior, name), fontsize=style.SMALL)
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.tick_params(labelsize=style.SMALL)
    _say(ax, name, whole, before)
    if each:
        ax.legend(fontsize=6, frameon=False, loc="center right")


def _scalar(group: xr.Dataset, name: str) -> np.ndarray | None:
    found = name in group and set(group[name].dims) == set(SAMPLES)
    return group[name].values.ravel() if found else None


def _each(group: xr.Dataset, name: str) -> list[tuple[str, np.ndarray]]:
    """Return the draws of every group of runs, where the parameter has one value per group."""
    pooled = f"{name}_group" if f"{name}_group" in group else name
    values = group[pooled]
    if set(values.dims) == set(SAMPLES):
        return []
    (column,) = set(values.dims) - set(SAMPLES)
    labels = values[column].values
    return [(str(k), values.isel({column: i}).values.ravel()) for i, k in enumerate(labels)]


def _density(ax: Axes, draws: np.ndarray, *, filled: bool = False, **line: Any) -> float:
    """Draw a density, with its 90 % interval filled and its median marked; return its peak.

    A parameter that a model fixes has no density: an upright line stands for it.
    """
    if np.ptp(draws) == 0:
        ax.axvline(draws[0], **{"linewidth": 1.5, **line})
        return 0.0
    from arviz_stats.base.array import array_stats

    grid, density, _ = array_stats.kde(draws)
    ax.plot(grid, density, **{"linewidth": 1.5, **line})
    if filled:
        low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
        inside = (grid >= low) & (grid <= high)
        ax.fill_between(grid[inside], density[inside], color=line["color"], alpha=0.25, linewidth=0)
        ax.vlines(middle, 0, np.interp(middle, grid, density), color=line["color"], linewidth=1.2)
    return float(density.max())


def _window(draws: np.ndarray, before: np.ndarray | None) -> tuple[float, float]:
    """Return what a panel shows: the posterior, and of the prior what fits beside it."""
    low, high = np.quantile(draws, [0.002, 0.998])
    width = float(high - low) or abs(float(high)) or 1.0
    if before is None or np.ptp(before) == 0:
        return low - 0.1 * width, high + 0.1 * width
    first, last = np.quantile(before, [0.005, 0.99])
    return (
        max(min(first, low), low - WIDEST * width),
        min(max(last, high), high + WIDEST * width),
    )


def _say(ax: Axes, name: str, draws: np.ndarray | None, before: np.ndarray | None) -> None:
    """Print the numbers in the room left above the peak."""
    ax.text(0.0, 0.99, name, transform=ax.transAxes, va="top", fontsize=11, fontweight="bold")
    if draws is None:
        return
    q = np.quantile(draws, [0.05, 0.5, 0.95])
    said = ticks.rounded(q) if q[2] > q[0] else f"{q[1]:.4g}, fixed"
    if before is not None and q[2] > q[0]:
        ratio = np.diff(np.quantile(before, [0.05, 0.95]))[0] / (q[2] - q[0])
        said += f"\nprior {ratio:.0f} times wider" if ratio >= 2 else "\nlittle more than the prior"
    ax.text(1.0, 0.99, said, transform=ax.transAxes, va="top", ha="right", fontsize=style.SMALL)


def _meaning(group: xr.Dataset, name: str) -> str:
    attrs = group[name if name in group else f"{name}_group"].attrs
    unit = attrs.get("units", "1")
    meaning = attrs.get("long_name", name) + (f" ({unit})" if unit != "1" else "")
    return textwrap.fill(meaning, 36)
