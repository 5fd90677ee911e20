"""Runs and curves that are handed to a check: read as numbers, with all that is wrong at once."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.numbers import row_labels
from bayes_scaling.errors import Problem, SpecError
from bayes_scaling.laws import misfits, ranges_of


def refuse(what: str, wrong: Sequence[str]) -> None:
    """Raise SpecError with every problem, if there is one."""
    if wrong:
        lines = "\n".join(f"  {i}. {w}" for i, w in enumerate(wrong, 1))
        msg = f"{what}: {len(wrong)} problem{'s' if len(wrong) > 1 else ''}\n{lines}"
        raise SpecError(msg)


def read_sizes(
    given: Any,
    wanted: Sequence[str],
    what: str,
    more: Sequence[str] = (),
    *,
    zero: Sequence[str] = (),
    law: Any = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Read positive columns of a mapping or a table, and say all that is wrong with them.

    Parameters
    ----------
    given : mapping or DataFrame
    wanted : sequence of str
        Columns that must be there.
    what : str
        What it is, for messages.
    more : sequence of str
        Columns that are read too where they are there.
    zero : sequence of str
        Columns that may be zero, and as small as they like.
    law : Law, optional
        What reads them: what it says of inputs that are no sizes is what they may be.

    Returns
    -------
    table : DataFrame
        The columns as float64, under the index (and with the column `run`) of `given`.
    problems : list of str
    """
    if not isinstance(given, Mapping | pd.DataFrame):
        return pd.DataFrame(), [f"{what}: a mapping or a DataFrame is wanted; found {given!r}"]
    try:
        frame = pd.DataFrame(given) if isinstance(given, pd.DataFrame) else _frame(given)
    except ValueError:
        sizes = ", ".join(f"{k} {np.size(v)}" for k, v in given.items())
        return pd.DataFrame(), [f"{what}: columns of different lengths ({sizes}); give one length"]
    if not len(frame):
        return pd.DataFrame(), [f"{what}: no run in it; give one at least"]
    labels, problems, ranges = row_labels(frame), [], ranges_of(law)
    out = pd.DataFrame({"run": frame["run"]} if "run" in frame else {}, index=frame.index)
    for name in dict.fromkeys((*wanted, *more)):
        loss, sized = name.startswith("loss"), name not in zero
        if name not in frame:
            if name in wanted:
                do = "give it, in nats per token" if loss else "give it, a raw count (70e9)"
                problems.append(Problem(name, (), "missing", do))
            continue
        values = np.asarray(pd.to_numeric(pd.Series(frame[name]), errors="coerce"), np.float64)
        low = values >= 0 if name in zero else values > 0
        if name in ranges:
            low, sized = True, False
        if (bad := ~(np.isfinite(values) & low)).any():
            shown = ", ".join(dict.fromkeys(repr(v) for v in frame[name].to_numpy()[bad].tolist()))
            do = "a positive and finite number is wanted, a raw count (70e9)"
            if loss:
                do = "a run that diverged or is not finished has no loss to compare: leave it out"
            problems.append(Problem(name, labels.where(bad), f"found {shown[:80]}", do))
        elif sized and not loss and values.max() < _least(name):
            found = f"the largest value is {values.max():.3g}, too small for {COLUMNS[name].unit}"
            problems.append(Problem(name, (), found, "give raw counts (70e9, not 70)"))
        out[name] = values
    if law is not None and not problems:
        found = misfits(law, {c: out[c].to_numpy() for c in law.inputs if c in out})
        problems += [Problem(m.column, labels.where(m.rows), m.found, m.do) for m in found]
    for name, odd, do in (("diverged", True, "leave it out"), ("use", False, "see its `flag`")):
        if name in frame and (bad := frame[name].to_numpy(bool) == odd).any():
            found = "marked as diverged" if odd else "set aside, not to be used"
            problems.append(Problem(name, labels.where(bad), found, do))
    return out, [f"{what}, {problem}" for problem in problems]


def _frame(given: Mapping[str, Any]) -> pd.DataFrame:
    values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v)) for v in given.values()))
    return pd.DataFrame(dict(zip(given, values, strict=True)))


def _least(name: str) -> float:
    plausible = COLUMNS[name].plausible if name in COLUMNS else None
    return plausible[0] if plausible else 0.0
