"""Learning curves: checkpoints of every run, their bands, and where each levels off."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.errors import FitFileError, SpecError
from bayes_scaling.laws import PowerLaw
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, loss_along, runs_of
from bayes_scaling.plots.curve import LABELS
from bayes_scaling.results import model_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 60
AHEAD = 5.0  # times the last checkpoint


def plot_learning(fit: xr.DataTree, *, ahead: float = AHEAD, ax: Any = None) -> Axes:
    """Draw the learning curves of a fit, each beyond its last checkpoint.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of ``PowerLaw("tokens", curve=True)``, or of steps, that carries its runs.
    ahead : float, default 5
        How far beyond its last checkpoint each curve is drawn, a factor.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Another law, or `ahead` is no factor from 1.
    FitFileError
        The fit does not carry its runs.

    Notes
    -----
    A model that pools has a curve for every group, any other one curve.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> tokens = np.geomspace(1e9, 2e10, 20)
    >>> runs = {"tokens": tokens, "loss": 2.5 + 0.5 * (tokens / 5e9) ** -0.5}
    >>> law = bs.PowerLaw("tokens", curve=True)
    >>> fit = bs.fit(bs.ScalingModel(law, bs.Normal()), bs.read_runs(runs, require=[*runs]))
    >>> bs.plots.plot_learning(fit).get_xlabel()
    'training tokens D'
    """
    model = model_of(fit)
    law = model.law
    if not (isinstance(law, PowerLaw) and law.curve):
        msg = f"plot_learning draws PowerLaw('tokens', curve=True), and the law is {law!r}"
        raise SpecError(msg)
    if not 1 <= ahead < np.inf:
        msg = f"ahead: a factor from 1; found {ahead!r}"
        raise SpecError(msg)
    every = runs_of(fit)
    if every is None:
        msg = "plot_learning draws the runs of a fit, and this one carries none; fit them again"
        raise FitFileError(msg)
    trust, thin = warn_if_untrusted(fit), light(fit)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.6, 5.0))
    style.tidy(ax)
    column = model.pooling.column if model.pooling else ""
    names = sorted(set(every[column].astype(str))) if column else [None]
    for i, name in enumerate(names):
        runs = every if name is None else every.loc[every[column].astype(str) == name]
        color = style.SEQUENCE(i / max(len(names) - 1, 1)) if len(names) > 1 else style.BLUE
        x = runs[law.of].to_numpy(float)
        grid = np.geomspace(x.min(), x.max() * ahead, POINTS)
        curve = loss_along(thin, name, **{law.of: grid})
        style.fan(ax, grid, curve, color, name or "law")
        ax.scatter(x, runs["loss"], s=10, color=[color], linewidths=0, zorder=4)
    ticks.log_axis(ax.xaxis, ticks.count)
    ax.set(xlabel=LABELS[law.of], ylabel="loss (nat/token)")
    style.legend([ax], own, 4)
    style.heading(ax, own, "Learning curves", f"{detail_of(fit, every)}; {style.BANDS}", trust)
    return ax
