"""How hard to filter: what every filter reaches, and which is the best, against samples seen."""

from typing import Any

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.results import SAMPLES


def plot_pools(found: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw the loss of every filter against samples seen, and how probably it is the best.

    Parameters
    ----------
    found : xarray.Dataset
        What `best_pool` returned, at two or more numbers of samples.
    ax : two Axes, optional
        Where to draw; a new figure without them.

    Returns
    -------
    matplotlib.figure.Figure
        On the left the loss, a band per filter; on the right the probability of being the best of
        them, and a rule above it that says which filter has the least expected loss where.

    Raises
    ------
    SpecError
        Something that `best_pool` did not make, a single number of samples, or not two Axes.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> law = bs.Filtering(reference=(("tokens", 1e9), ("unique_tokens", 1e9)))
    >>> size, passes = np.repeat([1e8, 1e9], 6), np.tile([1.0, 2, 4, 8, 16, 32], 2)
    >>> x = {"tokens": size * passes, "unique_tokens": size}
    >>> pools = {"best": (0.22, 1.0), "good": (0.20, 8.0), "rest": (0.10, 10.0)}
    >>> loss = [law({"E": 0.2, "a0": 0.6, "b": b, "tau": tau}, x) for b, tau in pools.values()]
    >>> runs = {k: np.tile(v, 3) for k, v in x.items()} | {
    ...     "pool": np.repeat(list(pools), 12),
    ...     "loss": np.exp(0.003 * np.random.default_rng(0).normal(size=36)) * np.ravel(loss)}
    >>> each = (("b", "free"), ("tau", "free"), ("a0", "shared"), ("E", "shared"))
    >>> model = bs.ScalingModel(bs.Filtering(), bs.Normal(), pooling=bs.Pooling("pool", each))
    >>> found = bs.best_pool(bs.fit(model, runs), [6e8, 6e9, 6e10], unique=1e9)
    >>> len(bs.plots.plot_pools(found).axes)
    2
    """
    if not isinstance(found, xr.Dataset) or not {"excess", "p_best", "choice"} <= set(found):
        msg = "filters are wanted, as `best_pool` returns them"
        raise SpecError(msg)
    if found.sizes["tokens"] < 2:
        msg = "a curve needs several numbers of samples: best_pool(fit, [1e9, ..., 1e12], unique)"
        raise SpecError(msg)
    found = found.sortby("tokens")
    own, (left, right) = ax is None, style.panels(ax, 2, (5.8, 4.4))
    x, names = found["tokens"].values, [str(p) for p in found["pools"].values]
    bands = found["loss"].quantile(style.PROBS, dim=SAMPLES)
    for panel in (left, right):
        style.tidy(panel)
        ticks.log_axis(panel.xaxis, ticks.count)
        panel.set(xlabel="samples seen, repeats counted", xlim=(x.min(), x.max()))
    for i, (keep, name) in enumerate(zip(found["keep"].values, names, strict=True)):
        color = style.COLORS[i % len(style.COLORS)]
        style.fan(left, x, bands.sel(keep=keep).values, color, f"keep {name}")
        right.plot(x, found["p_best"].sel(keep=keep).values, color=color, linewidth=1.8)
        here = found["choice"].values == keep
        right.plot(x[here], [1.06] * here.sum(), "s", color=color, markersize=5, clip_on=False)
    by = found["loss"].attrs.get("units", "1")
    left.set_ylabel("loss (nats per token)" if by == "nat/token" else "error")
    right.set(ylabel="probability of being the best", ylim=(-0.02, 1.12))
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    right.set_yticks([0, 0.25, 0.5, 0.75, 1])
    style.legend([left, right], own, 3)
    trust = str(found.attrs.get("trust", "trusted"))
    detail = f"pools of {ticks.count(float(found.attrs['unique']))} samples; {style.BANDS}"
    style.heading(left, own, "What every filter reaches", detail, trust)
    style.heading(right, own, "Which is the best", "squares: least expected loss", "trusted")
    return left.figure  # pyright: ignore[reportReturnType]
