"""Ruan et al. 2024: benchmark scores of public base models.

Sources: two CSVs keyed by ``Model``, one of benchmark accuracies with model size (billions) and
data (trillions), one of few-shot scores on tasks called emergent.
"""

import pandas as pd

from bayes_scaling.data.convert import Raw

_BENCHMARKS = (
    "MMLU", "ARC-C", "HellaSwag", "Winograd", "TruthfulQA", "GSM8K", "XWinograd", "HumanEval",
)  # fmt: skip


def models(raw: Raw) -> pd.DataFrame:
    """Tabulate one model a row, ordered by family and size."""
    base = pd.read_csv(raw["eval_results/base_llm_benchmark_eval.csv"])
    extra = pd.read_csv(raw["eval_results/base_llm_emergent_capability_eval.csv"])
    params = base["Model Size (B)"] * 1e9
    tokens = base["Pretraining Data Size (T)"] * 1e12
    table = pd.DataFrame(
        {
            "model": base["Model"],
            "family": base["Model Family"],
            "params": params,
            "tokens": tokens,
            "flops": 6.0 * params * tokens,
            **{f"acc_{b.lower().replace('-', '_')}": base[b] for b in _BENCHMARKS},
        }
    )
    extra = extra.rename(columns=lambda c: "model" if c == "Model" else f"emergent_{c}")
    table = table.merge(extra, on="model", how="left", validate="one_to_one")
    return table.sort_values(["family", "params", "model"], ignore_index=True)
