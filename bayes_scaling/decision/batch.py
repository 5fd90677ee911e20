"""The critical batch size, and what a batch size costs in tokens and in steps."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import CriticalBatch
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted


def critical_batch(
    fit: xr.DataTree,
    at: Mapping[str, Any] | None = None,
    *,
    overhead: float = 0.2,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Give the critical batch size, and the batch that costs a stated share of tokens more.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs`.
    at : mapping, optional
        Where: the size, data or target loss that the law is along, one number or several.
    overhead : float, default 0.2
        Share of tokens more than the least that may be spent for fewer steps.
    group : str, optional
        Which sweep of a pooled model; without it, the power law that the sweeps scatter about.
    seed : int
        Of the scatter of a new sweep.

    Returns
    -------
    xarray.Dataset over (chain, draw, point)
        `b_crit`, tokens, at which steps and tokens are both twice their least; `b_crit_new`, that
        of a new sweep, where the fit knows how sweeps scatter; `batch`, the largest that costs no
        more than `overhead`.

    Raises
    ------
    SpecError
        Another law, `at` lacks what the law is along or is not positive, or no positive overhead.

    Notes
    -----
    ``E / E_min = 1 + B / B_crit`` and ``S / S_min = 1 + B_crit / B``.

    References
    ----------
    McCandlish et al. 2018, arXiv:1812.06162.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> batch = np.geomspace(3e4, 3e7, 12)
    >>> runs = {"batch_size_tokens": batch, "steps": np.round(5000 * (1 + 1e6 / batch))}
    >>> model = bs.ScalingModel(bs.CriticalBatch(), bs.Normal())
    >>> found = bs.critical_batch(bs.fit(model, runs))
    >>> bool(0.95e6 < found.b_crit.median() < 1.05e6)
    True
    """
    trust = warn_if_untrusted(fit)
    law, points = law_of(fit), _points(fit, at)
    if not 0 < overhead < np.inf:
        msg = f"overhead: a share of tokens such as 0.2; found {overhead!r}"
        raise SpecError(msg)
    theta = _theta(fit, law, group)
    b_crit = np.exp(law.log_b_crit(theta, points))
    out = {"b_crit": b_crit, "batch": law.batch_for(theta, points, overhead)}
    posterior = fit["posterior"].to_dataset()
    if group is None and "b_crit_sd" in posterior:
        spread = posterior["b_crit_sd"]
        z = np.random.default_rng(seed).normal(size=spread.shape)
        out["b_crit_new"] = b_crit * np.exp(spread * z)
    out = {k: v.assign_attrs(units="tokens") for k, v in out.items()}
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
        As of `critical_batch`; the steps of a pooled model are a sweep's own, and need its group.

    Returns
    -------
    xarray.Dataset over (chain, draw, batch)
        `steps` and `tokens` to the target, `steps_ratio` over S_min and `tokens_ratio` over E_min:
        the time-compute frontier of McCandlish et al.

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
    trust = warn_if_untrusted(fit)
    law, points = law_of(fit), _points(fit, at)
    values = positive(batch, "batch: positive tokens per step, one or a list of them")
    here = xr.DataArray(values, dims="batch", coords={"batch": values})
    theta = theta_of(fit, group)
    least = law.least_steps(theta)
    fewest = least * np.exp(law.log_b_crit(theta, points))  # tokens: E_min
    steps = law(theta, {**points, BATCH: here})
    out = xr.Dataset(
        {
            "steps": steps.assign_attrs(units="optimizer steps"),
            "tokens": (steps * here).assign_attrs(units="tokens"),
            "steps_ratio": steps / least,
            "tokens_ratio": steps * here / fewest,
        },
        attrs={"trust": trust},
    )
    out.coords["batch"].attrs.update(units="tokens", long_name="batch size B")
    return out.transpose(*SAMPLES, ..., "batch")


def law_of(fit: xr.DataTree) -> CriticalBatch:
    """Return the law of a fit, refusing any other than `cbs`."""
    law = model_of(fit).law
    if not isinstance(law, CriticalBatch):
        msg = f"law {law.name!r} knows no batch size; fit `CriticalBatch` to steps to a target loss"
        raise SpecError(msg)
    return law


def _points(fit: xr.DataTree, at: Mapping[str, Any] | None) -> dict[str, xr.DataArray]:
    along = model_of(fit).law.along
    if along == "one":
        return {}
    given = at.get(along) if isinstance(at, Mapping) else at
    wanted = f"the critical batch size is along {along}: give at={{{along!r}: ...}}, positive"
    values = positive(given, wanted)
    return {along: xr.DataArray(values, dims="point", coords={along: ("point", values)})}


def _theta(fit: xr.DataTree, law: CriticalBatch, group: str | None) -> dict[str, xr.DataArray]:
    """Return what B_crit needs: the steps may be every sweep's own, and have no population."""
    if group is not None or model_of(fit).pooling is None:
        return theta_of(fit, group)
    posterior = fit["posterior"].to_dataset()
    names = [p.name for p in law.params if p.name != "s0"]
    if missing := [n for n in names if n not in posterior]:
        msg = f"{', '.join(missing)}: every sweep has its own, so say which: group=..."
        raise SpecError(msg)
    return {n: posterior[n] for n in names}
