"""`bs.fit` with everything at its default: 4,000 draws and the whole tree of results."""

from pathlib import Path
from typing import Any

import numpy as np

import bayes_scaling as bs
from benchmarks.speed.inputs import DATASET
from benchmarks.speed.worker import Answer, serve, timed

SITES = ("E", "a0", "b0", "alpha", "beta", "sigma", "nu")
LONG, LONG_DRAWS = -1, 10_000  # the seed that asks for the reference instead; per chain


class Ours:
    """Our default fit; the seed `LONG` is a NUTS run of 4 x 10,000 draws, the reference."""

    def __init__(self, _: Path) -> None:
        self.model, self.runs = bs.ScalingModel(), bs.load_dataset(DATASET)

    def warm(self) -> Answer:
        """Fit once with compilation."""
        return {"first": timed(lambda: self.fit(0))[0]}

    def fit(self, seed: int) -> Any:
        """Fit the table."""
        if seed == LONG:
            return bs.fit(self.model, self.runs, method="nuts", draws=LONG_DRAWS)
        return bs.fit(self.model, self.runs, seed=seed)

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the draws of the seven parameters."""
        return {k: result["posterior"][k].values for k in SITES}

    def facts(self, result: Any) -> Answer:
        """Return the engine's certificate."""
        return {k: result.attrs[k] for k in ("method", "k_hat", "effective") if k in result.attrs}


if __name__ == "__main__":
    serve(Ours)
