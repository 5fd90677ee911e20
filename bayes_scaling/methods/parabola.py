"""The second approach: a parabola through each budget's losses, a line through their lowest points.

It is here to be repeated and to be judged. A valley of a scaling law is no parabola, so its vertex
is off by an amount that depends on the grid; a posterior of the law says by how much on the grid at
hand.
"""

import warnings
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.coverage import TOLERANCE
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.inference.point import vertices
from bayes_scaling.laws import best_split
from bayes_scaling.methods.budgets import Budget, Runs, budgets_of, runs_of
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

TOLERATED = 0.02  # of N*: what an exponent's error bar usually hides


class ParabolaBiasWarning(UserWarning):
    """The vertices of parabolas are off by more than 2 % on these runs."""


def approach2(runs: Any, *, tolerance: float = TOLERANCE, outside: bool = True) -> xr.Dataset:
    """Estimate the optimal size as Hoffmann et al.'s second approach does.

    Parameters
    ----------
    runs : DataFrame
        A run table with budgets of at least three sizes each.
    tolerance : float, default 0.02
        Runs whose compute differs by no more than this share are of one budget; digitised tables
        need more.
    outside : bool, default True
        Whether the line also goes through vertices beyond the sizes trained, which are
        extrapolations; published fits keep them.

    Returns
    -------
    xarray.Dataset over budget
        `params_opt`, `tokens_opt`, `loss_opt` (the vertices), `curvature` (nats per squared
        e-fold), `inside`, whether the vertex lies within the sizes trained, and `runs`. Scalars
        `a` and `log_g` of the line ``ln N* = log_g + a ln C`` through the vertices, and `b` and
        `log_g_tokens` of the tokens'. NaN where fewer than two budgets have a lowest point.

    Raises
    ------
    TableError
        A column is missing or has gaps.
    FitError
        No budget has three sizes.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.approach2(bs.load_dataset("simulated-chinchilla"))
    >>> bool(0.4 < found.a < 0.6), bool(found.inside.all())
    (True, True)
    """
    table = runs_of(runs)
    budgets = _some(budgets_of(table, tolerance))
    n, d = np.log(table.params), np.log(table.tokens)
    found = [vertices(n[b.rows], table.loss[b.rows]) for b in budgets]
    sizes = np.array([v[0] for v in found])
    tokens = np.array([vertices(d[b.rows], table.loss[b.rows])[0] for b in budgets])
    inside = np.array([n[b.rows].min() < v < n[b.rows].max()
                       for b, v in zip(budgets, sizes, strict=True)])  # fmt: skip
    flops = np.array([b.flops for b in budgets])
    fine = np.isfinite(sizes) & (inside | outside)
    a, log_g = _line(np.log(flops), sizes, fine)
    b, log_g_tokens = _line(np.log(flops), tokens, fine)
    return xr.Dataset(
        {
            "params_opt": ("budget", np.exp(sizes), {"units": "params"}),
            "tokens_opt": ("budget", np.exp(tokens), {"units": "tokens"}),
            "loss_opt": ("budget", np.array([v[1] for v in found]), {"units": "nat/token"}),
            "curvature": ("budget", np.array([v[2] for v in found])),
            "inside": ("budget", inside),
            "runs": ("budget", np.array([len(b.rows) for b in budgets])),
            "a": a,
            "log_g": log_g,
            "b": b,
            "log_g_tokens": log_g_tokens,
        },
        coords={"budget": ("budget", flops, {"units": "FLOP"})},
    )


def parabola_bias(
    fit: xr.DataTree,
    runs: Any,
    target: float | None = None,
    *,
    tolerance: float = TOLERANCE,
    group: str | None = None,
) -> xr.Dataset:
    """Ask a posterior how far off parabolas are on a grid of runs, without any noise.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    runs : DataFrame
        The runs whose grid is judged; their losses are not looked at.
    target : float, FLOP, optional
        Where the line through the vertices is extrapolated to; by default 100 times the largest
        budget.
    tolerance : float, default 0.02
        As in `approach2`.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        `params_bias`, the vertex over the law's own optimum, minus one; over (chain, draw)
        `exponent_bias`, the slope of the line through the vertices minus that through the optima,
        and `target_bias`, of N* at `target`. Attribute `verdict` sums up.

    Raises
    ------
    FitError
        No budget has three sizes.
    SpecError
        The law is not in `params` and `tokens`, or `target` is not positive.

    Warns
    -----
    ParabolaBiasWarning
        The median bias exceeds 2 % at some budget or at the target.

    Notes
    -----
    On a dense symmetric grid of half-width W e-folds the vertex is off by the factor
    ``exp((alpha - beta) W^2 / 10)``; a grid that is off centre adds to that, and one that drifts
    with compute bends the exponent.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> bias = bs.parabola_bias(bs.load_posterior("chinchilla"), runs)
    >>> bias.attrs["verdict"]
    'parabolas are off by at most 1 % on this grid'
    """
    trust = warn_if_untrusted(fit)
    law = model_of(fit).law
    if set(law.inputs) != {"params", "tokens"}:
        msg = f"law {law.name!r} is in {', '.join(law.inputs)}: it has no valleys along a budget"
        raise SpecError(msg)
    draws = theta_of(fit, group)
    theta = {p.name: draws[p.name].values[..., None] for p in law.params}
    table = runs_of(runs)
    budgets = _some(budgets_of(table, tolerance))
    goal = 100 * budgets[-1].flops if target is None else float(target)
    if not 0 < goal < np.inf:
        msg = f"target: positive FLOP, such as 1e24; found {target!r}"
        raise SpecError(msg)
    pairs = [_vertex_and_optimum(law, theta, table, b) for b in budgets]
    off = np.stack([v - o for v, o in pairs], axis=-1)
    logs = np.log([b.flops for b in budgets])
    slopes, ends = zip(*(_lines(logs, np.stack(v, axis=-1), np.log(goal))
                         for v in zip(*pairs, strict=True)), strict=True)  # fmt: skip
    out = xr.Dataset(
        {
            "params_bias": ((*SAMPLES, "budget"), np.expm1(off)),
            "exponent_bias": (SAMPLES, slopes[0] - slopes[1]),
            "target_bias": (SAMPLES, np.expm1(ends[0] - ends[1])),
        },
        coords={"budget": ("budget", np.exp(logs), {"units": "FLOP"})},
        attrs={"trust": trust, "target": goal},
    )
    return out.assign_attrs(verdict=_verdict(out))


def _vertex_and_optimum(
    law: Any, theta: Any, table: Runs, budget: Budget
) -> tuple[np.ndarray, np.ndarray]:
    n, d = np.log(table.params[budget.rows]), np.log(table.tokens[budget.rows])
    loss = law(theta, {"params": np.exp(n), "tokens": np.exp(d)})
    best, _ = best_split(law, theta, np.exp(np.mean(n + d)))
    return vertices(n, loss)[0], np.log(best[..., 0])


def _verdict(out: xr.Dataset) -> str:
    at_budgets = float(np.abs(out.params_bias.median(SAMPLES)).max())
    at_target = float(np.abs(out.target_bias.median()))
    worst = np.inf if np.isnan(at_budgets + at_target) else max(at_budgets, at_target)
    if not worst > TOLERATED:
        return f"parabolas are off by at most {max(1, np.ceil(100 * worst)):.0f} % on this grid"
    off = f"are off by {100 * at_budgets:.0f} % of N* at a budget"
    off += f" and {100 * at_target:.0f} % at {out.attrs['target']:.2g} FLOP"
    if np.isinf(worst):
        off = "have no lowest point at some budget"
    msg = (
        f"parabolas through these runs {off}: fit the law `isoflop`, or narrow and centre the grid"
    )
    warnings.warn(msg, ParabolaBiasWarning, stacklevel=3)
    return msg


def _some(budgets: list[Budget]) -> list[Budget]:
    if not budgets:
        msg = (
            "no budget has runs of three sizes: isoFLOP methods need budgets (within 2 %) at which "
            "several sizes were trained; fit a joint law instead"
        )
        raise FitError(msg)
    return budgets


def _line(x: np.ndarray, y: np.ndarray, fine: np.ndarray) -> tuple[float, float]:
    if fine.sum() < 2:
        return np.nan, np.nan
    slope, level = np.polyfit(x[fine], y[fine], 1)
    return float(slope), float(level)


def _lines(x: np.ndarray, y: np.ndarray, at: float) -> tuple[np.ndarray, np.ndarray]:
    """Return slopes of lines through (..., point) values, and where they are at a point."""
    gap = x - x.mean()
    slope = y @ gap / np.sum(gap**2) if len(x) > 1 else np.full(y.shape[:-1], np.nan)
    return slope, y.mean(axis=-1) + slope * (at - x.mean())
