"""One plan, chosen among what can be built, with what being wrong costs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr

from bayes_scaling._writing import size
from bayes_scaling.data.accounting import flops_6nd, serving_flops
from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision._plans import (
    CRITERIA,
    Plans,
    Searched,
    by_rule,
    plans_of,
    reachable,
    searched,
    statistic,
)
from bayes_scaling.decision._scenario import TOLERANCE, amounts_of, read
from bayes_scaling.decision.items import Hardware, Shelf, in_words
from bayes_scaling.errors import SpecError
from bayes_scaling.predict import beyond
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted

Criterion = Literal["mean", "cvar", "worst"]
RULES: Mapping[str, Any] = {"20:1": 20.0, "Kaplan 2020": "kaplan-size"}
SUMMARY = ["q05", "q50", "q95", "mean"]
LABELS = {"mean": "plan: mean", "cvar": "plan: cvar", "worst": "plan: worst"}
UNITS = {"params": "params", "tokens": "tokens", "loss": "nat/token", "loss_run": "nat/token",
         "excess": "nat/token", "flops": "FLOP", "wasted": "FLOP", "wasted_share": "1",
         "params_opt": "params", "tokens_opt": "tokens", "loss_opt": "nat/token",
         "flops_opt": "FLOP", "flat_low": "params", "flat_high": "params", "training": "FLOP",
         "serving": "FLOP", "meets": "1", "size_params": "params", "size_tokens": "tokens",
         "size_wasted": "1", "dollars": "dollar", "days": "day"}  # fmt: skip


def decide(
    fit: xr.DataTree,
    *items: Any,
    rules: Mapping[str, Any] | None = None,
    criterion: Criterion = "mean",
    level: float = 0.9,
    flat: float = 0.01,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Choose one plan, and say what being wrong about the law would cost.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    *items : items of a scenario
        At least a budget (`ComputeBudget`, `GpuBudget`, `MoneyBudget`), a `LossTarget`, or a
        `Shelf` of whole configurations; and any of `Shelf`, `ServingDemand`, `DataWall`,
        `SizeLimits`, `ServingMemory`, `StepLimit`, `Deadline`, `Hardware`.
    rules : mapping of str to number, str or pair, optional
        Rules of thumb to put beside: tokens per parameter, a published rule of size
        ("kaplan-size"), or a configuration (params, tokens). 20:1 and Kaplan's unless given.
    criterion : {"mean", "cvar", "worst"}, default "mean"
        What the plan has least of: expected waste, its mean in the worst cases, or its worst; of
        the lifetime cost where there is a target.
    level : float, default 0.9
        The worst cases are those beyond this quantile.
    flat : float, default 0.01
        The flat region holds all sizes that lose at most this share of the compute.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of uncertain amounts and of the scatter of runs.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget or target, config)
        Configurations are the shelf's, or without one the best plan under every criterion; then the
        rules (`kind` says which). Over all dimensions `loss` (the law's), `loss_run` (what a run
        would measure), `excess` (above the draw's own optimum at the same cost), `flops` (lifetime
        cost), `wasted` and `wasted_share` (the part of it above the least that reaches the same
        loss in that draw: what being wrong costs; what a configuration leaves of a budget counts).
        Over budget and config `params`, `tokens`, `training` and `serving` (expected FLOP),
        `allowed`, `meets` (the probability that a run meets the target) and, with `Hardware`, its
        `dollars` and `days`; over criterion too `score`. Over draws and budget the optimum of every
        draw, `params_opt`, `tokens_opt`, `loss_opt`, `flops_opt`, and the ends of its flat region,
        `flat_low` and `flat_high`. Over budget `choice`, the configuration with the least score.
        Without a shelf also the sizes that were searched, `size_params`, `size_tokens` and
        `size_wasted`. Coordinate `beyond`: decades past the largest run fitted. `plan_of` takes the
        chosen plan out, `sentence` says it.

    Raises
    ------
    SpecError
        Items that contradict each other or lack something, all at once; nothing that is allowed,
        with which item rules out what and by how much; a target that cannot be had with the
        required probability at any cost.

    Notes
    -----
    With a budget every size gets the tokens that it leaves; where demand is uncertain, that its
    mean leaves. With a target every size gets the least tokens D with ``P(L_run <= l) >= p`` over
    the posterior, the scatter of runs and unique tokens, and the plan is the cheapest. Waste is
    measured against the same scenario without limits on what can be built: what those cost is seen.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556 (training); Sardana and Frankle 2024, arXiv:2401.00448
    (serving); Muennighoff et al. 2023, arXiv:2305.16264 (repeated tokens); Rockafellar and Uryasev
    2000, doi:10.21314/JOR.2000.038 (CVaR).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> found = bs.decide(fit, bs.ComputeBudget(1e24), bs.Shelf([30e9, 85e9, 240e9]))
    >>> found.choice.values.tolist(), bool(found.wasted_share.sel(config="240B").mean() > 0.01)
    (['85.0B'], True)
    """
    trust = warn_if_untrusted(fit)
    scenario, wanted = read(items), RULES if rules is None else rules
    _check(criterion, level, flat)
    if not isinstance(wanted, Mapping):
        msg = f"rules: a mapping of name to rule, such as {{'20:1': 20}}; found {wanted!r}"
        raise SpecError(msg)
    samples = tuple(fit["posterior"].sizes[d] for d in SAMPLES)
    served, unique = amounts_of(scenario, samples[0] * samples[1], seed)
    plans = plans_of(fit, scenario, served, unique, group, seed)
    reachable(plans)
    shelf = scenario.get(Shelf)
    tried = None if shelf else searched(plans, level)
    rows = _configurations(plans, shelf, tried, wanted, criterion)
    allowed = _allowed(plans, rows, tried)
    optima = _optima(plans, flat)
    values = _judged(plans, rows, optima)
    values["loss_run"] = plans.measured(fit, group, values["loss"], rows.params, rows.real, seed)
    values = {k: np.where(rows.possible, v, np.nan) for k, v in values.items()}
    aim = values["wasted" if scenario.targets is None else "flops"]
    score = np.stack([statistic(aim, c, level) for c in CRITERIA])
    score = np.where(allowed, score, np.inf)
    chosen = np.full(len(scenario.cases), LABELS[criterion])
    if shelf:
        mine = np.where(rows.kinds == "rule", np.inf, score[CRITERIA.index(criterion)])
        chosen = rows.names[np.argmin(mine, axis=1)]
    dim = scenario.dim
    labels = {d: c for d, c in fit["posterior"].coords.items() if d in SAMPLES}
    out = xr.Dataset({k: ((*SAMPLES, dim, "config"), v.reshape(*samples, *v.shape[1:]))
                      for k, v in values.items()})  # fmt: skip
    for name, value in optima.items():
        out[name] = (*SAMPLES, dim), value.reshape(*samples, -1)
    for name, value in _of_cases(plans, rows, allowed).items():
        out[name] = (dim, "config"), value
    out["score"] = ("criterion", dim, "config"), score
    out["choice"] = dim, chosen.astype(object)
    if tried:
        out["size_params"], out["size_tokens"] = ((dim, "size"), tried.params), (
            (dim, "size"), tried.tokens)  # fmt: skip
        out["size_wasted"] = ("summary", dim, "size"), tried.wasted
    for name, unit in UNITS.items():
        if name in out:
            out[name].attrs["units"] = unit
    far = beyond(fit, {"flops": out.training.values.ravel()}).reshape(out.training.shape)
    out = out.assign_coords({dim: scenario.cases, "config": rows.names.astype(object),
                             "kind": ("config", rows.kinds.astype(object)),
                             "criterion": list(CRITERIA), "beyond": ((dim, "config"), far),
                             **({"summary": SUMMARY} if tried else {}),
                             **labels})  # fmt: skip
    out[dim].attrs["units"] = "FLOP" if dim == "budget" else "nat/token"
    out.attrs = {
        "trust": trust,
        "criterion": criterion,
        "level": level,
        "flat": flat,
        "probability": scenario.probability,
        "scenario": [in_words(i) for i in items],
    }
    return out if np.isfinite(scenario.cases).all() else out.isel({dim: 0}, drop=True)


def plan_of(decision: xr.Dataset) -> xr.Dataset:
    """Take the chosen plan out of a decision.

    Parameters
    ----------
    decision : xarray.Dataset
        What `decide` returned.

    Returns
    -------
    xarray.Dataset
        The same without the dimension `config`.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.decide(bs.load_posterior("chinchilla"), bs.ComputeBudget([1e22, 1e24]))
    >>> bs.plan_of(found).tokens.dims
    ('budget',)
    """
    return decision.sel(config=decision.choice)


def _check(criterion: Any, level: Any, flat: Any) -> None:
    if criterion not in CRITERIA:
        msg = f"criterion is one of {', '.join(CRITERIA)}; found {criterion!r}"
        raise SpecError(msg)
    for name, value in (("level", level), ("flat", flat)):
        if not one_number(value, f"{name}: a share between 0 and 1") < 1:
            msg = f"{name}: a share between 0 and 1; found {value!r}"
            raise SpecError(msg)


@dataclass(frozen=True)
class Rows:
    """Configurations: names and kinds (config,), params and tokens (1, case, config)."""

    names: np.ndarray
    kinds: np.ndarray
    params: np.ndarray
    tokens: np.ndarray

    @property
    def possible(self) -> np.ndarray:
        """Whether there are tokens to train on, and fewer than without end."""
        return np.isfinite(self.tokens) & (self.tokens > 0)

    @property
    def real(self) -> np.ndarray:
        """The tokens, one where there are none."""
        return np.where(self.possible, self.tokens, 1.0)


def _configurations(
    plans: Plans, shelf: Any, tried: Any, rules: Mapping[str, Any], criterion: str
) -> Rows:
    cases = len(plans.scenario.cases)
    if shelf:
        params = np.broadcast_to(shelf.params, (1, cases, len(shelf.params)))
        tokens = plans.tokens(params) if shelf.tokens is None else (
            np.broadcast_to(shelf.tokens, params.shape))  # fmt: skip
        names = list(shelf.names or map(size, shelf.params))
        if len(set(names)) < len(names):  # the same size twice, or two that round to one
            data = shelf.tokens or [None] * len(names)
            names = [f"{n:.6g}" if d is None else f"{size(n)} on {size(d)}"
                     for n, d in zip(shelf.params, data, strict=True)]  # fmt: skip
    else:
        several = plans.scenario.targets is None or np.ptp(plans.problem.served) > 0
        shown = CRITERIA if several else (criterion,)  # a cost that is known is the same by all
        params = np.stack([tried.best[c] for c in shown], axis=-1)[None]
        tokens, names = plans.tokens(params), [LABELS[c] for c in shown]
    kinds = ["shelf" if shelf else "plan"] * len(names)
    for name, rule in rules.items():
        n, d = by_rule(plans, rule, name)
        if not np.isfinite(n).any():
            continue
        params = np.concatenate([params, n[None, :, None]], axis=-1)
        tokens = np.concatenate([tokens, d[None, :, None]], axis=-1)
        names, kinds = [*names, str(name)], [*kinds, "rule"]
    if len(set(names)) < len(names):
        msg = f"every configuration and rule needs a name of its own; found {', '.join(names)}"
        raise SpecError(msg)
    params = np.where(np.isfinite(params), params, 1.0)
    return Rows(np.array(names, object), np.array(kinds, object), params, tokens)


def _allowed(plans: Plans, rows: Rows, tried: Searched | None) -> np.ndarray:
    """Say which configurations are allowed, and refuse a case in which none is."""
    own = rows.kinds != "rule"
    allowed = np.ones(rows.params.shape[1:], bool)
    for used in plans.used(rows.params, rows.tokens).values():
        allowed &= used[0] <= 1 + TOLERANCE
    short = np.zeros_like(allowed)  # whole configurations have the tokens they have
    if plans.scenario.targets is not None:
        short = plans.meets(rows.params, rows.real)[0] < plans.scenario.probability - TOLERANCE
        allowed &= ~short
    for case in np.flatnonzero(~allowed[:, own].any(axis=1)):
        params, tokens = rows.params[:, :, own], rows.tokens[:, :, own]
        if tried:
            params, tokens = tried.params[None], tried.tokens[None]
        says = []
        for what, used in plans.used(params, tokens).items():
            over = used[0, case] > 1 + TOLERANCE
            if over.any():
                by = used[0, case][over]
                says.append(f"{what} rules out {over.sum()} of {len(over)} sizes, using "
                            f"{by.min():.3g} to {by.max():.3g} times what there is")  # fmt: skip
        if (missing := short[case, own] & rows.possible[0, case, own]).any():
            says.append(f"{missing.sum()} meet the target with less than the required probability")
        where = "" if np.isnan(plans.scenario.cases[case]) else (
            f" with {plans.scenario.dim} {plans.scenario.cases[case]:.4g}")  # fmt: skip
        low, high = size(params[0, case].min()), size(params[0, case].max())
        msg = f"nothing from {low} to {high} parameters is allowed{where}: {'; '.join(says)}"
        raise SpecError(msg)
    return allowed


def _judged(plans: Plans, rows: Rows, optima: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    problem = plans.problem
    loss = problem.loss(rows.params, rows.real)
    cost, wasted = plans.wasted(rows.params, rows.real, loss)
    cost = cost + 0.0 * loss
    budget = plans.scenario.targets is None and "loss_opt" in optima
    least = optima["loss_opt"] if budget else problem.loss(*problem.best(cost))
    return {"loss": loss, "excess": loss - least, "flops": cost, "wasted": wasted,
            "wasted_share": wasted / cost}  # fmt: skip


def _optima(plans: Plans, flat: float) -> dict[str, np.ndarray]:
    if np.isnan(plans.scenario.cases).any():
        return {}
    params, tokens = plans.optimum()
    loss = plans.problem.loss(params, tokens)
    low, high = plans.flat(flat, params, loss)
    return {
        "params_opt": params,
        "tokens_opt": tokens,
        "loss_opt": loss,
        "flops_opt": plans.problem.cost(params, tokens),
        "flat_low": low,
        "flat_high": high,
    }


def _of_cases(plans: Plans, rows: Rows, allowed: np.ndarray) -> dict[str, np.ndarray]:
    params, tokens, scenario = rows.params, rows.real, plans.scenario
    training = np.where(rows.possible, flops_6nd(params, tokens), np.nan)[0]
    serving = serving_flops(params, np.mean(plans.problem.served))[0] + 0.0 * training
    out = {"params": params[0], "tokens": np.where(rows.possible, rows.tokens, np.nan)[0],
           "training": training, "serving": serving, "allowed": allowed}  # fmt: skip
    if scenario.targets is not None:
        out["meets"] = plans.meets(params, tokens)[0]
    hardware = scenario.get(Hardware)
    if hardware and hardware.dollars_per_hour is not None:
        out["dollars"] = hardware.dollars(training + serving)
    if hardware and hardware.devices is not None:
        out["days"] = hardware.days(training)
    return out
