"""What a user would do instead of a posterior: bootstrap the published point fit."""

import numpy as np
import pandas as pd

from bayes_scaling.data.numbers import values_of
from bayes_scaling.inference.point import HUBER, best_point, point_fits, sizes_of


def bootstrap_split(runs: pd.DataFrame, draws: int = 1000, seed: int = 42) -> np.ndarray:
    """Bootstrap rows and refit the Huber point fit, each from the fit to all rows.

    Returns
    -------
    (draws,) array
        The exponent `a` of every refit that converged to a finite value.
    """
    at, y = sizes_of(runs), np.log(values_of(runs, "loss"))
    start, _ = best_point(at, y, HUBER)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=draws).astype(float)
    p, _ = point_fits(at, y, np.tile(start, (draws, 1)), HUBER, counts)
    alpha, beta = np.exp(p[:, 3:].T)
    a = beta / (alpha + beta)
    return a[np.isfinite(a)]
