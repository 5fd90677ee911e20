"""simple-scaling-laws: its default law, with 400 draws of its wild cluster bootstrap."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import simple_scaling_laws

from benchmarks.speed.inputs import read_table
from benchmarks.speed.worker import Answer, serve, timed

DRAWS, TARGET = 400, "test_loss__cross_entropy"


class SimpleScalingLaws:
    """``fit(frame, n_draws=400)`` of one run per row."""

    def __init__(self, folder: Path) -> None:
        table = read_table(folder)
        self.frame = pl.DataFrame(
            {
                "training_run_id": [f"run {i}" for i in range(len(table["loss"]))],
                "model_size__n_params": table["params"],
                "dataset_size__n_tokens": table["tokens"],
                TARGET: table["loss"],
            }
        )

    def warm(self) -> Answer:
        """Fit once."""
        return {"first": timed(lambda: self.fit(0))[0]}

    def fit(self, seed: int) -> Any:
        """Fit and bootstrap."""
        return simple_scaling_laws.fit(self.frame, n_draws=DRAWS, seed=seed)

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the point fit's coefficients."""
        return {k: np.asarray(v) for k, v in result.params(TARGET).items()}

    def facts(self, result: Any) -> Answer:
        """Return the point fit's coefficients."""
        return {"point": {k: float(v) for k, v in result.params(TARGET).items()}}


if __name__ == "__main__":
    serve(SimpleScalingLaws)
