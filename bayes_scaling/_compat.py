"""The only module that knows ArviZ: 0.8 on Python 3.11, 1.x after it."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr


def diagnostics(posterior: xr.Dataset) -> pd.DataFrame:
    """Return `r_hat`, `ess_bulk` and `ess_tail` of every variable, unrounded.

    Variables that do not move, fixed by their prior, have none and are left out. A single chain
    has no R-hat in ArviZ; it is given as 1.
    """
    import arviz_stats

    summarise: Any = arviz_stats.summary  # pyright: ignore[reportPrivateImportUsage]
    moving = [v for v in posterior.data_vars if float(np.ptp(posterior[v].values)) > 0]
    with np.errstate(invalid="ignore", divide="ignore"):  # a chain that stands still gives NaN
        table: pd.DataFrame = summarise(posterior[moving], kind="diagnostics", round_to="none")
    if posterior.sizes.get("chain", 1) < 2:
        table["r_hat"] = 1.0
    return table
