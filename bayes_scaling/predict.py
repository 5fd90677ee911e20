"""Posterior of the loss anywhere: of the law's mean, and of a new run."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.laws import from_zero, misfits, ranges_of
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted


def predict(
    fit: xr.DataTree,
    at: Mapping[str, Any] | pd.DataFrame,
    *,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Predict the loss at given sizes.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    at : mapping or DataFrame
        The law's inputs, such as ``{"params": 70e9, "tokens": [1e12, 2e12]}``, raw counts; the
        values broadcast to one dimension, `point`. A run table will do: columns that neither law
        nor scatter nor `beyond` reads are left alone.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of the scatter of a new run.

    Returns
    -------
    xarray.Dataset over (chain, draw, point)
        `loss_mean`, the law's own value, nat/token; `loss_run`, what a new run would measure. Of a
        law of another outcome they bear its name and unit. The coordinates are the inputs, `flops`
        (6 N D) and `beyond`, decades of compute past the largest run fitted (0 inside); attribute
        `trust` says whether the fit is to be trusted.

    Raises
    ------
    SpecError
        An input is missing, no number, not positive, or in billions where the fit is in counts.
    FitError
        The scatter depends on a column that `at` does not give.

    Notes
    -----
    Both are of the law as fitted. Beyond the data the law itself may change, which no interval
    here contains: `beyond` says how far that is.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> there = bs.predict(bs.load_posterior("chinchilla"), {"params": 70e9, "tokens": 1.4e12})
    >>> round(float(there.loss_mean.median()), 2)
    1.97
    """
    trust = warn_if_untrusted(fit)
    model, theta = model_of(fit), theta_of(fit, group)
    points = _points(model, at, json.loads(fit.attrs.get("largest", "{}")))
    x: dict[str, Any] = {k: xr.DataArray(v, dims="point") for k, v in points.items()}
    mean = _law_mean(model, theta, x)
    run = _scatter(fit, model, theta, x, mean, np.random.default_rng(seed))
    of = model.law.outcome
    attrs = {"units": "nat/token" if of == "loss" else COLUMNS[of].unit}
    out = xr.Dataset(
        {
            f"{of}_mean": mean.assign_attrs(attrs, long_name=f"{of} of the law"),
            f"{of}_run": run.assign_attrs(attrs, long_name=f"{of} of a new run"),
        },
        attrs={"trust": trust, "fingerprint": fit.attrs.get("fingerprint", "")},
    )
    return out.assign_coords(
        {**{k: ("point", v) for k, v in points.items()}, "beyond": ("point", beyond(fit, points))}
    )


def _law_mean(model: Any, theta: Mapping[str, Any], x: Mapping[str, Any]) -> xr.DataArray:
    return model.law(theta, x).transpose(*SAMPLES, "point")


def _points(
    model: Any, at: Mapping[str, Any] | pd.DataFrame, largest: Mapping[str, float]
) -> dict[str, np.ndarray]:
    used = {*model.law.inputs, *_scattered_by(model), "params", "tokens", "flops"}
    given, texts = {}, []
    for k in [str(k) for k in at if str(k) in used]:
        try:
            given[k] = np.atleast_1d(np.asarray(at[k], float))
        except (TypeError, ValueError):
            texts.append(k)
    if texts:
        names = ", ".join(sorted(texts))
        msg = f"{names}: numbers wanted, raw counts (70e9); found {at[texts[0]]!r}"
        raise SpecError(msg)
    missing = [k for k in model.law.inputs if k not in given]
    if missing:
        msg = f"prediction needs {', '.join(model.law.inputs)}; {', '.join(missing)} not given"
        raise SpecError(msg)
    zero, ranges = from_zero(model.law), ranges_of(model.law)
    sizes = [k for k in model.law.inputs if k not in ranges]
    least = {k: 0.0 if k in zero else np.nextafter(0.0, 1.0) for k in sizes}
    wrong = [k for k, v in least.items() if not np.all(np.isfinite(given[k]) & (given[k] >= v))]
    if wrong:
        msg = f"{', '.join(wrong)}: sizes must be positive and finite, raw counts (70e9, not 70)"
        raise SpecError(msg)
    if few := [k for k in sizes if _in_another_unit(k, given[k].max(), largest)]:
        shown = ", ".join(f"{k} {given[k].max():g}" for k in few)
        msg = f"{shown}: too small for raw counts (70e9, not 70); the runs fitted reach "
        raise SpecError(msg + ", ".join(f"{largest[k]:.3g}" for k in few))
    if odd := misfits(model.law, given):
        raise SpecError("; ".join(f"{m.column}: {m.found}; {m.do}" for m in odd))
    given = dict(zip(given, np.broadcast_arrays(*given.values()), strict=True))
    if "flops" not in given and {"params", "tokens"} <= set(given):
        given["flops"] = np.asarray(flops_6nd(given["params"], given["tokens"]))
    return given


def _in_another_unit(name: str, value: float, largest: Mapping[str, float]) -> bool:
    """Say whether a size must be in billions: far too small for a count, where the fit has counts.

    The plausible ends are about the largest run of a table; single runs may be a thousandth.
    """
    plausible = COLUMNS[name].plausible if name in COLUMNS else None
    if plausible is None or name not in largest:
        return False
    return bool(1e3 * value < plausible[0] <= largest[name])


def _scattered_by(model: Any) -> list[str]:
    """Return what the scatter of a new run depends on: nothing that is measured with it."""
    return [c for c in model.observation.inputs if c != model.witness]


def _scatter(
    fit: xr.DataTree, model: Any, theta: Mapping[str, Any], x: Any, mean: Any, rng: Any
) -> xr.DataArray:
    missing = [c for c in _scattered_by(model) if c not in x]
    if missing:
        msg = f"the scatter of a new run depends on {', '.join(missing)}: give it in `at`"
        raise FitError(msg)
    inputs = {c: v.values for c, v in x.items() if c in model.inputs and c != model.witness}
    if "flops" in inputs:
        inputs["flops_ref"] = flops_reference(fit)
    draws = {p.name: theta[p.name].values[..., None] for p in model.params}
    return mean.copy(data=model.draw(rng, draws, inputs))


def flops_reference(fit: xr.DataTree) -> float:
    """Return the compute at which `sigma` is stated: the geometric mean of the table's."""
    return float(np.exp(fit.attrs["log_flops_mean"]))


def beyond(fit: xr.DataTree, points: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return how many decades of compute (or of the worst input) points lie past the data."""
    largest = json.loads(fit.attrs.get("largest", "{}"))
    keys = ["flops"] if "flops" in largest and "flops" in points else sorted(largest)
    gaps = [np.log10(points[k] / largest[k]) for k in keys if k in points]
    if not gaps:
        return np.full(len(next(iter(points.values()))), np.nan)
    return np.maximum(np.max(gaps, axis=0), 0.0)
