"""Whether the recipe that is best at a small scale is best at a large one; what errors cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision._groups import Groups, costs, groups_of
from bayes_scaling.errors import SpecError
from bayes_scaling.predict import flops_reference
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted


def proxy(
    fit: xr.DataTree,
    base: Any,
    to: Any,
    *,
    cost: Any = "6ND",
    rope: float = 0.03,
    seed: int = 0,
) -> xr.Dataset:
    """Ask whether the best recipe or mixture at a proxy scale is the best at the target.

    Parameters
    ----------
    fit : xarray.DataTree
        A pooled fit of a law of `params` and `tokens`, or of one variable; its groups are the
        recipes.
    base, to : float or mapping of str to float
        The scale of the proxies and of the target: compute, FLOP, each group at its best split of
        it (of a law of another variable, that), or the sizes of the runs, such as
        ``{"params": 150e6, "tokens": 3e9}``.
    cost
        As of `speedup`; sizes of runs are what they are at any cost.
    rope : float, default 0.03
        Standard deviation of ln slope between groups up to which only intercepts move.
    seed : int
        Of the runs at the proxy scale that are imagined.

    Returns
    -------
    xarray.Dataset over (chain, draw, group)
        `loss_base` and `loss_to`; `slope`, the exponent of a group's reducible loss along its
        frontier; over (chain, draw) `spread`, the standard deviation of ln slope between the
        groups, and for every slope that is partially pooled ``tau_NAME``, that of the population
        they come from; `regret`, nats that the best at the proxy loses at the target; `kept`,
        whether it loses none; `regret_measured`, that of the group with the least loss in one
        measured run each, `kept_measured` likewise; `pairs`, the share of pairs whose order is
        kept. Over (group, rank): `rank_base`, `rank_to`, the probabilities of ranks, 1 the least
        loss. Over group: `best_to`, the probability of being the best at the target, and
        `regret_of`, what choosing it is expected to lose. Attributes: `choice`, the group of least
        expected loss at the target, and `choice_base` at the proxy; `only_intercepts`, the
        probability that `spread` is below `rope`; `verdict`, "the proxy decides" (the same group
        is the best at both with probability above 0.95), "it does not" (below 0.5) or "undecided";
        `said`, a sentence.

    Raises
    ------
    SpecError
        Another law, no pooling, a scale that is not positive or lacks a size, or a wrong cost.

    Warns
    -----
    UntrustedFitWarning
        The fit failed its checks.

    Notes
    -----
    "Slopes are shared, only intercepts move" is a statement about `spread` of the groups there are
    and about tau of those to come; regret is what it matters for. A proxy misleads by its noise
    as well as by slopes: `regret_measured` counts both.

    References
    ----------
    Magnusson et al. 2025, DataDecide, arXiv:2504.11393 (rankings at small scale and what they are
    worth); Gelman 2005, doi:10.1214/009053604000001048 (the spread of the groups there are).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.proxy(bs.load_posterior("xlstm"), 1e19, 1e23)
    >>> found.attrs["choice"], found.attrs["verdict"]
    ('xlstm', 'undecided')
    """
    trust = warn_if_untrusted(fit)
    groups = groups_of(fit)
    rope = one_number(rope, "rope: a standard deviation of ln slope such as 0.03")
    places = {"base": _place(groups, base, "base"), "to": _place(groups, to, "to")}
    price = costs(groups, cost)
    loss = {k: _losses(groups, x, price) for k, x in places.items()}
    first, second = loss["base"], loss["to"]
    regret = _regret(first, second)
    measured = _regret(_measured(fit, groups, first, places["base"], seed), second)
    rank = {k: 1 + np.argsort(np.argsort(v, -1), -1) for k, v in loss.items()}
    slopes = [groups.slope(groups.theta[n], groups.middle) for n in groups.names]
    slope = np.concatenate([np.broadcast_to(s, (*regret.shape, 1)) for s in slopes], -1)
    i, j = np.triu_indices(len(groups.names), 1)
    same = (first[..., i] < first[..., j]) == (second[..., i] < second[..., j])
    over, each = (*SAMPLES, "group"), {"units": "nat/token"}
    ranks = np.arange(1, len(groups.names) + 1)
    made: dict[str, Any] = {
        "loss_base": (over, first, each),
        "loss_to": (over, second, each),
        "slope": (over, slope, {"units": "1"}),
        "spread": (SAMPLES, np.log(slope).std(-1, ddof=1), {"units": "1"}),
        "regret": (SAMPLES, regret, each),
        "kept": (SAMPLES, regret == 0),
        "regret_measured": (SAMPLES, measured, each),
        "kept_measured": (SAMPLES, measured == 0),
        "pairs": (SAMPLES, same.mean(-1), {"units": "1"}),
        "best_to": ("group", (rank["to"] == 1).mean((0, 1))),
        "regret_of": ("group", (second - second.min(-1, keepdims=True)).mean((0, 1)), each),
    }
    for k, v in rank.items():
        shares = (v[..., None] == ranks).mean((0, 1))
        made[f"rank_{k}"] = (("group", "rank"), shares)
    posterior = fit["posterior"].to_dataset()
    for p in model_of(fit).law.params:
        if p.role == "slope" and f"{p.name}_sd" in posterior:
            tau = posterior[f"{p.name}_sd"].values
            made[f"tau_{p.name}"] = (SAMPLES, tau, {"units": "1", "long_name": f"sd of {p.name}"})
    chain, draw = (np.arange(n) for n in regret.shape)
    coords = {"chain": chain, "draw": draw, "group": list(groups.names), "rank": ranks}
    out = xr.Dataset(made, coords)
    kept = float(out["kept"].mean())
    verdict = "the proxy decides" if kept > 0.95 else "it does not" if kept < 0.5 else "undecided"
    out.attrs = {
        "trust": trust,
        "column": groups.column,
        "choice": groups.names[int(second.mean((0, 1)).argmin())],
        "choice_base": groups.names[int(first.mean((0, 1)).argmin())],
        "only_intercepts": float((out["spread"] < rope).mean()),
        "rope": rope,
        "verdict": verdict,
    }
    out.attrs["said"] = _said(out)
    return out


def _place(groups: Groups, given: Any, name: str) -> dict[str, float]:
    """Return a scale: an amount, or sizes of a run."""
    if not isinstance(given, Mapping):
        return {groups.of: one_number(given, f"{name}: a positive amount of {groups.of}")}
    wanted = tuple(groups.law.inputs)
    odd = [str(k) for k in given if k not in wanted]
    lacking = [k for k in wanted if k not in given]
    if odd or lacking:
        msg = f"{name}: give {', '.join(wanted)}, or one amount of {groups.of}; found {given!r}"
        raise SpecError(msg)
    return {k: one_number(given[k], f"{name}: positive {k}") for k in wanted}


def _losses(groups: Groups, x: Mapping[str, float], price: Mapping[str, float]) -> np.ndarray:
    """Return the loss of every group, (chain, draw, group)."""
    sized = set(x) == set(groups.law.inputs)
    each = []
    for name in groups.names:
        theta = groups.theta[name]
        best = groups.law(theta, x) if sized else groups.best(theta, x[groups.of] / price[name])
        each.append(best)
    return np.concatenate(each, -1)


def _measured(
    fit: xr.DataTree, groups: Groups, loss: np.ndarray, x: Mapping[str, float], seed: int
) -> np.ndarray:
    """Return what one run of every group at a scale would measure."""
    model, rng = model_of(fit), np.random.default_rng(seed)
    x = dict(x)
    if {"params", "tokens"} <= set(x):
        x["flops"] = float(flops_6nd(x["params"], x["tokens"]))
    lacking = [c for c in model.observation.inputs if c not in x]
    if lacking:
        msg = f"the scatter of a run depends on {', '.join(lacking)}, which no scale here says"
        raise SpecError(msg)
    seen: dict[str, Any] = {c: np.asarray(x[c]) for c in model.observation.inputs}
    if "flops" in seen:
        seen["flops_ref"] = flops_reference(fit)
    out = []
    for i, name in enumerate(groups.names):
        theta = {k: v.values for k, v in theta_of(fit, name).items()}
        out.append(model.observation.draw(rng, loss[..., i], theta, seen))
    return np.stack(out, -1)


def _regret(shown: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return what the group that looks best loses, in every draw."""
    best = np.argmin(shown, -1)[..., None]
    return np.take_along_axis(true, best, -1)[..., 0] - true.min(-1)


def _said(out: xr.Dataset) -> str:
    choice = out.attrs["choice"]
    best = float(out.best_to.sel(group=choice))
    nats = float(out.regret_measured.mean())
    return (
        f"{choice} is the best of {out.sizes['group']} at the target with probability {best:.2f}; "
        f"the best at the proxy is the best at the target with probability "
        f"{float(out.kept.mean()):.2f}, and {float(out.kept_measured.mean()):.2f} if it is told by "
        f"one run each, which is expected to lose {nats:.2g} nats; "
        f"{float(out.pairs.mean()):.0%} of pairs keep their order; only intercepts move with "
        f"probability {out.attrs['only_intercepts']:.2f}."
    )
