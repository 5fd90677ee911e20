"""Where a tidy table comes from: the package, the user's folder, the cache, or a download."""

import hashlib
import os
import warnings
from pathlib import Path
from typing import Literal

from bayes_scaling.data.catalogue import Dataset, embedded
from bayes_scaling.data.convert import make_table
from bayes_scaling.data.convert.download import cache_folder, download, no_converter
from bayes_scaling.errors import DatasetError

Where = Literal["embedded", "local", "cached", "download", "by hand"]


def where_is(dataset: Dataset) -> Where:
    """Say where `content_of` would take the table from; nothing is opened."""
    if dataset.kind != "upstream":
        return "embedded"
    if (local := _local(dataset)) is not None and local.is_file():
        return "local"
    if _cached(dataset).is_file():
        return "cached"
    return "download" if dataset.convert else "by hand"


def _local(dataset: Dataset) -> Path | None:
    folder = os.environ.get("BAYES_SCALING_DATA")
    return Path(folder).expanduser() / dataset.file if folder else None


def _cached(dataset: Dataset) -> Path:
    # The hash in the name: a corrected catalogue does not meet a table of the old one.
    stem, extension = dataset.file.split(".", 1)
    return cache_folder() / "tables" / f"{stem}-{dataset.sha256[:12]}.{extension}"


def content_of(dataset: Dataset) -> bytes:
    """Read the bytes of the tidy file from the first place that has it.

    Parameters
    ----------
    dataset : Dataset
        Embedded or upstream.

    Returns
    -------
    bytes
        The CSV, with all rows of the file: a view is made of it later.

    Raises
    ------
    DatasetError
        If no place has it, or the local file is not the one the catalogue knows.
    """
    if dataset.kind == "embedded":
        return embedded(dataset.file).read_bytes()
    if (local := _local(dataset)) is not None and local.is_file():
        return _verified(dataset, local)
    cached = _cached(dataset)
    if not cached.is_file():
        _make(dataset, cached)
    return cached.read_bytes()


def _verified(dataset: Dataset, local: Path) -> bytes:
    content = local.read_bytes()
    if sha256_of(content) != dataset.sha256:
        msg = (
            f"{local} is not the table of data set {dataset.name!r}: its SHA-256 is "
            f"{sha256_of(content)}, expected {dataset.sha256}. Replace the file, or unset "
            f"BAYES_SCALING_DATA; to use it as it is: read_runs({str(local)!r})."
        )
        raise DatasetError(msg)
    return content


def _make(dataset: Dataset, path: Path) -> None:
    if not dataset.convert:
        raise no_converter(dataset)
    table = make_table(dataset, download(dataset))
    text = table.to_csv(index=False, float_format=dataset.float_format, lineterminator="\n")
    content = text.encode()
    if sha256_of(content) != dataset.sha256:
        msg = (
            f"data set {dataset.name!r} was converted to the expected rows and columns, but its "
            f"SHA-256 is {sha256_of(content)}, expected {dataset.sha256}: some digits differ"
        )
        warnings.warn(msg, stacklevel=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_bytes(content)
    part.replace(path)  # never half a table, also with several processes


def sha256_of(content: bytes) -> str:
    """Hash a file's content."""
    return hashlib.sha256(content).hexdigest()
