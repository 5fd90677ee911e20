"""One fit in a process of its own: its time, first and second, and the memory it took.

``python -m benchmarks.speed.one_fit`` answers lines such as ``{"rows": 240, "draws": 4000}``.
"""

import resource
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import numpyro  # noqa: F401 - loaded before the fit, as libraries are

import bayes_scaling as bs
from bayes_scaling.program import prepare
from benchmarks.speed.tables import wide
from benchmarks.speed.worker import Answer, answer_lines, timed

LIMIT = 10 * 2**30  # bytes a fit may take: an error in the table of results, not a machine's end
PATIENCE = 60  # seconds of a first fit beyond which there is no second
LAWS: dict[str, Any] = {
    "tied, no floor": lambda: bs.ScalingModel(law=bs.Chinchilla(tied=True, floor=False)),
    "chinchilla": lambda: bs.ScalingModel(),
    "nested": lambda: bs.ScalingModel(law=bs.Chinchilla(nested=True)),
    "pooled": lambda: bs.ScalingModel(pooling=bs.Pooling("arch")),
}


def measure(asked: Answer) -> Answer:
    """Fit a simulated table.

    Parameters
    ----------
    asked : dict
        `rows`, and optionally `draws`, `law` (a key of `LAWS`) and `groups` (of a pooled model).

    Returns
    -------
    dict
        `first` and `second` (seconds), `peak` (bytes of the process), `before` (bytes once the
        table and the libraries were there), `dimensions`, and what the engine says of itself.
    """
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    model = LAWS[asked.get("law", "chinchilla")]()
    runs = wide(int(asked["rows"]), int(asked.get("groups", 0)))
    draws = int(asked.get("draws", 4000))
    jax.devices()
    out: Answer = {"before": peak()}
    out["first"], fit = timed(lambda: bs.fit(model, runs, draws=draws, seed=0))
    if out["first"] < PATIENCE:
        del fit
        out["second"], fit = timed(lambda: bs.fit(model, runs, draws=draws, seed=1))
    out["peak"] = peak()
    attrs = fit.attrs
    out |= {k: attrs[k] for k in ("method", "k_hat", "effective") if k in attrs}
    ready = prepare(model, runs.head(1000))
    values, _ = ready.program.prior_draws(ready.data, np.random.default_rng(0), 1)
    return {**out, "dimensions": sum(v.size for v in values.values())}


def peak() -> int:
    """Return the most memory this process has held, in bytes.

    Linux's own count starts at zero with the program; `getrusage` would inherit the parent's.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (v for v in status.read_text().splitlines() if v.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    answer_lines(measure)
