"""What experts are worth: the dense model they stand in for, and where they cease to help."""

from typing import Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr

from bayes_scaling._writing import percent, size
from bayes_scaling.data.numbers import counts, positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import misfits
from bayes_scaling.predict import beyond
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

PROBS = (0.05, 0.5, 0.95)
DENSE = 1.0  # experts of a dense model
SPAN, HALVINGS = 60.0, 60  # e-folds of size searched on either side, and down to rounding


@runtime_checkable
class HasCutOff(Protocol):
    """A law that knows the size from which experts no longer help."""

    def cut_off(self, theta: Any, experts: Any) -> Any:
        """Return that size, params; inf for none."""
        ...


def routing(fit: xr.DataTree, params: Any, experts: Any, *, group: str | None = None) -> xr.Dataset:
    """Say what experts are worth at a size, and where they cease to help.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `experts`, such as `ClarkMoE` or `Routed`; of one in tokens
        too, held there: ``hold(fit, tokens=1.3e11)``.
    params : float or (params,) array, parameters
        Active parameters: what one token passes through.
    experts : float or (experts,) array
        Per routed layer, more than the one of a dense model.
    group : str, optional
        Which group of a pooled model, such as a router; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, params, experts)
        `saved`, the loss of the dense model of that size less that of the routed one, nat/token;
        `params_worth`, the size of the dense model whose loss the routed one has, inf where none
        has it; `times`, that over `params`; over (params, experts) `helps`, the probability that
        the routed model is the better one. Where the law says it, over (chain, draw, experts)
        `cut_off`, the size from which experts no longer help, inf in draws in which they always do;
        over (quantile, experts) its `cut_off_quantile`, and over experts `cut_off_none`, the
        probability of none. Coordinate `beyond`: decades past the largest run. Attribute `verdict`:
        the first size and number of experts in a sentence.

    Raises
    ------
    SpecError
        Another law, or a size or number of experts that it does not know.

    Notes
    -----
    Of Clark et al.'s law, ``N_worth = N^(alpha(E_hat) / alpha(E_start)) (E_hat / E_start)^(b /
    alpha(E_start))`` and ``log10 cut_off = -b / c``: a ratio of two noisy numbers, which has no
    mean. Rounded coefficients move it by tens of per cent, so it is never computed from those.

    References
    ----------
    Clark et al. 2022, arXiv:2202.01169, sections 4 and 5.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.routing(bs.load_posterior("routing-clark"), params=1e9, experts=[8, 64])
    >>> bool(found.times.median(("chain", "draw")).sel(params=1e9, experts=64) > 2)
    True
    """
    model = model_of(fit)
    law = model.law
    if set(law.inputs) != {"params", "experts"}:
        msg = (
            f"law {law.name!r} is in {', '.join(law.inputs)}, not in params and experts: fit "
            f"`Routed` or `ClarkMoE`, or hold the other inputs of one that has both, "
            f"hold(fit, tokens=...)"
        )
        raise SpecError(msg)
    theta = theta_of(fit, group)
    theta = {p.name: theta[p.name] for p in law.params}
    n = counts(params, "params", "params: positive active parameters, one or a list of them")
    e = positive(experts, "experts: more than one, one number or a list of them")
    if (e <= DENSE).any() or misfits(law, {"experts": e}):
        msg = f"experts: more than the one of a dense model; found {experts!r}"
        raise SpecError(msg)
    trust = warn_if_untrusted(fit)
    size_of = xr.DataArray(n, dims="params", coords={"params": n})
    number = xr.DataArray(e, dims="experts", coords={"experts": e})
    routed = law(theta, {"params": size_of, "experts": number})
    saved = law(theta, {"params": size_of, "experts": DENSE}) - routed
    worth = _dense_size(law, theta, routed, size_of)
    out = xr.Dataset(
        {
            "saved": saved.assign_attrs(units="nat/token", long_name="loss that experts save"),
            "params_worth": worth.assign_attrs(units="params", long_name="dense model of its loss"),
            "times": (worth / size_of).assign_attrs(units="1", long_name="that over N"),
            "helps": (saved > 0).mean(SAMPLES).assign_attrs(units="1"),
        },
        attrs={"trust": trust, "fingerprint": fit.attrs.get("fingerprint", "")},
    )
    if isinstance(law, HasCutOff):
        out = out.assign(_cut_off(law, theta, number))
    out = out.assign_coords(beyond=("params", beyond(fit, {"params": n})))
    out.coords["params"].attrs.update(units="params", long_name="active parameters N")
    out.coords["experts"].attrs.update(units="experts", long_name="experts per routed layer")
    out.attrs["verdict"] = _said(out.isel(params=0, experts=0))
    return out.transpose(*SAMPLES, "params", "experts", ...)


def _dense_size(law: Any, theta: Any, loss: xr.DataArray, near: Any) -> xr.DataArray:
    """Return the size at which the dense model has a loss, by bisection on its logarithm."""
    start = np.log(near) + 0.0 * loss

    def above(logs: Any) -> Any:
        return law(theta, {"params": np.exp(logs), "experts": DENSE}) > loss

    low, high = start - SPAN, start + SPAN
    never = above(high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        short = above(middle)
        low, high = xr.where(short, middle, low), xr.where(short, high, middle)
    return xr.where(never, np.inf, np.exp(high))


def _cut_off(law: Any, theta: Any, number: xr.DataArray) -> dict[str, xr.DataArray]:
    cut = law.cut_off(theta, number)
    at = cut.quantile(PROBS, SAMPLES, method="inverted_cdf")  # draws: infinities stay what they are
    return {
        "cut_off": cut.assign_attrs(units="params", long_name="size where experts cease to help"),
        "cut_off_quantile": at.assign_attrs(units="params"),
        "cut_off_none": np.isinf(cut).mean(SAMPLES).assign_attrs(units="1"),
    }


def _said(one: xr.Dataset) -> str:
    low, middle, high = one["params_worth"].quantile(PROBS, SAMPLES, method="inverted_cdf").values
    said = (
        f"{size(float(one.params))} active parameters with {float(one.experts):g} experts "
        f"are worth a dense model of {size(middle)} [{size(low)}, {size(high)}]; "
        f"experts help there with probability {float(one.helps):.2f}"
    )
    if "cut_off" in one:
        low, middle, high = one["cut_off_quantile"].values
        said += (
            f"; they cease to help at {size(middle)} [{size(low)}, {size(high)}], "
            f"and in {percent(float(one.cut_off_none))} of the draws at no size"
        )
    if float(one.beyond) > 0:
        said += f"; the size lies {float(one.beyond):.1f} decades beyond the runs"
    return said + "."
