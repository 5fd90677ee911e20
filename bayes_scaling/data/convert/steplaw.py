"""Li et al. 2025, Step Law: learning rate and batch size grids of dense models.

Sources: one CSV of runs (``N``, ``D``, ``lr``, ``bs`` in sequences, ``ti`` steps, ``smooth loss``,
shape columns, ``exp_name``) and one of bootstrap fits.
"""

import numpy as np
import pandas as pd

from bayes_scaling.data.convert import Raw, pick

SEQUENCE = 2048  # tokens
DIVERGED = 0.5  # nats above the best run of the same setting
CLOSE = 0.002  # nats
_RUNS = "data/dense_lr_bs_loss.csv"
_NAMES = {
    "N": "params",
    "D": "tokens",
    "lr": "lr",
    "bs": "batch_size_seqs",
    "ti": "steps",
    "smooth loss": "loss",
    "loss": "loss_last",
    "h": "width",
    "ffnh": "ffn_width",
    "numh": "heads",
    "numl": "depth",
    "exp_name": "run",
}
_ORDER = (
    "params tokens lr batch_size_seqs batch_size_tokens steps loss loss_last width ffn_width heads"
    " depth tokens_per_param run excess_loss diverged"
)


def dense(raw: Raw) -> pd.DataFrame:
    """Tabulate the runs, with each run's loss above the best of its (N, D)."""
    table = pd.read_csv(raw[_RUNS])
    table = table.rename(columns={"smooth_loss": "smooth loss"})  # the documentation's spelling
    table = pick(table, _NAMES).rename(columns=_NAMES)
    whole = ["params", "tokens", "batch_size_seqs", "steps", "width", "ffn_width", "heads", "depth"]
    table[whole] = table[whole].astype("int64")
    table["batch_size_tokens"] = table["batch_size_seqs"] * SEQUENCE
    table["tokens_per_param"] = table["tokens"] / table["params"]
    best = table.groupby(["params", "tokens"])["loss"].transform("min")
    table["excess_loss"] = table["loss"] - best
    table["diverged"] = table["excess_loss"] > DIVERGED
    keys = ["params", "tokens", "batch_size_seqs", "lr"]
    return pick(table.sort_values(keys, kind="stable", ignore_index=True), _ORDER.split())


def bootstrap(raw: Raw) -> pd.DataFrame:
    """Tabulate the authors' bootstrap fits of the law."""
    table = pd.read_csv(raw["data/1004_fitted_lr_bs_scaling_model_parameters.csv"])
    return pick(table, ["lr_intercept", "lr_coefN", "lr_coefD", "bs_intercept", "bs_coefD"])


def optima(raw: Raw) -> pd.DataFrame:
    """Find the best learning rate and batch of each setting."""
    settings = dense(raw).groupby(["params", "tokens"], sort=True)
    return pd.DataFrame([_optimum(runs) for _, runs in settings])


def _optimum(runs: pd.DataFrame) -> dict[str, object]:
    best = runs.loc[runs["loss"].idxmin()]
    near = runs[runs["loss"] <= best["loss"] + CLOSE]
    sweep = runs.loc[runs["batch_size_seqs"] == best["batch_size_seqs"]]
    vertex, curvature = _parabola(sweep, best)
    params, tokens = float(best["params"]), float(best["tokens"])
    return {
        "params": best["params"],
        "tokens": best["tokens"],
        "width": best["width"],
        "depth": best["depth"],
        "lr_best": best["lr"],
        "batch_best_seqs": best["batch_size_seqs"],
        "batch_best_tokens": best["batch_size_tokens"],
        "loss_best": best["loss"],
        "lr_best_parabola": vertex,
        "log_lr_curvature": curvature,
        "n_within_0p002": len(near),
        "lr_within_0p002_min": near["lr"].min(),
        "lr_within_0p002_max": near["lr"].max(),
        "batch_within_0p002_min": near["batch_size_seqs"].min(),
        "batch_within_0p002_max": near["batch_size_seqs"].max(),
        "at_lr_edge": best["lr"] in (runs["lr"].min(), runs["lr"].max()),
        "n_runs": len(runs),
        "lr_step_law": 1.79 * params**-0.713 * tokens**0.307,
        "batch_step_law_tokens": 0.58 * tokens**0.571,
    }


def _parabola(sweep: pd.DataFrame, best: pd.Series) -> tuple[float, float]:
    """Fit loss in ln lr through the best run and up to two on each side; vertex, curvature."""
    sweep = sweep.sort_values("lr")
    at = int(np.flatnonzero(sweep["lr"] == best["lr"])[0])
    near = sweep.iloc[max(at - 2, 0) : at + 3]
    if len(near) < 3:
        return np.nan, np.nan
    a, b, _ = np.polyfit(np.log(near["lr"].to_numpy(float)), near["loss"].to_numpy(float), 2)
    if a <= 0:  # no minimum
        return np.nan, np.nan
    return float(np.exp(-b / (2 * a))), float(2 * a)
