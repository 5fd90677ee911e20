"""What is remembered of a reading, so that reading again changes nothing."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bayes_scaling.data.numbers import row_labels, to_flags
from bayes_scaling.errors import Problem

RECORD = "bayes_scaling"
"""Key of ``runs.attrs`` under which `read_runs` records what it did."""


def earlier(
    table: pd.DataFrame, record: Mapping[str, Any]
) -> tuple[pd.DataFrame, dict[str, Any], bool, list[Problem]]:
    """Find out whether a table was read before.

    Parameters
    ----------
    table : DataFrame
    record : mapping
        What its attributes remember of a reading.

    Returns
    -------
    table : DataFrame
        With `use` as bool and `flag` as text, if it has them.
    record : dict
        What was recorded; empty for a new table, and for one that went through a file.
    again : bool
        Whether the table has the columns `use` and `flag` of a table that was read.
    problems : list of Problem
        If it has a column of that name that is something else.
    """
    present = [c for c in ("use", "flag") if c in table]
    if not present:
        return table, {}, False, []
    do = "rename it: read_runs writes a column of this name"
    if len(present) == 1:
        return table, {}, False, [Problem(present[0], (), "this name is taken", do)]
    use, bad = to_flags(pd.Series(table["use"]), "use", row_labels(table))
    flag = table["flag"].astype(object).where(table["flag"].notna(), "")
    if bad:
        return table, {}, False, [Problem("use", (), "neither true nor false", do)]
    return table.assign(use=use, flag=flag.map(str)), dict(record), True, []


def still_new(asked: Mapping[str, Any] | None, done: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of what is asked what was done in an earlier reading."""
    return {k: v for k, v in (asked or {}).items() if k not in done or done[k] != v}


def merge(record: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a record up to date: mappings and steps grow, the rest is replaced.

    Examples
    --------
    >>> from bayes_scaling.data.record import merge
    >>> merge({"units": {"tokens": "B"}, "count": "total"}, {"units": {}, "count": "active"})
    {'units': {'tokens': 'B'}, 'count': 'active'}
    """
    merged = {**record, **new}
    for key, value in new.items():
        if isinstance(value, Mapping):
            merged[key] = {**record.get(key, {}), **value}
        elif key == "steps":
            merged[key] = list(dict.fromkeys([*record.get(key, []), *value]))
    return merged
