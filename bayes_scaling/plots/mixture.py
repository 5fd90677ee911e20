"""The best mixture: shares by domain over the posterior, and how flat the optimum is."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.results import SAMPLES

NEAR = 14  # trained mixtures whose regret is drawn: those of least
MOST = 3  # validation sets that a title names
BANDS = "median, 50 % and 90 % intervals"


def plot_mixture(found: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw the best mixture: its shares with their uncertainty, and what other mixtures lose.

    Parameters
    ----------
    found : xarray.Dataset
        Of `best_mixture`. Of several points the last is drawn, and beside it the first.
    ax : two Axes, optional
        Where to draw; a new figure without them.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Another Dataset, or not two Axes.

    Notes
    -----
    On the left the posterior of the best share of every domain, the one mixture that is best on
    average, the range of mixtures that are as good, the default and what was trained. On the right
    the regret of mixtures, in nats: that of the best on average, of the default, and of those
    trained mixtures that lose least.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> web = np.linspace(0, 1, 24)
    >>> loss = 2 + np.exp(-1.2 * web) * np.exp(0.002 * np.random.default_rng(0).normal(size=24))
    >>> law = bs.MixingExp(("web", "code"))
    >>> fit = bs.fit(bs.ScalingModel(law, bs.Normal()), {"web": web, "code": 1 - web, "loss": loss})
    >>> figure = bs.plots.plot_mixture(bs.best_mixture(fit, default={"web": 0.5, "code": 0.5}))
    >>> figure.axes[0].get_ylabel()
    'share of the training data'
    """
    if not {"share", "best", "regret"} <= set(found.data_vars):
        msg = "plot_mixture draws what `best_mixture` returns; this Dataset holds " + ", ".join(
            map(str, found.data_vars)
        )
        raise SpecError(msg)
    own, (left, right) = ax is None, style.panels(ax, 2, (6.0, 4.6))
    ends = [found]
    if "point" in found.dims:
        ends = [found.isel(point=-1)]
        if found.sizes["point"] > 1:
            ends.append(found.isel(point=0))
    _shares(left, ends)
    _regret(right, ends[0])
    style.legend([left, right], own, 3)
    trust = str(found.attrs.get("trust", "trusted"))
    target = str(found.attrs.get("target", "")).strip()
    sets = target.count(",") + 1
    of = f"for {sets} validation sets" if sets > MOST else f"for {target}" if target else ""
    style.heading(left, own, f"Best mixture {of}"[:60].rstrip(), BANDS, trust)
    style.heading(right, own, "What other mixtures lose", "dashed: what is as good", "trusted")
    return left.figure  # pyright: ignore[reportReturnType]


def _shares(ax: Any, ends: list[xr.Dataset]) -> None:
    style.tidy(ax)
    one = ends[0]
    domains = [str(d) for d in one["domain"].values]
    x = np.arange(len(domains))
    if "mixture_share" in one:
        kinds = one["mixture"].values
        trained = one["mixture_share"].values[kinds != "default"]
        spots = np.tile(x - 0.3, (len(trained), 1))
        ax.plot(spots.ravel(), trained.ravel(), "_", color=style.GREY, markersize=7, alpha=0.5,
                label="trained")  # fmt: skip
        if (kinds == "default").any():
            usual = one["mixture_share"].values[kinds == "default"][0]
            ax.plot(
                x - 0.13,
                usual,
                "D",
                color=style.VERMILLION,
                markersize=6,
                zorder=6,
                label="default",
            )
    low, high = one["low"].values, one["high"].values
    share, by = float(one.attrs["probability"]), float(one.attrs["tolerance"])
    ax.vlines(x + 0.3, low, high, color=style.GREEN, linewidth=5, alpha=0.45,
              label=f"within {by:g} nats with {share:.0%}")  # fmt: skip
    colors = (style.BLUE, style.COLORS[3])
    for i, end in enumerate(ends):
        q = end["share"].quantile(style.PROBS, dim=SAMPLES).transpose("quantile", "domain").values
        label = "best of every draw" + _where(end)
        style.interval_bars(ax, x + 0.12 * i, q, colors[i], label)
    look = {"color": style.INK, "markersize": 10, "markeredgecolor": "white", "zorder": 7}
    ax.plot(x - 0.13, one["best"].values, "*", label="best on average", **look)
    ax.set_xticks(x, domains, rotation=30 if max(map(len, domains)) > 6 else 0)
    ax.set(ylabel="share of the training data", ylim=(-0.02, None))


def _where(end: xr.Dataset) -> str:
    sizes = [c for c in ("params", "tokens") if c in end.coords and end[c].ndim == 0]
    return " at " + ", ".join(f"{float(end[c]):.1e} {c}" for c in sizes) if sizes else ""


def _regret(ax: Any, one: xr.Dataset) -> None:
    style.tidy(ax)
    names = ["best on average"]
    rows = [one["regret"]]
    if "mixture_regret" in one:
        each = one["mixture_regret"]
        usual = "default" in one["mixture"].values
        order = np.argsort(each.mean(SAMPLES).values)
        if usual:
            names, rows = [*names, "default"], [*rows, each.sel(mixture="default")]
        kept = [k for k in order if one["mixture"].values[k] != "default"][:NEAR]
        first = str(one["ranking"].values) if "ranking" in one else ""
        for k in kept:
            name = str(one["mixture"].values[k])
            names.append(f"{name}, measured best" if name == first else name)
            rows.append(each.isel(mixture=k))
    y = -np.arange(len(rows), dtype=float)
    for at, name, row in zip(y, names, rows, strict=True):
        q = row.quantile(style.PROBS, dim=SAMPLES).values
        color = {"best on average": style.INK, "default": style.VERMILLION}.get(name, style.GREY)
        ax.hlines(at, q[0], q[4], color=color, linewidth=1.4)
        ax.hlines(at, q[1], q[3], color=color, linewidth=4.2)
        ax.plot(q[2], at, "o", color=color, markeredgecolor="white", markersize=6, zorder=5)
    ax.axvline(float(one.attrs["tolerance"]), color=style.GREEN, linewidth=1.2, linestyle="--")
    ax.set_yticks(y, names, fontsize=style.SMALL)
    ax.set(xlabel="regret: loss above the best mixture's (nat/token)", xlim=(0, None))
