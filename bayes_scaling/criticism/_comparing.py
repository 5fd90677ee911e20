"""What a comparison of laws is given, and what it says."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._cuts import compute_of, steps_of
from bayes_scaling.criticism._held_out import TRUSTED, column_of
from bayes_scaling.criticism._reading import refuse
from bayes_scaling.data.read import read_runs
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.inference.fit import roles_of
from bayes_scaling.laws import law_from_dict, to_dict
from bayes_scaling.model import ScalingModel, model_for
from bayes_scaling.observations import ReadsClusters
from bayes_scaling.program import Prepared, prepare

SURE, CLEAR = 2.0, 4.0  # standard errors and nats from which laws are told apart (Sivula et al.)
WIDTH = 96
SHOWN = {"elpd_lfo": "LFO", "lfo_diff": "diff", "lfo_se": "se", "lfo_weight": "weight",
         "rmse": "rmse", "coverage": "cover", "elpd_loo": "LOO", "loo_diff": "diff ",
         "loo_se": "se ", "p_loo": "p", "loo_weight": "weight "}  # fmt: skip


def checked(
    models: Any, runs: Any, by: Any, cuts: Any, folds: Any
) -> tuple[dict[str, ScalingModel], pd.DataFrame, Any]:
    """Return the models by name, the table as read, what to hold out by; or all that is wrong."""
    named, wrong = _named(models)
    seen = [m.observation for m in named.values() if isinstance(m.observation, ReadsClusters)]
    if by is None and seen:
        by = seen[0].by or None
        if len({m.by for m in seen}) > 1 or by is None:
            wrong.append("by: models with clusters of rows; say by which column to hold rows out")
    if not wrong and len(named) < 2:
        wrong.append(f"models: two or more to compare; {len(named)} given")
    if len(outcomes := {m.law.outcome for m in named.values()}) > 1:
        each = ", ".join(f"{k} of {m.law.outcome}" for k, m in named.items())
        wrong.append(f"models: {len(outcomes)} outcomes ({each}), whose densities do not compare")
    wrong += [
        f"{k}: it pools by {m.pooling.column}, and refits do not; leave pooling out"
        for k, m in named.items()
        if m.pooling
    ]
    if not isinstance(folds, int | None) or (folds is not None and folds < 2):
        wrong.append(f"folds: a whole number from 2 on; found {folds!r}")
    if not (isinstance(runs, pd.DataFrame) and {"use", "flag"} <= set(runs.columns)):
        refuse("compare", wrong)  # what a table needs is said by its models
        roles = dict.fromkeys(r for m in named.values() for r in roles_of(m))
        runs = read_runs(runs, require=tuple(roles))
    ready: dict[str, Prepared] = {}
    for name, model in named.items():
        try:
            if not model.pooling:
                ready[name] = prepare(model, runs)
        except BayesScalingError as error:
            wrong.append(f"{name}: {error}")
    used = {k: list(one.runs.index) for k, one in ready.items()}
    first = next(iter(used), "")
    wrong += [
        f"{k}: it uses {len(rows)} runs and {first} {len(used[first])}, not the same ones; "
        f"complete the table, or leave out what one of them cannot use"
        for k, rows in used.items()
        if rows != used[first]
    ]
    if ready:
        full = ready[first]
        lacking = _tried(lambda: compute_of(full.runs))
        known = [] if by is None else _tried(lambda: column_of(full.runs, by))
        whose = column_of(full.runs, by) if by is not None and not known else None
        wrong += lacking or steps_of(compute_of(full.runs), cuts, whose)[1]
        wrong += known
    refuse("compare", wrong)
    return named, runs, by


def _tried(ask: Any) -> list[str]:
    try:
        ask()
    except BayesScalingError as error:
        return [str(error)]
    return []


def _named(models: Any) -> tuple[dict[str, ScalingModel], list[str]]:
    if isinstance(models, Mapping):
        given = [(str(k), v) for k, v in models.items()]
    elif isinstance(models, Sequence) and not isinstance(models, str):
        given = [("", v) for v in models]
    else:
        return {}, [f"models: a mapping of name to model, or a list; found {models!r}"]
    pairs: list[tuple[str, ScalingModel]] = []
    wrong = []
    for name, one in given:
        try:
            model = _model(one)
        except BayesScalingError as error:
            wrong.append(str(error))
            continue
        pairs.append((name or _label(model), model))
    keys = [k for k, _ in pairs]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        wrong.append(f"models: {', '.join(twice)} given twice; a mapping gives them other names")
    return dict(pairs), wrong


def _label(model: ScalingModel) -> str:
    """Name a model by its law and what that chose: ``chinchilla tied``."""
    chosen = {k: v for k, v in to_dict(model.law).items() if k not in ("name", "reference")}
    words = [k if v is True else f"no {k}" if v is False else f"{v}" for k, v in chosen.items()]
    return " ".join([model.law.name, *words])


def _model(given: Any) -> ScalingModel:
    if isinstance(given, ScalingModel):
        return given
    return model_for(law_from_dict(given) if isinstance(given, str) else given)


def groups(runs: pd.DataFrame, rows: np.ndarray, by: str | None) -> np.ndarray | None:
    """Return the group of every run that was scored."""
    return None if by is None else column_of(runs.loc[rows], by)


def sizes(runs: pd.DataFrame, by: str | None) -> int:
    """Count what folds are made of."""
    used = runs.loc[runs["use"].to_numpy(bool)]
    return len(used) if by is None else len(set(column_of(used, by)))


def by_group(each: xr.DataArray, scores: xr.Dataset) -> np.ndarray:
    """Return scores per run, or summed over the runs of a group, (law, run): what varies alone."""
    values = each.transpose("law", "run").values
    known = np.isfinite(values).all(axis=0)
    values = values[:, known]
    if "group" not in scores.coords:
        return values
    _, group = np.unique(scores["group"].values[known], return_inverse=True)
    return np.stack([np.bincount(group, v) for v in values])


def said(table: pd.DataFrame, scores: xr.Dataset) -> tuple[str, ...]:
    """Say what a comparison comes to."""
    loo, lfo = (list(table.sort_values(f"{k}_rank").index) for k in ("loo", "lfo"))
    cuts, ahead = scores.sizes["cut"], int((scores["cuts_of"] > 0).sum())
    out = [
        f"Beyond the data ({ahead} runs ahead of {cuts} cut{'s' * (cuts > 1)}) "
        f"{_leads(table, 'lfo', lfo)}",
        f"Inside the data ({int(scores['loo'].notnull().all('law').sum())} runs held out) "
        f"{_leads(table, 'loo', loo)}",
    ]
    if loo != lfo:
        orders = f"held-out runs {' > '.join(loo)}, runs ahead {' > '.join(lfo)}"
        text = f"The two rank laws differently: {orders}."
        if loo[0] != lfo[0]:
            clear = _clear(table, "lfo", loo[0])
            text += " For a plan beyond the data trust the runs ahead: to fill gaps is not what "
            text += "a plan asks of a law" + ("." if clear else ", though the difference is small.")
        out.append(text)
    each = zip(table.index, table["trust"].tolist(), strict=True)
    bad = [str(k) for k, v in each if v != TRUSTED]
    if bad:
        out.append(f"Not to be trusted: scores of {', '.join(bad)}; see the column `trust`.")
    return tuple(out)


def _leads(table: pd.DataFrame, kind: str, order: Sequence[str]) -> str:
    best, rest = order[0], order[1:]
    near = [k for k in rest if not _clear(table, kind, k)]
    if near:
        return f"{best} predicts best, but {_listed(near)} cannot be told from it."
    nearest = table.loc[rest[0]]
    gap, se = -float(nearest[f"{kind}_diff"]), float(nearest[f"{kind}_se"])
    return f"{best} predicts best, {gap:.1f} nats ahead of {rest[0]} (standard error {se:.1f})."


def _clear(table: pd.DataFrame, kind: str, name: str) -> bool:
    """Say whether a law is told from the best."""
    gap, se = -float(table.loc[name, f"{kind}_diff"]), float(table.loc[name, f"{kind}_se"])
    return gap > max(SURE * se, CLEAR)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def page(table: pd.DataFrame, sentences: Sequence[str]) -> str:
    """Write the table and the sentences as a page."""
    shown = pd.DataFrame({head: table[name] for name, head in SHOWN.items()})
    write: dict[Any, Any] = dict.fromkeys(shown, "{:.1f}".format)
    write |= {"rmse": "{:.2g}".format, "cover": "{:.0%}".format}
    write |= dict.fromkeys(("weight", "weight "), "{:.2f}".format)
    shown.index.name = None
    rows = shown.to_string(formatters=write).split("\n")
    return "\n".join([*rows, *(line for s in sentences for line in textwrap.wrap(s, WIDTH))])
