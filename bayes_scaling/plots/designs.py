"""Designs of one budget side by side: what each wastes, and how surely it is the best."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayes_scaling._writing import flop
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.results import SAMPLES

DESIGNS = {
    "experts": "experts per routed layer",
    "granularity": "granularity G",
    "sparsity": "sparsity S",
}
MOST = 5  # budgets that are told apart by colour


def plot_designs(found: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw what every design loses against the best of its draw, and how surely it is the best.

    Parameters
    ----------
    found : xarray.Dataset
        What `best_experts`, `best_granularity` or `best_sparsity` returned; of several sizes, those
        of the first are drawn.
    ax : two Axes, optional
        Where to draw; a new figure without them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Another table, or more than five budgets.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.MoEJoint(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> seen = {"params": [1e8, 1e10], "tokens": [2e9, 2e11], "experts": [1, 64], "loss": [3, 2]}
    >>> fit = bs.sample_prior(bs.ScalingModel(law), bs.read_runs(seen), draws=50)
    >>> plan = bs.best_experts(fit, [1e20, 1e22], [4, 16, 64], share=0.5)
    >>> figure = bs.plots.plot_designs(plan)
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['loss above the best of the draw (nat/token)', 'probability of being the best']
    """
    dims = [d for d in DESIGNS if d in found.dims]
    if len(dims) != 1 or "chosen" not in found:
        msg = "this figure is of what best_experts, best_granularity or best_sparsity returned"
        raise SpecError(msg)
    if found.sizes["budget"] > MOST:
        msg = f"at most {MOST} budgets can be told apart; found {found.sizes['budget']}"
        raise SpecError(msg)
    dim = dims[0]
    others = [d for d in found.dims if d not in (*SAMPLES, "budget", dim)]
    said = ", ".join(f"{d} {float(found[d][0]):.3g}" for d in others)
    found = found.isel(dict.fromkeys(others, 0))
    own, (left, right) = ax is None, style.panels(ax, 2, (5.6, 4.4))
    places = np.arange(found.sizes[dim])
    excess = (found["loss"] - found["loss_opt"]).transpose(*SAMPLES, "budget", dim)
    for i, budget in enumerate(found["budget"].values.tolist()):
        color = style.SEQUENCE(i / max(found.sizes["budget"] - 1, 1))
        drawn = excess.isel(budget=i).quantile(style.PROBS, SAMPLES).values
        style.fan(left, places, drawn, color, f"{flop(budget)} FLOP", marker="o", markersize=4)
        right.plot(places, found["chosen"].isel(budget=i), "o-", color=color, markersize=4)
    for panel in (left, right):
        style.tidy(panel)
        panel.set_xticks(places, [f"{v:g}" for v in found[dim].values])
        panel.set_xlabel(DESIGNS[dim])
    left.set(ylabel="loss above the best of the draw (nat/token)")
    right.set(ylabel="probability of being the best", ylim=(-0.03, 1.03))
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    style.legend([left, right], own, MOST)
    detail = "; ".join(v for v in (said, style.BANDS) if v)
    title = f"What a choice of {dim} wastes"
    style.heading(left, own, title, detail, found.attrs.get("trust", "trusted"))
    style.heading(right, False, "Which is best", "share of the draws", "trusted")
    return left.figure  # pyright: ignore
