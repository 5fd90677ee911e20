"""What a planner is not sure of: a number, three quantiles, or a distribution."""

from typing import Any

import numpy as np
from scipy.special import ndtri

from bayes_scaling import priors
from bayes_scaling.errors import SpecError
from bayes_scaling.param import Prior

ENDS = 0.05, 0.5, 0.95  # what three numbers are quantiles of
POSITIVE = ("positive", "unit")


def amount(value: Any, what: str) -> Any:
    """Take a positive number, its 5, 50 and 95 % quantiles, or a distribution of one.

    Parameters
    ----------
    value : float, tuple of three floats, or Prior
    what : str
        The beginning of the message.

    Raises
    ------
    SpecError
        Anything else; says what was wanted.

    Examples
    --------
    >>> from bayes_scaling.decision.amounts import amount
    >>> amount([1e12, 3e12, 3e13], "tokens")
    (1000000000000.0, 3000000000000.0, 30000000000000.0)
    """
    wanted = f"{what}: a positive number, its 5, 50 and 95 % quantiles, or a Prior of one"
    if isinstance(value, Prior):
        kind = priors.KINDS[value.dist]
        if value.times or kind.support not in POSITIVE or value.plus < 0:
            msg = f"{wanted}, such as Prior.of('LogNormal', median=1e13, sigma=1); found {value}"
            raise SpecError(msg)
        return value
    try:
        numbers = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        numbers = np.empty(0)
    fine = numbers.shape in ((1,), (3,)) and np.all(np.isfinite(numbers) & (numbers > 0))
    if not fine or isinstance(value, bool) or np.any(np.diff(numbers) <= 0):
        msg = f"{wanted}, rising; found {value!r}"
        raise SpecError(msg)
    return float(numbers[0]) if len(numbers) == 1 else tuple(float(v) for v in numbers)


def draw(value: Any, count: int, seed: Any) -> np.ndarray:
    """Draw an amount; three quantiles are two halves of log-normals that meet at the median.

    Parameters
    ----------
    value : as `amount` returns
    count : int
    seed : int or sequence of int

    Returns
    -------
    (count,) array
    """
    if isinstance(value, float):
        return np.full(count, value)
    rng = np.random.default_rng(seed)
    if isinstance(value, Prior):
        return priors.draw(value, priors.values(value, {}), rng, count)[0]
    low, middle, high = np.log(value)
    z = rng.normal(size=count)
    step = np.where(z < 0, middle - low, high - middle) / ndtri(ENDS[-1])
    return np.exp(middle + z * step)


def write(value: Any, unit: str) -> str:
    """Write an amount for a person."""
    if isinstance(value, float):
        return f"{value:.3g} {unit}"
    if isinstance(value, Prior):
        return f"{value} {unit}"
    return f"{value[1]:.3g} [{value[0]:.3g}, {value[2]:.3g}] {unit}"
