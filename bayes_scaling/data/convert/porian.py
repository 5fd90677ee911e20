"""Porian et al. 2024: isoFLOP points and optima under several accountings.

Sources: xz-compressed pickles of a DataFrame with one row per experiment. Its cells hold tables:
``data`` (one row per budget, with arrays ``orig_n``, ``orig_loss``) and ``optimal_pairs``. The
layout is read from the authors' own analysis code (`analysis.py`, `configs.py`); the pickles
themselves have not been seen, so this was run against synthetic files of that layout only.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.convert import Raw, pick
from bayes_scaling.data.convert.unpickle import read_pickle

FILES = (
    "data/summary_df.pickle.xz",
    "data/summary_df_att.pickle.xz",
    "data/summary_df_kaplan_tuned_hparams.pickle.xz",
    "data/summary_df_owt2.pickle.xz",
)
VOCABULARY, CONTEXT = 50_432, 2_048
SHAPES = (
    (96, 3), (128, 4), (160, 5), (224, 6), (288, 8), (320, 9), (384, 10), (480, 12), (576, 14),
    (640, 15), (704, 18), (832, 21), (1024, 23), (1120, 26), (1312, 26), (1504, 30),
)  # fmt: skip
"""(width, depth) of the authors' architectures: the tables give parameter counts only."""

_ACCOUNTING = {
    "kaplan": "no_embed_no_head",
    "standard": "with_head",
    "attention": "with_head_plus_attention",
}
_COUNT = {
    "no_embed_no_head": "params_no_embed",
    "with_head": "params_with_head",
    "with_head_plus_attention": "params_eff_attention",
}
_EXPERIMENT = {
    ("base", "long", "kaplan"): "head_included",
    ("base", "short", "kaplan"): "warmup_corrected",
    ("base", "short", "chinchilla"): "cosine_decay_matched",
    ("tuned", "short", "const"): "tuned_no_decay",
}
_KAPLAN_EXPERIMENT = {
    ("base", "long", "kaplan"): "kaplan_reproduction",
    ("tuned", "long", "const"): "kaplan_accounting_tuned",
}


def runs(raw: Raw) -> pd.DataFrame:
    """Tabulate the isoFLOP points: one row per experiment, budget and model size."""
    rows = []
    for labels, experiment in _experiments(raw):
        shapes = _shapes(_COUNT[labels["param_accounting"]])
        for budget in experiment["data"].to_dict("records"):
            sizes, losses = budget["orig_n"], budget["orig_loss"]
            if sizes is None or np.ndim(sizes) == 0:  # fewer than three sizes at this budget
                continue
            for size, loss in zip(np.asarray(sizes), np.asarray(losses), strict=True):
                rows.append(
                    _point(labels, float(budget["flops"]), float(size), float(loss), shapes)
                )
    keys = ["dataset", "experiment", "flops", "params"]
    return pd.DataFrame(rows).sort_values(keys, kind="stable", ignore_index=True)


def optima(raw: Raw) -> pd.DataFrame:
    """Tabulate the isoFLOP optima with their bootstrap standard deviations."""
    columns = {
        "flops": "flops",
        "n": "params_opt",
        "t": "tokens_opt",
        "multiplier": "tokens_per_param_opt",
        "loss": "loss_opt",
        "n_star_std": "log_params_opt_std",
        "t_star_std": "log_tokens_opt_std",
        "loss_star_std": "log_loss_opt_std",
    }
    tables = []
    for labels, experiment in _experiments(raw):
        table = pick(experiment["optimal_pairs"], columns).rename(columns=columns).astype(float)
        # No bracketed minimum, no estimate: also not a standard deviation of one.
        table.loc[table["params_opt"].isna(), table.columns != "flops"] = np.nan
        head = pd.DataFrame(labels, index=table.index)
        tables.append(pd.concat([head, table], axis=1))
    return pd.concat(tables, ignore_index=True)


def _experiments(raw: Raw) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    for path in FILES:
        for row in read_pickle(raw[path]).to_dict("records"):
            accounting = _ACCOUNTING[row["param_count"]]
            recipe = (row["hparams"], row["warmup"], row["decay"])
            names = _KAPLAN_EXPERIMENT if row["param_count"] == "kaplan" else _EXPERIMENT
            prefix = "att_" if row["param_count"] == "attention" else ""
            labels = {
                "experiment": prefix + names[recipe],
                "dataset": {"rw": "RefinedWeb", "owt2": "OpenWebText2"}[row["dataset"]],
                "hparams": row["hparams"],
                "warmup": row["warmup"],
                "decay": row["decay"],
                "param_accounting": accounting,
                "loss_kind": {"train": "train_smoothed", "val": "validation"}[row["val"]],
                "source_file": path,
            }
            yield labels, row


def _point(
    labels: dict[str, str], flops: float, size: float, loss: float, shapes: list[dict[str, Any]]
) -> dict[str, Any]:
    shape = min(shapes, key=lambda s: abs(math.log(s["params"] / size)))
    if not math.isclose(shape["params"], size, rel_tol=1e-6):
        msg = f"no known architecture has {size:.8g} parameters ({labels['param_accounting']})"
        raise ValueError(msg)
    tokens = flops / (6.0 * size)
    counts = {k: v for k, v in shape.items() if k != "params"}
    common = 6.0 * shape["params_with_head"] * tokens
    return {
        **labels,
        "flops": flops,
        "params": size,
        "tokens": tokens,
        "loss": loss,
        **counts,
        "flops_6nd_with_head": common,
    }


def _shapes(counted: str) -> list[dict[str, Any]]:
    out = []
    for width, depth in SHAPES:
        ffn = 256 * ((8 * width // 3 + 255) // 256)
        blocks = float((4 * width + 3 * ffn) * width * depth)
        head = blocks + VOCABULARY * width
        counts = {
            "params_no_embed": blocks,
            "params_with_head": head,
            "params_eff_attention": head + CONTEXT * width * depth,
        }
        out.append({"width": width, "depth": depth, **counts, "params": counts[counted]})
    return out
