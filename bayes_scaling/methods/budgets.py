"""Runs by budget: what the first two approaches start from."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.coverage import TOLERANCE, groups
from bayes_scaling.data.numbers import usable, values_of
from bayes_scaling.data.read import read_runs
from bayes_scaling.errors import FitError, Problem, SpecError, TableError

SIZES = 3  # different sizes at one budget, for a minimum to show
REQUIRED = ("params", "tokens", "loss")


class Budget(NamedTuple):
    """The runs at one budget.

    Parameters
    ----------
    flops : float, FLOP
        The geometric mean of theirs.
    rows : (run,) array of int
        Their positions in the table.
    """

    flops: float
    rows: np.ndarray


class Runs(NamedTuple):
    """Usable runs as arrays, (run,) each; `flops` is the table's own, or 6ND."""

    params: np.ndarray
    tokens: np.ndarray
    loss: np.ndarray
    flops: np.ndarray


def runs_of(table: Any) -> Runs:
    """Take what these methods need from a run table.

    Raises
    ------
    TableError
        A column is missing or has gaps.
    FitError
        No usable run.
    """
    if not (isinstance(table, pd.DataFrame) and {"use", "flag"} <= set(table.columns)):
        table = read_runs(table)
    used = usable(table)
    do = "give it: these methods look at loss over params and tokens"
    problems = [Problem(c, (), "missing", do) for c in REQUIRED if c not in used]
    gaps = {c: int(np.isnan(values_of(used, c)).sum()) for c in REQUIRED if c in used}
    problems += [
        Problem(c, (), f"{n} missing values", "fill them in or drop these runs")
        for c, n in gaps.items()
        if n
    ]
    if problems:
        source = "run table"
        raise TableError(source, problems)
    if used.empty:
        msg = "no usable run in the table: every row is flagged as unusable; see its column `flag`"
        raise FitError(msg)
    params, tokens, loss = (values_of(used, c) for c in REQUIRED)
    own = values_of(used, "flops") if "flops" in used else flops_6nd(params, tokens)
    return Runs(params, tokens, loss, np.where(np.isfinite(own), own, flops_6nd(params, tokens)))


def budgets_of(runs: Runs, tolerance: float = TOLERANCE) -> list[Budget]:
    """Find the budgets at which at least three sizes were trained, by increasing compute.

    Runs within `tolerance` of a budget's cheapest one belong to it.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> from bayes_scaling.methods.budgets import budgets_of, runs_of
    >>> len(budgets_of(runs_of(bs.load_dataset("simulated-chinchilla"))))
    9
    """
    if not 0 <= tolerance < np.inf:
        msg = f"tolerance is a share of a budget, such as 0.02; found {tolerance!r}"
        raise SpecError(msg)
    labels = groups(runs.flops, tolerance)
    out = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if groups(runs.params[rows]).max() + 1 >= SIZES:
            out.append(Budget(float(np.exp(np.log(runs.flops[rows]).mean())), rows))
    return out
