"""What a check before commitment finds, and the page it is read on."""

import textwrap
from collections.abc import Sequence
from typing import Literal, NamedTuple

Status = Literal["NOTE", "PASS", "WARN", "STOP"]

ORDER: tuple[Status, ...] = ("NOTE", "PASS", "WARN", "STOP")
WIDTH = 96


class Finding(NamedTuple):
    """One thing a check found: its name, how it came out, what was found, what to do."""

    name: str
    status: Status
    found: str
    do: str


def worst(findings: Sequence[Finding]) -> Status:
    """Return the worst status; a note is no fault."""
    return ORDER[max([1, *(ORDER.index(f.status) for f in findings)])]


def page(findings: Sequence[Finding]) -> list[str]:
    """Write findings as lines, with what to do below those that want something done."""
    lines = []
    for f in findings:
        head, rest = f"  {f.status:5} ", " " * 8
        lines += textwrap.wrap(
            f"{f.name}: {f.found}", WIDTH, initial_indent=head, subsequent_indent=rest
        )
        if f.do:
            lines += textwrap.wrap(
                f.do, WIDTH, initial_indent=rest + "-> ", subsequent_indent=rest + "   "
            )
    return lines
