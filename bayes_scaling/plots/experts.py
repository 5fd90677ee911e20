"""Loss against experts at several sizes, and the sizes at which experts help."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayes_scaling.data.numbers import counts, values_of
from bayes_scaling.decision.experts import routing
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, loss_along, runs_of
from bayes_scaling.results import model_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 60
MOST_EXPERTS = 512.0  # drawn where the fit does not carry its runs
AHEAD = 1e4  # factor past the largest size drawn
AT = 64.0  # experts, of the right panel


def plot_routing(
    fit: xr.DataTree, params: Any = None, *, group: str | None = None, ax: Any = None
) -> Figure:
    """Draw the loss against experts, a curve per size, and at which sizes experts help.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `experts`, such as `ClarkMoE` or `Routed`.
    params : (params,) array, parameters, optional
        Active sizes of the curves; those of the runs unless given, a few about the reference where
        the fit does not carry its runs.
    group : str, optional
        Which group of a pooled model; the population's without it.
    ax : two Axes, optional
        Where to draw; a new figure without them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Another law, or a size that it does not know.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> figure = bs.plots.plot_routing(bs.load_posterior("routing-clark"), [1e8, 1e9])
    >>> [ax.get_xlabel() for ax in figure.axes]
    ['experts per routed layer', 'active parameters N']
    """
    law = model_of(fit).law
    if set(law.inputs) != {"params", "experts"}:
        msg = f"law {law.name!r} is in {', '.join(law.inputs)}; this figure is of experts and size"
        raise SpecError(msg)
    thin, runs = light(fit), runs_of(fit, group)
    trust = warn_if_untrusted(fit)
    drawn = _sizes(law, runs, params)
    own, (left, right) = ax is None, style.panels(ax, 2, (6.2, 4.8))
    _losses(left, thin, runs, drawn, group, law)
    _helping(right, thin, drawn, group)
    for panel in (left, right):
        style.tidy(panel)
    style.legend([left, right], own, 4)
    detail = f"{detail_of(fit, runs, group)}; {style.BANDS}"
    style.heading(left, own, "Loss against experts", detail, trust)
    title = f"Where {AT:g} experts help"
    style.heading(right, False, title, "probability that the routed model is better", "trusted")
    return left.figure  # pyright: ignore


def _sizes(law: Any, runs: Any, params: Any) -> np.ndarray:
    if params is not None:
        return np.unique(counts(params, "params", "params: positive active parameters"))
    if runs is not None and len(set(runs["params"])) <= len(style.SIDES) + 2:
        return np.unique(values_of(runs, "params"))
    middle = dict(law.reference)["params"]
    return middle * np.array([0.1, 1.0, 10.0])


def _losses(ax: Any, fit: Any, runs: Any, drawn: np.ndarray, group: Any, law: Any) -> None:
    most = MOST_EXPERTS if runs is None else float(values_of(runs, "experts").max())
    grid = np.geomspace(1, most, POINTS)
    for i, size in enumerate(drawn):
        color = style.SEQUENCE(i / max(len(drawn) - 1, 1))
        curve = loss_along(fit, group, params=np.full(POINTS, size), experts=grid)
        style.fan(ax, grid, curve, color, f"N = {ticks.count(size)}")
        if runs is not None:
            mine = runs[np.isclose(values_of(runs, "params"), size)]
            look = {"color": color, "edgecolors": "white", "linewidths": 0.5, "zorder": 4}
            ax.scatter(mine["experts"], mine[law.outcome], s=20, **look)
    ticks.log_axis(ax.xaxis, ticks.count)
    ticks.log_axis(ax.yaxis, lambda v: f"{v:g}")
    ax.set(xlabel="experts per routed layer", ylabel="loss (nat/token)")


def _helping(ax: Any, fit: Any, drawn: np.ndarray, group: Any) -> None:
    grid = np.geomspace(drawn.min(), drawn.max() * AHEAD, POINTS)
    found = routing(fit, grid, AT, group=group)
    ax.plot(grid, found["helps"].squeeze(), color=style.BLUE, label="probability of helping")
    if "cut_off_quantile" in found:
        low, middle, high = found["cut_off_quantile"].values.ravel()
        inside = [v for v in (low, min(high, grid[-1])) if v <= grid[-1]]
        if len(inside) > 1:
            ax.plot(inside, [0.5, 0.5], color=style.INK, linewidth=2,
                    label="size where they cease to help, 90 %")  # fmt: skip
        if middle <= grid[-1]:
            ax.plot(middle, 0.5, "D", color="white", markeredgecolor=style.INK, label="its median")
        if high > grid[-1]:
            most = ticks.count(high) if np.isfinite(high) else "none"
            said = f"they cease to help at {ticks.count(low)} to {most} (90 %)"
            ax.annotate(said, (0.03, 0.05), xycoords="axes fraction", fontsize=9)
    ticks.log_axis(ax.xaxis, ticks.count)
    ax.set(xlabel="active parameters N", ylabel="probability", ylim=(-0.03, 1.03))
