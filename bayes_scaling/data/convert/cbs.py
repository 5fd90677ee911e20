"""Zhang et al. 2024: optimizer steps to reach a loss, by batch size.

Source: a notebook. One cell prints the best run of each model and batch size, a later one the
step counts that go into the authors' fits (a few of them interpolated).
"""

import ast
import re

import pandas as pd

from bayes_scaling.data.convert import Raw
from bayes_scaling.data.convert.notebook import Cell, code_cells

CONTEXT = 512  # tokens
_RUN = re.compile(
    r"Minimum goal step (?P<steps>\d+) for batch size (?P<batch>\d+) "
    r"\(Model Size (?P<model>\S+), Run Name (?P<run>.+?)\), Run ID (?P<id>\w+)"
)
_FIT = re.compile(r"Model Size: (\S+)\n(\[[\d., ]+\])\n(\[[\d., ]+\])\nfitted")
_GOALS = re.compile(r"goal_losses = (\{.*?\})", re.DOTALL)
_UNIT = {"M": 1e6, "B": 1e9}


def steps_to_target(raw: Raw) -> pd.DataFrame:
    """Tabulate one row per model and batch size."""
    cells = list(code_cells(raw["plots/chinchilla.ipynb"]))
    found = _first(cells, lambda c: list(_RUN.finditer(c.printed)), "the best runs")
    fitted = _first(cells, lambda c: _FIT.findall(c.printed), "the fitted step counts")
    goals = ast.literal_eval(_first(cells, lambda c: _GOALS.findall(c.source), "goal_losses")[0])
    steps = {
        (model, batch): count
        for model, batches, counts in fitted
        for batch, count in zip(ast.literal_eval(batches), ast.literal_eval(counts), strict=True)
    }
    return pd.DataFrame([_row(m, steps, goals) for m in found])


def _row(m: re.Match[str], steps: dict, goals: dict) -> dict[str, object]:
    batch, label = int(m["batch"]), m["model"].partition("-")[0]
    count = steps[m["model"], batch]
    lr = re.search(r"lr([\d.]+)", m["run"])
    return {
        "model": label,
        "params_label": round(float(label[:-1]) * _UNIT[label[-1]], 3),
        "batch_size_seqs": batch,
        "batch_size_tokens": batch * CONTEXT,
        "target_loss": goals[m["model"]],
        "steps_to_target": int(count),
        "steps_to_target_first_eval": int(m["steps"]),
        "tokens_to_target": float(count) * batch * CONTEXT,
        "best_run": m["run"],
        "lr": float(lr[1]) if lr else float("nan"),
        "run_id": m["id"],
    }


def _first(cells: list[Cell], find, what: str) -> list:
    for cell in cells:
        if hits := find(cell):
            return hits
    msg = f"no cell has {what}"
    raise ValueError(msg)
