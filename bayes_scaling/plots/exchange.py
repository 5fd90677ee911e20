"""Size against samples at inference: accuracy by both, and at equal compute."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_scaling.data.numbers import values_of
from bayes_scaling.decision.exchange import ALL, groups_of, law_of
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.sampling import SAMPLES
from bayes_scaling.observations.shares import COUNT
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import light, quantiles, runs_of
from bayes_scaling.plots.tasks import wilson
from bayes_scaling.results import theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 60
END = 64.0  # samples, of a fit that does not carry its runs
AHEAD = 4.0  # times the most samples
SIZES = 4  # at most, so that bands can be told apart
PANEL, COLUMNS = (4.2, 3.9), 3
ACCURACY = "accuracy (share of questions)"


def plot_test_time(fit: xr.DataTree, *, to: float | None = None, ax: Any = None) -> Figure:
    """Draw accuracy against samples, a colour per size and a panel per difficulty.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `test_time`.
    to : float, optional
        Samples to extend the curves to; by default four times the most of the table.
    ax : sequence of Axes, optional
        Where to draw, one per difficulty; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Another law, or `to` is no number above 1.

    Notes
    -----
    Up to four sizes of the table, from the smallest to the largest; without a table half and twice
    the reference. Bars on points are 90 % of what their numbers of questions leave open.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> fit = bs.sample_prior(bs.ScalingModel(law, bs.BetaBinomial()), draws=50)
    >>> [axes.get_xlabel() for axes in bs.plots.plot_test_time(fit).axes]
    ['samples k']
    """
    law, trust = law_of(fit), warn_if_untrusted(fit)
    runs, thin, groups = runs_of(fit), light(fit), groups_of(fit)
    most = END if runs is None else float(values_of(runs, SAMPLES).max())
    end = AHEAD * most if to is None else float(to)
    if not 1 < end < np.inf:
        msg = f"to: a number of samples above 1; found {to!r}"
        raise SpecError(msg)
    middle = dict(law.reference or ())["params"]
    seen = np.array([0.5, 2.0]) * middle if runs is None else np.unique(values_of(runs, "params"))
    some = np.unique(np.linspace(0, len(seen) - 1, min(SIZES, len(seen))).round().astype(int))
    grid = np.geomspace(1.0, end, POINTS)
    own, axes = ax is None, style.panels(ax, len(groups), PANEL, min(COLUMNS, len(groups)))
    for panel, group in zip(axes, groups, strict=True):
        style.tidy(panel)
        theta, rows = theta_of(thin, group), runs_of(fit, group)
        for color, size in zip(style.COLORS, seen[some], strict=False):
            x = {"params": size, SAMPLES: xr.DataArray(grid, dims="point")}
            label = f"{ticks.count(size)} parameters"
            style.fan(panel, grid, quantiles(law(theta, x)), color, label)
            if rows is not None:
                _counts(panel, rows[values_of(rows, "params") == size], color)
        if runs is not None and end > most:
            panel.axvspan(most, end, color=style.PALE, linewidth=0, zorder=0,
                          label="more samples than were drawn")  # fmt: skip
        ticks.log_axis(panel.xaxis, ticks.count)
        panel.set(xlabel="samples k", ylabel=ACCURACY, xlim=(0.85, end), ylim=(0, 1))
    style.legend(axes, own, 3)
    number = "data not in this fit"
    if runs is not None:
        number = f"{len(runs)} rows, bars 90 % by their questions"
    detail = f"{number}; {style.BANDS}"
    for panel, group in zip(axes, groups, strict=True):
        name = "" if group is None else group
        _title(panel, own, name, panel is axes[0], "Accuracy by size and samples", detail, trust)
    return axes[0].figure  # pyright: ignore[reportReturnType]


def plot_equal_compute(found: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw the accuracy of every size at equal compute, a panel per difficulty.

    Parameters
    ----------
    found : xarray.Dataset
        What `best_test_time` returns for two budgets or more.
    ax : sequence of Axes, optional
        Where to draw, one per difficulty; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Something else, or one budget alone.

    Notes
    -----
    A size begins where the compute pays for one sample of it. Dotted is what lies outside the sizes
    and samples that were fitted.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> fit = bs.sample_prior(bs.ScalingModel(law, bs.BetaBinomial()), draws=50)
    >>> found = bs.best_test_time(fit, np.geomspace(1e12, 1e14, 9), [1e9, 8e9], tokens=512)
    >>> [axes.get_xlabel() for axes in bs.plots.plot_equal_compute(found).axes]
    ['compute per query (FLOP)']
    """
    if not {"accuracy", "beyond", "holds"} <= set(found) or found.sizes["budget"] < 2:
        msg = "found: what `best_test_time` returns for two budgets or more"
        raise SpecError(msg)
    budget, names = found["budget"].values, found["group"].values
    own, axes = ax is None, style.panels(ax, len(names), PANEL, min(COLUMNS, len(names)))
    for panel, name in zip(axes, names, strict=True):
        style.tidy(panel)
        for i, color in zip(range(found.sizes["size"]), style.COLORS, strict=False):
            here = found.sel(group=name).isel(size=i)
            paid = here["samples"].values >= 1
            if not paid.any():
                continue
            q = quantiles(here["accuracy"].isel(budget=paid))
            within = ~here["beyond"].values[paid]
            label = f"{ticks.count(float(here['size']))} parameters"
            style.fan(panel, budget[paid], q, color, linestyle=":")
            solid = np.where(within, q[2], np.nan)
            panel.plot(budget[paid], solid, color=color, linewidth=1.8, label=label)
        ticks.log_axis(panel.xaxis, ticks.power)
        panel.set(xlabel=_of(found), ylabel=ACCURACY, ylim=(0, 1))
    style.legend(axes, own, 4)
    detail = f"{style.BANDS}; dotted: beyond what was fitted"
    trust = str(found.attrs.get("trust", "trusted"))
    for panel, name in zip(axes, names, strict=True):
        said = "" if name == ALL else str(name)
        _title(panel, own, said, panel is axes[0], "Accuracy at equal compute", detail, trust)
    return axes[0].figure  # pyright: ignore[reportReturnType]


def _of(found: xr.Dataset) -> str:
    life = "life" in str(found.attrs.get("verdict", "")).split(":")[0]
    return "training and serving (FLOP)" if life else "compute per query (FLOP)"


def _title(ax: Axes, own: bool, name: str, first: bool, what: str, detail: str, trust: str) -> None:
    """Head the first panel with what the figure shows, and every other with its difficulty."""
    if first:
        # No further than its panel: the others have headings of their own.
        alone = own and len(ax.figure.axes) == 1
        style.heading(ax, alone, f"{what}: {name}" if name else what, detail, trust)
    else:
        ax.set_title(name, loc="left", fontsize=10, pad=8)


def _counts(ax: Axes, rows: Any, color: str) -> None:
    at, share = values_of(rows, SAMPLES), values_of(rows, "accuracy")
    if COUNT in rows:
        low, high = wilson(share, values_of(rows, COUNT))
        ax.vlines(at, low, high, color=color, linewidth=0.9, zorder=3)
    look: dict[str, Any] = {"s": 20, "linewidths": 0.4, "edgecolors": "white", "zorder": 4}
    ax.scatter(at, share, color=color, **look)
