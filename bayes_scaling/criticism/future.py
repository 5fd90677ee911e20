"""Leave-future-out: fitted below a compute, judged above it."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._cuts import below, compute_of, steps_of
from bayes_scaling.criticism._held_out import (
    Method,
    certificates,
    clusters_of,
    log_densities,
    log_mean,
    refit_parts,
    verdict,
    whole,
)
from bayes_scaling.criticism._reading import refuse
from bayes_scaling.inference.many import Refit
from bayes_scaling.inference.rows import parted
from bayes_scaling.model import ScalingModel
from bayes_scaling.program import Prepared

PROBS = (0.5, 0.9, 0.95)


def leave_future_out(
    model: ScalingModel,
    runs: pd.DataFrame,
    cuts: float | Sequence[float] | None = None,
    *,
    by: str | None = None,
    method: Method = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Fit the runs up to a compute, and score the prediction of those above it.

    Parameters
    ----------
    model : ScalingModel
        Without pooling.
    runs : DataFrame
        A run table; one that was not read yet goes through `read_runs`.
    cuts : float or (cut,) sequence, FLOP, optional
        Runs of at most that much compute (column `flops`, else 6 N D) are fitted; all runs above
        are scored. By default a tenth of the largest run's and the root of a tenth, and 2 % more,
        so that no budget is torn apart.
    by : str, optional
        Column whose rows share a training run: those of a run that reaches above a cut are not
        fitted below it. By default what the observation model takes for a cluster.
    method : {"laplace", "auto"}
        As in `fit_many`.
    draws, executor, progress
        As in `fit_many`.
    seed : int
        Of the fits, and of the scatter of new runs.

    Returns
    -------
    xarray.Dataset over (cut, run, prob)
        Per cut: `elpd`, the sum of `elpd_i`; `rmse` of the predicted median, nat/token (or the
        outcome's own unit); `coverage`, the share of runs inside the central `prob` interval (50,
        90, 95 %); `fitted` and `scored` runs; `k_hat`, `trust`. Per cut and run, NaN for runs that
        were fitted: `elpd_i`, the log density of the run; `predicted`, the median of a new run;
        `pit`, the share of predictive draws below what was measured. Coordinate `flops` over run.

    Raises
    ------
    SpecError
        A cut with no run on one side of it or that is no compute, a table without compute, a column
        that is not there or has gaps or parts rows that scatter together, or a model that pools.
    FitError
        No part of the table can be fitted.

    Notes
    -----
    ``elpd_i = ln mean_s p(y_i | theta_s)``, of rows that scatter together given those of their
    cluster above the cut and before them; a run is inside the central interval of probability P
    where ``|pit - 1/2| <= P/2``. Nothing about a run above the cut is known to the fit but that its
    sizes count in the law's reference sizes. Coverage falls short of P where the law bends beyond
    the cut: what the intervals of a fit of all runs cannot know either. Runs above one cut share
    one fit, so that their misses are not independent.

    References
    ----------
    Buerkner, Gabry and Vehtari 2020, doi:10.1080/00949655.2020.1783262; here every cut is refitted.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> ahead = bs.leave_future_out(bs.ScalingModel(), runs, cuts=[2e20, 2e21])
    >>> ahead.fitted.values.tolist(), ahead.scored.values.tolist()
    ([159, 259], [128, 28])
    >>> bool(ahead.rmse.max() < 0.03)
    True
    """
    full = whole(model, runs, "leave_future_out")
    flops = compute_of(full.runs)
    whose = clusters_of(full, by)
    edges, wrong = steps_of(flops, cuts, whose)
    refuse("leave_future_out", wrong)
    fitted = [below(flops, edge, whose) for edge in edges]
    refits = refit_parts(full, fitted, method, draws, seed, executor, progress)
    shape = (len(edges), len(flops))
    out = {name: np.full(shape, np.nan) for name in ("elpd_i", "predicted", "pit")}
    measured = full.data["y"]
    for at, (edge, one) in enumerate(zip(edges, refits, strict=True)):
        rows = np.flatnonzero(flops > edge)
        out["elpd_i"][at, rows] = log_mean(log_densities(full, one, rows))
        if one.ready is None:
            continue
        new = new_runs(full, one, rows, np.random.default_rng([seed, at, 4]))
        out["predicted"][at, rows] = np.median(new, axis=0)
        out["pit"][at, rows] = np.mean(new < measured[rows], axis=0)
    ahead = flops > edges[:, None]
    held = np.ma.array(out["predicted"] - measured[: len(flops)], mask=~ahead)
    central = np.abs(out["pit"] - 0.5)[..., None] <= np.array(PROBS) / 2
    inside = np.where(np.isnan(out["pit"])[..., None], np.nan, central)
    each: dict[str, Any] = {
        "elpd": np.sum(np.where(ahead, out["elpd_i"], 0.0), axis=1),
        "rmse": np.sqrt(np.asarray(np.mean(held**2, axis=1))),
        "fitted": [len(rows) for rows in fitted],
        "scored": ahead.sum(axis=1),
        **certificates(refits),
    }
    share = np.sum(np.where(ahead[..., None], inside, 0.0), axis=1) / ahead.sum(axis=1)[:, None]
    return xr.Dataset(
        {
            **{k: ("cut", v) for k, v in each.items()},
            "coverage": (("cut", "prob"), share),
            **{k: (("cut", "run"), v) for k, v in out.items()},
        },
        {"cut": edges, "prob": list(PROBS), "run": full.runs.index, "flops": ("run", flops)},
        {"draws": draws, "seed": seed, "trust": verdict(each["trust"], "cuts")},
    )


def new_runs(full: Prepared, one: Refit, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw what new runs of the sizes of these rows would measure, (draw, row)."""
    assert one.ready is not None, "a refused table predicts nothing"
    model, shared = one.ready.model, parted(one.ready.data)[1]
    theta = {p.name: one.values[p.name].reshape(-1, 1) for p in model.params}
    x = {**{k: v[rows] for k, v in parted(full.data)[0]["x"].items()}, **shared["x"]}
    return model.draw(rng, theta, x)
