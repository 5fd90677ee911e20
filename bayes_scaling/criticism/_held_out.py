"""Refits to parts of a table, and the density of the runs they have not seen.

All refits of one call share one compiled program, the engine of `fit_many`, and one law: its
reference sizes are those of the whole table, unless the law asks where its table ends: that is the
part's own affair. What a prior takes from the losses (their least, their
mean) is taken from the runs a refit is given, never from those held out.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Literal

import jax
import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._registry import did_you_mean
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.inference.fit import as_read
from bayes_scaling.inference.many import Refit, refit
from bayes_scaling.inference.rows import joined, parted
from bayes_scaling.inference.sampling import Likelihood
from bayes_scaling.inference.target import target_of
from bayes_scaling.laws import Anchored
from bayes_scaling.model import ScalingModel
from bayes_scaling.observations import CLUSTER
from bayes_scaling.program import Prepared, alone, padded, prepare

TRUSTED = "trusted"

Method = Literal["laplace", "auto"]


def whole(model: ScalingModel, runs: pd.DataFrame, what: str) -> Prepared:
    """Bind a model to all usable runs, so that every refit has their reference sizes."""
    if model.pooling:
        msg = f"{what} takes models without pooling: fit a pooled model to each table with `fit`"
        raise SpecError(msg)
    return prepare(model, as_read(runs, model))


def column_of(runs: pd.DataFrame, name: str) -> np.ndarray:
    """Return the labels that a column gives to runs, or say why it gives none."""
    if name not in runs:
        hint = did_you_mean(name, [str(c) for c in runs.columns])
        msg = f"the table has no column {name!r} to tell which runs go together.{hint} Columns: "
        raise SpecError(msg + ", ".join(map(str, runs.columns)) + ".")
    if (gaps := int(np.sum(pd.isna(runs[name])))) > 0:
        what = f"column {name!r}, which tells which runs go together, has {gaps} missing values"
        msg = f"{what}: fill them in first"
        raise SpecError(msg)
    values = runs[name].to_numpy()
    return values.astype(str) if values.dtype == object else values


def clusters_of(full: Prepared, by: str | None) -> np.ndarray | None:
    """Return which runs of a bound table go together: by a column, else as they scatter.

    Raises
    ------
    SpecError
        The column parts rows that scatter together.
    """
    code = full.data["x"][CLUSTER][: len(full.runs)] if CLUSTER in full.data["x"] else None
    if by is None:
        return code
    labels = column_of(full.runs, by)
    keep_whole(full, labels, f"column {by!r}")
    return labels


def keep_whole(full: Prepared, labels: np.ndarray, what: str) -> None:
    """Refuse labels that part rows which scatter together."""
    if CLUSTER not in full.data["x"]:
        return
    code = full.data["x"][CLUSTER][: len(full.runs)]
    torn = int(np.sum(pd.Series(labels).groupby(code).nunique().to_numpy() > 1))
    if torn:
        msg = (
            f"{what} parts {torn} of {len(set(code))} clusters, whose rows say what each other "
            f"measured: give labels that keep every cluster whole, or leave them to the model"
        )
        raise SpecError(msg)


def refit_parts(
    full: Prepared,
    parts: Sequence[np.ndarray],
    method: Method,
    draws: int,
    seed: int,
    executor: Executor | None,
    progress: bool | None,
) -> list[Refit]:
    """Fit a bound model to parts of its table, each given by the positions of its rows."""
    if method not in ("laplace", "auto"):
        msg = f"method {method!r} is unknown to refits; choose laplace or auto"
        raise SpecError(msg)
    model, law = full.model, full.model.law
    if isinstance(law, Anchored):
        means = tuple((k, v) for k, v in law.reference if k in law.inputs)  # pyright: ignore
        model = replace(model, law=replace(law, reference=means))  # pyright: ignore
    out = refit(
        model,
        [full.runs.take(rows) for rows in parts],
        method=method,
        draws=draws,
        seed=seed,
        executor=executor,
        progress=progress,
    )
    if all(one.ready is None for one in out):
        msg = f"no part of the table can be fitted: {out[0].trust}"
        raise FitError(msg)
    return out


def log_densities(
    full: Prepared, one: Refit, rows: np.ndarray, *, by_itself: bool = False
) -> np.ndarray:
    """Return the log density of runs of a table under a fit to others, (draw, row).

    Its reference sizes and the numbers of its priors are those of the fit: of the runs scored,
    nothing but themselves is looked at. Rows that scatter together are scored in turn, each given
    those before it among `rows`, unless each is to be `by_itself`. NaN where the fit was refused.
    """
    if one.ready is None:
        return np.full((1, len(rows)), np.nan)
    filled = np.pad(rows, (0, padded(len(rows)) - len(rows)), mode="edge")
    scored_rows = jax.tree.map(lambda v: v[filled], parted(full.data)[0])
    scored_rows["x"] = alone(scored_rows["x"], 0 if by_itself else len(rows))
    data = joined(scored_rows, parted(one.ready.data)[1])
    likelihood = Likelihood(target_of(one.ready.program, data), data, one.z)
    return likelihood(0, len(one.z))[full.model.law.outcome][:, : len(rows)]


def log_mean(values: np.ndarray) -> np.ndarray:
    """Return the log of the mean of exponentials over the first dimension."""
    return log_sum(values) - np.log(len(values))


def log_sum(values: np.ndarray) -> np.ndarray:
    top = np.max(values, axis=0)
    return top + np.log(np.sum(np.exp(values - top), axis=0))


def scored(full: Prepared, runwise: dict[str, Any]) -> xr.Dataset:
    """Put what is known per run into a Dataset, with the total of `elpd_i` and its error."""
    each = runwise["elpd_i"]
    out = xr.Dataset({k: ("run", v) for k, v in runwise.items()}, {"run": full.runs.index})
    out["elpd"], out["se"] = float(np.sum(each)), float(np.sqrt(len(each) * np.var(each)))
    return out


def certificates(refits: Sequence[Refit]) -> dict[str, Any]:
    """Return `k_hat` and `trust` of every refit."""
    k = [float(one.attrs.get("k_hat", np.nan)) for one in refits]
    return {"k_hat": k, "trust": np.array([one.trust for one in refits])}


def verdict(trust: Sequence[str] | np.ndarray, what: str) -> str:
    """Sum up whether refits are to be trusted."""
    bad = [str(t) for t in trust if t != TRUSTED]
    return f"{len(bad)} of {len(trust)} {what}: {bad[0]}" if bad else TRUSTED
