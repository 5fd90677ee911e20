"""Simulated tables of any size, from the published coefficients; no row was measured."""

import numpy as np
import pandas as pd

from bayes_scaling import Chinchilla
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.simulate import CHINCHILLA, chinchilla_study, heavy_tailed

LAW = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
GROUP_SD = 0.1  # of ln a0 and ln b0 between groups


def study(rows: int, seed: int = 0) -> pd.DataFrame:
    """Simulate the Chinchilla study, of which `rows` runs are kept, drawn by the seed."""
    runs = chinchilla_study(seed)
    keep = np.random.default_rng(seed).choice(len(runs), rows, replace=False)
    return runs.iloc[np.sort(keep)].reset_index(drop=True)


def wide(rows: int, groups: int = 0, seed: int = 0) -> pd.DataFrame:
    """Simulate runs of sizes 40M to 16B at 2 to 300 tokens per parameter.

    Parameters
    ----------
    rows : int
    groups : int
        Kinds of run in the column `arch`, each with levels of its own.
    seed : int

    Returns
    -------
    DataFrame
        A run table as `read_runs` gives it, without the price of reading it.
    """
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(4e7), np.log(1.6e10), rows))
    tokens = params * np.exp(rng.uniform(np.log(2.0), np.log(300.0), rows))
    theta = LAW.from_paper(CHINCHILLA)
    arch = np.arange(rows) % max(groups, 1)
    for name in ("a0", "b0"):
        level = np.exp(GROUP_SD * rng.normal(size=max(groups, 1))) if groups else np.ones(1)
        theta[name] = theta[name] * level[arch]
    loss = heavy_tailed(rng, np.asarray(LAW(theta, {"params": params, "tokens": tokens})))
    columns = {"params": params, "tokens": tokens, "flops": flops_6nd(params, tokens), "loss": loss}
    runs = pd.DataFrame(columns).assign(use=True, flag="")
    return runs.assign(arch=[f"kind {g:02d}" for g in arch]) if groups else runs
