"""Kaplan's allocation: what a law in size and steps, and a critical batch size, say together."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import SpecError
from bayes_scaling.laws.steps import compute_ratio, frontier_exponents


def step_allocation(alpha_n: Any, alpha_s: Any, alpha_b: Any) -> xr.Dataset:
    """Split growing compute between size, batch and steps, each run at its critical batch size.

    Parameters
    ----------
    alpha_n, alpha_s : float or array
        Exponents of ``L(N, S_min) = (N_c / N)^alpha_n + (S_c / S_min)^alpha_s``.
    alpha_b : float or array
        Exponent of the critical batch size, ``B_crit = B* / L^(1 / alpha_b)``. Draws of it carry
        its uncertainty into the rest.

    Returns
    -------
    xarray.Dataset
        `loss`, the exponent of L in compute, ``1 / (1 / alpha_s + 1 / alpha_b + 1 / alpha_n)``, and
        the exponents with which `params`, `batch`, `steps` and `tokens` (batch times steps) grow;
        those of params and tokens add to one.

    Raises
    ------
    SpecError
        An exponent is not positive.

    Notes
    -----
    Along the frontier both terms fall alike and compute is ``6 N B_crit S_min``. With the published
    exponents size grows as C^0.68 and tokens as C^0.32; the 0.73 and 0.27 that the paper plans
    with are read off its runs.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, section 6.1 and appendix B.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> split = bs.step_allocation(0.076, 0.76, 0.21)
    >>> [round(float(split[k]), 3) for k in ("loss", "params", "tokens")]
    [0.052, 0.684, 0.316]
    """
    n, s, b = (_positive(v) for v in (alpha_n, alpha_s, alpha_b))
    return xr.Dataset(frontier_exponents(n, s, b))


def size_penalty(ratio: Any, alpha_n: Any, alpha_s: Any) -> xr.DataArray:
    """Return by what compute grows when a model of another than the best size reaches a loss.

    Parameters
    ----------
    ratio : float or array
        The size over the best one for that loss.
    alpha_n, alpha_s : float or array
        As in `step_allocation`.

    Returns
    -------
    xarray.DataArray
        At least 1; inf for a model too small to reach the loss at all.

    Raises
    ------
    SpecError
        A number is not positive.

    Notes
    -----
    ``r (1 + (alpha_s / alpha_n) (1 - r^-alpha_n))^(-1 / alpha_s)``.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, appendix B.4.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> [round(float(bs.size_penalty(r, 0.076, 0.76)), 2) for r in (0.6, 1.0, 2.2)]
    [1.16, 1.0, 1.2]
    """
    r, n, s = (_positive(v) for v in (ratio, alpha_n, alpha_s))
    return compute_ratio(r, n, s)


def _positive(value: Any) -> xr.DataArray:
    out = value if isinstance(value, xr.DataArray) else xr.DataArray(np.asarray(value, float))
    if not bool((out > 0).all()):
        msg = f"exponents and ratios must be positive; found {float(out.min()):g}"
        raise SpecError(msg)
    return out.astype(float).reset_coords(drop=True)
