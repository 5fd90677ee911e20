"""The gradient noise scale, beside the critical batch size and as a prior of it."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import one_number
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import CriticalBatch, NoiseScale
from bayes_scaling.laws._protocol import sizes
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.param import Prior
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

Z90 = 1.6448536269514722  # half-width of a normal's 90 % interval, in sd


def noise_scale(
    fit: xr.DataTree,
    *,
    group: str | None = None,
    beside: xr.Dataset | None = None,
    factor: float = 2.0,
    seed: int = 0,
) -> xr.Dataset:
    """Give the gradient noise scale, and how far a critical batch size is from it.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `noise_scale`.
    group : str, optional
        Which group of a pooled model, such as a checkpoint; the population's without it.
    beside : xarray.Dataset, optional
        What `critical_batch` gave for the same training.
    factor : float, default 2
        Within which the two are called alike.
    seed : int
        Of the pairs of draws: the two fits are independent.

    Returns
    -------
    xarray.Dataset over (chain, draw)
        `b_simple`, tokens; `signal`, |G|^2, and `trace`, tr(Sigma) of one token's gradient, in the
        square of the gradient's unit. With `beside` also `ratio`, B_crit over B_simple, and
        `within`, whether it is within `factor` of one: its mean is the probability of that.

    Raises
    ------
    SpecError
        Another law, `beside` without `b_crit`, or a factor that is not above one.

    Notes
    -----
    ``B_simple = tr(Sigma) / |G|^2``. It is not B_crit: the two would be one if the curvature were
    the same in every direction and each step were the best one.

    References
    ----------
    McCandlish et al. 2018, arXiv:1812.06162, section 2.2.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> rng, batch = np.random.default_rng(0), np.repeat([1e4, 1e5, 1e6, 1e7], 8)
    >>> norms = 3.0 * (1 + 1e6 / batch) * rng.gamma(20, 1 / 20, len(batch))
    >>> runs = {"batch_size_tokens": batch, "grad_norm_sq": norms}
    >>> fit = bs.fit(bs.ScalingModel(bs.NoiseScale(), bs.Gamma()), runs)
    >>> low, high = bs.noise_scale(fit).b_simple.quantile([0.025, 0.975])
    >>> bool(low < 1e6 < high), bool(high / low < 4)
    (True, True)
    """
    law, theta = _law(fit), theta_of(fit, group)
    factor = one_number(factor, "factor: a number above one such as 2", above=1.0)
    trust = warn_if_untrusted(fit)
    b_simple, signal = np.exp(law.log_b_simple(theta)), law.signal(theta)
    out = xr.Dataset(
        {
            "b_simple": b_simple.assign_attrs(units="tokens", long_name="gradient noise scale"),
            "signal": signal.assign_attrs(long_name="|G|^2"),
            "trace": (signal * b_simple).assign_attrs(long_name="tr(Sigma) of one token"),
        },
        attrs={"trust": trust},
    )
    if beside is None:
        return out
    if not isinstance(beside, xr.Dataset) or "b_crit" not in beside:
        msg = "beside: what critical_batch(fit, ...) gives, with its `b_crit`"
        raise SpecError(msg)
    b_crit = _paired(beside["b_crit"], b_simple, np.random.default_rng(seed))
    out["ratio"] = b_crit / b_simple
    out["within"] = np.abs(np.log(out["ratio"])) < np.log(factor)
    worse = beside.attrs.get("trust", "trusted")
    return out.assign_attrs(trust=worse if trust == "trusted" else trust, factor=factor)


def batch_prior(
    measured: xr.DataTree | tuple[float, float],
    law: CriticalBatch,
    *,
    group: str | None = None,
    discrepancy: float = 3.0,
) -> Prior:
    """Turn a measured gradient noise scale into a prior of the critical batch size.

    Parameters
    ----------
    measured : xarray.DataTree or (float, float)
        A fit of the law `noise_scale`; or its median, tokens, and the factor that its 90 % interval
        reaches to either side.
    law : CriticalBatch
        The law that the prior is for, with its reference: the prior is in batches B0 of it, and the
        noise should have been measured where the law's other reference sizes are.
    group : str, optional
        As of `noise_scale`.
    discrepancy : float, default 3
        Factor that B_crit may be off B_simple, one standard deviation of the logarithm: 3 is within
        a factor of 9 with 95 %. At least 1; nobody has shown the two to agree better than that
        across recipes, so a smaller one is a claim of yours.

    Returns
    -------
    Prior
        Of `b_crit`: LogNormal about the measured median.

    Raises
    ------
    SpecError
        The law has no reference, a number is out of its range, or a fit of another law.

    Notes
    -----
    ``sigma^2 = (ln factor / 1.645)^2 + (ln discrepancy)^2``.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.CriticalBatch(reference=(("batch_size_tokens", 5e5),))
    >>> prior = bs.batch_prior((1e6, 1.5), law)
    >>> prior
    Prior('LogNormal', median=2, sigma=1.12593)
    >>> model = bs.ScalingModel(law, bs.Censored(), priors={"b_crit": prior})
    """
    if not isinstance(law, CriticalBatch):
        msg = f"law: the CriticalBatch that the prior is for; found {law!r}"
        raise SpecError(msg)
    if BATCH not in sizes(law):
        msg = f"law: its reference has no {BATCH!r}; found {law.reference!r}"
        raise SpecError(msg)
    wanted = "discrepancy: a factor of at least 1, such as 3"
    discrepancy = one_number(discrepancy, wanted, above=1.0 - 1e-12)
    if isinstance(measured, xr.DataTree):
        logs = np.log(noise_scale(measured, group=group)["b_simple"].values)
        low, middle, high = np.quantile(logs, [0.05, 0.5, 0.95])
        spread = (high - low) / 2 / Z90
    else:
        wanted = "measured: a fit of NoiseScale, or (tokens, factor of the 90 % interval, "
        if not isinstance(measured, tuple | list) or len(measured) != 2:
            msg = f"{wanted}at least 1); found {measured!r}"
            raise SpecError(msg)
        median = one_number(measured[0], f"{wanted}at least 1): the median")
        factor = one_number(measured[1], f"{wanted}at least 1): the factor", above=1.0 - 1e-12)
        middle, spread = np.log(median), np.log(factor) / Z90
    sigma = np.hypot(spread, np.log(discrepancy))
    median = float(np.exp(middle)) / sizes(law)[BATCH]
    return Prior.of("LogNormal", median=median, sigma=max(float(sigma), 1e-6))


def _law(fit: xr.DataTree) -> NoiseScale:
    law = model_of(fit).law
    if not isinstance(law, NoiseScale):
        msg = f"law {law.name!r} knows no gradient noise; fit `NoiseScale` to squared norms"
        raise SpecError(msg)
    return law


def _paired(values: xr.DataArray, like: xr.DataArray, rng: Any) -> xr.DataArray:
    """Shuffle the draws of one fit onto the draws of another."""
    flat = values.stack(sample=SAMPLES).transpose("sample", ...)
    count = flat.sizes["sample"]
    pick = np.resize(rng.permutation(count), like.size)
    rest = [str(d) for d in flat.dims if d != "sample"]
    shape = (*like.shape, *(flat.sizes[d] for d in rest))
    coords = {k: v for k, v in values.coords.items() if set(v.dims) <= set(rest)}
    return xr.DataArray(flat.values[pick].reshape(shape), dims=(*like.dims, *rest), coords=coords)
