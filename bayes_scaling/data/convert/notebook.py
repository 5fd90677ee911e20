"""Reading notebooks as data: sources and printed text, nothing is run."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Cell(NamedTuple):
    """A code cell: its source and everything it printed."""

    source: str
    printed: str


def code_cells(path: Path) -> Iterator[Cell]:
    """Go through the code cells of a notebook, in order."""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            outputs = [o for o in cell.get("outputs", []) if o.get("output_type") == "stream"]
            printed = "".join(_text(o["text"]) for o in outputs if o.get("name") == "stdout")
            yield Cell(_text(cell["source"]), printed)


def _text(lines: str | list[str]) -> str:
    return lines if isinstance(lines, str) else "".join(lines)
