"""From what a column holds to float64 in canonical units, or the problems with it."""

from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import COLUMNS, Column
from bayes_scaling.errors import Problem, SpecError

Columns = Mapping[str, np.ndarray]
"""Role -> (run,) float64 array."""

_MISSING = {"", "na", "n/a", "nan", "none", "null"}
_TRUE, _FALSE = {"true", "1", "1.0", "yes"}, {"false", "0", "0.0", "no", "-0.0", *_MISSING}


class RowLabels:
    """Names of the runs: the `run` column if it tells them apart, else "row 7" from row 0.

    Parameters
    ----------
    run : (run,) Series, optional
        The column, if there is one. Nothing is looked at until a name is asked for.
    """

    def __init__(self, run: pd.Series | None) -> None:
        self._run = run

    def at(self, rows: np.ndarray) -> list[str]:
        """Name some rows, given by their positions."""
        if len(rows) and self._named is not None:
            return [str(r) for r in self._named.iloc[rows]]
        return [f"row {i}" for i in rows]

    def where(self, which: np.ndarray) -> tuple[str, ...]:
        """Name the rows of a mask."""
        return tuple(self.at(np.flatnonzero(which)))

    @cached_property
    def _named(self) -> pd.Series | None:
        run = self._run
        return run if run is not None and run.notna().all() and run.is_unique else None


def row_labels(runs: pd.DataFrame) -> RowLabels:
    """Give the names of the runs of a table."""
    return RowLabels(pd.Series(runs["run"]) if "run" in runs else None)


def to_numbers(
    values: pd.Series, column: Column, name: str, labels: RowLabels
) -> tuple[np.ndarray, list[Problem]]:
    """Read a numeric column without guessing.

    Parameters
    ----------
    values : (run,) Series
    column : Column
        The role.
    name : str
        The column's own name, for messages.
    labels : RowLabels
        The runs' names, for messages.

    Returns
    -------
    (run,) float64 array
        NaN where a value is missing or is no number.
    problems : list of Problem

    Notes
    -----
    Text that is plainly a number ("1e9") counts as one. "12B" and "1,000" do not: a letter may be
    a unit or a slip, and the comma is a decimal mark in half of the world.
    """
    nothing = np.full(len(values), np.nan)
    kind = _wrong_type(values)
    if kind:
        do = f"{column.name} must be numbers; name another: columns={{{column.name!r}: ...}}"
        return nothing, [Problem(name, (), f"holds {kind}", do)]
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=np.float64, na_value=np.nan), []
    plain = _plain_numbers(values)
    if plain is not None:
        return plain, []
    numbers = np.array([_number(v) for v in values], dtype=object)
    bad = np.array([n is None for n in numbers], dtype=bool)
    problems = []
    if bad.any():
        shown = ", ".join(dict.fromkeys(repr(v) for v in values[bad]))
        shown = shown if len(shown) <= 80 else shown[:80] + "..."
        unit = next((u for u in column.units if u not in ("1", "K", "M")), None)
        how = (
            f", and pass units={{{column.name!r}: {unit!r}}} for a unit that all share"
            if unit
            else ""
        )
        do = f"write plain numbers without thousands separators or units{how}"
        problems.append(Problem(name, labels.where(bad), f"{_values(bad)} no number: {shown}", do))
    numbers[bad] = np.nan
    return numbers.astype(np.float64), problems


def to_flags(values: pd.Series, name: str, labels: RowLabels) -> tuple[np.ndarray, list[Problem]]:
    """Read a yes-or-no column; missing means no.

    Returns
    -------
    (run,) bool array
    problems : list of Problem
    """
    if values.dtype == bool:
        return values.to_numpy(), []
    which, kinds = _kinds(values)
    words = ["" if _is_missing(v) else str(v).strip().lower() for v in kinds]
    bad = np.array([w not in _TRUE | _FALSE for w in words], dtype=bool)[which]
    problems = []
    if bad.any():
        shown = ", ".join(dict.fromkeys(repr(v) for v in values[bad]))[:80]
        found = f"{_values(bad)} neither true nor false: {shown}"
        problems.append(Problem(name, labels.where(bad), found, "use true and false"))
    return np.array([w in _TRUE for w in words], dtype=bool)[which], problems


def check_values(
    numbers: np.ndarray, column: Column, name: str, labels: RowLabels, unit: str | None
) -> list[Problem]:
    """Say which values the role does not allow, and whether the unit looks wrong.

    Parameters
    ----------
    numbers : (run,) float64 array, canonical units
    column : Column
    name : str
    labels : RowLabels
    unit : str or None
        The unit that the caller stated. A stated raw unit ends the argument about magnitude.

    Returns
    -------
    list of Problem
    """
    finite = np.isfinite(numbers)
    do = "remove these runs or correct them"
    problems = []
    if column.name != "loss" and np.isinf(numbers).any():  # a loss of inf is a diverged run
        bad = np.isinf(numbers)
        found = f"{_values(bad)} infinite"
        problems.append(Problem(name, labels.where(bad), found, do))
    if column.kind in ("positive", "count") and (numbers[finite] <= 0).any():
        bad = finite & (numbers <= 0)
        n = int(bad.sum())
        found = f"{n} value{'s' if n > 1 else ''} <= 0"
        noun = "positive counts" if column.scale == "size" else "positive"
        problems.append(
            Problem(name, labels.where(bad), found, f"{column.name} must be {noun} - {do}")
        )
    elif column.kind == "amount" and (bad := finite & (numbers < 0)).any():
        found = f"{_values(bad)} below 0: {numbers[bad][0]:g}"
        problems.append(Problem(name, labels.where(bad), found, do))
    elif column.kind == "count" and (bad := finite & ~_whole(numbers)).any():
        found = f"{_values(bad)} no whole number: {numbers[bad][0]:g}"
        problems.append(Problem(name, labels.where(bad), found, do))
    elif column.kind == "fraction" and (bad := finite & ((numbers < 0) | (numbers > 1))).any():
        found = f"{_values(bad)} outside 0 to 1"
        how = f"pass units={{{column.name!r}: '%'}} if they are in per cent, or correct them"
        problems.append(Problem(name, labels.where(bad), found, how))
    elif finite.any() and (unit is None or column.units.get(unit) != 1.0):
        problems += _magnitude(numbers[finite], column, name, unit)
    return problems


def values_of(runs: Mapping[str, Any] | pd.DataFrame, role: str) -> np.ndarray:
    """Give a column as (run,) float64 array."""
    return np.asarray(runs[role], dtype=np.float64)


def positive(value: Any, what: str) -> np.ndarray:
    """Take one positive finite number or a list of them, or say what was wanted.

    Parameters
    ----------
    value : float or (n,) array
    what : str
        The beginning of the message, such as "budget must be positive FLOP, one or a list of them".

    Returns
    -------
    (n,) float64 array

    Raises
    ------
    SpecError
        Words, nothing, more than one dimension, or a number that is not positive and finite.

    Examples
    --------
    >>> from bayes_scaling.data.numbers import positive
    >>> positive(1e22, "budget must be positive FLOP")
    array([1.e+22])
    """
    try:
        values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values) & (values > 0)):
        msg = f"{what}; found {value!r}"
        raise SpecError(msg)
    return values


def counts(value: Any, role: str, what: str) -> np.ndarray:
    """Take positive counts, refusing those that must be in another unit: 70 for 70e9.

    Examples
    --------
    >>> from bayes_scaling.data.numbers import counts
    >>> counts([7e9, 70e9], "params", "Shelf: positive params")
    array([7.e+09, 7.e+10])
    """
    values, plausible = positive(value, what), COLUMNS[role].plausible
    if plausible and values.max() < plausible[0]:
        msg = f"{what}: raw counts (70e9, not 70); the largest found is {values.max():g}"
        raise SpecError(msg)
    return values


def one_number(value: Any, what: str, above: float = 0.0) -> float:
    """Take one finite number above a bound, or say what was wanted.

    Examples
    --------
    >>> from bayes_scaling.data.numbers import one_number
    >>> one_number(0.2, "overhead: a share of tokens such as 0.2")
    0.2
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if isinstance(value, str | bool) or not above < number < np.inf:
        msg = f"{what}; found {value!r}"
        raise SpecError(msg)
    return number


def without_attrs(runs: pd.DataFrame) -> pd.DataFrame:
    """Give the same columns without the table's attributes.

    pandas copies attributes, all the way down, whenever a column is looked at.
    """
    bare = pd.DataFrame(runs)
    bare.attrs = {}
    return bare


def usable(runs: pd.DataFrame) -> pd.DataFrame:
    """Pick the runs that can be fitted, without the table's attributes."""
    bare = without_attrs(runs)
    return bare.take(np.flatnonzero(bare["use"]))


def usable_columns(runs: pd.DataFrame, roles: Iterable[str]) -> tuple[int, dict[str, np.ndarray]]:
    """Count the runs that can be fitted, and give those of some columns that the table has.

    Arrays, because pandas takes longer to look at a column than the judgements take. A column
    without a role may hold words, which are no numbers here; who fits it says so.
    """
    bare = without_attrs(runs)
    use = np.flatnonzero(bare["use"])
    return len(use), {role: _coerced(bare, role)[use] for role in roles if role in bare}


def _coerced(runs: pd.DataFrame, role: str) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(runs[role].dtype):
        return values_of(runs, role)
    return np.asarray(pd.to_numeric(pd.Series(runs[role]), errors="coerce"), dtype=np.float64)


def known(columns: Columns, roles: Iterable[str]) -> Columns:
    """Pick the runs that have a value for every one of some roles."""
    have = ~np.any([np.isnan(columns[role]) for role in roles], axis=0)
    return columns if have.all() else {role: values[have] for role, values in columns.items()}


def _magnitude(numbers: np.ndarray, column: Column, name: str, unit: str | None) -> list[Problem]:
    if column.plausible is None:
        return []
    lo, hi = column.plausible
    typical = float(np.median(numbers) if column.name == "loss" else np.max(numbers))
    if lo <= typical <= hi:
        return []
    if column.name == "loss":
        found = f"the median loss is {typical:.3g}, far above any cross-entropy in nats per token"
        do = "take logs if this is a perplexity; pass units={'loss': 'nats'} if it is right"
    elif typical < lo:
        found = f"the largest value is {typical:.3g}, too small for {column.unit}"
        likely = ("EFLOP", "1e18 FLOP") if column.scale == "compute" else ("B", "billions")
        do = (
            f"pass units={{{column.name!r}: {likely[0]!r}}} if they are in {likely[1]} "
            f"(known: {', '.join(column.units)}), units={{{column.name!r}: '1'}} if they are raw"
        )
    else:
        found = f"the largest value is {typical:.3g} {column.unit}, more than any run has used"
        if unit is None:
            do = f"correct it, or pass units={{{column.name!r}: '1'}} if it is right"
        else:
            do = f"leave out units={{{column.name!r}: {unit!r}}} if the values are raw already"
    return [Problem(name, (), found, do)]


def _wrong_type(values: pd.Series) -> str | None:
    types = pd.api.types
    if types.is_bool_dtype(values.dtype):
        return "booleans"
    if types.is_complex_dtype(values.dtype):
        return "complex numbers"
    if types.is_datetime64_any_dtype(values.dtype):
        return "dates"
    if types.is_timedelta64_dtype(values.dtype):
        return "time differences"
    return None


def _plain_numbers(values: pd.Series) -> np.ndarray | None:
    """Convert a column of nothing but numbers, or of nothing but their text, at once."""
    values = values.astype(object)
    kind = pd.api.types.infer_dtype(values, skipna=True)
    text = kind == "string" and not values.str.contains("_", regex=False, na=False).any()
    if not text and kind not in ("floating", "integer", "mixed-integer-float"):
        return None
    try:
        return values.to_numpy().astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        return None


def _kinds(values: pd.Series) -> tuple[np.ndarray, Collection[Any]]:
    """Tell which of the different values every run has, and what they are."""
    try:
        which, kinds = pd.factorize(values, use_na_sentinel=False)
    except TypeError:  # lists and the like
        return np.arange(len(values)), list(values)
    return which, list(kinds)


def _number(value: Any) -> float | None:
    if _is_missing(value):
        return np.nan
    if isinstance(value, bool | np.bool_ | complex | np.complexfloating) or (
        isinstance(value, str) and "_" in value
    ):
        return None
    try:
        return np.nan if str(value).strip().lower() in _MISSING else float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _is_missing(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _whole(numbers: np.ndarray) -> np.ndarray:
    # 50.257 K is 50256.999...: whole up to rounding.
    return np.abs(numbers - np.round(numbers)) <= 1e-9 * np.abs(numbers)


def _values(bad: np.ndarray) -> str:
    n = int(bad.sum())
    return f"{n} value{'s are' if n > 1 else ' is'}"
