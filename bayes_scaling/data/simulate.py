"""Simulated run tables: studies whose truth is known, and the one that ships."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.read import read_runs
from bayes_scaling.laws import Chinchilla

Scatter = Callable[[np.random.Generator, np.ndarray], np.ndarray]

# Besiroglu et al. 2024 (arXiv:2404.10102), their refit of the paper's third approach.
CHINCHILLA = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
# The isoFLOP budgets of Hoffmann et al. 2022 (arXiv:2203.15556), figure 3.
BUDGETS = (6e18, 1e19, 3e19, 6e19, 1e20, 3e20, 6e20, 1e21, 3e21)
# Sizes of the models in their table A9, millions of parameters.
SIZES = (
    44, 57, 74, 90, 106, 117, 140, 163, 175, 196, 217, 251, 278, 306, 425, 489, 509, 552, 587, 632,
    664, 724, 816, 893, 1018, 1143, 1266, 1424, 1429, 1593, 1609, 1731, 1794, 2007, 2283, 2298,
    2639, 2980, 3530, 3802, 4084, 4516, 6796, 9293, 11452, 12295, 12569, 13735, 14940, 16183,
)  # fmt: skip
SCATTER, TAIL = 0.004, 3.0  # what the digitised points show about the law
REACH = 6.0  # sizes within this factor of the optimum: about what their isoFLOP curves span


def simulate(
    law: Any,
    theta: Mapping[str, float],
    x: Mapping[str, Any],
    *,
    scatter: Scatter | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Simulate a run table from a law.

    Parameters
    ----------
    law : Law
        With its reference sizes.
    theta : mapping of str to float
        Its parameters.
    x : mapping of str to (run,) array
        The runs' inputs, raw counts.
    scatter : callable, optional
        ``scatter(rng, mean)`` returns measured losses; by default ``mean * exp(0.004 t_3)``.
    seed : int

    Returns
    -------
    DataFrame
        A run table, as `read_runs` gives it.

    Examples
    --------
    >>> from bayes_scaling import Chinchilla, simulate
    >>> law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> theta = {"E": 1.8, "a0": 0.35, "b0": 0.35, "alpha": 0.35, "beta": 0.37}
    >>> runs = simulate(law, theta, {"params": [1e8, 1e9], "tokens": [2e9, 2e10]})
    >>> runs["loss"].round(1).tolist()
    [3.4, 2.5]
    """
    inputs = {k: np.asarray(v, float) for k, v in x.items()}
    mean = np.asarray(law(theta, inputs))
    loss = (scatter or heavy_tailed)(np.random.default_rng(seed), mean)
    known = {"params", "tokens"} <= set(inputs)
    runs = read_runs(pd.DataFrame({**inputs, "loss": loss}), flops="6ND" if known else "auto")
    runs.attrs["bayes_scaling"]["source"] = f"simulated from {law.name}, seed {seed}"
    return runs


def heavy_tailed(rng: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Scatter losses as the digitised Chinchilla points scatter: ``mean * exp(0.004 t_3)``."""
    return mean * np.exp(SCATTER * rng.standard_t(TAIL, size=np.shape(mean)))


def chinchilla_study(seed: int = 0) -> pd.DataFrame:
    """Simulate the Chinchilla isoFLOP study from its published coefficients.

    Parameters
    ----------
    seed : int

    Returns
    -------
    DataFrame
        Runs of the published sizes at the nine published budgets, those sizes within a factor 6
        of each budget's optimum. Simulated: no row was measured.

    Notes
    -----
    Sizes and budgets are those of Hoffmann et al. 2022; coefficients are Besiroglu et al.'s, which
    describe the published points better than the paper's own.

    Examples
    --------
    >>> from bayes_scaling.data.simulate import chinchilla_study
    >>> runs = chinchilla_study()
    >>> runs["flops"].nunique() >= 9, bool(runs["use"].all())
    (True, True)
    """
    law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    theta = law.from_paper(CHINCHILLA)
    per_token = float(flops_6nd(1.0, 1.0))
    rows = []
    for budget in BUDGETS:
        best, _ = law.optimum(theta, budget / per_token)
        near = [n * 1e6 for n in SIZES if 1 / REACH < n * 1e6 / best < REACH]
        rows += [(n, budget / (per_token * n)) for n in near]
    params, tokens = np.array(rows).T
    return simulate(law, theta, {"params": params, "tokens": tokens}, seed=seed)
