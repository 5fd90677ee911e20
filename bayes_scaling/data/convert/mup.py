"""Yang et al. 2022: learning-rate sweeps of an MLP in two parametrizations.

Source: a notebook whose training cells print one line per epoch. They do not print width or
learning rate: the runs follow the loops ``for width ...: for log2lr ...`` of the cell, and a run
ends at its 20th epoch or at its first NaN.
"""

import math
import re

import numpy as np
import pandas as pd

from bayes_scaling.data.convert import Raw
from bayes_scaling.data.convert.notebook import code_cells

WIDTHS = (256, 512, 1024, 2048, 4096, 8192)
LOG2_LR = np.linspace(-8.0, 0.0, 20)
_LINE = re.compile(r"Train Epoch: (\d+) \[0/|Train set: Average loss: (\S+)")


def sweeps(raw: Raw) -> pd.DataFrame:
    """Tabulate one row per epoch, mup first."""
    tables = []
    for cell in code_cells(raw["examples/MLP/demo.ipynb"]):
        if "Train set: Average loss" in cell.printed:
            # Only the mup models announce that they load base shapes.
            kind = "mup" if "loading base shapes" in cell.printed else "sp"
            tables.append(_sweep(kind, cell.printed))
    return pd.concat(tables, ignore_index=True)


def _sweep(kind: str, printed: str) -> pd.DataFrame:
    rows, run, epoch = [], -1, 0
    for match in _LINE.finditer(printed):
        if match[1]:
            epoch = int(match[1])
            run += epoch == 1
            continue
        width, log2_lr = WIDTHS[run // len(LOG2_LR)], LOG2_LR[run % len(LOG2_LR)]
        loss = float(match[2])
        rows.append(
            {
                "parametrization": kind,
                "width": width,
                "log2_lr": log2_lr,
                "lr": 2.0**log2_lr,
                "epoch": epoch,
                "train_loss": loss,
                "diverged": math.isnan(loss),
            }
        )
    if run + 1 != len(WIDTHS) * len(LOG2_LR):
        msg = f"{run + 1} runs in the {kind} cell, {len(WIDTHS) * len(LOG2_LR)} expected"
        raise ValueError(msg)
    return pd.DataFrame(rows)
