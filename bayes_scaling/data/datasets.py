"""Data sets by name: what there is, what is in them, and the table itself.

Real data are downloaded from their authors' repository at a fixed commit, checked by SHA-256,
converted and cached; the package holds none of them, since several state no licence. A finished
table in ``$BAYES_SCALING_DATA`` is used first. What ships inside is ours and small.
"""

import functools
import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pandas as pd

from bayes_scaling.data.catalogue import Dataset, catalogue
from bayes_scaling.data.convert.download import download
from bayes_scaling.data.convert.store import content_of, sha256_of, where_is
from bayes_scaling.errors import DatasetError

__all__ = ["Dataset", "describe_dataset", "fetch_dataset", "list_datasets", "load_dataset"]


def list_datasets() -> pd.DataFrame:
    """List the data sets and where each would come from.

    Returns
    -------
    DataFrame
        Columns ``name``, ``rows`` (missing for a simulated one), ``serves`` (what one would fit to
        it), ``licence`` and ``where``: ``embedded`` in the package, ``local`` in the folder
        ``$BAYES_SCALING_DATA``, ``cached``, ``download``, or ``by hand`` when the table cannot be
        made from its sources.

    Examples
    --------
    >>> from bayes_scaling.data.datasets import list_datasets
    >>> list_datasets()[["name", "where"]].iloc[0].tolist()
    ['flagships', 'embedded']
    """
    rows = [
        {
            "name": d.name,
            "rows": d.rows,
            "serves": ", ".join(d.serves),
            "licence": d.licence,
            "where": where_is(d),
        }
        for d in map(catalogue().__getitem__, catalogue())
    ]
    return pd.DataFrame(rows).astype({"rows": "Int64"})


def describe_dataset(name: str) -> Dataset:
    """Say everything that is known of a data set; print the result for a page to read.

    Parameters
    ----------
    name : str
        As in `list_datasets`.

    Returns
    -------
    Dataset
        Columns with units, citation, licence, pitfalls, source files, published estimates.

    Raises
    ------
    UnknownNameError
        If there is no such data set.

    Examples
    --------
    >>> from bayes_scaling.data.datasets import describe_dataset
    >>> nine = describe_dataset("nine-runs")
    >>> nine.licence, nine.fields[1].unit
    ('Apache-2.0', 'parameters')
    >>> print(str(nine).splitlines()[0])
    nine-runs: nine runs of an invented study, for first steps
    """
    return catalogue()[name]


def load_dataset(name: str, *, raw: bool = False) -> pd.DataFrame:
    """Load a data set by name.

    Parameters
    ----------
    name : str
        As in `list_datasets`.
    raw : bool
        Return the tidy table as it is, without making a run table of it.

    Returns
    -------
    DataFrame
        Where each row is a training run (params, tokens and loss, or batch size and steps), the
        validated run table with canonical columns; else the tidy table. ``attrs["dataset"]`` holds
        the name, the SHA-256 of the table that was read, its licence and citation.

    Raises
    ------
    UnknownNameError
        If there is no such data set.
    DatasetError
        If the table cannot be had, or a local one is not the one the catalogue knows.

    Notes
    -----
    The table is looked for in the folder ``$BAYES_SCALING_DATA`` (a file such as
    ``chinchilla.csv``), then in the cache, then made from a download. The cache is the platform's,
    or the folder ``$BAYES_SCALING_CACHE``.

    Examples
    --------
    >>> from bayes_scaling.data.datasets import load_dataset
    >>> runs = load_dataset("nine-runs", raw=True)
    >>> runs[["params", "tokens", "loss"]].iloc[[0, -1]]
             params        tokens   loss
    0  1.000000e+08  1.000000e+09  2.894
    8  1.000000e+09  1.000000e+11  2.407
    >>> runs.attrs["dataset"]["licence"]
    'Apache-2.0'
    """
    dataset = catalogue()[name]
    if dataset.kind == "simulated":
        table, sha256 = _simulate(dataset), ""
    else:
        content = content_of(dataset)
        table, sha256 = _parse(dataset, content), sha256_of(content)
    about = {
        "name": dataset.name,
        "title": dataset.title,
        "sha256": sha256,
        "licence": dataset.licence,
        "citation": list(dataset.citation),
    }
    runs = table if raw or not dataset.is_runs else _as_runs(dataset, table)
    runs.attrs["dataset"] = about
    return runs


def fetch_dataset(name: str) -> tuple[Path, ...]:
    """Download a data set's source files without converting them.

    Parameters
    ----------
    name : str
        As in `list_datasets`.

    Returns
    -------
    tuple of Path
        The files, verified, in the cache; empty for a data set that needs none.

    Raises
    ------
    UnknownNameError
        If there is no such data set.
    DatasetError
        If a file cannot be downloaded, or is not the one the catalogue knows.

    Examples
    --------
    >>> from bayes_scaling.data.datasets import fetch_dataset
    >>> fetch_dataset("nine-runs")
    ()
    """
    return tuple(download(catalogue()[name]).values())


def _as_runs(dataset: Dataset, table: pd.DataFrame) -> pd.DataFrame:
    """Make a validated run table: the one place that knows the table reader."""
    from bayes_scaling.data.read import read_runs  # listing data sets does not need it

    columns = {r: c or None for r, c in dataset.roles.items()}
    return read_runs(table, columns=columns, require=dataset.required)


def _parse(dataset: Dataset, content: bytes) -> pd.DataFrame:
    dtypes: dict[str, Any] = {"int": "int64", "float": "float64", "bool": "bool", "str": str}
    table = pd.read_csv(
        io.BytesIO(content), dtype={f.name: dtypes[f.dtype] for f in dataset.fields}
    )
    return dataset.rows_of(table)


def _simulate(dataset: Dataset) -> pd.DataFrame:
    module, function = dataset.loader.split(":")
    try:
        make = functools.reduce(getattr, function.split("."), importlib.import_module(module))
    except (ModuleNotFoundError, AttributeError) as e:
        msg = (
            f"data set {dataset.name!r} is made by {dataset.loader}, which this installation "
            f"lacks ({e}); install a complete bayes-scaling"
        )
        raise DatasetError(msg) from e
    return cast(Callable[[], pd.DataFrame], make)()
