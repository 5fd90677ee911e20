"""How large runs are, and where a table is cut into runs that are fitted and runs ahead."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.criticism._reading import refuse
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.coverage import TOLERANCE, groups
from bayes_scaling.data.numbers import values_of
from bayes_scaling.errors import SpecError

CUTS = 6  # at most; each is a refit of every model and 200 of every baseline
GAP = np.log(1.25)  # between the rungs of a ladder; tables round and read figures by less
RUNG = 0.5  # of the runs: a table with more of them on one rung is no ladder
STEPS = (10.0, 10**0.5)  # usual cuts in compute: a decade and half a decade below the largest run


def compute_of(runs: pd.DataFrame) -> np.ndarray:
    """Return the compute of runs, FLOP: their own column, else 6ND.

    Raises
    ------
    SpecError
        The table does not say.
    """
    if "flops" in runs:
        return values_of(runs, "flops")
    if {"params", "tokens"} <= set(runs.columns):
        return flops_6nd(values_of(runs, "params"), values_of(runs, "tokens"))
    msg = "cuts are in compute, and the table has neither `flops` nor `params` and `tokens`"
    raise SpecError(msg)


def size_of(runs: pd.DataFrame, along: str) -> np.ndarray:
    """Return in what runs are small or large, raw counts or FLOP.

    Raises
    ------
    SpecError
        The table does not say.
    """
    if along == "flops":
        return compute_of(runs)
    if along not in runs:
        msg = f"backtest along {along!r}: the table has no such column"
        raise SpecError(msg)
    return values_of(runs, along)


def below(size: np.ndarray, edge: float, whose: np.ndarray | None) -> np.ndarray:
    """Return the positions of the runs to fit: at most so large, and none whose cluster is larger.

    Examples
    --------
    A run of two checkpoints, one on each side of the cut, is not fitted:

    >>> import numpy as np
    >>> from bayes_scaling.criticism._cuts import below
    >>> below(np.array([1.0, 1.0, 3.0]), 2.0, np.array(["a", "b", "b"])).tolist()
    [0]
    """
    fits = size <= edge
    if whose is not None:
        fits &= ~np.isin(whose, whose[~fits])
    return np.flatnonzero(fits)


def edges_of(
    size: np.ndarray,
    cuts: Any,
    least: int,
    usable: Callable[[np.ndarray], bool],
    whose: np.ndarray | None = None,
) -> np.ndarray:
    """Return the cuts that were given, or those there are by default.

    Parameters
    ----------
    size : (run,) array
    cuts : float or sequence of float, optional
    least : int
        Runs below a default cut.
    usable : callable
        Whether the runs at some positions can be fitted; default cuts keep to it.
    whose : (run,) array, optional
        Which runs go together, and are fitted or not as one.

    Raises
    ------
    SpecError
        All that is wrong with the cuts, or no default is left.
    """
    if cuts is None:
        fitted = {e: below(size, e, whose) for e in default_cuts(size, least)}
        edges = [e for e, rows in fitted.items() if len(rows) >= least and usable(rows)]
        if not edges:
            span = f"the runs span {size.min():.3g} to {size.max():.3g}"
            msg = (
                f"backtest: no cut leaves {least} runs below it that identify the law, and one "
                f"above ({len(size)} runs; {span}): give cuts"
            )
            raise SpecError(msg)
        return np.array(edges)
    edges, wrong = _given(size, cuts, whose)
    refuse("backtest", wrong)
    return edges


def steps_of(
    flops: np.ndarray, cuts: Any, whose: np.ndarray | None = None
) -> tuple[np.ndarray, list[str]]:
    """Return the cuts in compute, and what is wrong with them.

    Those that were given, or a decade and half a decade below the largest run.
    """
    # A default cut falls on the budgets of a ladder in decades: none of them is to be cut in two.
    usual = np.max(flops) / np.array(STEPS) * (1 + TOLERANCE)
    return _given(flops, usual if cuts is None else cuts, whose, " FLOP")


def _given(
    size: np.ndarray, cuts: Any, whose: np.ndarray | None, unit: str = ""
) -> tuple[np.ndarray, list[str]]:
    try:
        edges = np.unique(np.atleast_1d(np.asarray(cuts, float)))
    except (TypeError, ValueError):
        edges = np.empty(0)
    wrong = [] if edges.size else [f"cuts must be positive numbers; found {cuts!r}"]
    for edge in edges:
        if not 0 < edge < np.inf:
            wrong.append(f"cut {edge:g} is no positive number")
        elif not size.min() <= edge < size.max():
            side = "at or below" if edge < size.min() else "above"
            span = f"the runs span {size.min():.3g} to {size.max():.3g}{unit}"
            wrong.append(f"cut {edge:.3g}{unit} leaves no run {side} it: {span}")
        elif not len(below(size, edge, whose)):
            do = "give a larger cut, or let fewer runs go together"
            wrong.append(f"cut {edge:.3g}{unit}: all below it goes together with runs above; {do}")
    return edges, wrong


def default_cuts(size: np.ndarray, least: int) -> np.ndarray:
    """Return up to six cuts: between the rungs of a ladder, else evenly in logs.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.criticism._cuts import default_cuts
    >>> [f"{c:.3g}" for c in default_cuts(np.repeat([1e18, 1e19, 1e20], 8), 8)]
    ['3.16e+18', '3.16e+19']
    """
    logs = np.sort(np.log(size))
    gaps = np.flatnonzero(np.diff(logs) > GAP)
    if np.diff(np.concatenate([[0], gaps + 1, [len(logs)]])).max() <= RUNG * len(logs):
        gaps = gaps[gaps + 1 >= least]
        pick = np.linspace(0, len(gaps) - 1, min(CUTS, len(gaps))).round().astype(int)
        return np.exp((logs[gaps] + logs[gaps + 1]) / 2)[pick]
    if len(logs) <= least:
        return np.empty(0)
    wanted = np.linspace(logs[least - 1], logs[-1], CUTS + 1)[:-1]
    labels = groups(np.exp(logs))  # no budget is torn apart
    last = np.searchsorted(labels, labels[np.searchsorted(logs, wanted, "right") - 1], "right") - 1
    last = np.unique(last[last + 1 < len(logs)])
    return np.exp((logs[last] + logs[last + 1]) / 2)
