"""The scaling curves: seconds and memory of one fit, with the machine's limits as lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.speed.figures import BLUE, GREEN, GREY, INK, VERMILLION, plain_log

COLUMNS = 3  # ln N, ln D, ln L: what one evaluation of the density reads, float64
DRAWS, MANY_DRAWS, MANY_ROWS = 4000, 1000, 240
GIB = 2.0**30


def growth(found: dict[str, Any]) -> Figure:
    """Draw seconds against rows, fits, draws and parameters, and memory against rows."""
    figure = Figure(figsize=(11, 6.8), layout="constrained")
    axes = figure.subplots(2, 3)
    figure.get_layout_engine().set(wspace=0.06, hspace=0.06)
    limits = found.get("limits", {})
    (rows, memory, key), (fits, draws, params) = axes
    _rows(rows, found["rows"], limits)
    _memory(memory, found["rows"])
    _fits(fits, found.get("many", {}).get("fits", {}), limits)
    _draws(draws, found.get("draws", []), limits)
    _params(params, found.get("params", []))
    for ax in (rows, memory, fits, draws, params):
        ax.set(xscale="log", yscale="log")
        plain_log(ax, "x")
        plain_log(ax, "y")
        ax.grid(True, color="#E4E4E4", linewidth=0.6)
    params.set_xticks([5, 10, 20, 50, 100])
    memory.set(yticks=[0.25, 0.5, 1, 2, 4, 8, 16], ylim=(0.2, 20))
    _key(key, rows, memory)
    return figure


def bytes_limit(rows: Any, draws: Any, limits: dict[str, float]) -> Any:
    """Return the least seconds to read the rows from memory once for every draw."""
    return np.asarray(rows) * COLUMNS * 8 * draws / limits["bytes_per_second"]


def terms_limit(rows: Any, draws: Any, limits: dict[str, float]) -> Any:
    """Return the least seconds to evaluate the density of every row once for every draw."""
    return np.asarray(rows) * draws * limits["seconds_per_term"]


def _curve(ax: Axes, points: Sequence[dict[str, Any]], x: str, keys: dict[str, Any]) -> None:
    for key, style in keys.items():
        there = [(p[x], p[key]) for p in points if key in p]
        if there:
            ax.plot(*zip(*there, strict=True), **style)
    for p in points:
        if p.get("method") == "nuts" and "second" in keys:
            y = p.get("second", p["first"])
            ax.plot(p[x], y, "s", color=GREEN, markersize=9, fillstyle="none")
        if "failed" in p and x in p:
            ax.plot(p[x], 0.04, marker="x", color=VERMILLION, markersize=8,
                    transform=ax.get_xaxis_transform(), clip_on=False)  # fmt: skip


FIRST = {"color": GREY, "marker": "o", "markersize": 4, "label": "first fit, with compilation"}
SECOND = {"color": BLUE, "marker": "o", "label": "second fit: warm"}
TERMS = {"color": VERMILLION, "linestyle": "--", "linewidth": 1.2}
BYTES = {"color": INK, "linestyle": ":", "linewidth": 1.2}


def _rows(ax: Axes, points: list[dict[str, Any]], limits: dict[str, float]) -> None:
    _curve(ax, points, "rows", {"first": FIRST, "second": SECOND})
    x = np.array([p["rows"] for p in points])
    if "failed" not in limits and limits:
        ax.plot(x, terms_limit(x, DRAWS, limits), **TERMS, label="limit: arithmetic")
        ax.plot(x, bytes_limit(x, DRAWS, limits), **BYTES, label="limit: memory bandwidth")
    ax.set(xlabel="rows", ylabel="seconds")
    ax.set_title("Seconds of one fit, 4,000 draws", loc="left", fontsize=10)


def _memory(ax: Axes, points: list[dict[str, Any]]) -> None:
    style = {**SECOND, "label": "most the process held"}
    held = [{**p, "GiB": p["peak"] / GIB, "start": p["before"] / GIB} if "peak" in p else p
            for p in points]  # fmt: skip
    before = {**FIRST, "label": "libraries and table, before the fit"}
    _curve(ax, held, "rows", {"start": before, "GiB": style})
    ax.set(xlabel="rows", ylabel="GiB")
    ax.set_title("Memory of one process", loc="left", fontsize=10)


def _fits(ax: Axes, found: dict[str, Any], limits: dict[str, float]) -> None:
    points = found.get("points", [])
    _curve(ax, points, "fits", {"seconds": SECOND})
    x = np.array([p["fits"] for p in points])
    if limits.get("seconds_per_term") and len(x):
        ax.plot(x, terms_limit(x * MANY_ROWS, MANY_DRAWS, limits), **TERMS)
    if "failed" in found:
        _said(ax, found["failed"])
    ax.set(xlabel="tables of 240 rows, 1,000 draws each", ylabel="seconds")
    ax.set_title("Seconds of one fit_many", loc="left", fontsize=10)


def _draws(ax: Axes, points: list[dict[str, Any]], limits: dict[str, float]) -> None:
    _curve(ax, points, "draws", {"first": FIRST, "second": SECOND})
    x = np.array([p["draws"] for p in points])
    if limits.get("seconds_per_term") and len(x):
        ax.plot(x, terms_limit(240, x, limits), **TERMS)
    ax.set(xlabel="draws kept, 240 rows", ylabel="seconds")
    ax.set_title("Seconds of one fit against draws", loc="left", fontsize=10)


def _params(ax: Axes, points: list[dict[str, Any]]) -> None:
    _curve(ax, points, "dimensions", {"first": FIRST, "second": SECOND})
    ax.set(xlabel="parameters of the model, 960 rows", ylabel="seconds")
    ax.set_title("Seconds of one fit against parameters", loc="left", fontsize=10)


def _key(ax: Axes, rows: Axes, memory: Axes) -> None:
    ax.set_axis_off()
    handles, labels = rows.get_legend_handles_labels()
    (nuts,) = ax.plot([], [], "s", color=GREEN, markersize=9, fillstyle="none")
    (bad,) = ax.plot([], [], "x", color=VERMILLION, markersize=8)
    handles, labels = [*handles, nuts, bad], [*labels, "sampled by NUTS", "failed: see the table"]
    ax.legend(handles, labels, loc="upper left", frameon=False, fontsize=9)
    text = (
        "Limits of this machine, measured in the same run:\n"
        f"every row's density once per draw kept. Arithmetic\n"
        f"is 2 exp and 2 log per row in float64 on all cores;\n"
        f"bandwidth is {COLUMNS} float64 columns read from memory\n"
        "per draw. A fit that reads a row for many draws at\n"
        "once passes below the dotted line."
    )
    ax.text(0.03, 0.02, text, transform=ax.transAxes, fontsize=8.5, color=INK, va="bottom")
    memory.legend(loc="upper left", frameon=False, fontsize=8.5)


def _said(ax: Axes, reason: str) -> None:
    ax.text(0.05, 0.5, f"failed: {reason[:40]}", transform=ax.transAxes, fontsize=8.5, color=INK)
