"""Bigger model or more samples: exchange rates, and the best of both at fixed compute."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import serving_flops
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import TestTime
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted


def exchange_rate(
    fit: xr.DataTree,
    *,
    small: float | None = None,
    large: float | None = None,
    samples: Any = 1,
) -> xr.Dataset:
    """Say what samples are worth in parameters, at every difficulty.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `test_time`.
    small, large : float, optional
        Two sizes: whether the small one with `samples` does at least as well as the large one
        with a single sample.
    samples : float or (k,) array, default 1
        Samples of the small one.

    Returns
    -------
    xarray.Dataset over (chain, draw, group)
        `rate` = mu / lam: an e-fold of samples is worth so many of parameters; below 1 samples
        cost more compute than size that does the same. With two sizes `needed`, samples at which
        the small one is level, and over (group, k) `holds`, the probability that the small one
        with k samples does at least as well.

    Raises
    ------
    SpecError
        Another law, a size without the other, or a small one that is not smaller.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> held = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 50.0}
    >>> priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    >>> known = bs.sample_prior(bs.ScalingModel(law, bs.Attempts("bin"), priors), draws=2)
    >>> found = bs.exchange_rate(known, small=1e9, large=4e9, samples=[8, 17])
    >>> float(found.needed.mean().round(6)), found.holds.values[0].tolist()
    (16.0, [0.0, 1.0])
    """
    law_of(fit)
    trust = warn_if_untrusted(fit)
    groups = _groups(fit)
    thetas = [theta_of(fit, g) for g in groups]
    rate = _joined([t["mu"] / t["lam"] for t in thetas], groups)
    out = xr.Dataset({"rate": rate.assign_attrs(units="1")}, attrs={"trust": trust})
    if small is None and large is None:
        return out
    if small is None or large is None:
        msg = "two sizes, small and large, or none of them"
        raise SpecError(msg)
    sizes = [one_number(n, f"{name}: a positive size")
             for name, n in (("small", small), ("large", large))]  # fmt: skip
    if sizes[0] >= sizes[1]:
        msg = f"small is to be smaller than large; found {sizes[0]:.4g} and {sizes[1]:.4g}"
        raise SpecError(msg)
    k = positive(samples, "samples: positive numbers of the small model's")
    needed = np.exp(np.log(sizes[1] / sizes[0]) / rate)
    out["needed"] = needed.assign_attrs(units="samples")
    asked = xr.DataArray(k, dims="k", coords={"k": k})
    out["holds"] = (needed <= asked).mean(SAMPLES)
    return out


def sampling_frontier(
    fit: xr.DataTree, flops: Any, params: Any, *, tokens: float, prompt: float = 0.0
) -> xr.Dataset:
    """Say which size, sampled as often as the compute of a query allows, solves most.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `test_time`.
    flops : float or (budget,) array, FLOP
        Compute per query.
    params : (size,) array
        Sizes to choose from.
    tokens, prompt : float
        Tokens of one sample, and tokens read once per query.

    Returns
    -------
    xarray.Dataset over (chain, draw, group, budget, size)
        `success`, 0 where the budget does not pay for one sample; over (budget, size) `samples`,
        whole; over (group, budget, size) `best`, the probability that this size solves most.
        Attribute `verdict`: a sentence per group, at the largest budget.

    Raises
    ------
    SpecError
        Another law, or a number that is not positive.

    Notes
    -----
    A query costs ``2 N (prompt + k tokens)``. Over a model's life that is the demand of
    ``ServingDemand(served, prompt=prompt / tokens, candidates=k)``.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> held = {"acc": 0.3, "lam": 0.3, "mu": 0.6, "spread": 50.0}
    >>> priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    >>> known = bs.sample_prior(bs.ScalingModel(law, bs.Attempts("bin"), priors), draws=2)
    >>> found = bs.sampling_frontier(known, 1.4e14, [1e9, 8e9], tokens=512)
    >>> found.samples.values.tolist(), found.best.values.squeeze().tolist()
    ([[136.0, 17.0]], [1.0, 0.0])
    """
    law = law_of(fit)
    trust = warn_if_untrusted(fit)
    budget = positive(flops, "flops: positive FLOP per query, one or a list of them")
    size = positive(params, "params: positive sizes, one or a list of them")
    out_tokens = one_number(tokens, "tokens: of one sample, a positive number")
    read = one_number(prompt, "prompt: tokens read per query", above=-1e-300)
    k = np.floor((budget[:, None] / serving_flops(size, 1.0) - read) / out_tokens * (1 + 1e-12))
    coords = {"budget": ("budget", budget, {"units": "FLOP"}),
              "size": ("size", size, {"units": "params"})}  # fmt: skip
    samples = xr.DataArray(np.maximum(k, 0.0), dims=("budget", "size"), coords=coords)
    there = {"params": samples["size"], "samples": samples.clip(min=1.0)}
    groups = _groups(fit)
    each = [law(theta_of(fit, g), there).where(samples >= 1, 0.0) for g in groups]
    success = _joined(each, groups)
    wins = (success == success.max("size")) & (samples >= 1)
    best = (wins / wins.sum("size").clip(min=1)).mean(SAMPLES)
    out = xr.Dataset({"success": success, "samples": samples.assign_attrs(units="samples"),
                      "best": best}, attrs={"trust": trust})  # fmt: skip
    said = []
    for g in out.group.values:
        last = out.sel(group=g).isel(budget=-1)
        top = last.isel(size=int(last.best.argmax()))
        said.append(f"{g}: {float(top['size']):.3g} parameters with {float(top.samples):.0f} "
                    f"samples, probability {float(top.best):.2f}")  # fmt: skip
    out.attrs["verdict"] = f"at {budget[-1]:.3g} FLOP per query: " + "; ".join(said)
    return out.transpose(*SAMPLES, "group", "budget", "size")


def law_of(fit: xr.DataTree) -> TestTime:
    """Return the law of a fit, refusing any other than `test_time`."""
    law = model_of(fit).law
    if not isinstance(law, TestTime):
        msg = f"law {law.name!r} knows no samples at a size; fit `TestTime`"
        raise SpecError(msg)
    return law


def _groups(fit: xr.DataTree) -> list[Any]:
    """Return the difficulties of a fit; None alone where it does not pool."""
    pooling = model_of(fit).pooling
    if pooling is None:
        return [None]
    posterior = fit["posterior"].to_dataset()
    return [str(g) for g in posterior[pooling.column].values]


def _joined(each: list[xr.DataArray], groups: list[Any]) -> xr.DataArray:
    names = ["all" if g is None else g for g in groups]
    joined = xr.concat(each, xr.DataArray(names, dims="group", name="group"))
    return joined.transpose(*SAMPLES, "group", ...)
