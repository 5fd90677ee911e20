"""What it takes to reach a loss: compute at the optimum, or tokens at a given size."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision.allocate import PER_TOKEN, _law_theta
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import PowerLaw, best_split
from bayes_scaling.param import Prior
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

LEAST, MOST = 1e6, 1e100  # FLOP or tokens searched; at the end no float is nearer the floor
STEPS = 66
HALF_WIDTH = 1.6448536  # sd from the median to the 95 % quantile
LEAST_SIGMA = 1e-4  # of a prior: known to a tenth of a permille at best
UNITS = {"params": "params", "tokens": "tokens", "flops": "FLOP", "steps": "optimizer steps"}


def compute_to_reach(fit: xr.DataTree, loss: Any, *, group: str | None = None) -> xr.Dataset:
    """Find the compute whose optimal run reaches a loss, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    loss : float or (target,) array, nat/token
        The loss to reach.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, target)
        `flops` (inf where the loss is below the draw's floor), `params`, `tokens`; and over
        target `reachable`, the probability that any compute reaches it.

    Raises
    ------
    SpecError
        A target is not positive.

    Notes
    -----
    The loss of the best run falls with compute, so the answer is found by bisection of ln C
    between 1e6 and 1e100 FLOP. Quantiles over draws are right with the infinities left in:
    a median of inf says that the loss is more likely out of reach than not.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> need = bs.compute_to_reach(bs.load_posterior("chinchilla"), [2.0, 1.5])
    >>> need.reachable.round(2).values.tolist()
    [1.0, 0.0]
    """
    trust = warn_if_untrusted(fit)
    law, theta = model_of(fit).law, _law_theta(fit, group)
    target = _targets(loss)

    def best(flops: Any) -> Any:
        params, tokens = best_split(law, theta, flops / PER_TOKEN)
        return law(theta, {"params": params, "tokens": tokens})

    flops = _least(best, target)
    params, tokens = best_split(law, theta, flops / PER_TOKEN)
    out = xr.Dataset({"flops": flops, "params": params, "tokens": tokens}, attrs={"trust": trust})
    for name, unit in (("flops", "FLOP"), ("params", "params"), ("tokens", "tokens")):
        out[name] = out[name].where(np.isfinite(flops), np.inf).assign_attrs(units=unit)
    out["reachable"] = flops.map_blocks(np.isfinite).mean(SAMPLES)
    return out.transpose(*SAMPLES, "target")


def iso_loss(fit: xr.DataTree, loss: float, params: Any, *, group: str | None = None) -> xr.Dataset:
    """Find the tokens with which each size reaches a loss, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    loss : float, nat/token
        The loss of the curve.
    params : float or (size,) array
        Parameter counts.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, size)
        `tokens` and `flops` (inf where that size never reaches the loss), and over size
        `reachable`, the probability that it does.

    Raises
    ------
    SpecError
        The loss or a size is not positive.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> curve = bs.iso_loss(bs.load_posterior("chinchilla"), 2.0, [1e9, 70e9])
    >>> curve.reachable.round(2).values.tolist()
    [0.0, 1.0]
    """
    trust = warn_if_untrusted(fit)
    law, theta = model_of(fit).law, _law_theta(fit, group)
    values = _targets(params).values
    sizes = xr.DataArray(values, dims="size", coords={"size": values})
    target = float(_targets(loss).values[0])
    tokens = _least(lambda d: law(theta, {"params": sizes, "tokens": d}), target)
    out = xr.Dataset(
        {
            "tokens": tokens.assign_attrs(units="tokens"),
            "flops": (PER_TOKEN * sizes * tokens).assign_attrs(units="FLOP"),
            "reachable": tokens.map_blocks(np.isfinite).mean(SAMPLES),
        },
        attrs={"trust": trust, "loss": target},
    )
    return out.transpose(*SAMPLES, "size")


def size_to_reach(fit: xr.DataTree, loss: Any, *, group: str | None = None) -> xr.Dataset:
    """Find the size at which a law of one variable reaches a loss, draw by draw.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params`, `tokens`, `flops` or `steps` alone, falling in it.
    loss : float or (target,) array, nat/token
        The loss to reach.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, target)
        The law's own variable, raw counts, inf where the loss is below the draw's floor; and over
        target `reachable`, the probability that any size reaches it.

    Raises
    ------
    SpecError
        A target is not positive, or the law is not of one variable that it falls in.

    Notes
    -----
    With a floor ``X = X0 ((l - E) / a0)^(-1 / alpha)``; found by bisection, for every such law.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> fit = bs.fit(bs.ScalingModel(law=bs.PowerLaw("flops")), runs)
    >>> bs.size_to_reach(fit, [2.5, 0.5]).reachable.round(2).values.tolist()
    [1.0, 0.0]
    """
    trust = warn_if_untrusted(fit)
    law = model_of(fit).law
    if len(law.inputs) != 1 or tuple(getattr(law, "decreasing", ())) != law.inputs:
        msg = f"law {law.name!r} does not fall in one variable alone: use compute_to_reach"
        raise SpecError(msg)
    theta, (of,) = theta_of(fit, group), law.inputs
    size = _least(lambda x: law(theta, {of: x}), _targets(loss))
    out = xr.Dataset({of: size.assign_attrs(units=UNITS[of])}, attrs={"trust": trust})
    out["reachable"] = size.map_blocks(np.isfinite).mean(SAMPLES)
    return out.transpose(*SAMPLES, "target")


def saturation(fit: xr.DataTree, params: Any = None, *, group: str | None = None) -> xr.Dataset:
    """Find where the loss of models of given sizes levels off, however long they train.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`; or of a learning curve,
        ``PowerLaw("tokens", curve=True)``, whose runs are of one size each.
    params : float or (size,) array, optional
        Parameter counts; none of a learning curve.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, size)
        `loss`, nat/token: ``E + A / N^alpha`` of the additive law. Of a learning curve over (chain,
        draw), E, and `left`, nat/token: what steps without end would still take off the law's loss
        at the last checkpoint fitted (NaN where the fit does not say which that is).

    Raises
    ------
    SpecError
        A size is not positive, or there is none to give.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> level = bs.saturation(bs.load_posterior("chinchilla"), [1e8, 1e12]).loss
    >>> level.median(("chain", "draw")).round(1).values.tolist()
    [2.6, 1.8]
    """
    trust = warn_if_untrusted(fit)
    law = model_of(fit).law
    said = {"units": "nat/token", "long_name": "loss with data without end"}
    if isinstance(law, PowerLaw) and law.curve:
        if params is not None:
            msg = "a learning curve is of the size that was trained: leave `params` out"
            raise SpecError(msg)
        theta, last = theta_of(fit, group), _last(fit, law.of, group)
        loss = law.irreducible(theta)
        left = (law(theta, {law.of: last}) - loss).assign_attrs(units="nat/token")
        made = {"loss": loss.assign_attrs(said), "left": left}
        return xr.Dataset(made, attrs={"trust": trust, law.of: last})
    theta = _law_theta(fit, group)
    values = _targets(params).values
    sizes = xr.DataArray(values, dims="size", coords={"size": values})
    loss = law(theta, {"params": sizes, "tokens": np.inf})
    return xr.Dataset({"loss": loss.assign_attrs(said)}, attrs={"trust": trust}).transpose(
        *SAMPLES, "size"
    )


def saturation_prior(fit: xr.DataTree, params: float, *, group: str | None = None) -> Prior:
    """Return where models of one size level off, as a prior of the floor of a learning curve.

    One curve says little of its own floor; many sizes, trained to the end, say more.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`, of runs under the same recipe.
    params : float
        The size of the run that is under way.
    group : str, optional
        Which group of a pooled model.

    Returns
    -------
    Prior
        LogNormal, with the median and the central 90 % of `saturation`.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> floor = bs.saturation_prior(bs.load_posterior("chinchilla"), 1e9)
    >>> law = bs.PowerLaw("tokens", curve=True)
    >>> bs.ScalingModel(law, bs.Clustered(), priors={"E": floor}).prior("E").dist
    'LogNormal'
    """
    size = one_number(params, "params: the size of the run, a positive number")
    drawn = saturation(fit, size, group=group).loss.values
    low, middle, high = np.quantile(drawn, [0.05, 0.5, 0.95])
    sigma = np.log(high / low) / (2 * HALF_WIDTH)
    return Prior.of("LogNormal", median=float(middle), sigma=float(max(sigma, LEAST_SIGMA)))


def _last(fit: xr.DataTree, of: str, group: str | None) -> float:
    """Return the largest of a variable that was fitted, of a group where the runs are known."""
    pooling = model_of(fit).pooling
    if group is not None and pooling is not None and carries_runs(fit):
        data = fit["constant_data"].to_dataset()
        mine = data[pooling.column].values.astype(str) == str(group)
        return float(data[of].values[mine].max())
    return float(json.loads(fit.attrs.get("largest", "{}")).get(of, np.nan))


def _targets(loss: Any) -> xr.DataArray:
    values = np.atleast_1d(np.asarray(loss, float))
    if not np.all(np.isfinite(values) & (values > 0)):
        msg = f"targets must be positive and finite; found {loss!r}"
        raise SpecError(msg)
    return xr.DataArray(values, dims="target", coords={"target": values})


def _least(falling: Callable[[Any], Any], target: Any) -> xr.DataArray:
    """Bisect for the least argument at which a falling function is at most `target`."""
    low, high = np.log(LEAST), np.log(MOST)
    never = falling(MOST) > target
    low, high = low + 0.0 * never, high + 0.0 * never
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        there = falling(np.exp(middle)) <= target
        high, low = xr.where(there, middle, high), xr.where(there, low, middle)
    return np.exp(high).where(~never, np.inf)
