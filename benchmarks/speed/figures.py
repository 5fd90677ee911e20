"""The two figures: every engine's seconds as bars, and how one fit grows, beside its limits."""

from pathlib import Path
from statistics import median
from textwrap import shorten
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.speed.words import seconds, times, two

# Okabe and Ito (2008).
BLUE, VERMILLION, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#222222", "#9A9A9A"
COLOURS = {"posterior": GREY, "bootstrap": VERMILLION, "point": GREEN}
MEANING = {"posterior": "a posterior", "bootstrap": "a bootstrap", "point": "a point, no interval"}
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
DPI = 150


def draw(found: dict[str, Any], folder: Path) -> list[Path]:
    """Draw what was measured; return the files written."""
    from benchmarks.speed.growth import growth

    made = {}
    with mpl.rc_context(STYLE):
        if "peers" in found:
            made["peers.png"] = bars(found["peers"])
        if "rows" in found:
            made["growth.png"] = growth(found)
        for name, figure in made.items():
            figure.savefig(folder / name, dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return [folder / name for name in made]


def bars(found: dict[str, Any]) -> Figure:
    """Draw the seconds of every engine, and the effective draws per second of posteriors."""
    figure = Figure(figsize=(9.5, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    figure.get_layout_engine().set(wspace=0.08)
    time = sorted(found, key=lambda k: median(found[k].get("seconds", [np.inf])))
    _bars(left, found, time[::-1], "seconds", fewer=True)
    left.set_xlabel("seconds, warm (log scale)")
    left.set_title("One result from 240 runs: seconds,\nand times ours", loc="left", fontsize=10)
    rates = [k for k in time if found[k]["gives"] == "posterior"]
    _bars(right, found, rates[::-1], "ess_per_second", fewer=False)
    right.set_xlabel("smallest bulk ESS per second (log scale)")
    right.set_title("Effective draws per second,\nand ours over theirs", loc="left", fontsize=10)
    shown = {found[k]["gives"] for k in found}
    keys = [Patch(color=BLUE, label="bayes_scaling: a posterior")]
    keys += [Patch(color=c, label=MEANING[g]) for g, c in COLOURS.items() if g in shown]
    figure.legend(handles=keys, loc="outside lower center", ncols=4, frameon=False)
    return figure


def _bars(ax: Axes, found: dict[str, Any], names: list[str], key: str, *, fewer: bool) -> None:
    room = len(found) - len(names)  # bars of both panels are equally thick
    ours = median(found["ours"].get(key, [np.nan]))
    values = {k: median(found[k][key]) for k in names if key in found[k]}
    low = 10.0 ** np.floor(np.log10(min(values.values(), default=1.0) / 1.5))
    high = 60 * max(values.values(), default=1.0)
    for y, name in enumerate(names):
        if name not in values:
            reason = shorten(f"failed: {found[name].get('failed', 'not measured')}", 54)
            ax.text(low * 1.15, y, reason, va="center", color=INK, fontsize=8)
            continue
        value = values[name]
        colour = BLUE if name == "ours" else COLOURS[found[name]["gives"]]
        ax.barh(y, value - low, left=low, color=colour, height=0.62)
        spread = found[name][key]
        ax.plot([min(spread), max(spread)], [y, y], color=INK, linewidth=1.2)
        said = seconds(value) if fewer else f"{two(value)} /s"
        if name != "ours":
            said += f"   {times(value / ours if fewer else ours / value)}"
        ax.text(max(spread) * 1.15, y, said, va="center", color=INK, fontsize=8.5)
    ax.set_yticks(range(len(names)), [found[k]["label"] for k in names])
    ax.tick_params(axis="y", length=0)
    ax.set(xscale="log", xlim=(low, high), ylim=(-0.6 - room, len(names) - 0.4))
    plain_log(ax, "x")


def plain_log(ax: Axes, axis: str) -> None:
    """Label a log axis with plain numbers from 0.001 to 1,000, powers of ten beyond."""
    own = ax.xaxis if axis == "x" else ax.yaxis
    own.set_major_formatter(FuncFormatter(_tick))
    own.set_minor_locator(NullLocator())
    ax.grid(True, axis=axis, color="#E4E4E4", linewidth=0.6)
    ax.set_axisbelow(True)


def _tick(value: float, _: Any) -> str:
    if 0.00099 < value < 1001:
        return f"{value:,.10g}"
    return f"$10^{{{round(np.log10(value))}}}$"
