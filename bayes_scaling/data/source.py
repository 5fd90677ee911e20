"""From a path or an object to a raw DataFrame, with nothing interpreted yet."""

import difflib
import itertools
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_scaling.errors import Problem, TableError

Source = str | os.PathLike[str] | pd.DataFrame | Mapping[str, Any]


def open_source(source: Source) -> tuple[pd.DataFrame, str]:
    """Load a table as it is.

    Parameters
    ----------
    source : path, DataFrame or mapping of column name to values
        Files: ``.csv``, ``.csv.gz``, ``.parquet``, ``.jsonl``, ``.ndjson``.

    Returns
    -------
    table : DataFrame
        A copy, with text column names and rows 0 .. n-1. A named index becomes a column.
    name : str
        What to call the source in a message.

    Raises
    ------
    TableError
        If there is no table to be had: nothing else can be said then.

    Examples
    --------
    >>> from bayes_scaling.data.source import open_source
    >>> open_source({"params": [1e8, 1e9]})
    (        params
    0  1.000000e+08
    1  1.000000e+09, 'mapping')
    """
    if isinstance(source, str | os.PathLike):
        table, name = _from_file(os.fspath(source)), os.fspath(source)
    elif isinstance(source, Mapping):
        table, name = _from_mapping(source), "mapping"
    elif isinstance(source, pd.DataFrame):
        table, name = source.copy(), "DataFrame"
    else:
        found = f"a {type(source).__name__} is not a table"
        name = "source"
        raise _error(name, found, "give a path, a pandas DataFrame or a dict of columns")
    named = any(level is not None for level in table.index.names)
    table = table.reset_index(drop=not named)
    table.columns = pd.Index([str(c) for c in table.columns], dtype=object)
    repeated = [c for c, n in Counter(table.columns).items() if n > 1]
    if repeated:
        raise TableError(name, [_repeated(c) for c in repeated])
    if table.empty:
        found = f"it has {len(table.columns)} columns and {len(table)} rows"
        raise _error(name, found, "a run table needs a header and one row per training run")
    return table, name


def _from_mapping(source: Mapping[str, Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(dict(source))
    except ValueError as e:
        name = "mapping"
        raise _error(name, str(e), "give every column as many values as runs") from e


def _from_file(path: str) -> pd.DataFrame:
    shown = path if len(path) <= 200 else path[:200] + "..."
    if not os.path.exists(path):  # False, not an error, for names that no file can have
        raise _error(shown, *_missing(path))
    if os.path.isdir(path):
        inside = [n for n in _names(Path(path)) if n.endswith(tuple(_READERS))]
        tables = ", ".join(inside[:5]) or "none with a known extension"
        raise _error(shown, "it is a folder", f"give one file; tables in it: {tables}")
    reader = next((r for end, r in _READERS.items() if path.lower().endswith(end)), None)
    if reader is None:
        found = f"the extension {''.join(Path(path).suffixes) or '(none)'} is not one that is read"
        raise _error(shown, found, f"use {', '.join(_READERS)}, or pass a DataFrame")
    if os.path.getsize(path) == 0:
        raise _error(shown, "the file is empty (0 bytes)", "write the table again")
    try:
        return reader(path)
    except ImportError as e:
        do = "pip install 'bayes-scaling[parquet]', or save the table as .csv"
        raise _error(shown, "reading Parquet needs pyarrow, which is not installed", do) from e
    except (ValueError, OSError, EOFError, pd.errors.ParserWarning) as e:
        first = (str(e).strip() or type(e).__name__).splitlines()[0]
        do = "check that the file is complete and is what its extension says"
        raise _error(shown, f"the file cannot be read: {first}", do) from e


def _read_csv(path: str) -> pd.DataFrame:
    # pandas renames a repeated header in silence ("loss.1"), so look at the header first.
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, encoding="utf-8-sig")
    cells = header.iloc[0].dropna().str.strip()
    repeated = [c for c, n in Counter(cells).items() if n > 1]
    if repeated:
        raise TableError(path, [_repeated(c) for c in repeated])
    sep = next((s for s in ";\t|" if len(cells) == 1 and s in cells.iloc[0]), None)
    if sep is not None:
        found = f"the header has one field, {cells.iloc[0]!r}: fields look separated by {sep!r}"
        do = f"separate by commas, or pass pandas.read_csv({os.path.basename(path)!r}, sep={sep!r})"
        raise _error(path, found, do)
    with warnings.catch_warnings():
        # More fields than the header would be cut off with a warning only.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        table = pd.read_csv(
            path,
            index_col=False,
            low_memory=False,
            encoding="utf-8-sig",
        )
    return table.rename(columns=lambda c: str(c).strip())


def _read_jsonl(path: str) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    with open(path, encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, object_pairs_hook=_unrepeated)
            except json.JSONDecodeError as e:
                msg = f"line {number} is not JSON ({e.msg})"
                raise ValueError(msg) from e
            if not isinstance(row, dict):
                msg = f"line {number} is not an object with one field per column"
                raise ValueError(msg)
            rows.append(row)
    return pd.DataFrame(rows)


_READERS: dict[str, Callable[[str], pd.DataFrame]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": pd.read_parquet,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
}


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        msg = f"a line names a column twice, among {', '.join(k for k, _ in pairs)}"
        raise ValueError(msg)
    return row


def _missing(path: str) -> tuple[str, str]:
    if "\n" in path:
        do = "for text in memory pass pandas.read_csv(io.StringIO(text))"
        return "there is no such file: the name holds line breaks", do
    if "://" in path:
        return "addresses are not read", "download the file first and give its path"
    wanted = Path(path)
    parents = [p for p in wanted.parents if os.path.isdir(p)]
    folder = parents[0] if parents else Path(".")
    if folder != wanted.parent:
        shown = folder.absolute()
        return "there is no such file", f"the nearest folder that exists is {shown}"
    names = _names(folder)
    close = difflib.get_close_matches(wanted.name, names, n=3, cutoff=0.6)
    if close:
        return "there is no such file", f"did you mean {', '.join(map(repr, close))}?"
    tables = [n for n in names if n.endswith(tuple(_READERS))]
    listed = f"tables there: {', '.join(tables[:5])}" if tables else "it holds no table"
    return "there is no such file", f"looked in {folder.absolute()}; {listed}"


def _names(folder: Path, most: int = 2000) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in itertools.islice(entries, most))
    except OSError:
        return []


def _repeated(name: str) -> Problem:
    return Problem(name, (), "two columns have this name", "rename or remove one of them")


def _error(source: str, found: str, do: str) -> TableError:
    return TableError(source, [Problem(None, (), found, do)])
