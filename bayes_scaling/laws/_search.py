"""The split of compute of any law: its closed form, else a search in logs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayes_scaling.laws._protocol import HasIsoquant, HasOptimum, Monotone, sizes

SPAN = 40.0  # e-folds of size searched on either side of the reference: 17 decades
GOLDEN = (np.sqrt(5) - 1) / 2
HALVINGS = 60  # of 80 e-folds, down to rounding
STEPS = 45  # golden-section steps: 80 e-folds down to 1e-8, flatter than which no minimum is


def splits(law: Any) -> bool:
    """Say whether a law is one of how compute splits: the loss of `params` and `tokens` alone."""
    return set(law.inputs) == {"params", "tokens"} and law.outcome == "loss"


def best_split(law: Any, theta: Mapping[str, Any], product: Any) -> tuple[Any, Any]:
    """Return the `params` and `tokens` of least loss with ``params * tokens = product``.

    Parameters
    ----------
    law : Law
        Of `params` and `tokens`, with reference sizes.
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


def search_split(law: Any, theta: Mapping[str, Any], product: Any) -> tuple[Any, Any]:
    """Return the `params` and `tokens` of least loss with ``params * tokens = product``.

    By golden-section search on ln N; `theta` and `product` broadcast, xarray's by name.
    """
    params = search_size(law, theta, product, lambda k, n: k / n)
    return params, product / params


def search_size(
    law: Any,
    theta: Mapping[str, Any],
    budget: Any,
    tokens_of: Callable[[Any, Any], Any],
    size: str = "params",
) -> Any:
    """Return the size of least loss along a budget.

    The loss along a budget falls, then rises, for every law whose terms are decreasing and convex
    in logs; precision is about 1e-7 in ln N, the flatness of a minimum in float64.

    Parameters
    ----------
    law : Law
        Of `size` and `tokens`, with reference sizes.
    theta : mapping of str to array
        Draws of its parameters.
    budget : array
        Broadcasts against them, xarray's by name.
    tokens_of : callable
        Takes budget and sizes, returns the tokens that the budget pays for at that size.
    size : str, default "params"
        The input that is searched.
    """
    values = [*theta.values(), budget]
    if any(hasattr(v, "dims") for v in values):  # names cost more than numbers, 70 times over
        shape: Any = sum(0.0 * v for v in values)
        bare = [(v + 0.0 * shape).transpose(*shape.dims).values for v in values]
        numbers = dict(zip(theta, bare, strict=False))
        return shape.copy(data=search_size(law, numbers, bare[-1], tokens_of, size))
    n0, d0 = sizes(law)[size], sizes(law)["tokens"]

    def loss(n: Any) -> Any:
        x = {size: n0 * np.exp(n), "tokens": tokens_of(budget, n0 * np.exp(n))}
        return np.log(law(theta, x) - irreducible(law, theta) * (1 - 1e-12))

    half = 0.5 * np.log(tokens_of(budget, n0) / d0)
    middle = half + 0.0 * law(theta, {size: n0, "tokens": d0})
    low, high = middle - SPAN, middle + SPAN
    first, second = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_first, at_second = loss(first), loss(second)
    for _ in range(STEPS):  # of the two points inside one stays, and one is new
        left = at_first < at_second
        low, high = np.where(left, low, first), np.where(left, second, high)
        step = GOLDEN * (high - low)
        new = np.where(left, high - step, low + step)
        at_new = loss(new)
        first, second = np.where(left, new, second), np.where(left, first, new)
        at_first, at_second = (
            np.where(left, at_new, at_second),
            np.where(left, at_first, at_new),
        )
    return n0 * np.exp(0.5 * (low + high))


def has_isoquants(law: Any) -> bool:
    """Say whether more tokens always lower a law's loss, so that a loss takes a number of them."""
    if isinstance(law, HasIsoquant):
        return True
    return splits(law) and isinstance(law, Monotone) and "tokens" in law.decreasing


def tokens_to(law: Any, theta: Mapping[str, Any], loss: Any, params: Any) -> Any:
    """Return the tokens with which models of `params` reach `loss`; inf where none do.

    Closed form where the law has one, else bisection on ln D; NumPy arrays that broadcast.
    """
    if isinstance(law, HasIsoquant):
        return law.tokens_to(theta, loss, params)
    middle = np.log(sizes(law)["tokens"])
    shape: Any = 0.0 * loss + 0.0 * law(theta, {"params": params, "tokens": np.exp(middle)})
    low, high = shape + middle - SPAN, shape + middle + SPAN
    never = law(theta, {"params": params, "tokens": np.exp(high)}) > loss
    for _ in range(HALVINGS):
        d = 0.5 * (low + high)
        short = law(theta, {"params": params, "tokens": np.exp(d)}) > loss
        low, high = np.where(short, d, low), np.where(short, high, d)
    return np.where(never, np.inf, np.exp(high))


def irreducible(law: Any, theta: Mapping[str, Any]) -> Any:
    """Return the law's floor, zero where it has none."""
    floor = getattr(law, "irreducible", None)
    return floor(theta) if floor else 0.0
