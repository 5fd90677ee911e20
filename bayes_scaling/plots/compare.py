"""Laws side by side: how they predict held-out runs and runs ahead, and what they weigh."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style

ROW = 0.42  # inches
FAR, LINEAR = 30.0, 10.0  # nats from which the axis is logarithmic, and up to which it is not
KINDS = {
    "loo": ("held-out runs, inside the data", style.BLUE),
    "lfo": ("runs ahead, beyond the data", style.VERMILLION),
}


def plot_compare(comparison: Any, *, ax: Any = None) -> Figure:
    """Draw how far each law is behind the best, inside the data and beyond, and its weights.

    Parameters
    ----------
    comparison : Comparison
        From `compare`.
    ax : sequence of three Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure
        Left and middle panel: the difference in elpd from the best, nats, with one and two
        standard errors, by leave-one-out (or folds) and by leave-future-out. Right panel: the
        stacking weights from each.

    Raises
    ------
    SpecError
        Not a `Comparison`, or `ax` is not three Axes.

    Notes
    -----
    Where the best is far ahead the axis is logarithmic beyond ten nats. Laws stand in the order of
    runs ahead, the best on top.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> shallow = bs.Prior.of("LogNormal", median=0.1, sigma=0.05)
    >>> models = {"free": bs.ScalingModel(), "shallow": bs.ScalingModel(priors={"alpha": shallow})}
    >>> figure = bs.plots.plot_compare(bs.compare(models, runs, cuts=[2e20, 2e21]))
    >>> [t.get_text() for t in figure.axes[0].get_yticklabels()]
    ['free', 'shallow']
    """
    table = getattr(comparison, "table", None)
    if not isinstance(table, pd.DataFrame) or "lfo_weight" not in table:
        msg = f"plot_compare draws what `compare` returns; found {type(comparison).__name__}"
        raise SpecError(msg)
    own = ax is None
    axes = style.panels(ax, 3, (3.7, 1.7 + ROW * len(table)))
    rows = np.arange(len(table))
    for panel in axes:
        style.tidy(panel)
        panel.grid(False, axis="y")
        panel.set_ylim(len(table) - 0.5, -0.5)
        panel.set_yticks(rows, [""] * len(table))
        panel.tick_params(axis="y", length=0)
    axes[0].set_yticks(rows, [str(k) for k in table.index])
    for panel, (kind, (label, color)) in zip(axes, KINDS.items(), strict=False):
        _behind(panel, table, kind, color, label)
    _weights(axes[2], table)
    style.legend(axes, own, 4)
    scores = comparison.scores
    ahead = int((scores["cuts_of"] > 0).sum())
    detail = f"{scores.sizes['run']} runs, {ahead} ahead of a cut; bars are 1 and 2 standard errors"
    style.heading(axes[0], own, "Laws by runs they had not seen", detail, comparison.trust)
    return axes[0].figure  # pyright: ignore[reportReturnType]


def _behind(panel: Axes, table: pd.DataFrame, kind: str, color: str, label: str) -> None:
    gap, se = (table[f"{kind}_{v}"].to_numpy(float) for v in ("diff", "se"))
    if (gap - 2 * se).min() < -FAR:
        panel.set_xscale("symlog", linthresh=LINEAR)
        decades = [-(10**k) for k in range(1, 9) if -(10**k) > 3 * gap.min()]
        panel.set_xticks([*decades, 0], [f"{v:,}" for v in (*decades, 0)])
        panel.set_xticks([], minor=True)
    rows = np.arange(len(table))
    panel.axvline(0, color=style.INK, linewidth=1, zorder=1)
    panel.hlines(rows, gap - 2 * se, gap + 2 * se, color=color, linewidth=1.4, zorder=3)
    panel.hlines(rows, gap - se, gap + se, color=color, linewidth=4.2, zorder=3)
    mark: dict[str, Any] = {"marker": "o", "markersize": 6, "markeredgecolor": "white"}
    panel.plot(gap, rows, linestyle="", color=color, zorder=4, label=label, **mark)
    panel.set_xlabel("elpd less that of the best (nats)")


def _weights(panel: Axes, table: pd.DataFrame) -> None:
    rows, high = np.arange(len(table)), 0.36
    for at, (kind, (_, color)) in zip((-high / 2, high / 2), KINDS.items(), strict=True):
        share = table[f"{kind}_weight"].to_numpy(float)
        panel.barh(rows + at, share, height=high, color=color, zorder=2)
        for row, value in zip(rows + at, share, strict=True):
            panel.annotate(f"{value:.2f}", (value, row), (3, 0), textcoords="offset points",
                           va="center", fontsize=style.SMALL)  # fmt: skip
    panel.set_xlim(0, 1.15)
    panel.set_xticks([0, 0.25, 0.5, 0.75, 1])
    panel.set_xlabel("stacking weight")
