"""Gadre et al. 2024: over-trained models with losses and downstream errors, and a shape grid.

Sources: per model one JSON of hyperparameters and losses and one of task accuracies; one JSON that
maps a key such as ``d=96_l=8_h=4-8-0.003-0.033-8-211386240-100-3e-05`` to a loss.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_scaling.data.convert import Raw

LOSSES = {
    "openlm": "loss_openlm",
    "c4_val": "loss_c4_eval",
    "paloma_c4_en": "loss_paloma_c4_en",
    "paloma_dolma_100_programing_languages": "loss_paloma_dolma_100_programing_languages",
    "paloma_falcon-refinedweb": "loss_paloma_falcon_refinedweb",
    "paloma_ptb": "loss_paloma_ptb",
    "paloma_redpajama": "loss_paloma_redpajama",
    "val_de-en_100": "loss_c4_german",
}
"""Evaluation set, as the files name it -> column."""

_WITH_INTERVAL = ("openlm", "c4_val")

SUBSET = (
    "bigbench_operators", "pubmed_qa_labeled", "hellaswag_zeroshot", "boolq", "arc_easy", "coqa",
    "bigbench_dyck_languages", "lambada_openai", "bigbench_novel_concepts", "winograd",
    "bigbench_cs_algorithms", "commonsense_qa", "bigbench_qa_wikidata", "hellaswag", "copa",
    "squad", "piqa",
)  # fmt: skip
"""The 17 tasks on which small models are above chance, as chosen by the authors."""

_KEY = re.compile(
    r"(?P<model>d=(?P<width>\d+)_l=(?P<depth>\d+)_h=(?P<heads>\d+))-(?P<a>\d+)-(?P<lr>[\d.]+)"
    r"-(?P<wd>[\d.]+)-(?P<b>\d+)-(?P<tokens>\d+)-(?P<warmup>\d+)-(?P<cooldown>.+)"
)


def runs(raw: Raw) -> pd.DataFrame:
    """Tabulate the models: hyperparameters, losses, errors of 46 tasks."""
    models = [p for p in raw if p.startswith("exp_data/models/")]
    rows = [_run(raw[p], raw[_evaluation(p)]) for p in models]
    keys = ["train_dataset", "params", "tokens"]
    return pd.DataFrame(rows).sort_values(keys, kind="stable", ignore_index=True)


def grid(raw: Raw) -> pd.DataFrame:
    """Tabulate the shape grid; tokens are 20 per parameter, which gives params."""
    losses = json.loads(raw["exp_data/grid.json"].read_text("utf-8"))
    return pd.DataFrame([_grid_row(key, loss) for key, loss in losses.items()])


def _evaluation(model_path: str) -> str:
    return f"exp_data/evals/evaluation_{Path(model_path).name.removesuffix('.json')}_heavy.json"


def _run(model: Path, evaluation: Path) -> dict[str, Any]:
    told = json.loads(model.read_text("utf-8"))
    accuracy = json.loads(evaluation.read_text("utf-8"))["eval_metrics"]["icl"]
    h = told["hyperparameters"]
    errors = {task: 1.0 - value for task, value in accuracy.items()}
    return {
        "run": told["name"],
        "train_dataset": told["dataset_name"],
        "model": h["model"].split("/")[-1].removesuffix(".json"),
        "params": h["params"],
        "params_no_embed": h["params_no_embed"],
        "tokens": h["tokens"],
        "flops": 6 * h["params"] * h["tokens"],
        "chinchilla_multiplier": float(h["chinchilla_multiplier"]),
        "token_multiplier": round(20 * h["chinchilla_multiplier"]),
        "lr": h["lr"],
        "weight_decay": h["wd"],
        "cooldown_lr": h["cd"],
        "warmup_steps": h["warmup"],
        "batch_size_seqs": h["global_bs"],
        "z_loss": h["z_loss"],
        **_losses(told["results"]),
        "error_avg46": sum(errors.values()) / len(errors),
        "error_avg17": sum(errors[t] for t in SUBSET) / len(SUBSET),
        **{f"error_{task}": value for task, value in errors.items()},
    }


def _losses(results: list[dict[str, Any]]) -> dict[str, float]:
    by_set = {_evaluation_set(r["val_data"][0]): r for r in results}
    out = {}
    for name, column in LOSSES.items():
        out[column] = by_set[name]["loss"]
        if name in _WITH_INTERVAL:
            out[f"{column}_lo95"] = by_set[name]["loss_sequences_lower_95"]
            out[f"{column}_hi95"] = by_set[name]["loss_sequences_upper_95"]
    return out


def _evaluation_set(path: str) -> str:
    folder, file = path.split("/")[-2:]
    return file.split(".")[0] if "de-en" in folder else folder


def _grid_row(key: str, loss: float) -> dict[str, Any]:
    m = _KEY.fullmatch(key)
    if m is None:
        msg = f"{key!r} is not a key of the grid"
        raise ValueError(msg)
    tokens = float(m["tokens"])
    return {
        "model": m["model"],
        "width": int(m["width"]),
        "depth": int(m["depth"]),
        "heads": int(m["heads"]),
        "params": tokens / 20,
        "gpus_or_nodes_a": int(m["a"]),
        "lr": float(m["lr"]),
        "weight_decay": float(m["wd"]),
        "gpus_or_nodes_b": int(m["b"]),
        "tokens": tokens,
        "warmup_steps": int(m["warmup"]),
        "cooldown_lr": float(m["cooldown"]),
        "loss": loss,
    }
