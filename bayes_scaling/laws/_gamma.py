"""Ratios of gamma functions from elementary functions, in any array library."""

from typing import Any

SHIFT = 6  # from there on eight terms of Stirling's series are exact in float64
SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360_360, 1 / 156, -3617 / 122_400)
HALF = 3  # steps whose product stays within a float32


def log_gamma_ratio(x: Any, a: Any, xp: Any) -> Any:
    """Return ``ln Gamma(x + a) - ln Gamma(x)``, without cancellation where x is large.

    Parameters
    ----------
    x : array, positive
    a : array, not negative
    xp : module
        NumPy or `jax.numpy`.

    Notes
    -----
    Six steps of the recurrence, then the difference of Stirling's series. Differences of lgamma
    lose a digit for every one of x, and each derivative of them costs a polygamma.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.laws._gamma import log_gamma_ratio
    >>> float(np.exp(log_gamma_ratio(4.0, 2.0, np)).round(9))  # 5! / 3!
    20.0
    """
    below = 0.0
    for start in range(0, SHIFT, HALF):
        more = 0.0  # prod_j (1 + a / (x + j)) - 1, to all digits where it is small
        for j in range(start, start + HALF):
            one = a / (x + j)
            more = more + one + more * one
        below = below + xp.log1p(more)
    x = x + SHIFT
    main = (x - 0.5) * xp.log1p(a / x) + a * (xp.log(x + a) - 1)
    return main + _stirling(x + a) - _stirling(x) - below


def _stirling(x: Any) -> Any:
    w = 1 / x
    total = 0.0
    for term in reversed(SERIES):
        total = total * w * w + term
    return total * w
