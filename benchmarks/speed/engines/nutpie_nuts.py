"""nutpie on the PyMC model: compiled once, then 4 chains of its default tuning and 1,000 draws."""

from pathlib import Path
from typing import Any

import numpy as np
import nutpie

from benchmarks.speed.engines.pymc_nuts import by_chain, model
from benchmarks.speed.worker import Answer, serve, timed


class Nutpie:
    """``nutpie.sample`` of a compiled model."""

    def __init__(self, folder: Path) -> None:
        self.model = model(folder)

    def warm(self) -> Answer:
        """Compile, and sample once."""
        seconds, self.compiled = timed(lambda: nutpie.compile_pymc_model(self.model))
        return {"compile": seconds, "first": seconds + timed(lambda: self.fit(0))[0]}

    def fit(self, seed: int) -> Any:
        """Sample."""
        return nutpie.sample(self.compiled, chains=4, draws=1000, seed=seed, progress_bar=False)

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the draws of the seven parameters."""
        return by_chain(result.posterior)

    def facts(self, result: Any) -> Answer:
        """Return the number of divergent transitions."""
        return {"divergent": int(result.sample_stats["diverging"].sum())}


if __name__ == "__main__":
    serve(Nutpie)
