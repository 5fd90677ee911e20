"""The split of compute between size and data: the law's closed form, or a search in logs."""

from collections.abc import Mapping
from typing import Any

from bayes_scaling.laws import HasOptimum, search_split


def best_split(law: Any, theta: Mapping[str, Any], product: Any) -> tuple[Any, Any]:
    """Return the `params` and `tokens` of least loss with ``params * tokens = product``.

    Parameters
    ----------
    law : Law
        With reference sizes.
    theta : mapping of str to array
        Draws of its parameters.
    product : array
        Broadcasts against them.

    Returns
    -------
    params, tokens : arrays
    """
    if isinstance(law, HasOptimum):
        return law.optimum(theta, product)
    return search_split(law, theta, product)
