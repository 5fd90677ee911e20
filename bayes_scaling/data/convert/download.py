"""The authors' files, each checked by its SHA-256, in the platform's cache folder."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import platformdirs

from bayes_scaling.data.catalogue import Dataset, SourceFile
from bayes_scaling.errors import DatasetError

TIMEOUT = 10.0
"""Seconds to wait for a server. Short, because without a network the answer is known at once."""


def cache_folder() -> Path:
    """Where downloads and converted tables are kept: ``$BAYES_SCALING_CACHE``, else the platform's.

    The folder is not created here.
    """
    return Path(
        os.environ.get("BAYES_SCALING_CACHE") or platformdirs.user_cache_dir("bayes_scaling")
    )


def local_path(source: SourceFile) -> Path:
    """Where a source file is kept; one placed there by hand is used when its hash is right."""
    folder = f"{source.repo.replace('/', '--')}@{source.commit[:12]}"
    return cache_folder() / "raw" / folder / source.path


def download(dataset: Dataset) -> dict[str, Path]:
    """Get the files of a data set that are not in the cache yet.

    Parameters
    ----------
    dataset : Dataset

    Returns
    -------
    dict of str to Path
        Path in the repository -> verified file.

    Raises
    ------
    DatasetError
        If a file cannot be had, or is not the one the catalogue knows.
    """
    paths = {s.path: local_path(s) for s in dataset.sources}
    with _quiet():
        for source in dataset.sources:
            _fetch(dataset, source, paths[source.path])
    return paths


def _fetch(dataset: Dataset, source: SourceFile, path: Path) -> None:
    import pooch  # brings requests: listing data sets must not pay for it

    known = f"sha256:{source.sha256}"
    try:
        pooch.retrieve(
            source.url,
            known_hash=known,
            fname=path.name,
            path=path.parent,
            downloader=cast(Any, pooch.HTTPDownloader(timeout=TIMEOUT)),
        )
    except ValueError as e:  # the hash differs
        what = f"{source.url} is not the file the catalogue knows (expected {known})"
        raise DatasetError(_by_hand(dataset, what)) from e
    except OSError as e:  # every error of requests is one
        what = f"{source.url} could not be downloaded: {_reason(e)}"
        raise DatasetError(_by_hand(dataset, what)) from None


def _by_hand(dataset: Dataset, what: str) -> str:
    files = [f"    {s.url}\n      -> {local_path(s)}" for s in dataset.sources[:4]]
    left = len(dataset.sources) - len(files)
    more = [f"    ... and {left} more (describe_dataset({dataset.name!r}).sources)"] if left else []
    ways = [
        f"data set {dataset.name!r} is not on this machine, and {what}.",
        f"Either {_set_folder(dataset)}, or download by hand:",
    ]
    return "\n".join(ways + files + more)


def _set_folder(dataset: Dataset) -> str:
    given = os.environ.get("BAYES_SCALING_DATA")
    now = f" (it is {given}, which has none)" if given else ""
    return f"set BAYES_SCALING_DATA to a folder that holds {dataset.file}{now}"


def no_converter(dataset: Dataset) -> DatasetError:
    """Make the error of a data set that cannot be rebuilt from its sources."""
    return DatasetError(
        f"data set {dataset.name!r} is not on this machine and cannot be made from its sources: "
        f"{dataset.checked}. To use it, {_set_folder(dataset)}."
    )


def _reason(error: OSError) -> str:
    text = str(error).strip() or type(error).__name__
    return text if len(text) <= 200 else f"{type(error).__name__}: {text[:200]} [...]"


@contextmanager
def _quiet() -> Iterator[None]:
    # pooch logs every file at INFO; a data set of two hundred files would flood the terminal.
    import pooch

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
