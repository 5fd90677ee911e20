"""What an exponent means: factors per doubling, and the theories it can be held against."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import SpecError
from bayes_scaling.laws.single import rates_of


def rates(exponent: Any, *, k: float = 4.0) -> xr.Dataset:
    """Turn an exponent, or draws of one, into the quantities people compare it by.

    Parameters
    ----------
    exponent : float or array
        Of a power law, positive; of the reducible loss, unless theory and data are both of the
        total.
    k : float, default 4
        The smoothness in ``alpha = k / d``: 4 for a piecewise linear model and a quadratic loss,
        1 for the box argument.

    Returns
    -------
    xarray.Dataset
        `per_doubling`, by what the reducible loss is multiplied when X doubles, ``2^-alpha``;
        `to_halve`, by what X must be, to halve it, ``2^(1 / alpha)``; `dimension`, the intrinsic
        dimension of the data, ``k / alpha``; `quantized`, the exponent in data that the
        quantization model expects beside this one in parameters, ``alpha / (1 + alpha)``.

    Raises
    ------
    SpecError
        An exponent or k is not positive.

    References
    ----------
    Sharma and Kaplan 2020, arXiv:2004.10802 (dimension); Michaud et al. 2023, arXiv:2303.13506
    (quantization).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.rates(0.076)
    >>> round(float(found.dimension)), round(float(found.per_doubling), 3)
    (53, 0.949)
    """
    alpha = exponent if isinstance(exponent, xr.DataArray) else xr.DataArray(np.asarray(exponent))
    alpha = alpha.astype(float).reset_coords(drop=True)
    if not (bool((alpha > 0).all()) and k > 0):
        msg = f"exponents and k must be positive; found {float(alpha.min()):g} and k = {k:g}"
        raise SpecError(msg)
    said = {
        "per_doubling": "factor of the reducible loss when X doubles",
        "to_halve": "factor of X that halves the reducible loss",
        "dimension": f"intrinsic dimension of the data, {k:g} / alpha",
        "quantized": "exponent in data under the quantization model",
    }
    found = rates_of(alpha, k)
    return xr.Dataset(
        {name: found[name].assign_attrs(units="1", long_name=text) for name, text in said.items()}
    )
