"""Sizes as people type them, and printing that stays readable in a terminal and in a pipe."""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bayes_scaling._writing import LETTERS
from bayes_scaling.errors import SpecError

COLOURS = {"PASS": "green", "REVIEW": "yellow", "FAIL": "bold red", "SKIP": "dim"}
WIDEST = 100  # wider tables are harder to read, whatever the window


def to_number(text: str) -> float:
    """Read a size or a compute budget.

    Parameters
    ----------
    text : str
        "1e22", "70e9", "70B", "1.4T", "5_000"; letters are K, M, B (or G), T in either case.

    Raises
    ------
    SpecError
        Anything else, and whatever is not positive and finite.

    Examples
    --------
    >>> from bayes_scaling._terminal import to_number
    >>> to_number("70B"), to_number("1.4T"), to_number("1e22")
    (70000000000.0, 1400000000000.0, 1e+22)
    """
    written = text.strip()
    scale = {**LETTERS, "G": 1e9}.get(written[-1:].upper(), 1.0)
    try:
        value = float(written[:-1] if scale > 1 else written) * scale
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        msg = f"{text!r} is not a positive size; write it like 70e9, 70B, 1.4T or 1e22"
        raise SpecError(msg)
    return value


def reach(beyond: float) -> str:
    """Say where a point lies against the data.

    Examples
    --------
    >>> from bayes_scaling._terminal import reach
    >>> reach(0.0), reach(1.5229), reach(float("nan"))
    ('within the data', '1.5 decades beyond the data', 'reach of the data unknown')
    """
    if math.isnan(beyond):
        return "reach of the data unknown"
    return f"{beyond:.1f} decades beyond the data" if beyond > 0 else "within the data"


def console(*, stderr: bool = False) -> Console:
    """Make a console for one command: never wider than reads well, plain in a pipe."""
    out = Console(stderr=stderr, highlight=False)
    piped = not out.is_terminal and "COLUMNS" not in os.environ
    if piped or out.width > WIDEST:
        out.width = WIDEST
    return out


def table(title: str) -> Table:
    """Make a table in the one style there is."""
    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )


def show_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Make a table of plain rows, which share their keys; the last column takes what is left."""
    made = table(title)
    for name, value in rows[0].items() if rows else ():
        counts = isinstance(value, int)
        made.add_column(name, justify="right" if counts else "left", no_wrap=name != [*rows[0]][-1])
    for row in rows:
        made.add_row(*("" if v is None else escape(str(v)) for v in row.values()))
    return made


def interval_table(title: str, *extra: str) -> Table:
    """Make a table of medians with 50 and 90 % intervals, and `extra` columns before them."""
    made = table(title)
    made.add_column("")
    for column in (*extra, "median", "50 %", "90 %"):
        made.add_column(column, justify="right", no_wrap=True)
    return made


def interval_cells(q: Mapping[str, float], write: Callable[[float], str]) -> tuple[str, str, str]:
    """Write quantiles as a median with its 50 and 90 % intervals."""
    half, most = (
        f"[{write(q[low])}, {write(q[high])}]" for low, high in (("q25", "q75"), ("q05", "q95"))
    )
    return write(q["q50"]), escape(half), escape(most)


def page(text: str) -> Text:
    """Colour the verdicts of a page of text; the lines stay as they are."""
    out = Text(text)
    for word, style in COLOURS.items():
        out.highlight_regex(rf"\b{word}\b", style)
    return out


class Steps:
    """What a long command is doing: a line with the elapsed time at a terminal, silence elsewhere.

    Parameters
    ----------
    silent : bool
        Silence at a terminal too.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.console = console(stderr=True)
        self.shown = self.console.is_terminal and not silent

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Show `what` while the block runs, and how long it took."""
        if not self.shown:
            yield
            return
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        start = time.perf_counter()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:
            progress.add_task(what, total=None)
            yield
        self.console.print(f"[green]done[/] {what} [dim]{time.perf_counter() - start:.1f} s[/]")


def complain(kind: str, message: object) -> None:
    """Write an error or a warning to standard error, unbroken so that it can be searched."""
    style = "bold red" if kind == "error" else "yellow"
    line = Text.assemble((f"{kind}: ", style), str(message))
    console(stderr=True).print(line, soft_wrap=True)


def flush() -> None:
    """Write out what is left, now, so that a closed pipe is noticed while it can be handled."""
    sys.stdout.flush()
