"""Errors of use. Each says what was found, what is allowed, and what to do.

Failures of numerics are not raised: they are flags in the result (see ``bayes_scaling.check``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class BayesScalingError(Exception):
    """Base class of every error this package raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a table: where, what was found, and the way out."""

    column: str | None
    rows: tuple[str, ...]
    found: str
    do: str

    def __str__(self) -> str:
        """Write the problem as one line."""
        where = f"column {self.column!r}" if self.column else "table"
        named = any(not r.startswith("row ") for r in self.rows)
        rows = f" ({'rows ' if named else ''}{_first(self.rows)})" if self.rows else ""
        return f"{where}: {self.found}{rows}; {self.do}"


class TableError(BayesScalingError):
    """A run table that cannot be used; lists every problem at once.

    Parameters
    ----------
    source : str
        The file or object that was read.
    problems : sequence of Problem
        All of them, in the order they should be fixed.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = "\n".join(f"  {i}. {p}" for i, p in enumerate(self.problems, 1))
        super().__init__(f"{source}: {count} in the run table\n{lines}")


class UnknownNameError(BayesScalingError):
    """A name that is not registered; carries the names that are."""

    def __init__(self, kind: str, name: object, allowed: Iterable[str], hint: str = "") -> None:
        self.kind = kind
        self.name = name
        self.allowed = tuple(allowed)
        super().__init__(
            f"no {kind} is named {name!r}.{hint} Known: {', '.join(self.allowed) or 'none'}."
        )


class SpecError(BayesScalingError):
    """A model, prior or card description that cannot be understood."""


class DatasetError(BayesScalingError):
    """A data set that could not be had, with the way to get it."""


class FitFileError(BayesScalingError):
    """A file that is not a fit, or not one this version can read."""


class FitError(BayesScalingError):
    """A question that a fit (or a table) cannot answer, such as three runs for five parameters."""


def _first(rows: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(rows[:most])
    return shown if len(rows) <= most else f"{shown}, ... {len(rows)} in all"
