"""What fixed data allow: the asymptotes of one model and of ensembles, and what those are worth."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.results import SAMPLES

EDGE = 1.5  # of the first and last number of tokens
APART = 1.04  # of what stands side by side on a log axis


def plot_asymptotes(found: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw where the loss goes as size and members grow, and what an ensemble is worth in tokens.

    Parameters
    ----------
    found : xarray.Dataset
        What `asymptotes` returned.
    ax : Axes, or two of them, optional
        Where to draw; a new figure without them. Two where the law reads unique tokens.

    Returns
    -------
    matplotlib.figure.Figure
        The asymptotes of one model and of ensembles; and where the law reads unique tokens, both
        against them, and on the right how many times the tokens one model would need to come down
        to the ensemble. A bar that leaves the panel stands for draws in which no number would do.

    Raises
    ------
    SpecError
        Something that `asymptotes` did not make, or a wrong number of Axes.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> size, members = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), [1, 2, 4, 8]))
    >>> loss = 3.4 * (0.94 + 0.06 / members) + 0.3 * (size / 1e8) ** -0.5
    >>> runs = {"params": size, "members": members, "loss": loss}
    >>> fit = bs.fit(bs.ScalingModel(bs.Asymptote()), runs)
    >>> bs.plots.plot_asymptotes(bs.asymptotes(fit)).axes[0].get_ylabel()
    'asymptote of the loss (nats per token)'
    """
    if not isinstance(found, xr.Dataset) or not {"single", "ensemble", "gain"} <= set(found):
        msg = "asymptotes are wanted, as `asymptotes` returns them"
        raise SpecError(msg)
    data = "point" in found.dims
    own, panels = ax is None, style.panels(ax, 2 if data else 1, (5.4, 4.4))
    left, shown = panels[0], ["single"] + ["ensemble"] * ("members" in found)
    at = found["unique"].values.astype(float) if data else np.array([0.0])
    colors, said = {"single": style.BLUE, "ensemble": style.VERMILLION}, {
        "single": "one model, ever larger", "ensemble": "an ensemble of ever more"}  # fmt: skip
    for i, name in enumerate(shown):
        x = at * APART ** (2 * i - 1) if data else at + i
        style.interval_bars(left, x, _bars(found[name]), colors[name], said[name])
    left.set_ylabel("asymptote of the loss (nats per token)")
    for panel in panels:
        style.tidy(panel)
        if data:
            ticks.log_axis(panel.xaxis, ticks.count)
            panel.set(xlabel="unique tokens", xlim=(at.min() / EDGE, at.max() * EDGE))
    if not data:
        names = [n.replace("single", "one model").replace("ensemble", "an ensemble") for n in shown]
        left.set_xticks(range(len(shown)), names)
        left.set_xlim(-0.6, len(shown) - 0.4)
    if data:
        _worth(panels[1], at, _bars(found["data_worth"]))
        style.heading(panels[1], own, "What the ensemble is worth", "in unique tokens", "trusted")
    style.legend(panels, own, 2)
    trust = str(found.attrs.get("trust", "trusted"))
    style.heading(left, own, "What fixed data allow", style.BANDS, trust)
    return left.figure  # pyright: ignore[reportReturnType]


def _bars(values: xr.DataArray) -> np.ndarray:
    """Return the quantiles, (quantile, point); infinities count."""
    q = values.quantile(style.PROBS, SAMPLES, method="inverted_cdf").values
    return q.reshape(len(style.PROBS), -1)


def _worth(ax: Any, at: np.ndarray, bars: np.ndarray) -> None:
    finite = bars[np.isfinite(bars)]
    top = 1.5 * float(finite.max()) if finite.size else 10.0
    drawn = np.minimum(bars, 10 * top)
    style.interval_bars(ax, at, drawn, style.GREEN)
    ticks.log_axis(ax.yaxis, lambda v: f"{v:g}x")
    ax.axhline(1, color=style.INK, linewidth=1)
    ax.set_ylim(0.9, top)
    ax.set_ylabel("times the tokens, for one model")
