"""Several validation losses of a run: from a column of each to a row of each."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling._registry import did_you_mean
from bayes_scaling.data.read import read_runs
from bayes_scaling.data.record import RECORD
from bayes_scaling.data.source import Source, open_source
from bayes_scaling.errors import Problem, TableError

INTO = "validation"
OFF = 0.05  # of one: shares that sum to less or more are no rounded shares


def by_validation(
    source: Source,
    losses: Mapping[str, str] | Sequence[str] | str = "loss_",
    *,
    shares: Sequence[str] = (),
    **reading: Any,
) -> pd.DataFrame:
    """Read a table with a loss column for every validation set into a row per run and set.

    Parameters
    ----------
    source : path, DataFrame or mapping of column name to values
        A table as `read_runs` takes it, of one row per run, perhaps read already.
    losses : str, sequence of str or mapping of str to str
        What the loss columns begin with, the rest being the name of the set; or the columns
        themselves; or names of sets by column.
    shares : sequence of str
        Columns of shares of one whole, divided by their sum where that is not 1: tables round.
    **reading
        As of `read_runs`. What a run must have is ``require=("loss",)`` unless said.

    Returns
    -------
    DataFrame
        The columns of the table but the losses, `validation` and `loss`, and `use` and `flag`; all
        runs of one set after all of another. ``attrs`` are those of the table that was read, with
        what was done among the steps of its record.

    Raises
    ------
    TableError
        No such loss column, a single one missing, a name that is taken, shares that are missing or
        do not sum to 1 within 5 %, and whatever `read_runs` finds.

    Notes
    -----
    Losses are flagged among those of their own set: what is far above its neighbours there. A set
    that was not measured of a run is a row that is not used.

    Examples
    --------
    >>> from bayes_scaling import by_validation
    >>> wide = {"web": [0.2, 0.8], "code": [0.8, 0.2], "loss_news": [3.1, 2.9],
    ...         "loss_python": [1.2, 1.6]}
    >>> by_validation(wide)[["web", "code", "validation", "loss"]]
       web  code validation  loss
    0  0.2   0.8       news   3.1
    1  0.8   0.2       news   2.9
    2  0.2   0.8     python   1.2
    3  0.8   0.2     python   1.6
    """
    table, name = open_source(source)
    attrs, table.attrs = table.attrs, {}
    found, problems = _losses(table, losses)
    table, parts, wrong = _whole(table, tuple(shares))
    problems += wrong
    taken = [c for c in (INTO, "loss") if c in table and c not in found]
    do = "rename it: by_validation writes a column of this name"
    problems += [Problem(c, (), "this name is taken", do) for c in taken]
    if problems:
        raise TableError(attrs.get(RECORD, {}).get("source", name), problems)
    reading = {"require": ("loss",), **reading}
    rest = table.drop(columns=list(found))
    tables = []
    for column, of in found.items():
        one = rest.assign(**{INTO: of, "loss": table[column]})
        one.attrs = {k: v for k, v in attrs.items() if k == RECORD}
        tables.append(read_runs(one, **reading))
    first = tables[0].attrs[RECORD]
    for one in tables:
        one.attrs = {}  # pandas compares them, all the way down, when it joins tables
    out = pd.concat(tables, ignore_index=True)
    done = [*parts, f"{len(found)} loss columns to a row each, by {INTO}"]
    record = {**first, "steps": list(dict.fromkeys([*first["steps"], *done]))}
    if RECORD not in attrs:
        record["source"] = name
    out.attrs = {**attrs, RECORD: record}
    return out


def _losses(table: pd.DataFrame, given: Any) -> tuple[dict[str, str], list[Problem]]:
    columns = [str(c) for c in table.columns]
    if isinstance(given, str):
        found = {c: c.removeprefix(given) for c in columns if c.startswith(given) and c != given}
        if found:
            return found, []
        what = f"no column begins with {given!r}; columns are {', '.join(map(repr, columns))}"
        do = "name them: losses=['loss_web', ...], or losses={'loss_web': 'web', ...}"
        return {}, [Problem(None, (), what, do)]
    found = {str(k): str(v) for k, v in given.items()} if isinstance(given, Mapping) else {
        str(c): str(c) for c in given}  # fmt: skip
    problems = []
    for c in found:
        if c not in columns:
            do = f"the table has {', '.join(map(repr, columns))}"
            what = f"there is no such column.{did_you_mean(c, columns)}"
            problems.append(Problem(c, (), what, do))
    if not found or len(set(found.values())) < len(found):
        what = f"losses names {len(found)} columns of {len(set(found.values()))} validation sets"
        problems.append(
            Problem(None, (), what, "give one column or more, each of a set of its own")
        )
    return found, problems


def _whole(
    table: pd.DataFrame, shares: tuple[str, ...]
) -> tuple[pd.DataFrame, list[str], list[Problem]]:
    """Divide shares by their sum."""
    if not shares:
        return table, [], []
    if lacking := [c for c in shares if c not in table]:
        columns = ", ".join(map(repr, table.columns))
        lost = [
            Problem(c, (), "there is no such column", f"the table has {columns}") for c in lacking
        ]
        return table, [], lost
    given = table[list(shares)].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    total = given.sum(axis=1)
    bad = ~((given >= 0).all(axis=1) & (np.abs(total - 1) <= OFF))
    if bad.any():
        rows = tuple(f"row {i}" for i in np.flatnonzero(bad))
        shown = ", ".join(dict.fromkeys(f"{v:.4g}" for v in total[bad]))[:80]
        what = f"{', '.join(shares)} sum to {shown}"
        do = "give shares of one whole, from 0 on, which sum to 1"
        return table, [], [Problem(shares[0], rows, what, do)]
    moved = int((np.abs(total - 1) > 1e-9).sum())
    said = [f"{', '.join(shares)} of {moved} runs divided by their sum"] if moved else []
    return table.assign(**dict(zip(shares, (given / total[:, None]).T, strict=True))), said, []
