"""What answers about batch sizes share: the law of a fit, where it is asked, its parameters."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.decision._planned import of_a_new_sweep, of_the_law, planned
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import CriticalBatch
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.results import carries_runs, model_of, theta_of

SAME = 1e-3  # relative: tables round tokens, and steps are whole


def law_of(fit: xr.DataTree) -> CriticalBatch:
    """Return the law of a fit, refusing any other than `cbs`, or one fitted to its own outcome."""
    law = model_of(fit).law
    if not isinstance(law, CriticalBatch):
        msg = f"law {law.name!r} knows no batch size; fit `CriticalBatch` to steps to a target loss"
        raise SpecError(msg)
    if "tokens" in law.drivers and _tokens_of_runs(fit, law.outcome):
        msg = (
            "the fit's `tokens` are steps times batch of every run, so the critical batch size was "
            "fitted along the outcome itself. Give one number per sweep and fit again, such as the "
            "fewest: runs.assign(tokens=runs.groupby('model')['tokens'].transform('min'))"
        )
        raise SpecError(msg)
    return law


def points_of(fit: xr.DataTree, at: Any) -> dict[str, xr.DataArray]:
    """Return where the critical batch size is asked for, over `point`."""
    return planned(at, tuple(model_of(fit).law.drivers), "the critical batch size")


def theta_at(
    fit: xr.DataTree, group: str | None, seed: int | None = None
) -> dict[str, xr.DataArray]:
    """Return the law's parameters, or with `seed` a new sweep's; without `s0` where it is free.

    The critical batch size needs no steps, and a planned run has none yet.
    """
    if group is not None or model_of(fit).pooling is None:
        return theta_of(fit, group)
    return of_the_law(fit, "s0") if seed is None else of_a_new_sweep(fit, "s0", seed)


def _tokens_of_runs(fit: xr.DataTree, outcome: str) -> bool:
    if not carries_runs(fit):
        return False
    data, steps = fit["constant_data"].to_dataset(), fit["observed_data"][outcome].values
    return bool(np.allclose(data["tokens"].values, steps * data[BATCH].values, rtol=SAME))
