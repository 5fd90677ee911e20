"""Muennighoff et al. 2023: losses of the data-repetition runs.

Source: a notebook cell that assigns three literals, the losses by run name and two maps from name
parts to numbers. A name such as ``146m14b400m`` is parameters, tokens and unique tokens.
"""

import ast
import re
from typing import Any

import numpy as np
import pandas as pd

from bayes_scaling.data.convert import Raw
from bayes_scaling.data.convert.notebook import code_cells

_LITERALS = ("NAMES_TO_VAL_LOSSES", "TOKENS_MAP", "PARAMS_MAP")
_NAME = re.compile(
    r"(?P<core>.+?)(?:c4)?(?:v\d)?(?:seed(?P<seed>\d+))?(?P<tuned>opt\d*)?(?P<dedup>dedup)?"
)


def runs(raw: Raw) -> pd.DataFrame:
    """Tabulate the finished runs, in the notebook's order."""
    losses, tokens_map, params_map = _literals(raw)
    rows = [
        _row(name, loss, tokens_map, params_map) for name, loss in losses.items() if loss != 0
    ]  # a loss of 0 marks a run that had not finished
    return pd.DataFrame(rows)


def _literals(raw: Raw) -> list[dict[str, Any]]:
    for cell in code_cells(raw["plotstables/return_alloc.ipynb"]):
        if cell.source.count(_LITERALS[0]) == 1 and f"{_LITERALS[0]} = {{" in cell.source:
            body = ast.parse(cell.source).body
            assigned = {
                statement.targets[0].id: ast.literal_eval(statement.value)
                for statement in body
                if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
            }
            return [assigned[name] for name in _LITERALS]
    msg = f"no cell assigns {_LITERALS[0]}"
    raise ValueError(msg)


def _row(name: str, loss: float, tokens_map: dict, params_map: dict) -> dict[str, Any]:
    m = _NAME.fullmatch(name)
    if m is None:
        msg = f"{name!r} is not a run name"
        raise ValueError(msg)
    size, seen, unique = _parts(m["core"], params_map)
    tokens, unique_tokens = _count(seen, tokens_map), _count(unique, tokens_map)
    plain = not (m["seed"] or m["tuned"] or m["dedup"])
    return {
        "run": name,
        "params": float(params_map[size]),
        "tokens": tokens,
        "unique_tokens": unique_tokens,
        "epochs": tokens / unique_tokens,
        "loss": loss,
        "seed": float(m["seed"]) if m["seed"] else np.nan,
        "deduplicated": bool(m["dedup"]),
        "tuned_variant": bool(m["tuned"]),
        "in_published_table": plain,
    }


def _parts(core: str, params_map: dict) -> tuple[str, str, str]:
    """Cut a name in three, by the authors' own rule: it has no separators.

    The front is the shortest known size. The back is the last three or four characters, less any
    that belong to the number before.
    """
    front = next((i for i in range(2, len(core)) if core[:i] in params_map), None)
    if front is None:
        msg = f"{core!r} starts with no known model size"
        raise ValueError(msg)
    back = 4 if core[-1] in "bm" or core[-2] not in "bm" else 3
    while core[-back:].count("b") > 1 or core[-back:].count("m") > 1:
        back -= 1
    return core[:front], core[front:-back], core[-back:]


def _count(text: str, tokens_map: dict) -> float:
    billions = tokens_map.get(text)
    if billions is None:
        billions = float(text.replace("b", ".").strip("."))
    return billions * 1e9
