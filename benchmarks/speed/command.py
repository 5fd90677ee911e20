"""The command: measure parts, keep what was measured, and write the page from all that is kept."""

import datetime
import json
import os
import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bayes_scaling.errors import SpecError
from benchmarks.report import Report
from benchmarks.speed import curves, figures, gates, page, peers, process
from benchmarks.speed.progress import say

HERE = Path(__file__).parent
KEPT = HERE / "results.json"
PARTS: dict[str, Callable[[], Any]] = {
    "peers": peers.measure,
    "process": process.measure,
    "many": curves.many,
    "rows": curves.rows,
    "draws": curves.draws,
    "params": curves.params,
    "limits": curves.limits,
}


def run(parts: Sequence[str] = ()) -> Report:
    """Measure parts and write the page.

    Parameters
    ----------
    parts : sequence of str
        Keys of `PARTS`, or ``["page"]``, which measures nothing; all of them if empty.

    Returns
    -------
    Report
        Of the parts asked for; the page holds the earlier ones too, each with its day.

    Raises
    ------
    SpecError
        An unknown part.
    """
    unknown = [p for p in parts if p not in (*PARTS, "page")]
    if unknown:
        msg = f"no part {', '.join(unknown)}; parts: {', '.join(PARTS)}, page"
        raise SpecError(msg)
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    asked = list(parts or PARTS)
    for part in [p for p in asked if p != "page"]:
        say(f"part {part}")
        kept[part] = {"machine": machine(), "found": PARTS[part]()}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    found = {p: v["found"] for p, v in kept.items()}
    figures.draw(found, HERE)
    page.write(HERE / "RESULTS.md", kept)
    return gates.judged({p: v for p, v in found.items() if asked == ["page"] or p in asked})


def machine() -> str:
    """Say what it was measured on, and when."""
    from importlib.metadata import version

    day = datetime.datetime.now(datetime.UTC).date()
    libraries = ", ".join(f"{v} {version(v)}" for v in ("jax", "numpyro", "numpy"))
    cores = f"{os.cpu_count()} shared cores ({platform.machine()})"
    return f"{day}, {cores}, Python {platform.python_version()}, {libraries}"
