"""The judgements of `summary`, each a function of the usable runs that says what to do."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from bayes_scaling.data.coverage import (
    COLLINEAR,
    TOLERANCE,
    IsoFlop,
    compute,
    correlation,
    distinct,
    drift,
    off_line,
)
from bayes_scaling.data.numbers import known, values_of

Status = Literal["PASS", "SKIP", "REVIEW", "FAIL"]

NOTHING = "nothing to do"


class Verdict(NamedTuple):
    """One judgement: what was asked, how it came out, what was found, what to do."""

    name: str
    status: Status
    found: str
    do: str


def judge(
    used: pd.DataFrame,
    budgets: Sequence[IsoFlop],
    coordinates: Sequence[str],
    n_parameters: int,
) -> tuple[Verdict, ...]:
    """Judge the usable runs; parameters as in `summary`."""
    verdicts = [_runs(len(used), n_parameters)]
    verdicts += [_coordinate(used, role) for role in coordinates]
    if {"params", "tokens"} <= {*coordinates} & {*used.columns}:
        plane = known(used, ("params", "tokens"))
        if min(distinct(values_of(plane, r)) for r in ("params", "tokens")) > 1:
            verdicts += [_plane(plane), _optimum(budgets)]
    moved = drift(used)
    if moved:
        do = "fit on flops='6ND' too and compare; plan with the convention you pay in"
        verdicts.append(Verdict("FLOP convention", "REVIEW", moved, do))
    flagged = sum(bool(f) for f in used["flag"])
    do = "look at their `flag`; set `use` to False for those that are wrong"
    if flagged:
        verdicts.append(Verdict("flags", "REVIEW", f"{flagged} usable runs are flagged", do))
    return tuple(verdicts)


def _runs(n: int, n_parameters: int) -> Verdict:
    found = f"{n} usable runs for {n_parameters} parameters"
    if n < n_parameters:
        do = f"add at least {n_parameters - n} runs, or fit a law with fewer parameters"
        return Verdict("runs", "FAIL", found, do)
    if n < 2 * n_parameters:
        do = f"the priors will matter; {2 * n_parameters - n} more runs would show the noise"
        return Verdict("runs", "REVIEW", found, do)
    return Verdict("runs", "PASS", found, NOTHING)


def _coordinate(used: pd.DataFrame, role: str) -> Verdict:
    values = values_of(known(used, [role]), role) if role in used else np.empty(0)
    n = distinct(values)
    if n == 0:
        return Verdict(role, "FAIL", f"no usable run has {role}", f"give {role} in the table")
    lo, hi = float(values.min()), float(values.max())
    decades = math.log10(hi / lo)
    found = f"{n} distinct values of {role} over {decades:.1f} decades"
    wider = f"add runs with {role} up to {10 * lo:.2g} or more, or down to {hi / 10:.2g} or less"
    if n == 1:
        do = f"add runs at two other values of {role}, such as {lo / 5:.2g} and {lo * 5:.2g}"
        return Verdict(role, "FAIL", f"all runs have {role} {lo:.3g}", do)
    if decades < 1:
        return Verdict(role, "REVIEW", found, wider)
    if n == 2:
        do = f"two values cannot tell a rate from a floor: add {role} {math.sqrt(lo * hi):.2g}"
        return Verdict(role, "REVIEW", found, do)
    return Verdict(role, "PASS", found, NOTHING)


def _plane(plane: pd.DataFrame) -> Verdict:
    budget = compute(plane)
    budget = budget[np.isfinite(budget)]
    r = correlation(plane)
    n, d = (float(np.median(values_of(plane, c))) for c in ("params", "tokens"))
    if len(budget) and distinct(budget) == 1:
        found = f"all runs are on one isoFLOP, {np.median(budget):.2g} FLOP"
        do = f"add a second budget, such as params {n:.2g} with tokens {d / 5:.2g} and {d * 5:.2g}"
        return Verdict("plane", "FAIL", found, do)
    off = f"add runs off the line, such as params {n:.2g} with tokens {d / 5:.2g} and {d * 5:.2g}"
    if off_line(plane) < TOLERANCE:
        found = f"ln params and ln tokens are on one line (correlation {r:.3f})"
        return Verdict("plane", "FAIL", found, off)
    found = f"correlation of ln params and ln tokens is {r:.2f}"
    if abs(r) > COLLINEAR:
        return Verdict("plane", "REVIEW", found, off)
    return Verdict("plane", "PASS", found, NOTHING)


def _optimum(budgets: Sequence[IsoFlop]) -> Verdict:
    inside = sum(b.bracketed for b in budgets)
    found = f"{inside} of {len(budgets)} isoFLOP budgets have their lowest loss at an inner size"
    if len(budgets) < 2:
        found = f"isoFLOP budgets with three or more sizes: {len(budgets)}"
        return Verdict("isoFLOP", "PASS", found, "more would show the optimum without a law")
    if inside == 0:
        do = "add smaller and larger models at a budget, until the loss turns on both sides"
        return Verdict("isoFLOP", "REVIEW", found, do)
    return Verdict("isoFLOP", "PASS", found, NOTHING)
