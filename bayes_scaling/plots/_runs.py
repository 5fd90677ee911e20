"""What figures need of a fit: fewer draws, the runs it was made from, what it is called."""

import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.errors import SpecError
from bayes_scaling.plots._style import PROBS
from bayes_scaling.plots._ticks import count, power
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of

MOST = 1000  # draws behind a band: its edges then wander by a twentieth of its half-width
SAID_ONCE = ("sampling", "refusals")


def light(fit: xr.DataTree) -> xr.DataTree:
    """Return a fit of at most `MOST` draws without its verdicts.

    A figure warns once and says the rest on itself; what it calls need not warn again.
    """
    posterior = fit["posterior"].to_dataset()
    step = -(-posterior.sizes["chain"] * posterior.sizes["draw"] // MOST)
    out = xr.DataTree.from_dict({"/posterior": posterior.isel(draw=slice(None, None, step))})
    out.attrs = {k: v for k, v in fit.attrs.items() if k not in SAID_ONCE}
    return out


def runs_of(fit: xr.DataTree, group: str | None = None) -> pd.DataFrame | None:
    """Return the runs fitted: inputs, outcome and `compute`, 6ND; None where the fit has none.

    Compute is by the rule that `allocate` plans with, so that runs and curves share an axis.
    """
    if not carries_runs(fit):
        return None
    outcome = model_of(fit).law.outcome
    inputs = fit["constant_data"].to_dataset()
    runs = pd.DataFrame({str(c): inputs[c].values for c in inputs.data_vars})
    runs.index = pd.Index(inputs["run"].values, name="run")
    runs[outcome] = fit["observed_data"][outcome].values
    return of_group(fit, with_compute(runs), group)


def with_compute(runs: pd.DataFrame) -> pd.DataFrame:
    """Add `compute`: 6ND, else the table's own FLOPs."""
    if {"params", "tokens"} <= set(runs):
        return runs.assign(compute=flops_6nd(runs["params"], runs["tokens"]))
    return runs.assign(compute=runs["flops"]) if "flops" in runs else runs


def of_group(fit: xr.DataTree, runs: pd.DataFrame, group: str | None) -> pd.DataFrame:
    """Keep the runs of one group of a pooled model."""
    pooling = model_of(fit).pooling
    if group is None or pooling is None:
        return runs
    return runs.loc[runs[pooling.column].astype(str) == str(group)]


def largest(fit: xr.DataTree, runs: pd.DataFrame | None) -> float | None:
    """Return the most compute fitted, FLOP: of the runs, else of the fit's own record."""
    if runs is not None and "compute" in runs:
        return float(runs["compute"].to_numpy().max())
    return json.loads(fit.attrs.get("largest", "{}")).get("flops")


def in_the_plane(fit: xr.DataTree, group: str | None) -> Any:
    """Return the law of a fit, refusing a group it lacks, or other inputs than a plane's."""
    theta_of(fit, group)
    law = model_of(fit).law
    if set(law.inputs) != {"params", "tokens"}:
        msg = (
            f"law {law.name!r} is in {', '.join(law.inputs)}; this figure is of laws in params and "
            f"tokens. `plot_posterior` and `plot_residuals` take any law."
        )
        raise SpecError(msg)
    return law


def loss_along(fit: xr.DataTree, group: str | None, **points: Any) -> np.ndarray:
    """Return the quantiles at `PROBS` of the law's own value at points, (5, point)."""
    x = {k: xr.DataArray(np.asarray(v, float), dims="point") for k, v in points.items()}
    return quantiles(model_of(fit).law(theta_of(fit, group), x))


def quantiles(draws: xr.DataArray, probs: Any = PROBS) -> np.ndarray:
    """Return quantiles over the draws, (prob, point)."""
    return draws.quantile(probs, dim=SAMPLES).values


def detail_of(fit: xr.DataTree, runs: pd.DataFrame | None, group: str | None = None) -> str:
    """Say in one line what a figure is of: law, runs, how far they reach."""
    model = model_of(fit)
    rows = int(fit.attrs["rows"]) if "rows" in fit.attrs else None
    number = len(runs) if runs is not None else rows
    parts = [f"{model.law.name} law"]
    parts += [f"group {group}"] if group is not None and model.pooling else []
    parts += [f"{number} runs" if number is not None else "runs not recorded"]
    reach = largest(fit, runs)
    parts[-1] += f" up to {power(reach)} FLOP" if reach else ""
    parts += ["data not in this fit"] if runs is None else []
    return ", ".join(parts)


def plan_label(plan: xr.Dataset, name: str) -> list[str]:
    """Write the medians of a plan, one per budget."""
    return [count(v) for v in quantiles(plan[name], [0.5])[0]]
