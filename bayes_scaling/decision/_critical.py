"""What answers about batch sizes share: the law of a fit, where it is asked, its parameters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import CriticalBatch
from bayes_scaling.laws.batch import BATCH
from bayes_scaling.results import model_of, theta_of

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
    drivers = model_of(fit).law.drivers
    if not drivers:
        return {}
    given = at if isinstance(at, Mapping) else dict.fromkeys(drivers[:1], at)
    example = ", ".join(f"{d!r}: ..." for d in drivers)
    along = " and ".join(drivers)
    wanted = f"the critical batch size is along {along}: give at={{{example}}}, positive"
    values = [positive(given.get(d), wanted) for d in drivers]
    try:
        values = np.broadcast_arrays(*values)
    except ValueError as error:
        counts = ", ".join(f"{len(v)} of {d}" for d, v in zip(drivers, values, strict=True))
        msg = f"{wanted}, as many of each or one; found {counts}"
        raise SpecError(msg) from error
    coords = {d: ("point", v) for d, v in zip(drivers, values, strict=True)}
    return {d: xr.DataArray(v, dims="point", coords=coords) for d, (_, v) in coords.items()}


def theta_at(fit: xr.DataTree, law: Any, group: str | None) -> dict[str, xr.DataArray]:
    """Return the law's parameters; without `s0` where that is every sweep's own and none is named.

    The critical batch size needs no steps, and a planned run has none yet.
    """
    if group is not None or model_of(fit).pooling is None:
        return theta_of(fit, group)
    posterior = fit["posterior"].to_dataset()
    names = [p.name for p in law.params if p.name != "s0" or "s0" in posterior]
    if missing := [n for n in names if n not in posterior]:
        msg = f"{', '.join(missing)}: every sweep has its own, so say which: group=..."
        raise SpecError(msg)
    return {n: posterior[n] for n in names}


def _tokens_of_runs(fit: xr.DataTree, outcome: str) -> bool:
    if not {"observed_data", "constant_data"} <= set(fit.children):
        return False
    data, steps = fit["constant_data"].to_dataset(), fit["observed_data"][outcome].values
    return bool(np.allclose(data["tokens"].values, steps * data[BATCH].values, rtol=SAME))
