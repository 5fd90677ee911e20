"""Designs of one budget, side by side: which is best in a draw, how surely, at what regret."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayes_scaling.predict import beyond
from bayes_scaling.results import SAMPLES

UNITS = {"params": "params", "total": "params", "tokens": "tokens", "loss": "nat/token",
         "experts": "experts", "regret": "nat/token"}  # fmt: skip


def compared(
    parts: Sequence[xr.Dataset], options: xr.DataArray, fit: xr.DataTree, dense: float
) -> xr.Dataset:
    """Return the best of several designs, draw by draw and budget by budget.

    Parameters
    ----------
    parts : sequence of Dataset over (chain, draw, budget)
        `params`, `total`, `tokens` and `loss` of the best model of each design.
    options : (option,) DataArray
        What tells the designs apart; its name is that of its dimension.
    fit : DataTree
        Whose data the budgets are held against.
    dense : float
        The option that the others are compared with.

    Returns
    -------
    Dataset over (chain, draw, budget, option)
        With ``{option}_opt``, ``params_opt`` and so on of the best, `loss_dense`, and over
        (budget, option) `chosen`, `beats` and `regret`.
    """
    dim = str(options.name)
    out = xr.concat(parts, options)
    one = out.isel({dim: out["loss"].argmin(dim)})
    out[f"{dim}_opt"] = one[dim].drop_vars(dim)
    for name in ("params", "total", "tokens", "loss"):
        out[f"{name}_opt"] = one[name].drop_vars(dim)
    out["loss_dense"] = out["loss"].sel({dim: dense}, drop=True)
    out["chosen"] = (out[f"{dim}_opt"] == out[dim]).mean(SAMPLES)
    out["beats"] = (out["loss"] < out["loss_dense"]).mean(SAMPLES)
    out["regret"] = (out["loss"] - out["loss_opt"]).mean(SAMPLES)
    for name in out.data_vars:
        out[name].attrs["units"] = UNITS.get(str(name).split("_")[0], "1")
    middle = out[[f"{k}_opt" for k in ("params", "total", "tokens")]].median(SAMPLES)
    points = xr.broadcast(*(middle[k] for k in middle), out["budget"])
    names = ("params", "total_params", "tokens", "flops")
    flat = {k: v.values.ravel() for k, v in zip(names, points, strict=True)}
    past = points[0].copy(data=beyond(fit, flat).reshape(points[0].shape))
    out = out.assign_coords(beyond=past.drop_attrs())
    out.coords["budget"].attrs.update(units="FLOP", long_name="training compute C")
    out.attrs = {"fingerprint": fit.attrs.get("fingerprint", "")}
    return out.transpose(*SAMPLES, "budget", ..., dim)


def least_regret(one: xr.Dataset, dim: str) -> xr.Dataset:
    """Return the design of least mean regret at one budget."""
    return one.isel({dim: int(np.argmin(one["regret"].values))})
