"""How sparse and how finely cut a routed model should be, on a budget of training compute."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._writing import flop, size
from bayes_scaling.data.accounting import granular_flops, granular_share
from bayes_scaling.data.numbers import counts, one_number, positive
from bayes_scaling.decision._options import compared, least_regret
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.decision.items import ServingMemory
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Held, misfits, search_size
from bayes_scaling.laws.granularity import GRAINS, TOTAL
from bayes_scaling.laws.sparsity import SPARSITY
from bayes_scaling.results import model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

DENSE, COARSE = 0.0, 1.0  # the model that the others are compared with
LAW_OF = {SPARSITY: "MoESparsity", GRAINS: "MoEGranular"}


def best_sparsity(
    fit: xr.DataTree,
    budget: Any,
    sparsity: Any,
    *,
    total: Any = None,
    memory: ServingMemory | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Choose sparsity, size and tokens of least loss, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of `MoESparsity`, or of another law in `total_params`, `tokens` and `sparsity`.
    budget : float or (budget,) array, FLOP
        Training compute, ``C = 6 (1 - S) N D``.
    sparsity : (sparsity,) array
        Those that can be built; the dense model is tried beside them.
    total : float or (total,) array, optional
        All parameters, where they are given: the best sparsity of each size rather than of all.
    memory : ServingMemory, optional
        What all parameters must fit in; the dense model too.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget) or (chain, draw, budget, total_params)
        `sparsity_opt`; `total_opt`, all parameters, `params_opt`, active, `tokens_opt` and
        `loss_opt` of the best; `loss_dense`, of the best dense model. With a dimension more,
        sparsity: `loss`, what the best model of that sparsity reaches, `params`, `total` and
        `tokens` of it; without draws `chosen`, the probability that it is best, `beats`, that it
        does better than a dense model, and `regret`, nat/token, what choosing it loses on average.
        Attributes: `untried`, sparsities outside those of the runs that were fitted, and `verdict`,
        of the first budget and size.

    Raises
    ------
    SpecError
        Another law, or a budget, size or sparsity that cannot be.

    Notes
    -----
    Active parameters are ``(1 - S) N``: shared layers, the router and what talk between devices
    costs are left out. The best sparsity is of a grid; where it is the sparsest of it, more may be
    better still, and the verdict says so.

    References
    ----------
    Abnar et al. 2025, arXiv:2501.12370.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> law = bs.MoESparsity(alone=False, reference=(("total_params", 1e9), ("tokens", 2e10)))
    >>> grid = np.meshgrid([3e8, 3e9, 3e10], [2e9, 2e10, 2e11], [0, 0.5, 0.9])
    >>> x = {k: v.ravel() for k, v in zip(law.inputs, grid)}
    >>> theta = dict(E=1.5, a0=0.3, b0=0.4, alpha=0.5, beta=0.4, m0=0.4, delta=0.1, gamma=0.2)
    >>> runs = {**x, "loss": law(theta, x).round(3)}
    >>> fit = bs.fit(bs.ScalingModel(law, bs.Normal()), runs, method="laplace")
    >>> plan = bs.best_sparsity(fit, 1e20, [0.5, 0.9])
    >>> plan.chosen.round(1).values.tolist(), plan.attrs["untried"]
    ([[0.0, 0.0, 1.0]], [])
    """
    if total is not None and memory is not None:
        msg = "total and memory: sizes that are given either fit or do not; leave one out"
        raise SpecError(msg)
    law, budgets, options, theta, trust = _asked(fit, budget, sparsity, SPARSITY, DENSE, group)
    most = np.inf if memory is None else memory.params
    given = (
        None if total is None else counts(total, TOTAL, "total: positive raw counts of parameters")
    )
    parts = []
    for s in options.values.tolist():
        held = Held(law, ((SPARSITY, s),))
        cost = PER_TOKEN * (1 - s)
        if given is None:
            found = search_size(held, theta, budgets, lambda c, n, k=cost: c / (k * n), TOTAL)
            n = np.minimum(found, most)
        else:
            n = xr.DataArray(given, dims=TOTAL, coords={TOTAL: given})
        parts.append(_best(held, theta, n, budgets / (cost * n), (1 - s) * n))
    out = compared(parts, options, fit, DENSE)
    return _with_verdict(out, fit, SPARSITY, trust)


def best_granularity(
    fit: xr.DataTree,
    budget: Any,
    granularity: Any,
    *,
    experts: float = 64,
    memory: ServingMemory | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Choose how finely experts are cut, with size and tokens of least loss, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of `MoEGranular`, or of another law in `total_params`, `tokens` and `granularity`.
    budget : float or (budget,) array, FLOP
        Training compute, the router's included: finer experts help, and their routing costs.
    granularity : (granularity,) array
        Those that can be built; 1, experts as wide as a dense layer, is tried beside them.
    experts : float, default 64
        Expansion E of the routed layers, as in `granular_flops`.
    memory : ServingMemory, optional
        What all parameters must fit in.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        As of `best_sparsity`, with `granularity_opt` and the dimension granularity, and against
        granularity 1 as `loss_coarse`.

    Raises
    ------
    SpecError
        Another law, or a budget, granularity or number of experts that cannot be.

    Notes
    -----
    A token costs ``(12 d^2 c_f + d E G c_r) n_blocks``: see `granular_flops`. Active parameters are
    ``12 / (8 E + 4)`` of all. Only the least loss of many equal ones is a choice: read `regret`.

    References
    ----------
    Krajewski et al. 2024, arXiv:2402.07871, section 5.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> law = bs.MoEGranular(reference=(("total_params", 4e9), ("tokens", 2e10)))
    >>> grid = np.meshgrid([1e9, 4e9, 2e10], [4e9, 2e10, 8e10], [1, 2, 4, 16])
    >>> x = {k: v.ravel() for k, v in zip(law.inputs, grid)}
    >>> theta = law.from_paper({"E": 0.47, "a": 18.1, "g": 2.1, "gamma": 0.58, "alpha": 0.115,
    ...     "B": 30.8, "beta": 0.147})
    >>> runs = {**x, "loss": law(theta, x).round(3)}
    >>> fit = bs.fit(bs.ScalingModel(law, bs.Normal()), runs)
    >>> plan = bs.best_granularity(fit, 2.95e18, [8, 64])
    >>> plan.chosen.round(1).values.tolist()
    [[0.0, 1.0, 0.0]]
    """
    law, budgets, options, theta, trust = _asked(fit, budget, granularity, GRAINS, COARSE, group)
    one_number(experts, "experts: how many times a dense layer's parameters, a positive number")
    most = np.inf if memory is None else memory.params
    parts = []
    for g in options.values.tolist():
        held = Held(law, ((GRAINS, g),))

        def tokens_of(c: Any, n: Any, g: float = g) -> Any:
            return c / granular_flops(n, g, experts=experts)

        n = np.minimum(search_size(held, theta, budgets, tokens_of, TOTAL), most)
        tokens = n.copy(data=tokens_of((budgets + 0.0 * n).transpose(*n.dims).values, n.values))
        parts.append(_best(held, theta, n, tokens, granular_share(experts) * n))
    out = compared(parts, options, fit, COARSE).rename(loss_dense="loss_coarse")
    return _with_verdict(out, fit, GRAINS, trust)


def _asked(
    fit: xr.DataTree, budget: Any, values: Any, name: str, least: float, group: str | None
) -> tuple[Any, xr.DataArray, xr.DataArray, dict[str, Any], str]:
    """Return law, budgets, options with the one others are held against, draws and trust."""
    law = model_of(fit).law
    if set(law.inputs) != {TOTAL, "tokens", name}:
        msg = (
            f"law {law.name!r} is in {', '.join(law.inputs)}, and {name} is chosen by a law in "
            f"{TOTAL}, tokens and {name}: fit `{LAW_OF[name]}`"
        )
        raise SpecError(msg)
    try:
        number = np.atleast_1d(np.asarray(values, float))
    except (TypeError, ValueError):
        number = np.array([np.nan])
    if number.ndim != 1 or not number.size or not np.isfinite(number).all():
        msg = f"{name}: one finite number or a list of them; found {values!r}"
        raise SpecError(msg)
    if odd := misfits(law, {name: number}):
        raise SpecError("; ".join(f"{m.column}: {m.found}; {m.do}" for m in odd))
    number = np.unique(np.append(number, least))
    each = positive(budget, "budget must be positive FLOP, one or a list of them")
    drawn = theta_of(fit, group)
    budgets = xr.DataArray(each, dims="budget", coords={"budget": each})
    options = xr.DataArray(number, dims=name, coords={name: number}, name=name)
    theta = {p.name: drawn[p.name] for p in law.params}
    return law, budgets, options, theta, warn_if_untrusted(fit)


def _best(held: Held, theta: dict[str, Any], total: Any, tokens: Any, active: Any) -> xr.Dataset:
    loss = held(theta, {TOTAL: total, "tokens": tokens})
    return xr.Dataset({"total": total, "params": active, "tokens": tokens, "loss": loss})


def _with_verdict(out: xr.Dataset, fit: xr.DataTree, name: str, trust: str) -> xr.Dataset:
    data = fit["constant_data"].to_dataset() if "constant_data" in fit.children else {}
    tried = np.asarray(data[name]) if name in data else None
    options = out[name].values
    low, high = (-np.inf, np.inf) if tried is None else (tried.min(), tried.max())
    outside = [v for v in options.tolist() if not low <= v <= high]
    out.attrs |= {"trust": trust, "untried": outside}
    first = out.isel({k: 0 for k in ("budget", TOTAL) if k in out.dims})
    pick = least_regret(first, name)
    value, n, active, tokens = (
        float(pick[k].median()) for k in (name, "total", "params", "tokens")
    )
    said = (
        f"With {flop(float(first.budget))} FLOP: {name} {value:g} has least regret, "
        f"{size(n)} parameters, {size(active)} of them active, on {size(tokens)} tokens; it is the "
        f"best of those asked about with probability {float(pick.chosen):.2f}."
    )
    if value == options.max():
        said += " It is the largest asked about: more may be better still."
    if value in outside:
        said += " No run that was fitted had it."
    out.attrs["verdict"] = said
    return out
