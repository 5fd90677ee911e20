"""How many experts to train, and of what size on how many tokens, with a budget and a memory."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._writing import flop, size
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.decision._options import compared, least_regret
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.decision.items import ServingMemory
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Held, best_split, misfits
from bayes_scaling.results import model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

DENSE = 1.0  # experts of a dense model


def total_params(active: Any, experts: Any, share: float, *, per_token: float = 1.0) -> Any:
    """Return all parameters of a model, of which a token passes through the active ones.

    Parameters
    ----------
    active : float or array, parameters
        What one token passes through.
    experts : float or array
        Per routed layer, 1 for a dense model.
    share : float
        Share of the active parameters that lies in routed layers, between 0 and 1: a third, where
        every second feed-forward layer is routed and those hold two thirds of a model.
    per_token : float, default 1
        Experts that a token passes through.

    Raises
    ------
    SpecError
        A share outside [0, 1], or fewer experts than a token passes through.

    Notes
    -----
    ``total = active (1 - share + share E / k)``: routed layers hold E experts where a token sees k.
    The router's own parameters are left out.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> bs.total_params(1e9, [1, 64], share=0.5).tolist()
    [1000000000.0, 32500000000.0]
    """
    k = one_number(per_token, "per_token: experts that a token passes through")
    part = one_number(share, "share: of the active parameters in routed layers", above=-1e-300)
    if part > 1:
        msg = f"share: of the active parameters in routed layers, at most 1; found {share!r}"
        raise SpecError(msg)
    number = experts if hasattr(experts, "dims") else np.asarray(experts, float)
    if np.any((number != DENSE) & (number < k)):
        msg = f"experts: at least the {k:g} that a token passes through; found {experts!r}"
        raise SpecError(msg)
    return active * (1 - part + part * np.maximum(number / k, 1.0))


def best_experts(
    fit: xr.DataTree,
    budget: Any,
    experts: Any,
    *,
    share: float,
    per_token: float = 1.0,
    memory: ServingMemory | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Choose experts, active parameters and tokens of least loss, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params`, `tokens` and `experts`, such as `MoEJoint`.
    budget : float or (budget,) array, FLOP
        Training compute, ``C = 6 N_active D``.
    experts : (experts,) array
        Numbers of experts that can be built; the dense model is tried beside them.
    share, per_token
        As of `total_params`.
    memory : ServingMemory, optional
        What all parameters must fit in; the dense model too.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        `experts_opt`; `params_opt`, active, `total_opt`, all parameters, `tokens_opt` and
        `loss_opt` of the best; `loss_dense`, of the best dense model under the same compute and
        memory. Over (chain, draw, budget, experts) `loss`, what the best model of that many experts
        reaches, and `params`, active, `total` and `tokens` of it. Over (budget, experts) `chosen`,
        the probability that so many are best, and `beats`, that they do better than the dense
        model: at equal compute, and with `memory` at equal memory. Over (budget, experts) `regret`,
        nat/token, what choosing so many loses on average; the attribute `verdict` is of the least
        of it at the first budget. With `memory`, over (chain, draw, budget, experts) `bytes`.

    Raises
    ------
    SpecError
        Another law, or a budget, share or number of experts that cannot be.

    Notes
    -----
    Along a budget the loss of any number of experts falls and then rises in N, so that under a
    memory the best size is the smaller of the free optimum and the largest that fits. Compute of
    the router, and what talk between devices costs, are left out.

    References
    ----------
    Ludziejewski et al. 2025, arXiv:2502.05172.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> law = bs.MoEJoint(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> grid = np.meshgrid([1e8, 1e9, 1e10], [2e9, 2e10, 2e11], [1, 4, 16, 64])
    >>> x = {k: v.ravel() for k, v in zip(("params", "tokens", "experts"), grid)}
    >>> theta = dict(E=1.4, a0=0.8, b0=0.3, alpha=0.2, beta=0.2, gain_n=0.05, gain_d=0.05,
    ...              fade=0.005, rise=0.01, start=1.0, span=300.0)
    >>> runs = {**x, "loss": law(theta, x).round(2)}
    >>> fit = bs.fit(bs.ScalingModel(law, bs.Normal()), runs)
    >>> plan = bs.best_experts(fit, 1e21, [4, 64], share=0.5)
    >>> plan.chosen.round(2).values.tolist()
    [[0.0, 0.0, 1.0]]
    """
    law = model_of(fit).law
    if set(law.inputs) != {"params", "tokens", "experts"}:
        msg = (
            f"law {law.name!r} is in {', '.join(law.inputs)}, and experts are chosen by a law in "
            f"params, tokens and experts: fit `MoEJoint`"
        )
        raise SpecError(msg)
    number = np.unique(np.append(positive(experts, "experts: one number or a list of them"), DENSE))
    if odd := misfits(law, {"experts": number}):
        raise SpecError("; ".join(f"{m.column}: {m.found}; {m.do}" for m in odd))
    each = positive(budget, "budget must be positive FLOP, one or a list of them")
    budgets = xr.DataArray(each, dims="budget", coords={"budget": each})
    trust = warn_if_untrusted(fit)
    theta = theta_of(fit, group)
    theta = {p.name: theta[p.name] for p in law.params}
    parts = []
    for e in number:
        ratio = float(total_params(1.0, e, share, per_token=per_token))
        most = np.inf if memory is None else memory.params / ratio
        held = Held(law, (("experts", float(e)),))
        n = np.minimum(best_split(held, theta, budgets / PER_TOKEN)[0], most)
        x = {"params": n, "tokens": budgets / (PER_TOKEN * n)}
        parts.append(xr.Dataset({**x, "total": n * ratio, "loss": held(theta, x)}))
    out = compared(parts, xr.DataArray(number, dims="experts", name="experts"), fit, DENSE)
    if memory is not None:
        out["bytes"] = (out["total"] * memory.bytes_per_param).assign_attrs(units="bytes")
    out.attrs["trust"] = trust
    first = out.isel(budget=0)
    out.attrs["verdict"] = _said(first, least_regret(first, "experts"), memory)
    return out


def _said(one: xr.Dataset, pick: xr.Dataset, memory: ServingMemory | None) -> str:
    n, total, tokens = (float(pick[k].median()) for k in ("params", "total", "tokens"))
    where = "equal compute" if memory is None else "equal compute and memory"
    said = f"With {flop(float(one.budget))} FLOP: "
    if float(pick.experts) == DENSE:
        return said + f"a dense model of {size(n)} on {size(tokens)} tokens has least regret."
    return said + (
        f"{float(pick.experts):g} experts, {size(n)} active of {size(total)} parameters, on "
        f"{size(tokens)} tokens have least regret; at {where} they beat the best dense model with "
        f"probability {float(pick.beats):.2f}."
    )
