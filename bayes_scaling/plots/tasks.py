"""What models score in a task: against the loss, and against compute."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import values_of
from bayes_scaling.decision.tasks import OUTCOMES
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import HasUpstream
from bayes_scaling.observations.shares import COUNT
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, quantiles, runs_of
from bayes_scaling.results import model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 80
AHEAD = 100.0  # times the largest compute
PAST = 0.25  # of the range of losses, drawn beyond either end
Z90 = 1.6449


def plot_task(fit: xr.DataTree, *, group: str | None = None, ax: Any = None) -> Figure:
    """Draw accuracy or error against the loss, and against compute where the law reads it.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law of `accuracy` or `error`.
    group : str, optional
        Which group of a pooled model; the population's without it.
    ax : Axes or sequence of Axes, optional
        Where to draw: the panel of the loss, where the law goes through one, then that of compute,
        where it reads some; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        A law of another outcome.

    Notes
    -----
    Bands are of the law. Bars on models are 90 % of what their numbers of questions leave open.
    Compute of a law of params and tokens is spent at the tokens per parameter of the reference.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> from bayes_scaling.model import model_for
    >>> runs = {"loss": [4.5, 3.9, 3.5, 3.2, 2.8, 2.6], "error": [.77, .72, .68, .63, .56, .51]}
    >>> fit = bs.fit(model_for(bs.GadreError(chance=0.2)), runs)
    >>> [axes.get_xlabel() for axes in bs.plots.plot_task(fit).axes]
    ['loss (nat/token)']
    """
    law: Any = model_of(fit).law
    if law.outcome not in OUTCOMES:
        msg = f"law {law.name!r} is of {law.outcome}; this figure is of accuracy or error"
        raise SpecError(msg)
    trust, thin, runs = warn_if_untrusted(fit), light(fit), runs_of(fit, group)
    theta = theta_of(thin, group)
    linked = isinstance(model_of(fit).law, HasUpstream) and _losses(law, runs) is not None
    draw = [_against_loss] * linked + [_against_compute] * ("loss" not in law.inputs)
    own, axes = ax is None, style.panels(ax, len(draw), (6.4, 4.8))
    for panel, part in zip(axes, draw, strict=True):
        style.tidy(panel)
        part(panel, law, theta, runs)
        _ends(panel, law, theta)
        panel.set(ylabel=f"{law.outcome} (share of answers)")
    style.legend(axes, own, 4)
    what = f"{law.outcome.capitalize()} in the task"
    style.heading(axes[0], own, what, f"{detail_of(fit, runs, group)}; {style.BANDS}", trust)
    return axes[0].figure  # pyright: ignore[reportReturnType]


def _losses(law: Any, runs: pd.DataFrame | None) -> np.ndarray | None:
    """Return losses that span the figure: measured ones, else those about the reference."""
    if runs is not None and "loss" in runs:
        return values_of(runs, "loss")
    middle = dict(law.reference).get("loss")
    return None if middle is None else np.array([0.7, 1.3]) * middle


def _against_loss(ax: Axes, law: Any, theta: Any, runs: pd.DataFrame | None) -> None:
    seen = _losses(law, runs)
    assert seen is not None, "asked before"
    past = PAST * (seen.max() - seen.min())
    grid = np.linspace(max(seen.min() - past, 1e-3), seen.max() + past, POINTS)
    curve = law.link(theta, xr.DataArray(grid, dims="point"))
    style.fan(ax, grid, quantiles(curve), style.BLUE, "law")
    if runs is not None and "loss" in runs:
        _models(ax, law, runs, seen)
    ax.set_xlabel("loss (nat/token)")


def _against_compute(ax: Axes, law: Any, theta: Any, runs: pd.DataFrame | None) -> None:
    ref = dict(law.reference)
    if "flops" in law.inputs:
        label, middle = "training compute C (FLOP)", ref["flops"]
    else:
        label, middle = style.COMPUTE, float(flops_6nd(ref["params"], ref["tokens"]))
    at = None if runs is None else values_of(runs, "compute" if "compute" in runs else "flops")
    low, high = (middle / 100, middle * 100) if at is None else (at.min(), at.max())
    grid = np.geomspace(low / 3, high * AHEAD, POINTS)
    scale = np.sqrt(grid / middle)
    x = {"flops": grid, **{k: ref[k] * scale for k in ("params", "tokens") if k in ref}}
    points = {k: xr.DataArray(x[k], dims="point") for k in law.inputs}
    style.fan(ax, grid, quantiles(law(theta, points)), style.BLUE, "law")
    if at is not None:
        ax.axvspan(high, grid[-1], color=style.PALE, linewidth=0, zorder=0,
                   label="beyond the models fitted")  # fmt: skip
        _models(ax, law, runs, at)  # pyright: ignore[reportArgumentType]
    ticks.log_axis(ax.xaxis, ticks.power)
    ax.set(xlabel=label, xlim=(grid[0], grid[-1]))


def _models(ax: Axes, law: Any, runs: pd.DataFrame, at: np.ndarray) -> None:
    share = values_of(runs, law.outcome)
    if COUNT in runs:
        low, high = wilson(share, values_of(runs, COUNT))
        ax.vlines(at, low, high, color=style.INK, linewidth=0.9, zorder=3,
                  label="90 % by their questions")  # fmt: skip
    look: dict[str, Any] = {"s": 20, "linewidths": 0.4, "edgecolors": "white", "zorder": 4}
    ax.scatter(at, share, color=style.INK, label="models fitted", **look)


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 90 % interval of a share of a count: no answer right has one too."""
    middle = (share + Z90**2 / 2 / count) / (1 + Z90**2 / count)
    half = np.sqrt(share * (1 - share) / count + (Z90 / 2 / count) ** 2)
    half = Z90 * half / (1 + Z90**2 / count)
    return middle - half, middle + half


def _ends(ax: Axes, law: Any, theta: Any) -> None:
    """Draw the levels that no model leaves, with their 90 % intervals."""
    levels = {"floor": "floor", "ceil": "ceiling", "eps": "error of guessing"}
    colors = (style.GREY, style.GREEN, style.GREY)
    for (name, said), color in zip(levels.items(), colors, strict=True):
        if name in theta and name in {p.name for p in law.params}:
            low, middle, high = theta[name].quantile([0.05, 0.5, 0.95]).values
            ax.axhspan(low, high, color=color, alpha=0.12, linewidth=0)
            ax.axhline(middle, color=color, linestyle="--", linewidth=1, label=said)
