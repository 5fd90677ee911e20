"""The data sets this package knows, as plain data.

One ``<name>.toml`` per data set says what the table holds, where its rows come from (files at a
fixed commit, with their SHA-256), under which licence, and what to beware of. A new data set is a
new file here and, when it is downloaded, one function in `bayes_scaling.data.convert`.
"""

import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

from bayes_scaling._registry import Registry

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["embedded", "upstream", "simulated"]

_HERE = resources.files("bayes_scaling.data.catalogue")
_WIDTH = 100
OUTCOMES = (("params", "tokens", "loss"), ("batch_size_tokens", "steps"), ("lr", "loss"))
"""What makes a table one of runs: the sizes and the outcome of a law."""


@dataclass(frozen=True)
class Field:
    """One column of a tidy table: its name, dtype (int, float, str, bool), unit and meaning."""

    name: str
    dtype: Literal["int", "float", "str", "bool"]
    unit: str
    meaning: str


@dataclass(frozen=True)
class SourceFile:
    """One file of the authors' repository, at a fixed commit.

    Parameters
    ----------
    repo, commit, path : str
        GitHub repository, commit and path in it.
    sha256 : str
        Of the file's bytes.
    bytes : int
        Size of the file.
    """

    repo: str
    commit: str
    path: str
    sha256: str
    bytes: int

    @property
    def url(self) -> str:
        """Where the file can be downloaded."""
        return f"https://raw.githubusercontent.com/{self.repo}/{self.commit}/{self.path}"


@dataclass(frozen=True)
class Dataset:
    """Everything that is known of a data set; printing it gives a page for people.

    Parameters
    ----------
    name, title, description : str
        What to call it, in one line, and in a few.
    kind : {"embedded", "upstream", "simulated"}
        Shipped in the package, downloaded from its authors, or made by a function.
    rows : int or None
        Rows of the table; None for a simulated one.
    serves : tuple of str
        What one would fit to it.
    licence : str
    citation, quirks : tuple of str
        What to cite; what to beware of.
    fields : tuple of Field
        The columns, in order.
    roles : mapping of str to str
        Canonical column name (params, tokens, loss, ...) to the table's column; empty: to none,
        although one is spelled like it.
    file, sha256 : str
        File name of the tidy table and the SHA-256 of its bytes.
    sources : tuple of SourceFile
        The authors' files it is made from.
    convert : str
        Function that makes the table from them, as ``module:function`` in
        `bayes_scaling.data.convert`; empty where there is none.
    verified : bool
        Whether the conversion met real content of those files.
    checked : str
        What it was checked against.
    loader : str
        For a simulated data set, the function that makes it, as ``package.module:function``.
    keep : mapping of str to list
        In these columns only these values: other rows are the file's, not this data set's.
    last : mapping
        Of a table with several rows per run: the columns that name a run (`by`), of which only the
        last row in the order of a column (`order`) is this data set's.
    failed : mapping
        Runs that count as diverged: those whose value of a `column` is `above` a number, or none.
    float_format : str
        How floats are written in the tidy table.
    published : mapping
        The authors' estimates, to check a fit against.
    """

    name: str
    title: str
    kind: Kind
    licence: str
    description: str = ""
    rows: int | None = None
    serves: tuple[str, ...] = ()
    citation: tuple[str, ...] = ()
    quirks: tuple[str, ...] = ()
    fields: tuple[Field, ...] = field(default=(), repr=False)
    roles: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    file: str = ""
    sha256: str = ""
    sources: tuple[SourceFile, ...] = field(default=(), repr=False)
    convert: str = ""
    verified: bool = False
    checked: str = ""
    loader: str = ""
    keep: Mapping[str, list[Any]] = field(default_factory=dict, hash=False, repr=False)
    last: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    failed: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    float_format: str = "%.8g"
    published: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def is_runs(self) -> bool:
        """Whether each row is a training run, with an outcome that a law is about."""
        return any(set(needed) <= set(self.roles) for needed in OUTCOMES)

    @property
    def required(self) -> tuple[str, ...]:
        """The roles without which a row is no run of this kind."""
        return next(needed for needed in OUTCOMES if set(needed) <= set(self.roles))

    def rows_of(self, table: "pd.DataFrame") -> "pd.DataFrame":
        """Return the rows of its file's table that are this data set's, failures marked."""
        for column, values in self.keep.items():
            table = table.loc[table[column].isin(values)]
        if self.last:
            ends = table.sort_values(self.last["order"], kind="stable")
            table = ends.groupby(self.last["by"]).tail(1).sort_index()
        if self.failed:
            ok = table[self.failed["column"]] <= self.failed["above"]
            table = table.assign(diverged=~ok)
        return table.reset_index(drop=True)

    def __str__(self) -> str:
        """Write the page."""
        return "\n".join(_page(self))


@cache
def catalogue() -> Registry[Dataset]:
    """Read the catalogue; the data sets by name, embedded ones first.

    Examples
    --------
    >>> from bayes_scaling.data.catalogue import catalogue
    >>> catalogue()["nine-runs"].rows
    9
    """
    plain = {f.name.removesuffix(".toml"): tomllib.loads(f.read_text("utf-8")) for f in _files()}
    order = {"embedded": 0, "simulated": 1, "upstream": 2}
    registry: Registry[Dataset] = Registry("data set")
    found = [_dataset(name, plain) for name in plain]
    for dataset in sorted(found, key=lambda d: (order[d.kind], d.name)):
        registry.add(dataset.name, dataset)
    return registry


def embedded(file: str) -> Traversable:
    """Find a table that ships in the package."""
    return _HERE / file


def _files() -> list[Traversable]:
    return [f for f in _HERE.iterdir() if f.name.endswith(".toml")]


def _dataset(name: str, plain: Mapping[str, Mapping[str, Any]]) -> Dataset:
    told = dict(plain[name])
    # A view says only what differs from the data set it looks at.
    told = {**plain[told.pop("view_of", name)], **told}
    source = told.pop("source", {})
    told["sources"] = tuple(
        SourceFile(source["repo"], source["commit"], path, sha256, int(size))
        for sha256, size, path in _listing(source)
    )
    told["fields"] = tuple(
        Field(column, entry["dtype"], entry["unit"], entry["meaning"])
        for entry in told.pop("columns", [])
        for column in entry.get("names", [entry.get("name")])
    )
    for key in ("serves", "citation", "quirks"):
        told[key] = tuple(told.get(key, ()))
    allowed = {f.name for f in fields(Dataset)}
    return Dataset(name=name, **{k: v for k, v in told.items() if k in allowed})


def _listing(source: Mapping[str, Any]) -> Iterator[list[str]]:
    # Long lists live in a file of their own: "sha256 bytes path", one file a line.
    text = (_HERE / source["listing"]).read_text("utf-8") if "listing" in source else ""
    for line in [*text.splitlines(), *source.get("files", [])]:
        yield line.split(maxsplit=2)


def _page(d: Dataset) -> Iterator[str]:
    yield f"{d.name}: {d.title}"
    if d.description:
        yield from textwrap.wrap(d.description, _WIDTH)
    yield ""
    yield f"rows      {'made on demand' if d.rows is None else d.rows}"
    yield from _items("for", [", ".join(d.serves)])
    yield from _items("licence", [d.licence])
    yield from _items("cite", d.citation)
    if d.sources:
        first, size = d.sources[0], sum(s.bytes for s in d.sources)
        count = f"{len(d.sources)} file{'s' if len(d.sources) > 1 else ''}"
        where = f"{first.repo} at {first.commit[:12]}: {count}, {_megabytes(size)}"
        yield from _items("source", [where])
        yield from _items(
            "checked", [f"conversion against {d.checked}" if d.convert else d.checked]
        )
    yield from _columns(d)
    yield from _items("beware", d.quirks)
    yield from _items("published", [f"{k}: {_short(v)}" for k, v in d.published.items()])


def _columns(d: Dataset) -> Iterator[str]:
    role = {column: r for r, column in d.roles.items()}
    lines = []
    for (unit, meaning), group in groupby(d.fields, key=lambda f: (f.unit, f.meaning)):
        names = [f.name for f in group]
        if len(names) > 3:  # dozens of task scores say the same
            names = [f"{names[0]} ... {names[-1]} ({len(names)})"]
        for name in names:
            plays = f" [{role[name]}]" if role.get(name, name) != name else ""
            lines.append((name, unit or "-", meaning + plays))
    if lines:
        yield "columns"
    wide = max((len(name) for name, *_ in lines), default=0)
    for name, unit, meaning in lines:
        yield f"  {name:<{wide}}  {unit:<10}  {meaning}"


def _items(label: str, texts: list[str] | tuple[str, ...]) -> Iterator[str]:
    for i, text in enumerate(t for t in texts if t):
        lead = f"{label if i == 0 else '':<9} "
        yield from textwrap.wrap(text, _WIDTH, initial_indent=lead, subsequent_indent=" " * 11)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k} {_short(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)
