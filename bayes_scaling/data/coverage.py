"""What the runs cover of the (N, D) plane: budgets, sizes, collinearity, accounting drift."""

import math
from typing import NamedTuple

import numpy as np
import pandas as pd

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import known, usable, values_of

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
    order = np.argsort(values, kind="stable")
    label, start = -1, -math.inf
    out = np.empty(len(values), dtype=int)
    for i in order:
        if math.log(values[i]) - start > math.log1p(tolerance):
            label, start = label + 1, math.log(values[i])
        out[i] = label
    return out


def distinct(values: np.ndarray) -> int:
    """Count sizes (or budgets) that differ by more than the tolerance."""
    return int(groups(values).max()) + 1 if len(values) else 0


def isoflops(runs: pd.DataFrame) -> list[IsoFlop]:
    """Find the budgets at which at least three sizes were trained.

    Parameters
    ----------
    runs : DataFrame
        Usable runs with params and loss, and flops or tokens.

    Returns
    -------
    list of IsoFlop
        By increasing budget.
    """
    budget = compute(runs)
    here = np.isfinite(budget) & np.isfinite(values_of(runs, "loss"))
    budget, params, loss = (
        budget[here],
        values_of(runs, "params")[here],
        values_of(runs, "loss")[here],
    )
    labels = groups(budget)
    found = []
    for label in range(labels.max() + 1 if len(labels) else 0):
        inside = labels == label
        size = groups(params[inside])
        if size.max() + 1 < 3:
            continue
        best = size[int(np.argmin(loss[inside]))]
        middle = float(np.exp(np.log(budget[inside]).mean()))
        found.append(IsoFlop(middle, int(size.max()) + 1, bool(0 < best < size.max())))
    return found


def compute(runs: pd.DataFrame) -> np.ndarray:
    """Give every run's budget, FLOP: its own column, else 6ND."""
    if "flops" in runs:
        return values_of(runs, "flops")
    return np.asarray(flops_6nd(runs["params"], runs["tokens"]))


def correlation(runs: pd.DataFrame) -> float:
    """Correlate ln N with ln D; NaN if one of them does not vary."""
    n, d = _logs(runs)
    if distinct(np.exp(n)) < 2 or distinct(np.exp(d)) < 2:
        return math.nan
    return float(np.corrcoef(n, d)[0, 1])


def off_line(runs: pd.DataFrame) -> float:
    """Measure how far (ln N, ln D) leave a straight line: root mean square across it.

    Notes
    -----
    The smaller singular value of the centred points over ``sqrt(n)``, so that no coordinate is
    preferred. On a line (a fixed D/N, or one isoFLOP) the law is seen along one curve only.
    """
    points = np.stack(_logs(runs), axis=1)
    points = points - points.mean(axis=0)
    return float(np.linalg.svd(points, compute_uv=False)[-1] / math.sqrt(len(points)))


def drift(runs: pd.DataFrame) -> str | None:
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
    if not {"params", "tokens", "flops"} <= set(runs.columns):
        return None
    log_c = np.log(values_of(runs, "flops"))
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


def patterns(runs: pd.DataFrame) -> list[str]:
    """List what the usable runs, taken together, cannot tell.

    Parameters
    ----------
    runs : DataFrame
        A run table with its `use` column.

    Returns
    -------
    list of str
    """
    used = usable(runs)
    notes = []
    if len(used) < 5:
        notes.append(f"{len(used)} usable runs are fewer than a joint law's five parameters")
    if {"params", "tokens"} <= set(used.columns) and len(used) > 2:
        used = known(used, ("params", "tokens"))
        budget = compute(used)
        if distinct(budget[np.isfinite(budget)]) == 1:
            notes.append("all runs are on one isoFLOP: the loss is seen along one curve only")
        elif abs(r := correlation(used)) > COLLINEAR:
            notes.append(f"ln params and ln tokens are nearly collinear (correlation {r:.3f})")
    moved = drift(used)
    return notes + ([moved] if moved else [])


def _logs(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return np.log(values_of(runs, "params")), np.log(values_of(runs, "tokens"))
