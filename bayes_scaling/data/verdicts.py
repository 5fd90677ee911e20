"""The judgements of `summary`, each a function of the usable runs that says what to do."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.coverage import (
    COLLINEAR,
    TOLERANCE,
    IsoFlop,
    compute,
    correlation,
    distinct,
    drift,
    off_line,
    on_one_budget,
    varies,
)
from bayes_scaling.data.numbers import Columns, known

Status = Literal["PASS", "SKIP", "REVIEW", "FAIL"]

NOTHING = "nothing to do"


class Verdict(NamedTuple):
    """One judgement: what was asked, how it came out, what was found, what to do."""

    name: str
    status: Status
    found: str
    do: str


def judge(
    used: Columns,
    n: int,
    n_flagged: int,
    budgets: Sequence[IsoFlop],
    coordinates: Sequence[str],
    n_parameters: int,
) -> tuple[Verdict, ...]:
    """Judge the usable runs.

    Parameters
    ----------
    used : mapping of role to array
        Usable runs.
    n, n_flagged : int
        How many they are, and how many of them are flagged.
    budgets : sequence of IsoFlop
    coordinates : sequence of str
    n_parameters : int
        As in `summary`.

    Returns
    -------
    tuple of Verdict
    """
    verdicts = [_runs(n, n_parameters)]
    verdicts += [_coordinate(used, role) for role in coordinates]
    plane = _joint(used, coordinates)
    if plane is not None:
        verdicts += [_plane(plane), _optimum(budgets)]
    moved = drift(used)
    if moved:
        do = "fit on flops='6ND' too and compare; plan with the convention you pay in"
        verdicts.append(Verdict("FLOP convention", "REVIEW", moved, do))
    do = "look at their `flag`; set `use` to False for those that are wrong"
    if n_flagged:
        verdicts.append(Verdict("flags", "REVIEW", f"{n_flagged} usable runs are flagged", do))
    return tuple(verdicts)


def refuse(
    used: Columns, n: int, coordinates: Sequence[str], n_parameters: int
) -> tuple[Verdict, ...]:
    """Find what `judge` fails the usable runs for, and look at nothing else."""
    plane = _joint(used, coordinates)
    found = [
        _runs(n, n_parameters),
        *(_one_value(_values(used, role), role) for role in coordinates),
        None if plane is None else _one_curve(plane),
    ]
    return tuple(v for v in found if v is not None and v.status == "FAIL")


def _joint(used: Columns, coordinates: Sequence[str]) -> Columns | None:
    """Pick the runs in the (N, D) plane, if the law and the runs vary over both."""
    if not {"params", "tokens"} <= {*coordinates} & {*used}:
        return None
    plane = known(used, ("params", "tokens"))
    return plane if varies(plane["params"]) and varies(plane["tokens"]) else None


def _runs(n: int, n_parameters: int) -> Verdict:
    found = f"{n} usable runs for {n_parameters} parameters"
    if n < n_parameters:
        do = f"add at least {n_parameters - n} runs, or fit a law with fewer parameters"
        return Verdict("runs", "FAIL", found, do)
    if n < 2 * n_parameters:
        do = f"the priors will matter; {2 * n_parameters - n} more runs would show the noise"
        return Verdict("runs", "REVIEW", found, do)
    return Verdict("runs", "PASS", found, NOTHING)


def _values(used: Columns, role: str) -> np.ndarray:
    return known({role: used[role]}, [role])[role] if role in used else np.empty(0)


def _one_value(values: np.ndarray, role: str) -> Verdict | None:
    if not len(values):
        return Verdict(role, "FAIL", f"no usable run has {role}", f"give {role} in the table")
    if varies(values):
        return None
    lo = float(values.min())
    others = "such as {:.2g} and {:.2g}".format(*_beside(lo, role)) if lo > 0 else "above 0"
    do = f"add runs at two other values of {role}, {others}"
    return Verdict(role, "FAIL", f"all runs have {role} {lo:.3g}", do)


def _beside(value: float, role: str) -> tuple[float, float]:
    """Return two other values of a column, which a share and a count can have."""
    low, high = value / 5, 5 * value
    kind = COLUMNS[role].kind if role in COLUMNS else "fraction"  # as of a mixture's domains
    if kind == "fraction" and value <= 1 <= high:
        return low, value / 2
    if kind == "count":
        return (round(low), high) if round(low) else (high, 5 * high)
    return low, high


def _coordinate(used: Columns, role: str) -> Verdict:
    values = _values(used, role)
    failed = _one_value(values, role)
    if failed:
        return failed
    lo, hi = float(values.min()), float(values.max())
    if lo == 0:  # an amount that may be none spans no decades
        return Verdict(role, "PASS", f"values of {role} from 0 to {hi:.3g}", NOTHING)
    n = distinct(values)
    decades = math.log10(hi / lo)
    found = f"{n} distinct values of {role} over {decades:.1f} decades"
    if decades < 1:
        do = f"add runs with {role} up to {10 * lo:.2g} or more, or down to {hi / 10:.2g} or less"
        return Verdict(role, "REVIEW", found, do)
    if n == 2:
        do = f"two values cannot tell a rate from a floor: add {role} {math.sqrt(lo * hi):.2g}"
        return Verdict(role, "REVIEW", found, do)
    return Verdict(role, "PASS", found, NOTHING)


def _one_curve(plane: Columns) -> Verdict | None:
    if on_one_budget(plane):
        budget = compute(plane)
        found = f"all runs are on one isoFLOP, {np.median(budget[np.isfinite(budget)]):.2g} FLOP"
        return Verdict("plane", "FAIL", found, f"add a second budget, {_elsewhere(plane)}")
    if off_line(plane) < TOLERANCE:
        found = f"ln params and ln tokens are on one line (correlation {correlation(plane):.3f})"
        return Verdict("plane", "FAIL", found, f"add runs off the line, {_elsewhere(plane)}")
    return None


def _plane(plane: Columns) -> Verdict:
    failed = _one_curve(plane)
    if failed:
        return failed
    r = correlation(plane)
    found = f"correlation of ln params and ln tokens is {r:.2f}"
    if abs(r) > COLLINEAR:
        do = f"add runs off the line, {_elsewhere(plane)}"
        return Verdict("plane", "REVIEW", found, do)
    return Verdict("plane", "PASS", found, NOTHING)


def _elsewhere(plane: Columns) -> str:
    n, d = (float(np.median(plane[c])) for c in ("params", "tokens"))
    return f"such as params {n:.2g} with tokens {d / 5:.2g} and {d * 5:.2g}"


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
