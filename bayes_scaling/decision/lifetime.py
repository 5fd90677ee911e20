"""Training and serving together: the size that is cheapest over a model's life."""

from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd, serving_flops
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.decision._plans import plans_of
from bayes_scaling.decision._problem import PER_TOKEN
from bayes_scaling.decision._scenario import Scenario, amounts_of
from bayes_scaling.decision.items import DataWall, ServingDemand
from bayes_scaling.errors import SpecError
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted

RATIO = 20.0  # tokens per parameter that overtraining is counted from
STEP = 1e-4  # of ln N and ln D, for elasticities
EQUAL = 1e-9  # relative: sizes of two plans that are the same


def lifetime(
    fit: xr.DataTree,
    served: Any,
    *,
    loss: float | None = None,
    like: float | None = None,
    budget: float | None = None,
    wall: DataWall | None = None,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Find the size that is cheapest to train and serve, draw by draw, against demand.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a joint law in `params` and `tokens`.
    served : float, (served,) array, tokens, or ServingDemand
        Tokens that the model processes in its life.
    loss : float, nat/token, optional
        What it must reach; or give one of the next two.
    like : float, parameters, optional
        The compute-optimal model whose loss it must reach, in every draw that model's own.
    budget : float, FLOP, optional
        What training and serving may cost together; the loss is then the least there is.
    wall : DataWall, optional
        Where repeats begin.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of uncertain amounts.

    Returns
    -------
    xarray.Dataset over (chain, draw, served)
        `params`, `tokens`, `loss`, `training`, `serving` and `flops`, their sum; beside them the
        plan that minds training alone and reaches the same loss, `params_trained`,
        `tokens_trained`, with `saving`, the share of its lifetime cost that is saved;
        `overtraining`, tokens per parameter over 20. Infinite tokens where no number is enough.

    Raises
    ------
    SpecError
        Not one of `loss`, `like` and `budget`, a number that is not positive, or another law.

    Notes
    -----
    Least ``6 N D + 2 N T`` with ``L(N, D) = l``: where the elasticities of the loss in N and D are
    as ``1 + T / (3 D)`` to 1. More demand means a smaller model on more tokens.

    References
    ----------
    Sardana and Frankle 2024, Beyond Chinchilla-Optimal, arXiv:2401.00448.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla-hoffmann")
    >>> plan = bs.lifetime(fit, 1e13, like=70e9).isel(chain=0, draw=0, served=0)
    >>> f"{float(plan.params):.3g} on {float(plan.tokens):.3g}, {float(plan.saving):.0%} saved"
    '4.25e+10 on 8.28e+12, 11% saved'
    """
    trust = warn_if_untrusted(fit)
    given = {
        k: v for k, v in {"loss": loss, "like": like, "budget": budget}.items() if v is not None
    }
    if len(given) != 1:
        msg = f"one of loss, like and budget is wanted; found {', '.join(given) or 'none'}"
        raise SpecError(msg)
    ((what, value),) = given.items()
    value = one_number(value, f"{what}: one positive number")
    samples = tuple(fit["posterior"].sizes[d] for d in SAMPLES)
    demand = (served,) if isinstance(served, ServingDemand) else ()
    scenario = Scenario((*demand, *((wall,) if wall else ())), None, None, np.nan)
    drawn, unique = amounts_of(scenario, samples[0] * samples[1], seed)
    labels = np.array([np.nan])
    if not demand:
        labels = positive(served, "served: positive tokens, one number or a list of them")
        drawn = np.tile(labels, (samples[0] * samples[1], 1))
    passes = drawn.reshape(samples[0] * samples[1], 1, len(labels))
    trained = plans_of(fit, scenario, 0.0, unique, group, seed).problem
    lived = replace(trained, served=passes)
    if what == "budget":
        params, tokens = lived.best(value + 0.0 * passes)
        level = lived.loss(params, tokens)
    else:
        level = (value if what == "loss" else _like(trained, value)) + 0.0 * passes
        params, tokens = lived.cheapest(level)
    size, data = trained.cheapest(level)
    cost, plain = lived.cost(params, tokens), lived.cost(size, data)
    unreached = ~np.isfinite(plain)
    saving = 1 - np.where(unreached, np.nan, cost) / np.where(unreached, 1.0, plain)
    values = {
        "params": (params, "params"), "tokens": (tokens, "tokens"), "loss": (level, "nat/token"),
        "training": (flops_6nd(params, tokens), "FLOP"),
        "serving": (serving_flops(params, passes), "FLOP"), "flops": (cost, "FLOP"),
        "params_trained": (size, "params"), "tokens_trained": (data, "tokens"),
        "saving": (saving, "1"),
        "overtraining": (tokens / params / RATIO, "1"),
    }  # fmt: skip
    out = {k: ((*SAMPLES, "served"), np.reshape(v, (*samples, -1)), {"units": unit})
           for k, (v, unit) in values.items()}  # fmt: skip
    return xr.Dataset(out, {"served": labels}, {"trust": trust})


def _like(problem: Any, params: float) -> Any:
    """Return the loss of the compute-optimal model of a size: its budget by bisection in logs."""
    low, high = np.full_like(problem.floor, 0.0) + np.log(1e3), np.full_like(problem.floor, 230.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        smaller = problem.best(np.exp(middle))[0] < params
        low, high = np.where(smaller, middle, low), np.where(smaller, high, middle)
    return problem.loss(*problem.best(np.exp(0.5 * (low + high))))


def break_even(
    large: tuple[float, float],
    small: tuple[float, float],
    *,
    fit: xr.DataTree | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Find the served tokens from which a smaller model on more data is the cheaper one.

    Parameters
    ----------
    large, small : (params, tokens)
        Two plans; what is assumed of them is that they are equally good.
    fit : xarray.DataTree, optional
        A fit of a joint law: then the small model trains on as many tokens as reach the large one's
        loss, draw by draw, and its own tokens are not used.
    group : str, optional
        Which group of a pooled model.

    Returns
    -------
    xarray.Dataset, over (chain, draw) with a fit
        `served`, the tokens at which both have cost the same: below them the large model is
        cheaper, above them the small one; 0 where the small one is cheaper to train, and inf where
        no data bring it to the large one's loss. `tokens`, what the small one trains on.

    Raises
    ------
    SpecError
        Sizes that are not positive, or a small model that is not smaller.

    Notes
    -----
    ``T = 3 (N_B D_B - N_A D_A) / (N_A - N_B)`` from ``6 N D + 2 N T``.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> f"{float(bs.break_even((70e9, 1.4e12), (30e9, 4e12)).served):.3g}"
    '1.65e+12'
    """
    sizes = []
    for name, plan in (("large", large), ("small", small)):
        values = positive(plan, f"{name}: params and tokens, two positive numbers")
        if len(values) != 2:
            msg = f"{name}: params and tokens, two positive numbers; found {plan!r}"
            raise SpecError(msg)
        sizes.append(values)
    (n_a, d_a), (n_b, d_b) = sizes
    if n_b >= n_a * (1 - EQUAL):
        msg = f"small is to be smaller than large; found {n_b:.4g} and {n_a:.4g} parameters"
        raise SpecError(msg)
    attrs = {}
    tokens: Any = xr.DataArray(d_b)
    if fit is not None:
        attrs["trust"] = warn_if_untrusted(fit)
        samples = tuple(fit["posterior"].sizes[d] for d in SAMPLES)
        scenario = Scenario((), None, None, np.nan)
        problem = plans_of(fit, scenario, 1.0, None, group, 0).problem
        reached = problem.tokens_to(problem.loss(n_a, d_a), n_b)
        tokens = xr.DataArray(reached.reshape(samples), dims=SAMPLES)
    extra = flops_6nd(n_b, tokens) - flops_6nd(n_a, d_a)
    saved = serving_flops(n_a, 1.0) - serving_flops(n_b, 1.0)
    served = tokens.copy(data=np.maximum(np.asarray(extra) / saved, 0.0))
    out = {"served": served.assign_attrs(units="tokens"),
           "tokens": tokens.assign_attrs(units="tokens")}  # fmt: skip
    return xr.Dataset(out, attrs=attrs)


def implied_demand(
    fit: xr.DataTree, params: float, tokens: float, *, group: str | None = None
) -> xr.Dataset:
    """Find the demand that makes a plan the cheapest over its life: what its builders expected.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a joint law.
    params, tokens : float
        A plan, such as that of a released model.
    group : str, optional
        Which group of a pooled model.

    Returns
    -------
    xarray.Dataset over (chain, draw)
        `served`, tokens; negative where the plan is larger than training alone asks for.

    Raises
    ------
    SpecError
        A number that is not positive.

    Notes
    -----
    ``T = 3 D (eps_N / eps_D - 1)``, eps the elasticities of the loss.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> bool(bs.implied_demand(fit, 8e9, 15e12).served.median() > 1e14)
    True
    """
    trust = warn_if_untrusted(fit)
    n, d = one_number(params, "params: a positive size"), one_number(tokens, "tokens: positive")
    samples = tuple(fit["posterior"].sizes[s] for s in SAMPLES)
    law = plans_of(fit, Scenario((), None, None, np.nan), 0.0, None, group, 0).problem
    up, down = np.exp(STEP), np.exp(-STEP)
    of_n = law.loss(n * up, d) - law.loss(n * down, d)
    of_d = law.loss(n, d * up) - law.loss(n, d * down)
    served = PER_TOKEN / 2 * d * (of_n / of_d - 1)
    made = xr.DataArray(served.reshape(samples), dims=SAMPLES, attrs={"units": "tokens"})
    return xr.Dataset({"served": made}, attrs={"trust": trust})
