"""Posterior predictive checks: whether the model would produce residuals like these."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.verdicts import Verdict
from bayes_scaling.observations import CLUSTER, ReadsClusters, Records
from bayes_scaling.results import model_of

SURPRISING = 0.005  # two-sided, per statistic
RUNS, DRAWS = 5000, 250  # of a larger table every k-th run, under so many draws, are looked at
NEEDS = ("posterior_predictive", "observed_data", "constant_data", "posterior")

Statistic = Callable[[np.ndarray], np.ndarray]


def predictive_p(fit: xr.DataTree) -> dict[str, float]:
    """Return two-sided posterior predictive p values of residual statistics.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit with its data and replicated data.

    Returns
    -------
    dict of str to float
        "spread" (interquartile range), "outliers" (largest residual), and the "bend" of the
        residuals along ln C and along ln D/N (coefficient of a centred square), which a law of the
        wrong shape shows first. Where rows share a run (column `run`) "rows of one run", the sum
        of the products of their residuals' ranks: whether they miss the law together.

    Notes
    -----
    Residuals are logs of measured over fitted loss, or differences where the observation model
    scatters on a linear scale; the fit is the median of every run's replicates, equal for measured
    and replicated data. Censored and diverged runs have no residual.
    """
    model = model_of(fit)
    name = model.law.outcome
    kept = thinned(fit["posterior_predictive"].sizes)
    every = {"run": kept["run"]}
    data = fit["constant_data"].to_dataset().isel(every, missing_dims="ignore")
    replicated = fit["posterior_predictive"][name].isel(kept)
    replicated = replicated.stack(sample=("chain", "draw")).transpose("sample", "run").values
    seen = fit["observed_data"].to_dataset()[name].isel(every)
    known = np.ones(len(seen), bool)
    for column in ("censored", "diverged"):  # a lower bound, or a run without a loss, has none
        known &= np.asarray(data[column].values) == 0 if column in data else True
    data, replicated = data.isel(run=known), replicated[:, known]
    with np.errstate(divide="ignore"):  # a replicate far down the tail of a Cauchy may be 0
        measured, replicated = (
            np.log(v) if model.relative else v for v in (seen.values[None, known], replicated)
        )
    centre = np.median(replicated, axis=0)
    measured, replicated = measured - centre, replicated - centre
    out = {}
    for label, statistic in _statistics(data).items():
        seen, simulated = statistic(measured)[0], statistic(replicated)
        above = (np.sum(simulated >= seen) + 0.5) / (len(simulated) + 1)
        out[label] = float(min(1.0, 2 * min(above, 1 - above)))
    return out


def thinned(sizes: Mapping[Any, int]) -> dict[str, slice]:
    """Return which runs and draws of a fit's large groups are looked at: all, of usual tables."""
    runs = slice(None, None, max(1, sizes["run"] // RUNS))
    draws = sizes["chain"] * sizes["draw"] // DRAWS if runs.step > 1 else 1
    return {"run": runs, "draw": slice(None, None, max(1, draws))}


def _statistics(data: xr.Dataset) -> dict[str, Statistic]:
    out: dict[str, Statistic] = {
        "spread": lambda r: np.subtract(*np.quantile(r, [0.75, 0.25], axis=1)),
        "outliers": lambda r: np.abs(r).max(axis=1),
    }
    if {"params", "tokens"} <= set(data.data_vars):
        n, d = np.log(data["params"].values), np.log(data["tokens"].values)
        out["bend along compute"] = _bend(n + d)
        out["bend along tokens per parameter"] = _bend(d - n)
    if CLUSTER in data and len(np.unique(data[CLUSTER].values)) > 1:
        out["rows of one run"] = _together(data[CLUSTER].values)
    return out


def _together(code: np.ndarray) -> Statistic:
    """Return the sum, over pairs of rows of one cluster, of the product of their centred ranks."""
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(np.diff(code[order], prepend=np.nan) != 0)

    def statistic(r: np.ndarray) -> np.ndarray:
        z = np.argsort(np.argsort(r, axis=1), axis=1)[:, order] - (len(code) - 1) / 2
        return (np.add.reduceat(z, first, axis=1) ** 2).sum(axis=1) - (z**2).sum(axis=1)

    return statistic


def _bend(axis: np.ndarray) -> Statistic:
    # Ranks of the residuals: one outlier must not decide what shape the rest has.
    z = (axis - axis.mean()) / max(axis.std(), 1e-12)
    square = z**2 - np.polyval(np.polyfit(z, z**2, 1), z) if axis.std() > 1e-9 else 0 * z
    return lambda r: np.argsort(np.argsort(r, axis=1), axis=1) @ square / max(len(z), 1) ** 2


def predictive_verdicts(fit: xr.DataTree) -> list[Verdict]:
    """Turn the p values into verdicts."""
    name = "posterior predictive"
    missing = [g for g in NEEDS if g not in fit.children]
    if missing:
        return [Verdict(name, "SKIP", f"not checked: the fit carries no {missing[0]}", "")]
    if isinstance(model_of(fit).observation, Records):
        why = "not checked: the dates of records are outcomes too, and replicates keep the table's"
        return [Verdict(name, "SKIP", why, "")]
    p = predictive_p(fit)
    odd = [k for k, v in p.items() if v < SURPRISING]
    found = ", ".join(f"{k} p {'< 0.001' if v < 0.001 else f'= {v:.3f}'}" for k, v in p.items())
    do = (
        "look at plot_residuals: heavier tails want student_t, a bend wants another law "
        "(nested=True) or fewer decades"
    )
    if "rows of one run" in odd and not isinstance(model_of(fit).observation, ReadsClusters):
        do += "; rows that go together want observation=Clustered(by='run')"
    return [Verdict(name, "REVIEW" if odd else "PASS", found, do)]
