"""What every figure shares: colours, panels, log ticks, fans, and the heading."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import FuncFormatter, Locator, MaxNLocator, NullLocator

from bayes_scaling.errors import SpecError

# Okabe and Ito (2008): told apart with every common colour blindness, and in grey by lightness.
BLUE, VERMILLION, GREEN, INK, GREY, PALE = (
    "#0072B2", "#D55E00", "#009E73", "#222222", "#767676", "#ECECEC",
)  # fmt: skip
# Viridis without its last tenth: lightness orders it, and its yellow is lost on white.
SEQUENCE = LinearSegmentedColormap.from_list(
    "sequence", ["#440154", "#3B528B", "#21918C", "#5EC962", "#C8D520"]
)
PROBS = (0.05, 0.25, 0.5, 0.75, 0.95)
BANDS = "median, 50 % and 90 % intervals"
COMPUTE = "training compute C = 6ND (FLOP)"
SMALL = 8


def panels(
    ax: Any, count: int, size: tuple[float, float], columns: int | None = None
) -> list[Axes]:
    """Return `count` Axes: those given, or those of a new figure, `size` inches per panel."""
    if ax is not None:
        given = [a for a in np.ravel(np.asarray(ax, object)) if isinstance(a, Axes)]
        if len(given) != count:
            msg = f"ax: {count} Axes needed, {len(given)} given; leave it out for a new figure"
            raise SpecError(msg)
        return given
    import matplotlib.pyplot as plt

    columns = columns or count
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows,
        columns,
        figsize=(size[0] * columns, size[1] * rows),
        layout="constrained",
        squeeze=False,
    )
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)  # pyright: ignore
    axes = list(grid.ravel())
    for unused in axes[count:]:
        unused.set_visible(False)
    return axes[:count]


def tidy(ax: Axes) -> None:
    """Leave what carries data: two spines, a faint grid behind everything."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, color="#E4E4E4", linewidth=0.6)
    ax.set_axisbelow(True)


def heading(ax: Axes, title: str, detail: str, trust: str) -> None:
    """Say what is shown above a panel and, between the two, why it is not to be trusted."""
    lines = []
    if trust != "trusted":
        lines = textwrap.wrap(f"NOT TO BE TRUSTED: {trust}. Run check(fit).", 92, max_lines=2)
    pad = 8 + 12.5 * len(lines)
    ax.set_title(f"{title}\n{detail}", loc="left", fontsize=10, pad=pad, linespacing=1.35)
    if lines:
        stamp = ax.annotate(
            "\n".join(lines),
            (0, 1),
            (0, 6),
            xycoords="axes fraction",
            textcoords="offset points",
            color="#B00020",
            fontsize=9,
            fontweight="bold",
            annotation_clip=False,
        )
        stamp.set_in_layout(False)  # the title's pad keeps its place; its width may run on


def legend(axes: Sequence[Axes], own: bool, columns: int) -> None:
    """Explain the marks once: under the panels of our own figure, where it can cover nothing.

    In a figure that is somebody else's there may be other panels below, so it goes inside.
    """
    found = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    handles, labels = list(found.values()), list(found)
    if own:
        look: dict[str, Any] = {"ncols": columns, "frameon": False, "columnspacing": 1.6}
        axes[0].figure.legend(handles, labels, loc="outside lower left", fontsize=9, **look)
    else:
        axes[0].legend(handles, labels, loc="best", framealpha=0.85, fontsize=SMALL)


class LogTicks(Locator):
    """Ticks at 1, 1-3, 1-2-5 ... of each decade: the fewest kinds that give three or more."""

    def __call__(self) -> Sequence[float]:
        """Return the ticks of the axis as it stands."""
        return self.tick_values(*self.axis.get_view_interval())  # pyright: ignore

    def tick_values(self, vmin: float, vmax: float) -> Sequence[float]:
        """Return the ticks between two positive values."""
        low, high = sorted((vmin, vmax))
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        for leads in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8)):
            ticks = np.sort(np.outer(decades, leads).ravel())
            ticks = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
            if len(ticks) >= 3:
                return list(ticks[:: -(-len(ticks) // 9)])
        return list(MaxNLocator(4).tick_values(low, high))


def log_axis(axis: Axis, write: Callable[[float], str]) -> None:
    """Make an axis logarithmic, its ticks written by `write`."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # pyright: ignore
    axis.set_major_locator(LogTicks())
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))


def power(value: float) -> str:
    """Write a number as a power of ten, as in mathtext for 10^20 or 3 x 10^20."""
    lead, exponent = f"{value:.1e}".split("e")
    if float(lead) == 1:
        return rf"$10^{{{int(exponent)}}}$"
    return rf"${float(lead):g}{{\times}}10^{{{int(exponent)}}}$"


def count(value: float) -> str:
    """Write a count the way sizes are spoken of: 300M, 7B, 1.4T."""
    value = float(f"{value:.2g}" if value < 10 else f"{value:.3g}")
    for unit, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if unit <= value < 1e16:
            return f"{float(f'{value / unit:.3g}'):g}{letter}"
    return f"{value:g}" if value < 1e3 else power(value)


def rounded(quantiles: Any) -> str:
    """Write a median and an interval to the digits that the interval warrants.

    Examples
    --------
    >>> from bayes_scaling.plots._style import rounded
    >>> rounded([1.7812, 1.8123, 1.8444])
    '1.812 [1.781, 1.844]'
    """
    low, middle, high = (float(q) for q in quantiles)
    width = high - low
    places = max(0, 1 - int(np.floor(np.log10(width)))) if width > 0 else 3
    return f"{middle:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def fan(ax: Axes, x: Any, quantiles: Any, color: Any, label: str = "", **line: Any) -> None:
    """Draw 90 % and 50 % bands and the median; `quantiles` is (5, point), at `PROBS`."""
    q = np.asarray(quantiles)
    ax.fill_between(x, q[0], q[4], color=color, alpha=0.16, linewidth=0, label="_90 %")
    ax.fill_between(x, q[1], q[3], color=color, alpha=0.30, linewidth=0, label="_50 %")
    ax.plot(x, q[2], color=color, label=label or "_median", **{"linewidth": 1.6, **line})


def interval_bars(ax: Axes, x: Any, quantiles: Any, color: Any, label: str = "") -> None:
    """Draw upright 90 % and 50 % bars with the median marked; `quantiles` is (5, point)."""
    q = np.asarray(quantiles)
    ax.vlines(x, q[0], q[4], color=color, linewidth=1.4, zorder=4, label="_90 %")
    ax.vlines(x, q[1], q[3], color=color, linewidth=4.2, zorder=4, label="_50 %")
    marker: dict[str, Any] = {"marker": "o", "markersize": 6, "markeredgecolor": "white"}
    ax.plot(x, q[2], linestyle="", color=color, zorder=5, label=label or "_median", **marker)


def by_ratio(ax: Axes, x: Any, y: Any, ratio: Any, **more: Any) -> Any:
    """Scatter runs coloured by their tokens per parameter; one colour where that is not known."""
    look = {"s": 18, "linewidths": 0.4, "edgecolors": "white", "zorder": 3, **more}
    if ratio is None:
        return ax.scatter(x, y, color=BLUE, **look)
    low, high = float(np.min(ratio)), float(np.max(ratio))
    norm = LogNorm(low / 1.05, high * 1.05)
    return ax.scatter(x, y, c=ratio, cmap=SEQUENCE, norm=norm, **look)


def ratio_bar(points: Any, axes: Axes | list[Axes]) -> None:
    """Add the colour bar of `by_ratio`."""
    if points.get_array() is None:
        return
    figure = (axes[0] if isinstance(axes, list) else axes).figure
    bar = figure.colorbar(points, ax=axes, pad=0.02, aspect=30)
    bar.ax.yaxis.set_major_locator(LogTicks())
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    bar.set_label("tokens per parameter of the run")
    bar.outline.set_visible(False)  # pyright: ignore
