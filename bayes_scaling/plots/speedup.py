"""Recipes side by side: speed-up over a baseline, slopes, and ranks at two scales."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayes_scaling.decision._groups import UNITS
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.results import SAMPLES

LEAST = 1e-3  # below which a speed-up is off the figure
OF = {"flops": "training compute", "params": "parameters", "tokens": "training tokens"}


def plot_speedup(found: xr.Dataset, *, ax: Any = None) -> Axes:
    """Draw speed-ups against the baseline's compute, a band per group.

    Parameters
    ----------
    found : xarray.Dataset
        What `speedup` returned, at two or more places.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Something that `speedup` did not make, or a single place.

    Notes
    -----
    The line at 1 is the baseline; the shaded range is that of the baseline's runs. A band is solid
    where the median lies within the runs of both, and its median is dashed where either is left
    behind. A lower edge at the foot of the figure stands for draws that never get there.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> fit = bs.load_posterior("xlstm")
    >>> found = bs.speedup(fit, "llama", np.geomspace(1e19, 1e23, 9))
    >>> bs.plots.plot_speedup(found).get_ylabel()
    'speed-up over llama'
    """
    if not isinstance(found, xr.Dataset) or not {"speedup", "crossover"} <= set(found):
        msg = "speed-ups are wanted, as `speedup` returns them"
        raise SpecError(msg)
    if found.sizes["at"] < 2:
        msg = "a curve needs several places: speedup(fit, baseline, at=[1e19, ..., 1e23])"
        raise SpecError(msg)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.8, 4.8))
    style.tidy(ax)
    of, base = found.attrs["of"], found.attrs["baseline"]
    ticks.log_axis(ax.xaxis, ticks.power if of == "flops" else ticks.count)
    ticks.log_axis(ax.yaxis, lambda v: f"{v:g}x")
    x, low, high = found["at"].values, found.attrs["low"], found.attrs["high"]
    if np.isfinite(low):
        ax.axvspan(low, high, color=style.PALE, linewidth=0, label=f"runs of {base}", zorder=0)
    ax.axhline(1, color=style.INK, linewidth=1, label=base)
    lines = found.speedup.quantile(style.PROBS, SAMPLES, method="inverted_cdf")
    for i, name in enumerate(found["group"].values):
        color = style.COLORS[i % len(style.COLORS)]
        q = np.maximum(lines.sel(group=name).values, LEAST)
        style.fan(ax, x, q, color, str(name), linestyle="--")
        inside = found["inside"].sel(group=name).values >= 0.5
        ax.plot(x, np.where(inside, q[2], np.nan), color=color, linewidth=2.2, label="_inside")
    edges = np.maximum(lines.values, LEAST)
    ax.set_ylim(min(0.8, edges.min() / 1.1), max(1.25, edges.max() * 1.1))
    ax.set_xlim(x.min(), x.max())
    ax.set(xlabel=f"{OF[of]} of {base} ({UNITS[of]})", ylabel=f"speed-up over {base}")
    style.legend([ax], own, 4)
    told = "solid within the runs of both" if np.isfinite(low) else "runs not in this fit"
    title = f"How much less compute than {base} the same loss takes"
    title = title if of == "flops" else title.replace("compute", of)
    style.heading(ax, own, title, f"{style.BANDS}; {told}", found.attrs["trust"])
    return ax


def plot_ranks(found: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw the slopes of recipes, and how probable each rank is at the proxy and at the target.

    Parameters
    ----------
    found : xarray.Dataset
        What `proxy` returned.
    ax : sequence of three Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure
        Left panel: the slope of every group's frontier, 50 and 90 % intervals, the best at the
        target first. Middle and right panel: probability of ranks at the proxy and at the target.

    Raises
    ------
    SpecError
        Something that `proxy` did not make.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.proxy(bs.load_posterior("xlstm"), 1e19, 1e23)
    >>> len(bs.plots.plot_ranks(found).axes)
    3
    """
    if not isinstance(found, xr.Dataset) or not {"rank_base", "rank_to"} <= set(found):
        msg = "ranks are wanted, as `proxy` returns them"
        raise SpecError(msg)
    own, axes = ax is None, style.panels(ax, 3, (4.0, 1.6 + 0.34 * found.sizes["group"]))
    found = found.isel(group=np.argsort(found.loss_to.mean(SAMPLES).values))
    names, ranks = [str(n) for n in found["group"].values], found["rank"].values
    rows = np.arange(len(names))
    left = axes[0]
    style.tidy(left)
    q = found.slope.quantile(style.PROBS, SAMPLES).values
    left.hlines(rows, q[0], q[4], color=style.BLUE, linewidth=1.4)
    left.hlines(rows, q[1], q[3], color=style.BLUE, linewidth=4.2)
    left.plot(q[2], rows, "o", color=style.BLUE, markeredgecolor="white", markersize=7)
    left.set_yticks(rows, names)
    left.set_ylim(len(names) - 0.5, -0.5)
    left.set_xlabel("exponent of the reducible loss in compute")
    for panel, key, where in zip(
        axes[1:], ("rank_base", "rank_to"), ("proxy", "target"), strict=True
    ):
        share = found[key].transpose("group", "rank").values
        panel.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        if share.size <= 100:
            for i, j in np.ndindex(share.shape):
                if share[i, j] >= 0.005:
                    ink = "white" if share[i, j] > 0.6 else style.INK
                    panel.text(j, i, f"{100 * share[i, j]:.0f} %", ha="center", va="center",
                               fontsize=style.SMALL, color=ink)  # fmt: skip
        shown = ranks if len(ranks) <= 12 else ranks[:: len(ranks) // 8]
        panel.set_xticks(shown - 1, [str(r) for r in shown])
        panel.set_yticks(rows, [""] * len(names))
        panel.set_xlabel("rank, 1 the least loss")
        where = "the proxy" if key == "rank_base" else "the target"
        panel.set_title(f"rank at {where}", loc="left", fontsize=9)
        panel.spines[:].set_visible(False)
    only = PercentFormatter(1, decimals=0).format_pct(found.attrs["only_intercepts"], 1)
    detail = f"only intercepts move with probability {only}"
    style.heading(left, own, "Slopes, and whether ranks last", detail, found.attrs["trust"])
    return left.figure  # pyright: ignore
