"""The quantities that a person decides by, as draws."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._registry import did_you_mean
from bayes_scaling._writing import flop, size
from bayes_scaling.criticism._reading import refuse
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.laws import best_split, splits
from bayes_scaling.predict import predict
from bayes_scaling.results import SAMPLES, model_of, theta_of

AHEAD = 10.0  # times the largest run: where a plan is looked at that nobody asked for

Quantities = Sequence[str] | Mapping[str, Any] | None


def decided_by(fit: xr.DataTree, budget: float | None = None) -> dict[str, np.ndarray]:
    """Return draws of what a fit is for: the optimum at a budget, else the law's parameters."""
    model = model_of(fit)
    if splits(model.law) and model.pooling is None:
        largest = json.loads(fit.attrs.get("largest", "{}")).get("flops")
        budget = budget or (AHEAD * largest if largest else None)
        if budget:
            return draws_of(fit, [], budget=budget)
    every = draws_of(fit, None)
    law: Any = model.law
    named = {p.name for p in law.params}
    return {k: v for k, v in every.items() if k in named or k == "a"} or every


def draws_of(
    fit: xr.DataTree,
    quantities: Quantities,
    at: Any = None,
    budget: Any = None,
    group: str | None = None,
    wrong: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Return draws of what is asked for, (draw,) each.

    Raises
    ------
    SpecError
        All that is wrong with it, and `wrong`.
    """
    wrong = list(wrong)
    posterior, model = fit["posterior"].to_dataset(), model_of(fit)
    known = {str(k): v for k, v in posterior.data_vars.items() if set(v.dims) == set(SAMPLES)}
    moving = {k: v for k, v in known.items() if float(np.ptp(v.values)) > 0}
    if quantities is None:
        named = [p.name for p in model.params if p.name in moving]
        out = {k: moving[k].values.ravel() for k in [*named, *(["a"] if "a" in moving else [])]}
    elif isinstance(quantities, Mapping):
        out = {str(k): np.ravel(np.asarray(v, float)) for k, v in quantities.items()}
        draws = posterior.sizes["chain"] * posterior.sizes["draw"]
        wrong += [f"quantity {k!r}: {draws} draws are wanted; found {len(v)}"
                  for k, v in out.items() if len(v) != draws]  # fmt: skip
    else:
        out = {}
        for name in quantities:
            if name in known:
                out[str(name)] = known[name].values.ravel()
                continue
            hint = did_you_mean(str(name), list(known))
            wrong.append(f"the posterior has no {name!r}.{hint} Known: {', '.join(known)}")
    law = model.law
    budgets = np.atleast_1d(np.asarray([] if budget is None else budget, float))
    if not np.all(np.isfinite(budgets) & (budgets > 0)):
        wrong.append(f"budget must be positive FLOP; found {budget!r}")
    if len(budgets) and not splits(law):
        wrong.append(f"law {law.name!r} has no split of compute to look at: give sizes as `at`")
    refuse("what the posterior rests on", wrong)
    for c in budgets:
        theta = {p.name: theta_of(fit, group)[p.name].values.ravel() for p in law.params}
        params, tokens = best_split(law, theta, c / float(flops_6nd(1.0, 1.0)))
        out[f"ln N* at {flop(c)} FLOP"] = np.log(params)
        out[f"loss at {flop(c)} FLOP"] = np.asarray(
            law(theta, {"params": params, "tokens": tokens})
        )
    if at is not None:
        there = predict(fit, at, group=group)
        mean = there[f"{law.outcome}_mean"].transpose("point", *SAMPLES).values
        for i, values in enumerate(mean):
            sizes = ", ".join(f"{c} {size(float(there[c][i]))}" for c in law.inputs)
            out[f"{law.outcome} at {sizes}"] = values.ravel()
    return out
