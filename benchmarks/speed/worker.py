"""The far end of a process that is asked things: JSON lines in, JSON lines out.

It runs in the peers' environments too, so it needs NumPy and the standard library alone.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Answer = dict[str, Any]


class Engine(Protocol):
    """One way to fit the table; what is timed is `fit` alone."""

    def warm(self) -> Answer:
        """Do what a process does once, and return its seconds: `compile`, `first`."""
        ...

    def fit(self, seed: int) -> Any:
        """Fit the table, start to end."""
        ...

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the (chain, draw) arrays of a fit; scalars for a point fit."""
        ...

    def facts(self, result: Any) -> Answer:
        """Return what else the engine says about a fit."""
        ...


def answer_lines(handle: Callable[[Answer], Answer]) -> None:
    """Answer every line of standard input until it is closed; a failure is an answer too.

    Answers go to a private copy of standard output: what libraries print joins the log.
    """
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = handle(json.loads(line))
        except Exception as error:  # noqa: BLE001 - every failure is a row of the table
            answer = {"failed": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=out, flush=True)


def serve(make: Callable[[Path], Engine]) -> None:
    """Serve an engine: ``{"do": "warm"}`` and ``{"do": "fit", "seed": 0, "to": "draws.npz"}``.

    Parameters
    ----------
    make : callable
        Builds the engine from the folder of inputs, the first argument of the process.
    """
    engines: list[Engine] = []

    def handle(asked: Answer) -> Answer:
        if not engines:
            engines.append(make(Path(sys.argv[1])))
        (engine,) = engines
        if asked["do"] == "warm":
            return engine.warm()
        seconds, result = timed(lambda: engine.fit(int(asked["seed"])))
        if asked.get("to"):
            np.savez(asked["to"], **engine.draws(result))
        return {"seconds": seconds, **engine.facts(result)}

    answer_lines(handle)


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
