"""What repeated tokens are worth: against epochs, beside fresh ones."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayes_scaling.decision.repetition import epochs, largest_epochs
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import light, quantiles
from bayes_scaling.trust import warn_if_untrusted

POINTS = 40
MOST = 64.0


def plot_epochs(fit: xr.DataTree, unique: float, params: float, *, ax: Any = None) -> Figure:
    """Draw what epochs over unique tokens are worth, and the loss that they reach.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of `DataConstrained`.
    unique : float, tokens
        The tokens that are passed over.
    params : float
        Size of the model.
    ax : two Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Another law, or a number that is not positive.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("muennighoff")
    >>> len(bs.plots.plot_epochs(fit, unique=1e11, params=3e9).axes)
    2
    """
    trust, seen = warn_if_untrusted(fit), largest_epochs(fit)
    passes = np.geomspace(1.0, MOST, POINTS)
    found = epochs(light(fit), unique, params, passes)
    own, axes = ax is None, style.panels(ax, 2, (5.4, 4.4))
    worth, loss = axes
    for panel in axes:
        style.tidy(panel)
        ticks.log_axis(panel.xaxis, ticks.count)
        panel.set_xlabel("epochs over the unique tokens")
        if seen < MOST:
            panel.axvspan(seen, MOST, color=style.PALE, zorder=0, label="beyond the table")
    style.fan(worth, passes, quantiles(found.worth), style.BLUE, "a token on average, D' / D")
    style.fan(worth, passes, quantiles(found.marginal), style.VERMILLION, "the last token")
    worth.set(ylabel="worth of a token beside a fresh one", ylim=(0, 1.03))
    style.fan(loss, passes, quantiles(found.loss_fresh), style.GREEN, "as many fresh tokens")
    style.fan(loss, passes, quantiles(found.loss), style.BLUE, "repeated")
    loss.set_ylabel("loss (nats per token)")
    style.legend(axes, own, 3)
    detail = f"{ticks.count(params)} parameters on {ticks.count(unique)} unique tokens; "
    title = "What repeated tokens are worth"
    style.heading(worth, own, title, detail + style.BANDS, trust)
    return worth.figure  # pyright: ignore
