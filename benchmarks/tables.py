"""The Chinchilla points, cut as the protocols cut them."""

import pandas as pd

import bayes_scaling as bs

LARGE = 1e21  # FLOP: the 23 held-out runs have at least this much


def chinchilla() -> dict[str, pd.DataFrame]:
    """Return the 245 points, the 240 kept, the parts below 1e21 FLOP, and the 23 held out."""
    everything, kept = bs.load_dataset("chinchilla-245"), bs.load_dataset("chinchilla")
    return {
        "240": kept,
        "245": everything,
        "217": kept[kept["flops"] < LARGE],
        "222": everything[everything["flops"] < LARGE],
        "held out": kept[kept["flops"] >= LARGE],
    }
