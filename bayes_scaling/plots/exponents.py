"""Exponents, or any other number, of several fits and publications in one column."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.results import SAMPLES

ROW = 0.34  # inches
NAMES = {"a": "exponent a of the optimal size, N* ~ C^a"}
TITLES = {"a": "Exponents of the optimal size, side by side"}


class _Row(NamedTuple):
    label: str
    draws: np.ndarray | None
    published: np.ndarray | None


def plot_exponents(
    results: Mapping[str, Any],
    *,
    name: str = "a",
    published: Mapping[str, Any] | None = None,
    guides: Mapping[str, float] | None = None,
    ax: Any = None,
) -> Axes:
    """Draw intervals of one quantity under each other: a forest plot.

    Parameters
    ----------
    results : mapping of str to DataTree, Dataset or array
        Draws of the quantity by label, in order from the top: a fit, a Dataset over (chain, draw),
        or an array of draws. A quantity with a value per group gets a row per group.
    name : str, default "a"
        Which variable of fits and Datasets.
    published : mapping of str to float or (low, middle, high), optional
        Published values, hollow, beside the row of that label or in a row of their own.
    guides : mapping of str to float, optional
        Values to draw an upright line at, by their labels.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Nothing to draw, a variable that is not there, or numbers that are no interval.

    Notes
    -----
    Thick bars are 50 %, thin ones 90 % intervals, the dot is the median; what a published interval
    means is its publication's affair.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> ax = bs.plots.plot_exponents(
    ...     {"240 runs, joint law": bs.load_posterior("chinchilla")},
    ...     published={"Hoffmann et al., approach 2": (0.462, 0.49, 0.534)},
    ... )
    >>> [t.get_text() for t in ax.get_yticklabels()]
    ['240 runs, joint law', 'Hoffmann et al., approach 2']
    """
    if not isinstance(results, Mapping):
        msg = f"results are a mapping of label to fit or draws; found {type(results).__name__}"
        raise SpecError(msg)
    rows = list(_rows(results, name, published or {}))
    if not rows:
        msg = "plot_exponents: nothing to draw; give a fit, draws or a published value"
        raise SpecError(msg)
    own = ax is None
    (ax,) = style.panels(ax, 1, (7.6, 1.5 + ROW * len(rows)))
    style.tidy(ax)
    ax.grid(False, axis="y")
    for label, value in (guides or {}).items():
        ax.axvline(value, color=style.GREY, linestyle=(0, (5, 3)), linewidth=1, zorder=1)
        ax.annotate(label, (value, 1), (3, -2), ("data", "axes fraction"), "offset points",
                    va="top", fontsize=style.SMALL, color=style.GREY)  # fmt: skip
    for y, row in enumerate(rows):
        _draw(ax, y, row)
    ax.set_yticks(range(len(rows)), [r.label for r in rows])
    ax.set_ylim(len(rows) - 0.4, -0.9 if guides else -0.6)
    ax.set_xlabel(NAMES.get(name, name))
    _key(ax, rows, own)
    title = TITLES.get(name, f"{name}, side by side")
    style.heading(ax, own, title, style.BANDS, _trust(results))
    return ax


def _rows(results: Mapping[str, Any], name: str, published: Mapping[str, Any]) -> Iterator[_Row]:
    told = {k: _interval(k, v) for k, v in published.items()}
    for label, result in results.items():
        for sub, draws in _draws(label, result, name):
            yield _Row(sub, draws, told.pop(sub, None))
    for label, interval in told.items():
        yield _Row(label, None, interval)


def _draws(label: str, result: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if isinstance(result, xr.DataTree):
        result = result["posterior"].to_dataset()
    if not isinstance(result, xr.Dataset):
        values = np.asarray(result, float).ravel()
        if not len(values) or not np.all(np.isfinite(values)):
            msg = f"plot_exponents: {label!r} needs finite draws; found {result!r}"
            raise SpecError(msg)
        yield label, values
        return
    grouped = f"{name}_group"
    if name not in result and grouped not in result:
        known = ", ".join(map(str, result.data_vars))
        msg = f"plot_exponents: {label!r} has no {name!r}; it has {known}"
        raise SpecError(msg)
    values = result[grouped if grouped in result else name]
    others = [d for d in values.dims if d not in SAMPLES]
    if not others:
        yield label, values.values.ravel()
    for group in values[others[0]].values if others else ():
        yield f"{label} {group}".strip(), values.sel({others[0]: group}).values.ravel()


def _interval(label: str, value: Any) -> np.ndarray:
    numbers = np.atleast_1d(np.asarray(value, float))
    numbers = np.repeat(numbers, 3) if len(numbers) == 1 else numbers
    if len(numbers) != 3 or not np.all(np.diff(numbers) >= 0):
        msg = f"plot_exponents: {label!r}: a number or (low, middle, high); found {value!r}"
        raise SpecError(msg)
    return numbers


def _draw(ax: Axes, y: int, row: _Row) -> None:
    text = []
    if row.draws is not None:
        q = np.quantile(row.draws, style.PROBS)
        place = y - (0.12 if row.published is not None else 0)
        ax.hlines(place, q[0], q[4], color=style.BLUE, linewidth=1.6, zorder=3)
        ax.hlines(place, q[1], q[3], color=style.BLUE, linewidth=4.5, zorder=3)
        ax.plot(q[2], place, "o", color=style.BLUE, markeredgecolor="white", markersize=6, zorder=4)
        text = [ticks.rounded(q[[0, 2, 4]])]
    if row.published is not None:
        place = y + (0.18 if row.draws is not None else 0)
        low, middle, high = row.published
        ax.hlines(place, low, high, color=style.INK, linewidth=1, zorder=2)
        ax.plot(middle, place, "D", markerfacecolor="white", markeredgecolor=style.INK,
                markersize=4.5, zorder=4)  # fmt: skip
        text = text or [f"{middle:.4g}" if low == high else ticks.rounded(row.published)]
    ax.annotate(text[0], (1, y), (6, 0), ("axes fraction", "data"), "offset points", va="center",
                fontsize=style.SMALL, annotation_clip=False)  # fmt: skip


def _key(ax: Axes, rows: Sequence[_Row], own: bool) -> None:
    if any(r.draws is not None for r in rows):
        ax.plot([], [], "o-", color=style.BLUE, markeredgecolor="white", linewidth=2.5,
                label="posterior")  # fmt: skip
    if any(r.published is not None for r in rows):
        ax.plot([], [], "D-", color=style.INK, markerfacecolor="white", linewidth=1,
                label="published")  # fmt: skip
    style.legend([ax], own, 2)


def _trust(results: Mapping[str, Any]) -> str:
    """Name the fits that are not to be trusted."""
    from bayes_scaling.trust import warn_if_untrusted

    said = {k: warn_if_untrusted(v) for k, v in results.items() if isinstance(v, xr.DataTree)}
    bad = [f"{k}: {v}" for k, v in said.items() if v != "trusted"]
    return "; ".join(bad) or "trusted"
