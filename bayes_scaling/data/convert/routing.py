"""Clark et al. 2022: dense and routed models at several evaluation steps.

Source: one gzipped CSV with a row per run and evaluation step; its README names the columns.
"""

import pandas as pd

from bayes_scaling.data.convert import Raw, pick

STEPS = (10_000, 50_000, 100_000, 150_000, 200_000)
"""Evaluations that are kept besides the last of each run."""

_NAMES = {
    "hyper_id": "run",
    "router_type": "router_type",
    "model_size_label": "size_label",
    "num_experts": "experts",
    "k": "experts_per_token",
    "routing_frequency": "routing_frequency",
    "flop_increase": "flop_increase",
    "dense_parameter_count": "params_dense",
    "total_parameter_count": "params_total",
    "step": "step",
    "is_final": "is_final",
    "loss_validation": "loss",
    "loss_c4": "loss_c4",
    "loss_curation_corpus": "loss_curation_corpus",
    "loss_lambada": "loss_lambada",
    "loss_pile": "loss_pile",
    "loss_wikitext103": "loss_wikitext103",
    "d_model": "width",
    "num_blocks": "depth",
    "num_heads": "heads",
    "kqv_size": "kqv_size",
    "flops_per_step": "flops_per_step_forward",
    "seed": "seed",
}
_WHOLE = [
    "run", "experts", "experts_per_token", "flop_increase", "step", "width", "depth", "heads",
    "kqv_size", "seed",
]  # fmt: skip


def runs(raw: Raw) -> pd.DataFrame:
    """Tabulate the kept evaluations, ordered by run and step."""
    table = pd.read_csv(raw["data/curves.csv.gz"], compression="gzip")
    table["is_final"] = table["step"] == table.groupby("hyper_id")["step"].transform("max")
    table = table.loc[table["step"].isin(STEPS) | table["is_final"]]
    table = pick(table, _NAMES).rename(columns=_NAMES)
    # A dense model has one expert and a routed one no widening: both are 1 when left blank.
    blank = ["experts", "experts_per_token", "flop_increase"]
    table[blank] = table[blank].fillna(1)
    table[_WHOLE] = table[_WHOLE].astype("int64")
    counts = ["params_dense", "params_total", "flops_per_step_forward"]
    table[counts] = table[counts].astype(float)
    return table.sort_values(["run", "step"], kind="stable", ignore_index=True)
