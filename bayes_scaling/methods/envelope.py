"""The first approach: the lower envelope of runs, for pictures and as a warning.

The least of many noisy losses is low by luck, its neighbours are the same runs, and a loss on the
way is not a final one: so there is no likelihood here and no interval but that of resampled runs.
"""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import FitError
from bayes_scaling.methods.budgets import Runs, runs_of

LEAST = 2  # runs on the envelope, for a line


def approach1(runs: Any) -> xr.Dataset:
    """Estimate the optimal size as Hoffmann et al.'s first approach does.

    Parameters
    ----------
    runs : DataFrame
        A run table; its rows may be final runs or checkpoints along runs.

    Returns
    -------
    xarray.Dataset over flops
        `params`, `tokens` and `loss` of the runs on the envelope: those that no run of as little
        compute beats. Scalars `a` and `log_g` of the line ``ln N = log_g + a ln C`` through them,
        `b` and `log_g_tokens` of the tokens', and `luck`, how far below the law the winner of as
        many equal runs lies, in standard deviations of the scatter: ``sqrt(2 ln m)`` for the mean
        number m of runs per winner.

    Raises
    ------
    TableError
        A column is missing or has gaps.
    FitError
        Fewer than two runs are on the envelope.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556, section 3.1.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> import numpy as np
    >>> hull = bs.approach1(bs.load_dataset("simulated-chinchilla"))
    >>> bool(np.all(np.diff(hull.loss) < 0))
    True
    """
    table = runs_of(runs)
    on = winners(table)
    if len(on) < LEAST:
        msg = "one run beats all others at no more compute: an envelope needs a range of compute"
        raise FitError(msg)
    x = np.log(table.flops[on])
    a, log_g = np.polyfit(x, np.log(table.params[on]), 1)
    b, log_g_tokens = np.polyfit(x, np.log(table.tokens[on]), 1)
    return xr.Dataset(
        {
            "params": ("flops", table.params[on], {"units": "params"}),
            "tokens": ("flops", table.tokens[on], {"units": "tokens"}),
            "loss": ("flops", table.loss[on], {"units": "nat/token"}),
            "a": float(a),
            "log_g": float(log_g),
            "b": float(b),
            "log_g_tokens": float(log_g_tokens),
            "luck": float(np.sqrt(2 * np.log(max(len(table.loss) / len(on), 1.0)))),
        },
        coords={"flops": ("flops", table.flops[on], {"units": "FLOP"})},
    )


def winners(runs: Runs) -> np.ndarray:
    """Return the positions of runs that no run of as little compute beats, by compute."""
    order = np.lexsort((runs.loss, runs.flops))
    lowest = np.minimum.accumulate(runs.loss[order])
    better = np.concatenate([[True], lowest[1:] < lowest[:-1]])
    return order[better]
