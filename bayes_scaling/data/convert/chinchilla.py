"""Besiroglu et al. 2024: the runs read off Figure 4 of the Chinchilla paper.

Source: one CSV, a row per point of the figure, with ``Model Size``, ``Training FLOP`` and ``loss``
next to the coordinates and the colour they were read from.
"""

import numpy as np
import pandas as pd

from bayes_scaling.data.convert import Raw, pick

LEFT_OUT = 5
"""Besiroglu et al. leave the runs with the five highest losses out of every fit."""


def runs(raw: Raw) -> pd.DataFrame:
    """Tabulate the 245 runs; tokens are C/(6N), since the figure does not give them."""
    points = pd.read_csv(raw["data/svg_extracted_data.csv"])
    points = pick(points, ["Model Size", "Training FLOP", "loss"]).dropna()
    params, flops, loss = points["Model Size"], points["Training FLOP"], points["loss"]
    tokens = flops / (6.0 * params)
    return pd.DataFrame(
        {
            "point_id": points.index,
            "params": params,
            "tokens": tokens,
            "flops": flops,
            "loss": loss,
            "tokens_per_param": tokens / params,
            "dropped_by_besiroglu": loss >= np.sort(loss)[-LEFT_OUT],
        }
    ).reset_index(drop=True)
