"""From the authors' files to the tidy tables.

One module per family of source formats, one function per table. Each takes `Raw`, the downloaded
files by their path in the repository, and returns the table with the columns of its catalogue
entry. Nothing here knows where the files came from or where the table goes.
"""

import importlib
import pickle
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from bayes_scaling.data.catalogue import Dataset
from bayes_scaling.errors import DatasetError

if TYPE_CHECKING:  # listing data sets passes through here, and should not pay for pandas
    import pandas as pd

Raw = Mapping[str, Path]
Converter = Callable[[Raw], "pd.DataFrame"]


def make_table(dataset: Dataset, raw: Raw) -> "pd.DataFrame":
    """Convert downloaded files to the tidy table and check its shape against the catalogue.

    Parameters
    ----------
    dataset : Dataset
    raw : mapping of str to Path
        The files of ``dataset.sources`` by their path in the repository, already verified.

    Returns
    -------
    DataFrame
        The columns of ``dataset.fields`` in order; all rows of the file, views are made later.

    Raises
    ------
    DatasetError
        If the files cannot be converted, or give other columns or rows than the catalogue has.
    """
    module, function = dataset.convert.split(":")
    found = importlib.import_module(f"bayes_scaling.data.convert.{module}")
    try:
        table = cast(Converter, getattr(found, function))(raw)
    except (LookupError, ValueError, AttributeError, pickle.UnpicklingError) as e:
        why = f"{type(e).__name__}: {e}"
        raise DatasetError(_failed(dataset, f"the conversion stopped at {why}")) from e
    _check(dataset, table)
    return table


def pick(table: "pd.DataFrame", columns: Iterable[str]) -> "pd.DataFrame":
    """Take some columns of a table, all of which must be there."""
    return cast("pd.DataFrame", table[list(columns)])


def _check(dataset: Dataset, table: "pd.DataFrame") -> None:
    expected = [f.name for f in dataset.fields]
    columns = list(table.columns)
    if columns != expected:
        lacking = [c for c in expected if c not in columns]
        extra = [c for c in columns if c not in expected]
        what = f"columns differ: lacking {lacking}, unexpected {extra}"
        raise DatasetError(_failed(dataset, what if lacking or extra else "columns in other order"))
    kept = len(dataset.rows_of(table))
    if kept != dataset.rows:
        raise DatasetError(_failed(dataset, f"{kept} rows where the catalogue has {dataset.rows}"))


def _failed(dataset: Dataset, what: str) -> str:
    return (
        f"data set {dataset.name!r}: its files were downloaded and are the expected ones, but "
        f"{what}. Put a finished {dataset.file} in a folder and point BAYES_SCALING_DATA at it."
    )
