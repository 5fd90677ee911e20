"""Decisions as pictures: waste of plans, serving against training, the data wall, the next run."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from bayes_scaling._writing import flop, percent, size
from bayes_scaling.decision import plan_of
from bayes_scaling.errors import SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import quantiles
from bayes_scaling.results import SAMPLES

LEAST = 1e-4  # share of compute below which waste is not told apart
SHOWN = 0.6  # share above which the picture of waste ends
NAMED = 6  # candidates whose names are written


def plot_regret(decision: xr.Dataset, *, case: int = 0, ax: Any = None) -> Axes:
    """Draw what plans waste against their size, with the flat region and what can be built.

    Parameters
    ----------
    decision : xarray.Dataset
        What `decide` returned.
    case : int, default 0
        Which budget or target, by position.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Something that `decide` did not make, or no such case.

    Notes
    -----
    Points are the mean waste of configurations with 90 % intervals, hollow where they are not
    allowed; the band along sizes is drawn where no shelf was given. The shaded interval runs from
    the median lower to the median upper end of the sizes that lose at most the share `flat`.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.decide(bs.load_posterior("chinchilla"), bs.ComputeBudget(1e24))
    >>> bs.plots.plot_regret(found).get_ylabel()
    'share of the compute that is wasted'
    """
    one, dim = _case(decision, case)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.8, 5.0))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.count)
    ax.set_yscale("symlog", linthresh=0.01, linscale=1.0)
    ax.set_ylim(0, SHOWN)
    ax.set_yticks([0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    ax.yaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    if "flat_low" in one:
        ends = [float(one[k].median()) for k in ("flat_low", "flat_high")]
        share = percent(one.attrs["flat"])
        label = f"sizes within {share} of the best: {size(ends[0])} to {size(ends[1])}"
        ax.axvspan(*ends, color=style.GREEN, alpha=0.13, linewidth=0, label=label)
    if "size_wasted" in one:
        share = one.size_wasted
        fine = np.isfinite(share.sel(summary="mean").values)
        x = one.size_params.values[fine]
        low, high, mean = (share.sel(summary=s).values[fine] for s in ("q05", "q95", "mean"))
        ax.fill_between(x, low, high, color=style.BLUE, alpha=0.16, linewidth=0, label="_90 %")
        ax.plot(x, mean, color=style.BLUE, linewidth=1.6, label="mean waste, 90 % interval")
    shown = [float(v) for v in one.params.values[[str(k) != "rule" for k in one.kind.values]]]
    if "flat_low" in one:
        shown += [float(one.flat_low.quantile(0.01)) / 2, float(one.flat_high.quantile(0.99)) * 2]
    ax.set_xlim(min(shown) / 2, max(shown) * 2)
    rules = [i for i in range(one.sizes["config"]) if str(one.kind.values[i]) == "rule"]
    others = [i for i in range(one.sizes["config"]) if i not in rules]
    chosen = str(one.choice.values)
    for i in others:
        mine = str(one.config.values[i]) == chosen
        color = style.VERMILLION if mine else style.BLUE
        if not mine and "size_wasted" in one:
            continue  # plans by another criterion lie on the curve
        _point(ax, one.isel(config=i), color, "the plan" if mine else "on the shelf", "o")
    for k, i in enumerate(rules):
        color = style.COLORS[(3 + k) % len(style.COLORS)]
        if not min(shown) / 2 < float(one.params.values[i]) < max(shown) * 2:
            continue
        _point(ax, one.isel(config=i), color, str(one.config.values[i]), "s")
    plan = plan_of(one)
    ax.set(xlabel="parameters N", ylabel="share of the compute that is wasted")
    style.legend([ax], own, 2)
    given = {"budget": "a budget of {} FLOP", "target": "a loss of {}"}
    write = flop if dim == "budget" else (lambda v: f"{v:g}")
    of = given[dim].format(write(float(one[dim]))) if dim else "these configurations"
    title = f"What being wrong costs, for {of}"
    detail = f"plan: {size(float(plan.params))} on {size(float(plan.tokens))} tokens"
    style.heading(ax, own, title, detail, decision.attrs["trust"])
    return ax


def plot_lifetime(plan: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw the cheapest size over a model's life, and what it saves, against demand.

    Parameters
    ----------
    plan : xarray.Dataset
        What `lifetime` returned, for several `served`.
    ax : three Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Fewer than two demands, or something that `lifetime` did not make.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> plan = bs.lifetime(bs.load_posterior("chinchilla"), np.geomspace(1e11, 1e14, 7), loss=2.0)
    >>> len(bs.plots.plot_lifetime(plan).axes)
    3
    """
    if not {"overtraining", "saving"} <= set(plan) or plan.sizes.get("served", 0) < 2:
        msg = "plot_lifetime draws what `lifetime` returned for two or more demands"
        raise SpecError(msg)
    own, axes = ax is None, style.panels(ax, 3, (4.6, 4.2))
    x = plan.served.values
    for axis, name, label in zip(
        axes, ("params", "flops", "saving"),
        ("parameters N", "training and serving (FLOP)", "saved against training alone"),
        strict=True,
    ):  # fmt: skip
        style.tidy(axis)
        ticks.log_axis(axis.xaxis, ticks.count)
        q = quantiles(plan[name])
        style.fan(axis, x, q, style.BLUE, "cheapest to train and serve")
        if name == "params":
            ticks.log_axis(axis.yaxis, ticks.count)
            trained = quantiles(plan.params_trained)
            axis.plot(x, trained[2], color=style.INK, linestyle="--", label="cheapest to train")
        elif name == "flops":
            ticks.log_axis(axis.yaxis, ticks.power)
            served = quantiles(plan.serving)[2]
            axis.plot(x, served, color=style.VERMILLION, linestyle=":", label="of which serving")
        else:
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
            axis.set_ylim(0, None)
        axis.set(xlabel="tokens processed in serving", ylabel=label)
    style.legend(axes, own, 3)
    level = plan.loss.median(SAMPLES).values
    loss = f"loss {level[0]:.4g}" if np.ptp(level) < 1e-6 else "the least loss for the budget"
    style.heading(axes[0], own, "More demand, smaller model, more data", f"{loss}; {style.BANDS}",
                  plan.attrs["trust"])  # fmt: skip
    return axes[0].figure  # pyright: ignore


def plot_wall(wall: xr.Dataset, *, ax: Any = None) -> Figure:
    """Draw the tokens that compute-optimal runs ask for against the stock there is.

    Parameters
    ----------
    wall : xarray.Dataset
        What `data_wall` returned, for several budgets.
    ax : two Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SpecError
        Fewer than two budgets, or something that `data_wall` did not make.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> wall = bs.data_wall(bs.load_posterior("chinchilla"), np.geomspace(1e26, 1e30, 9))
    >>> bs.plots.plot_wall(wall).axes[1].get_ylabel()
    'probability that the plan passes the stock'
    """
    if not {"exceeds", "stock"} <= set(wall) or wall.sizes.get("budget", 0) < 2:
        msg = "plot_wall draws what `data_wall` returned for two or more budgets"
        raise SpecError(msg)
    own, (left, right) = ax is None, style.panels(ax, 2, (5.6, 4.4))
    x = wall.budget.values
    for axis in (left, right):
        style.tidy(axis)
        ticks.log_axis(axis.xaxis, ticks.power)
        axis.set_xlabel(style.COMPUTE)
    ticks.log_axis(left.yaxis, ticks.count)
    style.fan(left, x, quantiles(wall.tokens), style.BLUE, "compute-optimal tokens D*")
    low, q25, middle, q75, high = (float(v) for v in quantiles(wall.stock))
    left.axhspan(low, high, color=style.VERMILLION, alpha=0.10, linewidth=0)
    left.axhspan(q25, q75, color=style.VERMILLION, alpha=0.16, linewidth=0)
    left.axhline(middle, color=style.VERMILLION, linewidth=1.4, label="stock of text")
    left.set_ylabel("tokens")
    right.plot(x, wall.exceeds.values, color=style.INK, marker="o", markersize=4)
    right.set(ylim=(0, 1), ylabel="probability that the plan passes the stock")
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    style.legend([left], own, 2)
    style.heading(left, own, "The data wall", style.BANDS, wall.attrs["trust"])
    return left.figure  # pyright: ignore


def plot_next(found: xr.Dataset, *, ax: Any = None) -> Axes:
    """Draw what candidate runs are expected to save against what they cost.

    Parameters
    ----------
    found : xarray.Dataset
        What `next_runs` returned.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Something that `next_runs` did not make.

    Notes
    -----
    Bars are 90 % intervals of the Monte Carlo error. On the dashed line a run saves what it costs;
    the level line is what being wrong wastes now, which no runs can save more than.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> could = {"params": [5e8, 5e9], "tokens": [1e11, 2e10]}
    >>> fit = bs.load_posterior("chinchilla")
    >>> found = bs.next_runs(fit, bs.ComputeBudget(1e25), candidates=could)
    >>> bs.plots.plot_next(found).get_xlabel()
    'cost of the run (FLOP)'
    """
    if not {"gain", "per_flop", "pick_gain"} <= set(found):
        msg = "plot_next draws what `next_runs` returned"
        raise SpecError(msg)
    own, (ax,) = ax is None, style.panels(ax, 1, (7.8, 5.2))
    style.tidy(ax)
    waste, price = found.attrs["waste"], found.attrs["price"]
    least = waste * LEAST
    gain = np.maximum(found.gain.values, least)
    error = 1.645 * found.gain_se.values
    ticks.log_axis(ax.xaxis, ticks.power)
    ticks.log_axis(ax.yaxis, ticks.power)
    ratio = (found.tokens / found.params).values
    low = np.maximum(gain - error, least)
    ax.vlines(
        found.cost.values, low, np.maximum(gain + error, least), color=style.GREY, linewidth=1
    )
    points = style.by_ratio(ax, found.cost.values, gain, ratio, s=42)
    style.ratio_bar(points, ax)
    ax.axhline(waste, color=style.INK, linewidth=1.2, label="all that is wasted now")
    x = np.array([found.cost.values.min() / 4, found.cost.values.max() * 3])
    ax.plot(x, price * x, color=style.GREY, linestyle="--", label="saves what it costs")
    picked = found["pick"].values
    ax.plot(found.cost.values[picked], gain[picked], "o", markersize=12, markerfacecolor="none",
            markeredgecolor=style.VERMILLION, markeredgewidth=1.8, label="the set to run",
            linestyle="")  # fmt: skip
    named = list(picked) + [i for i in np.argsort(found["rank"].values) if i not in picked]
    ax.set(xlim=x, ylim=(least * 0.8, waste * 2.5), xlabel="cost of the run (FLOP)",
           ylabel="expected saving in the big run (FLOP)")  # fmt: skip
    order = np.array(named, int)
    names = [str(found.candidate.values[i]) for i in order[:NAMED]]
    style.name_points(ax, np.column_stack([found.cost.values, gain])[order], names)
    style.legend([ax], own, 3)
    title = f"Which run next, for a budget of {flop(found.attrs['budget'])} FLOP"
    detail = "points at the lower edge save nothing that can be told from zero"
    style.heading(ax, own, title, detail, found.attrs["trust"])
    return ax


def _point(ax: Axes, one: xr.Dataset, color: Any, label: str, marker: str) -> None:
    share = one.wasted_share.values.ravel()
    share = share[np.isfinite(share)]
    if not len(share):
        return
    low, high = np.quantile(share, [0.05, 0.95])
    mean, x = float(share.mean()), float(one.params)
    seen = {h.get_label() for h in ax.lines}
    top = SHOWN * 0.98
    ax.vlines(x, min(low, top), min(high, top), color=color, linewidth=1.6, zorder=4)
    ax.plot(x, min(mean, top), marker if mean <= top else "^", color=color, markersize=8, zorder=5,
            markerfacecolor=color if bool(one.allowed) else "white", linestyle="",
            label=f"_{label}" if label in seen else label)  # fmt: skip


def _case(decision: xr.Dataset, case: int) -> tuple[xr.Dataset, str | None]:
    if not isinstance(decision, xr.Dataset) or not {"choice", "wasted_share"} <= set(decision):
        msg = "plot_regret draws what `decide` returned"
        raise SpecError(msg)
    dim = next((d for d in ("budget", "target") if d in decision.dims), None)
    if dim is None:
        return decision, None
    if not -decision.sizes[dim] <= case < decision.sizes[dim]:
        msg = f"case {case}: the decision has {decision.sizes[dim]} ({dim})"
        raise SpecError(msg)
    return decision.isel({dim: case}), dim
