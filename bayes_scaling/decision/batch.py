"""The critical batch size, and what a batch size costs in tokens and in steps."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.decision._critical import law_of, points_of, theta_at
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted


def critical_batch(
    fit: xr.DataTree,
    at: Mapping[str, Any] | None = None,
    *,
    overhead: float = 0.2,
    per_device: float | None = None,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Give the critical batch size, and the batch that costs a stated share of tokens more.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs`.
    at : mapping, optional
        Where: the size, data or target loss that the law is along, one number or several, such as
        a token budget, ``{"tokens": 1e12}``. Several of them broadcast.
    overhead : float, default 0.2
        Share of tokens more than the least that may be spent for fewer steps.
    per_device : float, tokens, optional
        What one data-parallel replica takes per optimizer step: its sequences times their length,
        times its accumulation steps.
    group : str, optional
        Which sweep of a pooled model; without it, the power law that the sweeps scatter about.
    seed : int
        Of the scatter of a new sweep.

    Returns
    -------
    xarray.Dataset over (chain, draw, point)
        `b_crit`, tokens, at which steps and tokens are both 2^(1/k) times their least (twice,
        without elbow); `batch`, the largest that costs no more than `overhead`; `b_crit_new` and
        `batch_new`, those of a new sweep, where the fit knows how sweeps scatter; with `per_device`
        also `replicas`, how many `batch` keeps busy: whole, and 0 in draws where a single one is
        too many.

    Raises
    ------
    SpecError
        Another law, `at` lacks what the law is along or is not positive, no positive overhead or
        `per_device`, or a law along tokens was fitted to the tokens of each run.

    Notes
    -----
    ``(E / E_min)^k = 1 + (B / B_crit)^k`` and ``(S / S_min)^k = 1 + (B_crit / B)^k``, k = 1 without
    elbow. The probability that a planned run at batch size B costs no more than `overhead` is that
    of ``batch_new >= B``.

    References
    ----------
    McCandlish et al. 2018, arXiv:1812.06162.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> batch = np.geomspace(3e4, 3e7, 12)
    >>> runs = {"batch_size_tokens": batch, "steps": np.round(5000 * (1 + 1e6 / batch))}
    >>> model = bs.ScalingModel(bs.CriticalBatch(), bs.Normal())
    >>> found = bs.critical_batch(bs.fit(model, runs), per_device=8192)
    >>> bool(0.95e6 < found.b_crit.median() < 1.05e6), int(found.replicas.median())
    (True, 24)
    """
    law, points = law_of(fit), points_of(fit, at)
    trust = warn_if_untrusted(fit)
    overhead = one_number(overhead, "overhead: a share of tokens such as 0.2")
    asked = {"": theta_at(fit, group)}
    if group is None and any(str(v).endswith("_sd") for v in fit["posterior"].data_vars):
        asked["_new"] = theta_at(fit, None, seed)
    out = {}
    for which, theta in asked.items():
        out[f"b_crit{which}"] = np.exp(law.log_b_crit(theta, points))
        out[f"batch{which}"] = law.batch_for(theta, points, overhead)
    out = {k: v.assign_attrs(units="tokens") for k, v in out.items()}
    if per_device is not None:
        each = one_number(per_device, "per_device: tokens per step of one replica, one number")
        out["replicas"] = np.floor(out["batch"] / each).assign_attrs(units="replicas")
    return xr.Dataset(out, attrs={"trust": trust, "overhead": overhead})


def batch_tradeoff(
    fit: xr.DataTree,
    batch: Any,
    at: Mapping[str, Any] | None = None,
    *,
    group: str | None = None,
) -> xr.Dataset:
    """Say what batch sizes cost: steps, tokens, and how much more than the least of either.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs`.
    batch : float or (batch,) array, tokens
        Batch sizes.
    at, group
        As of `critical_batch`.

    Returns
    -------
    xarray.Dataset over (chain, draw, batch)
        `steps` and `tokens` to the target, `steps_ratio` over S_min and `tokens_ratio` over E_min:
        the time-compute frontier of McCandlish et al. Where every sweep has steps of its own and no
        `group` is given, as for a run that is planned, the two ratios alone.

    Raises
    ------
    SpecError
        As `critical_batch`, or a batch size is not positive.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> batch = np.geomspace(3e4, 3e7, 12)
    >>> runs = {"batch_size_tokens": batch, "steps": np.round(5000 * (1 + 1e6 / batch))}
    >>> fit = bs.fit(bs.ScalingModel(bs.CriticalBatch(), bs.Normal()), runs)
    >>> cost = bs.batch_tradeoff(fit, [1e5, 1e6])
    >>> cost.tokens_ratio.median(("chain", "draw")).round(1).values.tolist()
    [1.1, 2.0]
    """
    law, points = law_of(fit), points_of(fit, at)
    trust = warn_if_untrusted(fit)
    values = positive(batch, "batch: positive tokens per step, one or a list of them")
    here = xr.DataArray(values, dims="batch", coords={"batch": values})
    theta = theta_at(fit, group)
    known = "s0" in theta
    theta = theta if known else {**theta, "s0": xr.DataArray(1.0)}  # cancels out of the ratios
    least, fewest = law.least_steps(theta), law.least_tokens(theta, points)
    steps = law(theta, {**points, BATCH: here})
    # The tokens that a law is along are not those that a batch costs.
    steps, fewest = (v.drop_vars("tokens", errors="ignore") for v in (steps, fewest))
    out = xr.Dataset(attrs={"trust": trust})
    if known:
        out["steps"] = steps.assign_attrs(units="optimizer steps")
        out["tokens"] = (steps * here).assign_attrs(units="tokens")
    out["steps_ratio"], out["tokens_ratio"] = steps / least, steps * here / fewest
    out.coords["batch"].attrs.update(units="tokens", long_name="batch size B")
    return out.transpose(*SAMPLES, ..., "batch")


def largest_batch(
    fit: xr.DataTree, *, overhead: float = 0.2, quantile: float = 0.5, group: str | None = None
) -> Callable[[Any, Any], Any]:
    """Make the batch of planned runs a function of their size and data, for `StepLimit`.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs` along `params`, `tokens`, both or neither.
    overhead : float, default 0.2
        Share of tokens more than the least that may be spent for fewer steps.
    quantile : float, default 0.5
        Of the batch's posterior that is counted on; a smaller one is on the safe side.
    group : str, optional
        Which sweep of a pooled model; without it, the power law that the sweeps scatter about.

    Returns
    -------
    callable
        ``batch(params, tokens)``, tokens per step; the arrays broadcast.

    Raises
    ------
    SpecError
        Another law, one along a target loss, or a quantile outside (0, 1).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> batch = bs.largest_batch(bs.load_posterior("cbs"))
    >>> bool(batch(1e10, 1e12) > 2 * batch(1e9, 1e12))
    True
    """
    law = law_of(fit)
    overhead = one_number(overhead, "overhead: a share of tokens such as 0.2")
    if not one_number(quantile, "quantile: between 0 and 1") < 1:
        msg = f"quantile: between 0 and 1; found {quantile!r}"
        raise SpecError(msg)
    drivers = tuple(law.drivers)
    if not set(drivers) <= {"params", "tokens"}:
        msg = f"the law is along {law.along}, which no plan says: fit it along params or tokens"
        raise SpecError(msg)
    warn_if_untrusted(fit)
    theta = theta_at(fit, group)

    def batch(params: Any, tokens: Any) -> Any:
        sizes = np.broadcast_arrays(params, tokens)
        given = dict(zip(("params", "tokens"), sizes, strict=True))
        flat = {k: xr.DataArray(np.ravel(given[k]), dims="point") for k in drivers}
        found = law.batch_for(theta, flat, overhead).quantile(quantile, SAMPLES).values
        return np.broadcast_to(np.reshape(found, np.shape(sizes[0]) if drivers else ()),
                               np.shape(sizes[0]))[()]  # fmt: skip

    return batch
