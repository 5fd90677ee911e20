"""One engine: what it is, its process, and what it was seen to do."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.agreement import distances, smallest_ess
from benchmarks.speed.client import Worker
from benchmarks.speed.environments import PeerError, environment, python312
from benchmarks.speed.progress import say

ROUNDS = 3


@dataclass(frozen=True)
class Peer:
    """An engine to time.

    Parameters
    ----------
    module : str
        Of `benchmarks.speed.engines`.
    label, gives : str
        What it is, and what it gives: a posterior, a bootstrap or a point.
    rounds, repeats : int
        In how many rounds it is timed, and how often in each.
    requirements : str
        Its file of pins; without one it runs in this environment.
    """

    module: str
    label: str
    gives: str
    rounds: int = ROUNDS
    repeats: int = 1
    requirements: str = ""


class Timings:
    """What one engine was seen to do; its failure is kept, and ends its turns."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer, self.folder = peer, folder
        self.worker: Worker | None = None
        self.failed = ""
        self.once: dict[str, float] = {}
        self.answers: list[dict[str, Any]] = []
        self.draws: list[dict[str, np.ndarray]] = []

    def start(self) -> None:
        """Start the process and let it do what a process does once."""
        say(f"{self.peer.label}: starting and compiling")
        try:
            self.worker = Worker(_command(self.peer, self.folder), _variables(self.folder))
            self.once = self.worker.ask(do="warm")
        except PeerError as error:
            self.failed = str(error)

    def time(self, seed: int) -> None:
        """Time one fit."""
        if self.failed or self.worker is None:
            return
        path = self.folder / "draws.npz"
        try:
            self.answers.append(self.worker.ask(do="fit", seed=seed, to=str(path)))
        except PeerError as error:
            self.failed = str(error)
            return
        with np.load(path) as file:
            self.draws.append(dict(file))

    def pop_draws(self) -> dict[str, np.ndarray]:
        """Take away the last fit and return its draws; nothing if the engine failed."""
        if self.failed or not self.draws:
            return {}
        self.answers.pop()
        return self.draws.pop()

    def summary(self, reference: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return plain data; a failed engine keeps its row."""
        out: dict[str, Any] = {"label": self.peer.label, "gives": self.peer.gives}
        if self.failed or not self.answers:
            return {**out, "failed": self.failed or "not timed"}
        seconds = [a.pop("seconds") for a in self.answers]
        out |= {"seconds": seconds, "once": self.once, "facts": self.answers}
        if self.peer.gives == "posterior":
            bulk = [smallest_ess(d) for d in self.draws]
            # An importance sampler is held to its own count too: the lower of the two.
            ess = [min(b, a.get("effective", b)) for a, b in zip(self.answers, bulk, strict=True)]
            rate = [e / s for e, s in zip(ess, seconds, strict=True)]
            out |= {"ess": ess, "ess_per_second": rate}
            if reference:
                out["distance"] = distances(self.draws, reference)
        return out


def _command(peer: Peer, folder: Path) -> list[str]:
    python = sys.executable
    if peer.requirements:
        base = python312() if peer.requirements == "ssl.txt" else sys.executable
        python = environment(peer.requirements, base)
    return [python, "-m", f"benchmarks.speed.engines.{peer.module}", str(folder)]


def _variables(folder: Path) -> dict[str, str]:
    """Give every engine empty caches of compiled code, so that "once" is the whole of it."""
    own = {"BAYES_SCALING_COMPILATION_CACHE": "off"}
    own["PYTENSOR_FLAGS"] = f"base_compiledir={folder / 'pytensor'}"
    return {**os.environ, **own, "NUMBA_CACHE_DIR": str(folder / "numba")}
