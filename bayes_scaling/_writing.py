"""Numbers as people write them."""

import math

LETTERS = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
SEARCHED = 1e-6  # share that numeric searches leave
ROUNDING = 1e-20  # what float64 leaves of a difference squared


def size(value: float) -> str:
    """Write a count to three digits, with a letter.

    Examples
    --------
    >>> from bayes_scaling._writing import size
    >>> size(71.23e9), size(1.35e12), size(999.9e6), size(44e6), size(float("inf"))
    ('71.2B', '1.35T', '1.00B', '44.0M', 'none')
    """
    rounded = float(f"{value:.3g}")  # first, so that 999.9e6 becomes 1.00B and not 1000M
    if not 1e3 <= rounded < 1e15:
        return flop(value) if rounded >= 1e15 else _digits(rounded, 3)
    letter, scale = next((k, v) for k, v in reversed(LETTERS.items()) if rounded >= v)
    return f"{_digits(rounded / scale, 3)}{letter}"


def flop(value: float) -> str:
    """Write compute, FLOP.

    Examples
    --------
    >>> from bayes_scaling._writing import flop
    >>> flop(1e24), flop(5.76e23), flop(float("inf"))
    ('1e24', '5.76e23', 'none')
    """
    if value == math.inf:
        return "none"
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if exponent else mantissa


def number(value: float) -> str:
    """Write any other number, to four digits; what is left of rounding in float64 is zero.

    Examples
    --------
    >>> from bayes_scaling._writing import number
    >>> number(1.96), number(2085.43), number(0.0041239)
    ('1.960', '2085', '0.004124')
    """
    return _digits(value, 4) if not abs(value) < ROUNDING else "0"


def percent(share: float) -> str:
    """Write a share in per cent, to two digits; what searches leave of nothing is zero.

    Examples
    --------
    >>> from bayes_scaling._writing import percent
    >>> percent(0.0314), percent(1e-12)
    ('3.1 %', '0 %')
    """
    return f"{100 * share:.2g} %" if not abs(share) < SEARCHED else "0 %"


def _digits(value: float, digits: int) -> str:
    return f"{value:#.{digits}g}".rstrip(".")
