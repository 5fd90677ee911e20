"""The compute-optimal plan, as a distribution."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import best_split, splits
from bayes_scaling.predict import beyond
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

PER_TOKEN = float(flops_6nd(1.0, 1.0))  # training FLOP per parameter and token


def allocate(fit: xr.DataTree, budget: Any, *, group: str | None = None) -> xr.Dataset:
    """Split compute budgets between parameters and tokens, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    budget : float or (budget,) array, FLOP
        Training compute, C = 6 N D.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        `params_opt`, `tokens_opt`, `tokens_per_param`, and `loss_opt` (nat/token), the law's own
        value there. Coordinate `beyond`: decades past the largest run fitted; attribute `trust`
        says whether the fit is to be trusted.

    Raises
    ------
    SpecError
        A budget is not positive and finite, or the law has no `params` and `tokens`.

    Notes
    -----
    Closed form where the law has one, for the additive law
    ``N* = (alpha A / (beta B))^(1 / (alpha + beta)) (C / 6)^a``, ``a = beta / (alpha + beta)``;
    a search in logs elsewhere.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556, section 3.3.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> plan = bs.allocate(bs.load_posterior("chinchilla"), budget=5.76e23)
    >>> bool(10 < plan.tokens_per_param.median() < 30)
    True
    """
    trust = warn_if_untrusted(fit)
    model, theta = model_of(fit), _law_theta(fit, group)
    budgets = xr.DataArray(_budgets(budget), dims="budget", coords={"budget": _budgets(budget)})
    params, tokens = best_split(model.law, theta, budgets / PER_TOKEN)
    loss = model.law(theta, {"params": params, "tokens": tokens})
    out = xr.Dataset(
        {
            "params_opt": params.assign_attrs(units="params", long_name="optimal size N*"),
            "tokens_opt": tokens.assign_attrs(units="tokens", long_name="optimal data D*"),
            "tokens_per_param": (tokens / params).assign_attrs(
                units="tokens/param", long_name="D*/N*"
            ),
            "loss_opt": loss.assign_attrs(units="nat/token", long_name="loss at the optimum"),
        },
        attrs={"trust": trust, "fingerprint": fit.attrs.get("fingerprint", "")},
    )
    out.coords["budget"].attrs.update(units="FLOP", long_name="training compute C")
    out = out.assign_coords(beyond=("budget", beyond(fit, {"flops": budgets.values})))
    return out.transpose(*SAMPLES, "budget")


def _law_theta(fit: xr.DataTree, group: str | None) -> dict[str, xr.DataArray]:
    model = model_of(fit)
    if not splits(model.law):
        msg = (
            f"law {model.law.name!r} is in {', '.join(model.law.inputs)}: no split to choose. "
            f"Where params and tokens are among them, hold the others: hold(fit, ...)"
        )
        raise SpecError(msg)
    theta = theta_of(fit, group)
    return {p.name: theta[p.name] for p in model.law.params}


def _budgets(budget: Any) -> np.ndarray:
    return positive(budget, "budget must be positive FLOP, one or a list of them")
