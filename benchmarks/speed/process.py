"""A whole process, from its start to the printed table: with nothing compiled, and with a cache."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.speed.client import ROOT
from benchmarks.speed.environments import plain
from benchmarks.speed.progress import say
from benchmarks.speed.worker import timed

COLD, WARM = 2, 3
STUDY = "simulated-chinchilla"


def measure() -> dict[str, Any]:
    """Time ``python -m bayes_scaling fit TABLE.csv`` and ``demo``.

    Returns
    -------
    dict
        Per command `first` and `second`, the seconds of every repeat, or `failed`.
    """
    import bayes_scaling as bs

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bs.load_dataset(STUDY).to_csv(folder / "runs.csv", index=False)
        return {
            "fit": _repeats(folder, ["fit", name + "/runs.csv", "--out", name + "/fit.nc"]),
            "demo": _repeats(folder, ["demo", "--out", name + "/demo"]),
        }


def _repeats(folder: Path, arguments: list[str]) -> dict[str, Any]:
    """Run a command with an empty cache of compiled programs, then with the one it left."""
    out: dict[str, Any] = {"first": [], "second": []}
    for turn in range(COLD + WARM):
        say(f"process {turn + 1} of {COLD + WARM}: {arguments[0]}")
        cache = folder / f"cache-{arguments[0]}-{min(turn, COLD - 1)}"
        env = {**os.environ, "BAYES_SCALING_COMPILATION_CACHE": str(cache)}
        command = [sys.executable, "-m", "bayes_scaling", *arguments]
        seconds, done = timed(
            lambda c=command, e=env: subprocess.run(
                c, cwd=ROOT, env=e, capture_output=True, text=True
            )
        )
        if done.returncode:
            return {"failed": plain(done.stderr or f"exit status {done.returncode}")}
        out["first" if turn < COLD else "second"].append(seconds)
    return out
