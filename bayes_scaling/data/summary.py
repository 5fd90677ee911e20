"""What a run table can identify, before anything is fitted to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.coverage import (
    IsoFlop,
    correlation,
    distinct,
    isoflops,
    patterns,
)
from bayes_scaling.data.numbers import known, row_labels, usable_columns, without_attrs
from bayes_scaling.data.read import read_runs
from bayes_scaling.data.record import RECORD
from bayes_scaling.data.verdicts import Status, Verdict, judge, refuse


@dataclass(frozen=True)
class TableSummary:
    """What a table holds and what it can tell.

    Parameters
    ----------
    n_runs, n_used : int
        Runs in the table, and runs that can be fitted.
    ranges : mapping of role to (lo, hi), canonical units
        Over the usable runs.
    decades : mapping of role to float
        log10(hi / lo) of params, tokens, flops and tokens_per_param.
    correlation : float
        Of ln N and ln D; NaN if one of them does not vary.
    sizes : int
        Distinct params, within 2 %.
    isoflops : tuple of IsoFlop
        Budgets with at least three sizes.
    reducible_range : float, nats per token
        Highest minus lowest loss. The floor E cancels, so this much is what the terms in N and D
        have to explain.
    flagged : tuple of (run, in use, reasons)
    notes : tuple of str
        What reading did to the table, and what its runs taken together cannot tell.
    verdicts : tuple of Verdict
        Nothing should be fitted on a FAIL.
    """

    n_runs: int
    n_used: int
    ranges: Mapping[str, tuple[float, float]]
    decades: Mapping[str, float]
    correlation: float
    sizes: int
    isoflops: tuple[IsoFlop, ...]
    reducible_range: float
    flagged: tuple[tuple[str, bool, str], ...]
    notes: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def n_bracketed(self) -> int:
        """Count the budgets whose lowest loss has runs on both sides."""
        return sum(b.bracketed for b in self.isoflops)

    @property
    def status(self) -> Status:
        """Give the worst verdict."""
        found = {v.status for v in self.verdicts}
        return "FAIL" if "FAIL" in found else "REVIEW" if "REVIEW" in found else "PASS"

    def failures(self) -> tuple[Verdict, ...]:
        """Pick the verdicts that stand in the way of a fit."""
        return tuple(v for v in self.verdicts if v.status == "FAIL")

    def __str__(self) -> str:
        """Write a report of a screenful."""
        lines = [f"{self.n_used} of {self.n_runs} runs usable: {self.status}", ""]
        for role, (lo, hi) in self.ranges.items():
            span = f"{self.decades[role]:.1f} decades" if role in self.decades else ""
            unit = COLUMNS[role].unit.strip("1") if role in COLUMNS else ""
            lines.append(f"  {role:<18} {lo:>9.4g} to {hi:<9.4g} {unit:<14} {span}".rstrip())
        budgets = f"{len(self.isoflops)} isoFLOP budgets, {self.n_bracketed} bracketed"
        lines.append(f"  {self.sizes} sizes; {budgets}")
        lines.append("")
        for v in self.verdicts:
            do = "" if v.status == "PASS" else f"; {v.do}"
            lines.append(f"  {v.status:<6} {v.name}: {v.found}{do}")
        if self.flagged:
            lines += ["", f"{len(self.flagged)} flagged runs"]
            lines += [f"  {r}{'' if u else ' (not used)'}: {why}" for r, u, why in self.flagged[:5]]
            lines += ["  ..."] if len(self.flagged) > 5 else []
        lines += ["", *(f"note: {n}" for n in self.notes)] if self.notes else []
        return "\n".join(lines)


def summary(
    runs: pd.DataFrame, *, coordinates: Sequence[str] = ("params", "tokens"), n_parameters: int = 5
) -> TableSummary:
    """Sum a run table up and judge whether it can identify a law.

    Parameters
    ----------
    runs : DataFrame
        A run table; one that was not read yet is read first.
    coordinates : sequence of str
        Roles that the law varies over; params and tokens for a joint law.
    n_parameters : int
        Parameters of the law: five in ``E + A N^-alpha + B D^-beta``.

    Returns
    -------
    TableSummary

    Raises
    ------
    TableError
        If the table was not read before and has problems.

    Notes
    -----
    FAIL: fewer usable runs than parameters; a coordinate with one value; with both params and
    tokens as coordinates, all runs on one isoFLOP or within 2 % of a line in (ln N, ln D), where
    the law is seen along a curve only. REVIEW: fewer than two runs per parameter, two values or
    less than a decade of a coordinate, ``|corr(ln N, ln D)| > 0.95``, no bracketed isoFLOP among
    two or more, 6ND/C off or drifting, flags on usable runs.

    Examples
    --------
    >>> from bayes_scaling.data.read import read_runs
    >>> from bayes_scaling.data.summary import summary
    >>> runs = read_runs({"N": [1e8, 1e9, 1e10], "D": [2e9, 2e10, 2e11], "L": [3.4, 2.7, 2.3]})
    >>> for verdict in summary(runs).failures():
    ...     print(verdict.found)
    3 usable runs for 5 parameters
    ln params and ln tokens are on one line (correlation 1.000)
    """
    if not {"use", "flag"} <= set(runs.columns):
        runs = read_runs(runs)
    bare = without_attrs(runs)
    numeric = [r for r in COLUMNS if COLUMNS[r].numeric]
    n, used = usable_columns(runs, dict.fromkeys((*numeric, *coordinates)))
    ranges = {r: _range(used[r]) for r in numeric if r in used and not np.isnan(used[r]).all()}
    plane = known(used, ("params", "tokens")) if {"params", "tokens"} <= set(used) else {}
    joint = len(plane.get("params", ())) > 0
    if joint:
        ranges["tokens_per_param"] = _range(plane["tokens"] / plane["params"])
    spanned = ("params", "tokens", "flops", "tokens_per_param")
    budgets = tuple(isoflops(plane)) if joint and "loss" in plane else ()
    flagged = np.flatnonzero(bare["flag"].to_numpy(dtype=object).astype(bool))
    use = bare["use"].to_numpy(dtype=bool)[flagged]
    sizes = used.get("params", np.empty(0))
    return TableSummary(
        n_runs=len(runs),
        n_used=n,
        ranges=ranges,
        decades={r: math.log10(ranges[r][1] / ranges[r][0]) for r in spanned if r in ranges},
        correlation=correlation(plane) if joint else math.nan,
        sizes=distinct(sizes[~np.isnan(sizes)]),
        isoflops=budgets,
        reducible_range=float(np.ptp(ranges["loss"])) if "loss" in ranges else math.nan,
        flagged=tuple(
            (label, bool(was), str(flag))
            for label, was, flag in zip(
                row_labels(bare).at(flagged), use, bare["flag"].iloc[flagged], strict=True
            )
        ),
        notes=(*runs.attrs.get(RECORD, {}).get("steps", ()), *patterns(used, n)),
        verdicts=judge(used, n, int(use.sum()), budgets, coordinates, n_parameters),
    )


def refusals(
    runs: pd.DataFrame, coordinates: Sequence[str], n_parameters: int
) -> tuple[Verdict, ...]:
    """Pick the verdicts of `summary` that stand in the way of a fit, and look at nothing else."""
    n, used = usable_columns(runs, dict.fromkeys((*coordinates, "params", "tokens", "flops")))
    return refuse(used, n, coordinates, n_parameters)


def _range(values: np.ndarray) -> tuple[float, float]:
    return float(np.nanmin(values)), float(np.nanmax(values))
