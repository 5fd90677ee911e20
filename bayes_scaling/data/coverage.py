"""What the runs cover of the (N, D) plane: budgets, sizes, collinearity, accounting drift."""

import math
from typing import NamedTuple

import numpy as np

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import Columns, known

TOLERANCE = 0.02
"""Values within 2 % count as one size or one budget: tables round, and figures are read by eye."""

COLLINEAR = 0.95
"""Correlation of ln N and ln D above which N and D hardly vary apart."""


class IsoFlop(NamedTuple):
    """Runs at one budget (FLOP), how many sizes, and whether the best size is an inner one."""

    flops: float
    sizes: int
    bracketed: bool


def groups(values: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Label positive values so that those within `tolerance` of a group's smallest share one.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.data.coverage import groups
    >>> groups(np.array([1e18, 3e18, 1.01e18]))
    array([0, 1, 0])
    """
    logs, which = np.unique(_log(values), return_inverse=True)
    first = np.zeros(len(logs), dtype=int)
    first[_starts(logs, math.log1p(tolerance))] = 1
    return np.cumsum(first)[which] - 1


def distinct(values: np.ndarray) -> int:
    """Count sizes (or budgets) that differ by more than the tolerance."""
    return len(_starts(np.unique(_log(values)), math.log1p(TOLERANCE)))


def varies(values: np.ndarray) -> bool:
    """Tell whether there are two sizes (or budgets) that differ by more than the tolerance."""
    return len(values) > 0 and bool(values.max() > (1 + TOLERANCE) * values.min())


def isoflops(runs: Columns) -> list[IsoFlop]:
    """Find the budgets at which at least three sizes were trained.

    Parameters
    ----------
    runs : mapping of role to array
        Usable runs with params and loss, and flops or tokens.

    Returns
    -------
    list of IsoFlop
        By increasing budget.
    """
    budget = compute(runs)
    here = np.flatnonzero(np.isfinite(budget) & np.isfinite(runs["loss"]))
    labels = groups(budget[here])
    order = np.argsort(labels, kind="stable")
    found = []
    for inside in np.split(here[order], np.flatnonzero(np.diff(labels[order])) + 1):
        if len(inside) < 3:
            continue
        size = groups(runs["params"][inside])
        if size.max() + 1 < 3:
            continue
        best = size[int(np.argmin(runs["loss"][inside]))]
        middle = float(np.exp(np.log(budget[inside]).mean()))
        found.append(IsoFlop(middle, int(size.max()) + 1, bool(0 < best < size.max())))
    return found


def compute(runs: Columns) -> np.ndarray:
    """Give every run's budget, FLOP: its own column, else 6ND."""
    return runs["flops"] if "flops" in runs else flops_6nd(runs["params"], runs["tokens"])


def on_one_budget(runs: Columns) -> bool:
    """Tell whether all runs whose budget is known cost the same."""
    budget = compute(runs)
    budget = budget[np.isfinite(budget)]
    return len(budget) > 0 and not varies(budget)


def correlation(runs: Columns) -> float:
    """Correlate ln N with ln D; NaN if one of them does not vary."""
    n, d = _logs(runs)
    if not (varies(np.exp(n)) and varies(np.exp(d))):
        return math.nan
    return float(np.corrcoef(n, d)[0, 1])


def off_line(runs: Columns) -> float:
    """Measure how far (ln N, ln D) leave a straight line: root mean square across it.

    Notes
    -----
    The smaller singular value of the centred points over ``sqrt(n)``, so that no coordinate is
    preferred. On a line (a fixed D/N, or one isoFLOP) the law is seen along one curve only.
    """
    points = np.stack(_logs(runs), axis=1)
    points = points - points.mean(axis=0)
    return float(np.linalg.svd(points, compute_uv=False)[-1] / math.sqrt(len(points)))


def drift(runs: Columns) -> str | None:
    """Say how 6ND/C moves with C, if it does.

    Returns
    -------
    str or None
        A sentence; None if the ratio is steady or cannot be had.

    Notes
    -----
    Least squares of ``ln(6ND/C)`` on ``ln C``. A drift is reported when the line changes by more
    than 5 % over the range of C and its slope is more than 4 standard errors from zero (false alarm
    under Gaussian scatter below 1e-3 from 20 runs on).
    """
    if not {"params", "tokens", "flops"} <= set(runs):
        return None
    log_c = np.log(runs["flops"])
    log_r = np.log(flops_6nd(runs["params"], runs["tokens"])) - log_c
    here = np.isfinite(log_r)
    log_c, log_r = log_c[here], log_r[here]
    if len(log_c) < 4 or np.ptp(log_c) < 0.1:
        return None
    slope, at_zero = np.polyfit(log_c - log_c.mean(), log_r, 1)
    line = at_zero + slope * (np.array([log_c.min(), log_c.max()]) - log_c.mean())
    rest = log_r - at_zero - slope * (log_c - log_c.mean())
    error = math.sqrt(rest @ rest / (len(rest) - 2) / (np.var(log_c) * len(rest)))
    if abs(line[1] - line[0]) > 0.05 and abs(slope) > 4 * error:
        first, last = np.exp(line)
        low, high = np.exp([log_c.min(), log_c.max()])
        return (
            f"6ND/C drifts from {first:.2f} to {last:.2f} as C goes from {low:.2g} to {high:.2g} "
            f"FLOP (slope {slope:.3f} per e-fold)"
        )
    middle = float(np.exp(np.median(log_r)))
    if abs(math.log(middle)) > 0.1:
        return f"6ND/C is {middle:.2f} throughout: the table counts FLOPs by another rule than 6ND"
    return None


def patterns(used: Columns, n: int) -> list[str]:
    """List what the usable runs, taken together, cannot tell.

    Parameters
    ----------
    used : mapping of role to array
        Usable runs.
    n : int
        How many they are.

    Returns
    -------
    list of str
    """
    notes = []
    if n < 5:
        notes.append(f"{n} usable runs are fewer than a joint law's five parameters")
    if {"params", "tokens"} <= set(used) and n > 2:
        used = known(used, ("params", "tokens"))
        if on_one_budget(used):
            notes.append("all runs are on one isoFLOP: the loss is seen along one curve only")
        elif abs(r := correlation(used)) > COLLINEAR:
            notes.append(f"ln params and ln tokens are nearly collinear (correlation {r:.3f})")
    moved = drift(used)
    return notes + ([moved] if moved else [])


def _logs(runs: Columns) -> tuple[np.ndarray, np.ndarray]:
    return np.log(runs["params"]), np.log(runs["tokens"])


def _log(values: np.ndarray) -> np.ndarray:
    # NumPy's own logarithm differs in the last bit between machines, and tables hold exact ratios.
    return np.fromiter(map(math.log, values.tolist()), np.float64, len(values))


def _starts(logs: np.ndarray, step: float) -> list[int]:
    """Find the first of every group in increasing logs: more than a step above the last first."""
    after = np.searchsorted(logs, logs + step, side="right")
    # The sum above is rounded, the difference that counts is not: at most one place off.
    after -= logs[after - 1] - logs > step
    after += np.append(logs, math.inf)[after] - logs <= step
    starts, i = [], 0
    following = after.tolist()
    while i < len(following):
        starts.append(i)
        i = following[i]
    return starts
