"""Coverage against samples: what the counts say, the law, and where the law goes on alone."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.data.sampling import pass_at_k
from bayes_scaling.decision.sampling import attempts_of, law_of
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import light, quantiles, runs_of
from bayes_scaling.results import theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 80
AHEAD = 100.0  # times the attempts


def plot_coverage(
    fit: xr.DataTree,
    other: xr.DataTree | None = None,
    *,
    to: float | None = None,
    group: str | None = None,
    ax: Any = None,
) -> Axes:
    """Draw the share of problems solved against the number of samples.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `coverage`.
    other : xarray.DataTree, optional
        Another of the same problems, such as that with `zeros`: where the two part, the counts do
        not say which is right.
    to : float, optional
        How many samples to extend the curves to; by default 100 times the attempts.
    group : str, optional
        Which group of a pooled model; the population's without it.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Another law, or `to` is no number above 1.

    Notes
    -----
    Points are pass@k of the counts with two standard errors; a vertical line is where the attempts
    end.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.Coverage(reference=(("samples", 1),))
    >>> fit = bs.sample_prior(bs.ScalingModel(law, bs.Attempts()), draws=50)
    >>> bs.plots.plot_coverage(fit).get_ylabel()
    'share of problems solved'
    """
    trust = warn_if_untrusted(fit)
    most, runs = attempts_of(fit), runs_of(fit, group)
    end = (most or 100.0) * AHEAD if to is None else float(to)
    if not 1 < end < np.inf:
        msg = f"to: a number of samples above 1; found {to!r}"
        raise SpecError(msg)
    grid = np.geomspace(1.0, end, POINTS)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.6, 5.0))
    style.tidy(ax)
    shown = [(fit, style.BLUE)] + ([(other, style.VERMILLION)] if other is not None else [])
    names = []
    for one, color in shown:
        law, theta = law_of(one), theta_of(light(one), group)
        curve = quantiles(law(theta, {"samples": xr.DataArray(grid, dims="point")}))
        names.append("with a share that nothing solves" if law.zeros else "every problem solvable")
        style.fan(ax, grid, curve, color, names[-1])
    if runs is not None and most:
        k = np.unique(np.round(np.geomspace(1, most, 12)))
        seen = pass_at_k(runs, k).dropna()
        ax.errorbar(seen.index, seen["coverage"], 2 * seen["se"], fmt="o", color=style.INK,
                    markersize=4, linewidth=1, zorder=5, label="pass@k, 2 s.e.")  # fmt: skip
        ax.axvline(most, color=style.GREY, linestyle="--", linewidth=1,
                   label=f"{most:.0f} attempts: the tail of hard problems beyond")  # fmt: skip
    ticks.log_axis(ax.xaxis, ticks.count)
    ax.set(xlabel="samples k", ylabel="share of problems solved", ylim=(0, 1))
    style.legend([ax], own, 2)
    number = "" if runs is None else f"{len(runs)} problems; "
    of = f"group {group}; " if group is not None else ""
    style.heading(ax, own, "Coverage by repeated sampling", f"{of}{number}{style.BANDS}", trust)
    return ax
