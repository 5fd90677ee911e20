"""Minima over what is no larger: a running minimum in several sizes at once."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np


class _Part(NamedTuple):
    """Some of the items: who is compared with whom, who is looked at, who asks."""

    block: np.ndarray
    source: np.ndarray
    query: np.ndarray
    rank: np.ndarray
    none: int


def lowest_before(group: np.ndarray, sizes: Sequence[np.ndarray], rank: np.ndarray) -> np.ndarray:
    """Find the least rank among the other items of a group that are larger in no size.

    Parameters
    ----------
    group : (item,) int array
    sizes : sequence of (item,) arrays
        At least two. Items are sorted by group and then by the sizes, first to last, and no two
        are equal in all of them.
    rank : (item,) int array
        Between 0 and the number of items.

    Returns
    -------
    (item,) int array
        The number of items where there is no such item.

    Notes
    -----
    With two sizes the first is dealt with by the order of the items and the second by halving that
    order again and again: an item of the right half looks at the least rank among the items of the
    left half up to its own second size, which is a running minimum. That takes ``O(n log n)``. A
    third size is dealt with the same way, by halving the range of its values: each halving asks
    about two sizes only, so K different values cost a factor ``1 + log2 K``, and so do those of a
    fourth. A size that follows from another (one value throughout, unique tokens that equal the
    tokens) costs nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.data.dominance import lowest_before
    >>> params, tokens = np.array([1, 1, 2, 2]), np.array([1, 9, 1, 5])
    >>> lowest_before(np.zeros(4, int), [params, tokens], np.array([3, 0, 2, 1]))
    array([4, 3, 3, 2])
    """
    kept = [*sizes[:2], *map(_dense, sizes[2:])]
    for size in kept[:1:-1]:
        others = [k for k in kept if k is not size]
        if any(_follows(size[:1000], o[:1000]) and _follows(size, o) for o in others):
            kept = others
    n = len(rank)
    everyone = np.ones(n, dtype=bool)
    return _lowest(_Part(group, everyone, everyone, rank, n), kept[1:])


def _lowest(part: _Part, sizes: list[np.ndarray]) -> np.ndarray:
    if len(sizes) == 1:
        return _running(part, sizes[0])
    *rest, last = sizes
    lowest = np.full(len(last), part.none)
    for block, left, right in _halvings(last):
        source, query = part.source & left, part.query & right
        here = np.flatnonzero(source | query)
        inner = _Part(
            _dense(part.block[here] * (int(block.max()) + 1) + block[here]),
            source[here],
            query[here],
            part.rank[here],
            part.none,
        )
        lowest[here] = np.minimum(lowest[here], _lowest(inner, [size[here] for size in rest]))
    return lowest


def _halvings(size: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Split every pair of values "no larger" into one case: equal, or left and right of a middle.

    Yields
    ------
    block, left, right : (item,) arrays
        Whatever is left in a block has a smaller value than what is right in it; in the first case,
        everything in a block has one value.
    """
    everyone = np.ones(len(size), dtype=bool)
    yield size, everyone, everyone
    for bit in range(int(size.max()).bit_length()):
        right = (size >> bit & 1).astype(bool)
        yield size >> (bit + 1), ~right, right


def _running(part: _Part, size: np.ndarray) -> np.ndarray:
    """Look, per block, at the sources that come before and are no larger in one size."""
    order = np.argsort(part.block, kind="stable")
    # Later blocks first, so that no item follows one of another block in both orders.
    by_size = np.lexsort((size[order], -part.block[order]))
    found = _two_orders(by_size, np.where(part.source, part.rank, part.none)[order], part.none)
    lowest = np.empty_like(found)
    lowest[order] = found
    return np.where(part.query, lowest, part.none).astype(np.intp)


def _two_orders(order: np.ndarray, values: np.ndarray, none: int) -> np.ndarray:
    """Find the least value among the items that come before both by position and in `order`."""
    n = len(order)
    width = 1 << (n - 1).bit_length()
    order = np.concatenate([order, np.arange(n, width)]).astype(np.int32)
    values = np.concatenate([values, np.full(width - n, none)]).astype(np.int32)[order]
    lowest = np.full(width, none, dtype=np.int32)
    while width > 1:
        # A row is a block of positions in the other order; its halves are known by one bit.
        half = width // 2
        right = (order & half).astype(bool)
        seen = np.where(right, np.int32(none), values).reshape(-1, width)
        least = np.minimum.accumulate(seen, axis=1).ravel()
        np.minimum(lowest, least, out=lowest, where=right)
        halves = [np.flatnonzero(side).reshape(-1, half) for side in (~right, right)]
        split = np.stack(halves, axis=1).ravel()
        order, values, lowest, width = order[split], values[split], lowest[split], half
    return lowest[:n]


def _follows(size: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether no larger in `other` implies no larger in `size`."""
    order = np.lexsort((size, other))
    steps, others = np.diff(size[order]), np.diff(other[order])
    return bool(np.all((steps == 0) | ((steps > 0) & (others > 0))))


def _dense(values: np.ndarray) -> np.ndarray:
    """Give every value its place among the different values."""
    return np.unique(values, return_inverse=True)[1].ravel()
