"""Tuning sweeps: the bowls with their bottoms, and the best setting against scale."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.numbers import one_number, values_of
from bayes_scaling.decision._tuning import one_of_them, points_of, theta_at, tuning_of
from bayes_scaling.decision.transfer import sweep_optima
from bayes_scaling.errors import FitFileError, SpecError
from bayes_scaling.plots import _style as style
from bayes_scaling.plots import _ticks as ticks
from bayes_scaling.plots._runs import detail_of, light, of_group, quantiles, runs_of
from bayes_scaling.results import carries_runs, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

POINTS = 80
BEYOND = 1.6  # factor past the lowest and the highest value tried
MOST_SWEEPS = 12  # in one figure
ABOUT = 0.2  # ln of another knob over its best: runs that are drawn with the bowl there


def plot_sweeps(
    fit: xr.DataTree, *, knob: str | None = None, group: str | None = None, ax: Any = None
) -> Axes:
    """Draw the loss against a setting, for every sweep of a fit: runs, bowls, where each is best.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `tuning` that carries its runs.
    knob : str, optional
        The setting on the axis; needed where the law has several. The others are at the sweep's
        best, and so are the runs that are drawn: those nearest to it.
    group : str, optional
        One sweep alone; without it the first twelve, in the order of scale.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Another law, no such knob, no such sweep.
    FitFileError
        The fit does not carry its runs.

    Notes
    -----
    A diamond is the best setting with its 90 % interval, hollow where no run lies beyond it; a
    cross at the top is a run that diverged.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> lr, noise = np.geomspace(1e-4, 1e-2, 24), np.random.default_rng(0).normal(size=24)
    >>> runs = {"lr": lr, "loss": 3.0 * np.exp(0.01 * np.log(lr / 1e-3) ** 2 + 0.002 * noise)}
    >>> fit = bs.fit(bs.ScalingModel(bs.Tuning(), bs.Normal()), runs)
    >>> bs.plots.plot_sweeps(fit).get_xlabel()
    'learning rate'
    """
    trust = warn_if_untrusted(fit)
    law, runs = tuning_of(fit), runs_of(fit)
    knob = one_of_them("knob", knob, law.knobs)
    if runs is None:
        msg = "plot_sweeps draws the runs of a fit, and this one does not carry them; fit them"
        raise FitFileError(msg)
    found = sweep_optima(fit, knob)
    order = _by_scale(found)
    if group is not None:
        if group not in list(found.sweep.values):
            known = ", ".join(map(str, found.sweep.values[order]))
            msg = f"the fit has no sweep {group!r}; give one of: {known}"
            raise SpecError(msg)
        order = [list(found.sweep.values).index(group)]
    shown = order[:MOST_SWEEPS]
    own, (ax,) = ax is None, style.panels(ax, 1, (7.8, 5.2))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, _written(knob))
    if law.scale == "log" or group is None:
        ticks.log_axis(ax.yaxis, ticks.count)
    thin, tops, failed = light(fit), [], []
    for i, k in enumerate(shown):
        color = style.SEQUENCE(i / max(len(shown) - 1, 1)) if len(shown) > 1 else style.BLUE
        label = str(found.sweep.values[k])
        mine = of_group(fit, runs, label if model_of(fit).pooling else None)
        top, lost = _bowl(ax, law, thin, mine, knob, found.isel(sweep=k), label, color)
        tops.append(top)
        failed += [(x, color) for x in lost]
    top = max(tops)
    for x, color in failed:
        ax.plot(x, top, "x", color=color, markersize=7, zorder=4)
    if failed:
        ax.plot([], [], "x", color=style.GREY, label="diverged")
    ax.plot([], [], "D", color="white", markeredgecolor=style.INK,
            label="best, 90 % interval (pale: beyond the runs)")  # fmt: skip
    ax.set(xlabel=_label(knob), ylabel="loss (nats/token)")
    style.legend([ax], own, 3)
    more = f"{len(shown)} of {len(order)} sweeps; " if len(shown) < len(order) else ""
    detail = f"{detail_of(fit, runs)}; {more}{style.BANDS}"
    style.heading(ax, own, f"Loss against {_label(knob)}", detail, trust)
    return ax


def plot_optimum(
    fit: xr.DataTree,
    along: str | None = None,
    *,
    knob: str | None = None,
    base: float | None = None,
    ax: Any = None,
) -> Axes:
    """Draw the best setting against scale: the power law, every sweep's own, and "keep it".

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `tuning`.
    along : str, optional
        The size on the axis; needed where the optimum moves along several.
    knob : str, optional
        Which setting; needed where the law has several.
    base : float, optional
        The scale whose best setting is drawn as a level line, as muP would keep it; the smallest
        sweep's without it.
    ax : Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SpecError
        Another law, no such knob or size.

    Notes
    -----
    Where the optimum moves along other sizes too, the band is at their reference, and every
    sweep's own best is moved there by the power law's median.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("steplaw-dense")
    >>> bs.plots.plot_optimum(fit, "tokens", knob="batch_size_tokens").get_xlabel()
    'tokens'
    """
    trust = warn_if_untrusted(fit)
    law, thin = tuning_of(fit), light(fit)
    knob = one_of_them("knob", knob, law.knobs)
    along = one_of_them("along", along, law.moves(knob))
    reference = {k: v for k, v in dict(law.reference or ()).items() if k not in law.knobs}
    found = sweep_optima(fit, knob) if carries_runs(fit) else None
    sizes = np.unique(found[along].values) if found is not None else reference[along] * np.array(
        [0.1, 10.0]
    )  # fmt: skip
    base = float(sizes.min()) if base is None else one_number(base, "base: a positive size")
    low, high = min(sizes.min(), base), sizes.max()
    grid = np.geomspace(low / BEYOND, high * BEYOND**2, POINTS)
    theta = theta_at(thin, None, None)
    own, (ax,) = ax is None, style.panels(ax, 1, (6.6, 4.8))
    style.tidy(ax)
    ticks.log_axis(ax.xaxis, ticks.count)
    ticks.log_axis(ax.yaxis, _written(knob))
    x = points_of(law, {**reference, along: grid})
    style.fan(ax, grid, quantiles(law.best(theta, x)[knob]), style.BLUE, "power law")
    kept = law.best(theta, points_of(law, {**reference, along: base}))[knob]
    ax.axhline(float(kept.median()), color=style.VERMILLION, linewidth=1.4, linestyle="--",
               label=f"the best at {along} {ticks.count(base)}, kept")  # fmt: skip
    if found is not None:
        own_sizes = {k: xr.DataArray(found[k].values, dims="sweep") for k in reference}
        middle = {k: v.median() for k, v in theta.items()}
        at_reference = {**reference, along: own_sizes[along]}
        shift = law.best(middle, at_reference)[knob] / law.best(middle, own_sizes)[knob]
        values = found["best"] * shift.values
        q = quantiles(values)
        style.interval_bars(ax, found[along].values, q, style.INK, "every sweep's own best")
        far = found["outside"].values
        if far.any():
            ax.plot(found[along].values[far], q[2][far], "o", color="white", zorder=6,
                    markeredgecolor=style.INK, label="beyond the runs of its sweep")  # fmt: skip
    ax.set(xlabel=_label(along), ylabel=f"best {_label(knob)}", xlim=(grid[0], grid[-1]))
    style.legend([ax], own, 2)
    detail = f"{detail_of(fit, runs_of(fit))}; {style.BANDS}"
    style.heading(ax, own, f"The best {_label(knob)} against {along}", detail, trust)
    return ax


def _bowl(
    ax: Axes, law: Any, fit: xr.DataTree, runs: Any, knob: str, best: Any, label: str, color: Any
) -> tuple[float, np.ndarray]:
    """Draw one sweep; return the highest loss of its runs that were drawn, and where others failed.

    Of several knobs the others are at their best: the runs nearest to it are drawn.
    """
    pooled = model_of(fit).pooling is not None
    theta = theta_of(fit, label if pooled else None)
    fixed = {c: float(values_of(runs, c)[0]) for c in law.fixed}
    middle = {k: float(v.median()) for k, v in law.best(theta, fixed).items()}
    ran = np.isfinite(values_of(runs, "loss"))
    ran &= ~(values_of(runs, "diverged") > 0) if "diverged" in runs else True
    near = np.ones(len(runs), bool)
    for other in law.knobs:
        if other != knob:  # of a grid the line nearest to the best, else the runs about it
            gap = np.abs(np.log(values_of(runs, other) / middle[other]))
            near &= gap <= max(gap[near & ran].min() + 1e-9, ABOUT)
    failed = values_of(runs.loc[near & ~ran], knob)
    runs = runs.loc[near & ran]
    tried, loss = values_of(runs, knob), values_of(runs, "loss")
    grid = np.geomspace(tried.min() / BEYOND, tried.max() * BEYOND, POINTS)
    x = {**{k: xr.DataArray(v) for k, v in {**fixed, **middle}.items()},
         knob: xr.DataArray(grid, dims="point")}  # fmt: skip
    curve = quantiles(law(theta, x))
    fine = curve[2] <= loss.max() * 1.02
    style.fan(ax, grid[fine], curve[:, fine], color, label)
    ax.scatter(tried, loss, s=22, color=color, zorder=4, linewidths=0.5, edgecolors="white")
    low, mid, high = best["best"].quantile([0.05, 0.5, 0.95]).values
    there = float(np.interp(np.log(mid), np.log(grid), curve[2]))
    pale = style.GREY if bool(best["outside"]) else style.INK
    ax.plot([low, high], [there, there], color=pale, linewidth=2, zorder=5)
    ax.plot(mid, there, "D", color="white", markeredgecolor=pale, zorder=6)
    return float(loss.max()), failed


def _by_scale(found: xr.Dataset) -> list[int]:
    """Return the sweeps in the order of their sizes."""
    sizes = [found[c].values for c in found.coords if c != "sweep" and found[c].dims == ("sweep",)]
    return list(np.lexsort(sizes[::-1])) if sizes else list(range(found.sizes["sweep"]))


def _label(column: str) -> str:
    """Return a column's name with its unit."""
    unit = COLUMNS[column].unit if column in COLUMNS else ""
    words = {"lr": "learning rate", "batch_size_tokens": "batch size"}.get(column, column)
    plain = unit in ("", "1") or unit in words
    return words if plain else f"{words} ({unit})"


def _written(knob: str) -> Any:
    """Return how values of a knob are written on an axis."""
    return ticks.power if knob == "lr" else ticks.count
