"""What every figure shares: colours, panels, log ticks, fans, and the heading."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.transforms import Bbox, ScaledTranslation

from bayes_scaling.errors import SpecError
from bayes_scaling.plots._ticks import count, log_axis

# Okabe and Ito (2008): told apart with every common colour blindness, and in grey by lightness.
BLUE, VERMILLION, GREEN, INK, GREY, PALE = (
    "#0072B2", "#D55E00", "#009E73", "#222222", "#767676", "#ECECEC",
)  # fmt: skip
COLORS = (BLUE, VERMILLION, GREEN, "#CC79A7", "#56B4E9", "#E69F00", INK)  # in order of use
# Viridis without its last tenth: lightness orders it, and its yellow is lost on white.
SEQUENCE = LinearSegmentedColormap.from_list(
    "sequence", ["#440154", "#3B528B", "#21918C", "#5EC962", "#C8D520"]
)
PROBS = (0.05, 0.25, 0.5, 0.75, 0.95)
BANDS = "median, 50 % and 90 % intervals"
COMPUTE = "training compute C = 6ND (FLOP)"
SMALL = 8
SIDES = (  # offset in points, and which end of the label is there
    ((7, 0), "left", "center"),
    ((-7, 0), "right", "center"),
    ((0, 7), "center", "bottom"),
    ((0, -7), "center", "top"),
    ((8, -9), "left", "top"),
    ((-8, 9), "right", "bottom"),
)


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


def heading(ax: Axes, own: bool, title: str, detail: str, trust: str) -> None:
    """Say what is shown above a panel and, between the two, why it is not to be trusted.

    In our own figure the first panel's heading runs on above the others, but no further than its
    middle stays above its panel: the layout keeps room for that much.
    """
    wide = float(ax.figure.get_figwidth())  # pyright: ignore
    given = wide * ax.get_position().width
    inches = min(wide, 1.7 * wide / _columns(ax)) if own else given
    letters = 13.5  # per inch
    room = max(30, int(letters * inches))
    stamp = []
    if trust != "trusted":
        said = f"NOT TO BE TRUSTED: {trust}. Run check(fit)."
        across = max(30, int(letters * (wide if own else given)))
        stamp = textwrap.wrap(said, across, max_lines=3, break_long_words=False)
    lines = [title, *textwrap.wrap(detail, room, break_long_words=False)]
    pad = 8 + 13 * len(stamp)
    ax.set_title("\n".join(lines), loc="left", fontsize=10, pad=pad, linespacing=1.35)
    if stamp:
        text = ax.annotate(
            "\n".join(stamp), (0, 1), (0, 6), "axes fraction", textcoords="offset points",
            color="#B00020", fontsize=9, fontweight="bold", annotation_clip=False,
        )  # fmt: skip
        text.set_in_layout(False)  # the title's pad keeps its place; its width may run on


def _columns(ax: Axes) -> int:
    place = ax.get_subplotspec()
    return place.get_gridspec().ncols if place else 1


def legend(axes: Sequence[Axes], own: bool, columns: int) -> None:
    """Explain the marks once, under the panels, where that can cover nothing."""
    found = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    look: dict[str, Any] = {"frameon": False, "columnspacing": 1.6}
    place: dict[str, Any] = {"loc": "outside lower left", "fontsize": 9, "ncols": columns}
    if not own:
        figure = axes[0].figure
        below = ScaledTranslation(0, -0.5, figure.dpi_scale_trans)  # inches: past the axis label
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "fontsize": SMALL, "ncols": 2}
        place |= {"bbox_transform": axes[0].transAxes + below, "borderaxespad": 0}
    where = axes[0].figure if own else axes[0]
    where.legend(list(found.values()), list(found), **place, **look)


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
    log_axis(bar.ax.yaxis, count)
    bar.set_label("tokens per parameter of the run")
    bar.outline.set_visible(False)  # pyright: ignore


def name_points(ax: Axes, at: np.ndarray, names: Sequence[str]) -> None:
    """Name points, each on the first side where its name covers no mark and no other name.

    `at` is (point, 2), in data; points past the names are kept clear and get none.
    """
    ax.figure.draw_without_rendering()  # pyright: ignore - limits and sizes are settled by this
    marks = ax.transData.transform(at)
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in marks]
    renderer = ax.figure.canvas.get_renderer()  # pyright: ignore
    for name, place in zip(names, at, strict=False):
        for i, (offset, across, up) in enumerate(SIDES):
            text = ax.annotate(name, tuple(place), offset, textcoords="offset points",
                               ha=across, va=up, fontsize=SMALL, zorder=6)  # fmt: skip
            box = text.get_window_extent(renderer)
            if not any(box.overlaps(t) for t in taken) or i == len(SIDES) - 1:
                taken.append(box)
                break
            text.remove()
