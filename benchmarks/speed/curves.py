"""How the time and the memory of a fit grow: with rows, draws, parameters and the number of fits.

Every point is a process of its own, so that its memory is its own; one that fails stays, with why.
"""

from collections.abc import Iterable
from typing import Any

from benchmarks.speed.client import once
from benchmarks.speed.progress import say

ROWS = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)
DRAWS = (1000, 4000, 20_000, 100_000)
FITS = (1, 10, 100, 1000)
PLANS = 20
POOLED_ROWS = 960
PARAMS: tuple[dict[str, Any], ...] = (
    {"law": "tied, no floor", "dimensions": 5},
    {"law": "chinchilla", "dimensions": 7},
    {"law": "nested", "dimensions": 8},
    {"law": "pooled", "groups": 3, "dimensions": 19},
    {"law": "pooled", "groups": 10, "dimensions": 40},
    {"law": "pooled", "groups": 30, "dimensions": 100},
)
SECONDS = 600  # for one point


def rows() -> list[dict[str, Any]]:
    """Fit the default model to 10^2 .. 10^7 simulated rows."""
    return _points(({"rows": n} for n in ROWS), growing=True)


def draws() -> list[dict[str, Any]]:
    """Ask for 10^3 .. 10^5 draws from 240 rows."""
    return _points({"rows": 240, "draws": n} for n in DRAWS)


def params() -> list[dict[str, Any]]:
    """Fit models of more and more parameters to 960 rows."""
    return _points({"rows": POOLED_ROWS, **p} for p in PARAMS)


def many() -> dict[str, Any]:
    """Fit 1 .. 1,000 tables with one call, and plan 100 budgets."""
    say(f"fit_many of {', '.join(map(str, FITS))} tables")
    fits = once("many", {"fits": FITS}, timeout=2 * SECONDS)
    say("allocate")
    return {"fits": fits, "plans": once("many", {"plans": PLANS}, timeout=SECONDS)}


def limits() -> dict[str, Any]:
    """Measure what bounds a fit on this machine."""
    return once("limits", {}, timeout=SECONDS)


def _points(asked: Iterable[dict[str, Any]], *, growing: bool = False) -> list[dict[str, Any]]:
    """Fit each in turn; with `growing`, nothing larger than a failure is tried."""
    out: list[dict[str, Any]] = []
    for a in asked:
        if growing and out and "failed" in out[-1]:
            out.append({**a, "failed": "not tried: a smaller table failed"})
            continue
        say(f"one fit: {a}")
        out.append({**a, **once("one_fit", a, timeout=SECONDS)})
    return out
