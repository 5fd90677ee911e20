"""How numbers are written: seconds, ratios, counts."""

from collections.abc import Sequence
from statistics import median


def seconds(value: float) -> str:
    """Write a time to two figures.

    Examples
    --------
    >>> from benchmarks.speed.words import seconds
    >>> seconds(0.0254), seconds(6.66), seconds(83.4)
    ('25 ms', '6.7 s', '83 s')
    """
    if value < 1:
        return f"{two(value * 1000)} ms"
    return f"{two(value)} s"


def times(ratio: float) -> str:
    """Write a ratio to two figures.

    Examples
    --------
    >>> from benchmarks.speed.words import times
    >>> times(0.337), times(5.04), times(1163)
    ('0.34x', '5.0x', '1,200x')
    """
    return f"{two(ratio)}x"


def count(value: float) -> str:
    """Write a count with separators.

    Examples
    --------
    >>> from benchmarks.speed.words import count
    >>> count(4864.5)
    '4,864'
    """
    return f"{value:,.0f}"


def range_of(values: Sequence[float]) -> str:
    """Write the median, and the range in brackets if there is one.

    Examples
    --------
    >>> from benchmarks.speed.words import range_of
    >>> range_of([0.06, 0.08, 0.07]), range_of([3.21])
    ('70 ms (60 ms to 80 ms, n = 3)', '3.2 s')
    """
    if len(values) == 1:
        return seconds(values[0])
    low, high = seconds(min(values)), seconds(max(values))
    return f"{seconds(median(values))} ({low} to {high}, n = {len(values)})"


def two(value: float) -> str:
    """Write two significant figures without an exponent.

    Examples
    --------
    >>> from benchmarks.speed.words import two
    >>> two(36_487.0), two(6.66), two(0.0254)
    ('36,000', '6.7', '0.025')
    """
    if value >= 100:
        digits = len(str(int(value))) - 2
        return f"{round(value / 10**digits) * 10**digits:,}"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"
