"""The peers beside ours: every engine started and warmed, then timed in turns."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.speed.agreement import smallest_ess
from benchmarks.speed.inputs import write_inputs
from benchmarks.speed.progress import say
from benchmarks.speed.timing import ROUNDS, Peer, Timings

LONG = -1  # asks our engine for the reference posterior

OURS = Peer("ours", "bayes_scaling", "posterior")
PEERS = (
    Peer("nutpie_nuts", "nutpie, compiled", "posterior", requirements="peers.txt"),
    Peer("numpyro_nuts", "NumPyro NUTS, compiled", "posterior"),
    Peer("pymc_nuts", "PyMC, pm.sample()", "posterior", rounds=1, requirements="peers.txt"),
    Peer("bootstrap", "4,000 BFGS refits", "bootstrap", rounds=1),
    Peer("ssl_bootstrap", "simple-scaling-laws, 400 refits", "bootstrap", repeats=2,
         requirements="ssl.txt"),
    Peer("vpnls", "variable projection", "point", repeats=3),
)  # fmt: skip


def measure() -> dict[str, Any]:
    """Time every engine on the 240 points.

    Returns
    -------
    dict
        Per engine `label`, `gives`, and either `failed` or `seconds`, `once` (what a process pays
        once), `ess`, `ess_per_second`, `facts` and, for posteriors, `distance` to the reference.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        found = {p.module: Timings(p, folder) for p in (OURS, *PEERS)}
        with _started(found):
            _rounds(found)
            found["ours"].time(LONG)
        reference = found["ours"].pop_draws()
        out = {k: t.summary(reference) for k, t in found.items()}
        if reference:
            out["ours"]["reference_ess"] = smallest_ess(reference)
        return out


def ratios(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return per peer how many times slower it is than ours, and how many times fewer its ESS/s.

    Medians of all repeats; a failed peer keeps its row, with the reason.
    """
    ours = found["ours"]
    rows = []
    for name, other in found.items():
        if name == "ours":
            continue
        row = {"module": name, "label": other["label"], "gives": other["gives"]}
        bad = ours.get("failed") or other.get("failed")
        if bad:
            rows.append({**row, "failed": bad})
            continue
        row["times"] = median(other["seconds"]) / median(ours["seconds"])
        if "ess_per_second" in other:
            row["ess_times"] = median(ours["ess_per_second"]) / median(other["ess_per_second"])
        rows.append(row)
    return rows


@contextmanager
def _started(found: dict[str, Timings]) -> Iterator[None]:
    try:
        for timings in found.values():
            timings.start()
        yield
    finally:
        for timings in found.values():
            if timings.worker:
                timings.worker.close()


def _rounds(found: dict[str, Timings]) -> None:
    """Time ours beside every turn of every peer, so that a drift of the machine hits all alike."""
    seed = 0
    for turn in range(ROUNDS):
        for peer in PEERS:
            if turn >= peer.rounds:
                continue
            say(f"round {turn + 1} of {ROUNDS}: {peer.label}")
            for _ in range(peer.repeats):
                seed += 1
                found["ours"].time(seed)
                found[peer.module].time(seed)
