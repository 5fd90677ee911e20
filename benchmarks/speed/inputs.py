"""What every engine is given: the table's columns, and the numbers of the default priors."""

import json
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("params", "tokens", "loss")
DATASET = "chinchilla"


def write_inputs(folder: Path) -> None:
    """Write the 240 points and what the default model makes of them, for engines that lack us."""
    import bayes_scaling as bs
    from bayes_scaling.program import prepare

    ready = prepare(bs.ScalingModel(), bs.load_dataset(DATASET))
    np.savez(folder / "table.npz", **{c: ready.runs[c].to_numpy(float) for c in COLUMNS})
    numbers = {"prior": ready.data["prior"], "reference": ready.data["reference"]}
    (folder / "numbers.json").write_text(json.dumps(numbers))


def read_table(folder: Path) -> dict[str, np.ndarray]:
    """Return the columns `params`, `tokens` and `loss`."""
    with np.load(folder / "table.npz") as table:
        return {c: table[c] for c in COLUMNS}


def read_numbers(folder: Path) -> dict[str, Any]:
    """Return the `prior` numbers of every parameter, and the `reference` sizes."""
    return json.loads((folder / "numbers.json").read_text())
