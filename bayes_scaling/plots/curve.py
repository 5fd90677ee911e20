"""The loss of a law of one variable: runs, the fan beyond them, the floor."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots._runs import detail_of, light, loss_along, runs_of
from bayes_scaling.plots.loss import POINTS, draw_fan, draw_floor
from bayes_scaling.results import model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

AHEAD = 100.0  # times the largest run
LABELS = {
    "params": "parameters N",
    "tokens": "training tokens D",
    "flops": "training compute C (FLOP)",
    "steps": "optimizer steps",
}


def plot_curve(
    fit: xr.DataTree, *, to: float | None = None, group: str | None = None, ax: Any = None
) -> Axes:
    """Draw the loss against the one variable of a law, beyond the data.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params`, `tokens`, `flops` or `steps` alone.
    to : float, optional
        How far to extend the curve, raw counts; by default to 100 times the largest run.
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
        The law has more than one input, or `to` is not positive.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> model = bs.ScalingModel(law=bs.PowerLaw("flops"))
    >>> fit = bs.fit(model, bs.load_dataset("simulated-chinchilla"))
    >>> bs.plots.plot_curve(fit).get_xlabel()
    'training compute C (FLOP)'
    """
    trust = warn_if_untrusted(fit)
    theta_of(fit, group)
    law = model_of(fit).law
    if len(law.inputs) != 1:
        msg = f"law {law.name!r} is in {', '.join(law.inputs)}: plot_loss and plot_isoflop draw it"
        raise SpecError(msg)
    (of,) = law.inputs
    runs, thin = runs_of(fit, group), light(fit)
    middle = dict(law.reference)[of]
    x = np.array([middle / 100, middle * 100]) if runs is None else runs[of].to_numpy(float)
    low, end = float(x.min()), float(x.max())
    far = AHEAD * end if to is None else float(to)
    if not 0 < far < np.inf:
        msg = f"to: a positive number of {of}; found {to!r}"
        raise SpecError(msg)
    grid = np.geomspace(min(low / 1.5, far / 10), far, POINTS)
    fan = loss_along(thin, group, **{of: grid})
    own, (ax,) = ax is None, style.panels(ax, 1, (7.6, 5.0))
    seen = None if runs is None else end
    draw_fan(ax, grid, fan, f"law: {style.BANDS}", seen)
    draw_floor(ax, law, thin, group)
    ax.set_xlabel(LABELS[of])
    if runs is not None:
        ax.scatter(runs[of], runs[law.outcome], s=18, color=style.INK, linewidths=0.4,
                   edgecolors="white", zorder=3, label="runs fitted")  # fmt: skip
    style.legend([ax], own, 2)
    style.heading(ax, own, f"Loss against {LABELS[of]}", detail_of(fit, runs, group), trust)
    return ax
