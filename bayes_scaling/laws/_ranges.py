"""Inputs that are no sizes: which of their values no law knows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.laws._protocol import HasShares, ranges_of

ROUNDED = 1e-3  # of one: shares are often given to three digits


@dataclass(frozen=True)
class Misfit:
    """Values that a law does not know: of which input, in which rows, and what to do."""

    column: str
    rows: np.ndarray
    found: str
    do: str


def misfits(law: Any, x: Mapping[str, Any]) -> list[Misfit]:
    """Find the values outside the ranges of a law's inputs, and shares that do not sum to one.

    Parameters
    ----------
    law : Law
    x : mapping of str to (row,) array
        Inputs that are not there are not looked at.

    Examples
    --------
    >>> from bayes_scaling.laws._ranges import misfits
    >>> from bayes_scaling.laws import Chinchilla
    >>> misfits(Chinchilla(), {"params": [1e9], "tokens": [2e10]})
    []
    """
    out = []
    for name, (low, high) in ranges_of(law).items():
        if name not in x:
            continue
        values = np.atleast_1d(np.asarray(x[name], float))
        if (bad := ~((values >= low) & (values <= high))).any():
            shown = ", ".join(dict.fromkeys(f"{v:g}" for v in values[bad]))
            out.append(
                Misfit(name, bad, f"found {shown[:80]}", f"give numbers {_within(low, high)}")
            )
    shares = law.shares if isinstance(law, HasShares) else ()
    if shares and set(shares) <= set(x):
        total = np.atleast_1d(sum(np.asarray(x[s], float) for s in shares))
        if (bad := ~(np.abs(total - 1) <= ROUNDED)).any():
            shown = ", ".join(dict.fromkeys(f"{v:.4g}" for v in total[bad]))
            found = f"{', '.join(shares)} sum to {shown[:80]}"
            out.append(Misfit(shares[0], bad, found, "give shares of one whole, which sum to 1"))
    return out


def _within(low: float, high: float) -> str:
    if np.isfinite(high):
        return f"from {low:g} to {high:g}"
    return f"of at least {low:g}"
