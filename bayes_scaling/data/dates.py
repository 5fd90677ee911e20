"""Dates as years with a fraction, and back."""

import datetime
import re
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.numbers import RowLabels
from bayes_scaling.errors import Problem, SpecError

ISO = re.compile(r"(\d{4})(?:-(\d{1,2}))?(?:-(\d{1,2}))?(?:[T ].*)?")
WANTED = "a year such as 2024.5, or text such as 2024-07-01 or 2024-07"


def year_of(date: Any) -> float:
    """Return a date as a year with a fraction.

    Parameters
    ----------
    date : float, str, datetime.date or Timestamp
        A year such as 2024.5; year, month and day as 2024-07-01; or the first two, which is the
        middle of that month. A year alone, as text, is its middle.

    Raises
    ------
    SpecError
        Anything else. Days before months are not guessed at.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> bs.year_of("2024-07-02"), bs.year_of(2024.5)
    (2024.5, 2024.5)
    """
    if isinstance(date, int | float | np.integer | np.floating) and not isinstance(date, bool):
        if np.isfinite(date):
            return float(date)
    elif isinstance(date, datetime.date) and not pd.isna(date):
        return _year(datetime.date(date.year, date.month, date.day))
    elif isinstance(date, str):
        try:
            return float(date) if "." in date else _text(date.strip())
        except ValueError:
            pass
    msg = f"a date is {WANTED}; found {date!r}"
    raise SpecError(msg)


def to_years(values: pd.Series, name: str, labels: RowLabels) -> tuple[np.ndarray, list[Problem]]:
    """Read a column of dates.

    Returns
    -------
    (run,) float64 array
        Years; NaN where a value is missing or is no date.
    problems : list of Problem
    """
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), []
    years, bad = np.full(len(values), np.nan), np.zeros(len(values), bool)
    for i, value in enumerate(values.tolist()):
        if pd.isna(value) or (isinstance(value, str) and not value.strip()):
            continue
        try:
            years[i] = year_of(value)
        except SpecError:
            bad[i] = True
    if not bad.any():
        return years, []
    shown = ", ".join(dict.fromkeys(repr(v) for v in values[bad].tolist()))[:80]
    found = f"{int(bad.sum())} values are no date: {shown}"
    return years, [Problem(name, labels.where(bad), found, f"a date is {WANTED}")]


def _text(date: str) -> float:
    found = ISO.fullmatch(date)
    if not found:
        raise ValueError
    year, month, day = found.groups()
    if month is None:
        return int(year) + 0.5
    if day is None:
        first = _year(datetime.date(int(year), int(month), 1))
        return first + 0.5 / 12
    return _year(datetime.date(int(year), int(month), int(day)))


def _year(date: datetime.date) -> float:
    start = datetime.date(date.year, 1, 1)
    length = (datetime.date(date.year + 1, 1, 1) - start).days
    return date.year + (date - start).days / length
