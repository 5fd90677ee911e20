"""How far an answer moves without a run."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.criticism._quantities import Quantities, decided_by, draws_of
from bayes_scaling.criticism.predictive import thinned
from bayes_scaling.data.verdicts import Verdict
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.inference import psis
from bayes_scaling.observations import ReadsClusters
from bayes_scaling.results import SAMPLES, model_of

TOGETHER = "rows of one cluster say what the others measured, so one row left out says little"
INFLUENTIAL = 0.7  # Pareto k of leave-one-out above which one run carries the fit
FAR = 1.0  # posterior sds: without the run the answer is another, by all that it is known to


def influence(
    fit: xr.DataTree,
    *,
    quantities: Quantities = None,
    at: Any = None,
    budget: Any = None,
    group: str | None = None,
) -> xr.Dataset:
    """Ask how far an answer would move without a run, run by run.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit that carries its log likelihood.
    quantities, at, budget, group
        As for `sensitivity`; by default what ten times the compute of the largest run would be
        spent on, and its loss, or the parameters of a law without an optimum.

    Returns
    -------
    xarray.Dataset over (run, quantity)
        `shift` of the mean without the run, posterior sds; over run `pareto_k`, below 0.7 where
        `shift` is to be trusted. The run that moves any quantity furthest comes first. Of more than
        5,000 runs a regular sample, under 1,000 draws. Attribute `verdict` sums up.

    Raises
    ------
    SpecError
        Unknown quantities, no sizes or budgets.
    FitError
        The fit carries no log likelihood.

    Notes
    -----
    Draws are weighted by ``1 / p(y_i | theta)``, Pareto-smoothed. In a linear model with a flat
    prior the shift is a regression's DFBETA, over its posterior sd.

    References
    ----------
    Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4; Belsley, Kuh and Welsch 1980.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.fit(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"))
    >>> first = bs.influence(fit, budget=1e24).isel(run=0)
    >>> bool(abs(first["shift"]).max() < 1), bool(first.pareto_k < 0.7)
    (True, True)
    """
    if "log_likelihood" not in fit.children:
        msg = "the fit carries no log likelihood: fit the table again, or save fits with their data"
        raise FitError(msg)
    if _clustered(fit):
        msg = f"{TOGETHER}: leave out whole clusters, with `kfold`"
        raise SpecError(msg)
    if quantities is None and at is None and budget is None:
        drawn = decided_by(fit)
    else:
        drawn = draws_of(fit, [] if quantities is None else quantities, at, budget, group)
    return without_each(fit, drawn)


def without_each(fit: xr.DataTree, drawn: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Return what `influence` does of quantities whose draws are known."""
    like = fit["log_likelihood"].to_dataset()[model_of(fit).law.outcome]
    some = thinned(like.sizes)
    ratios = -like.isel(some).transpose("run", *SAMPLES).values
    ratios = ratios.reshape(len(ratios), -1)
    shape = tuple(like.sizes[d] for d in SAMPLES)
    values = np.array([v.reshape(shape)[:, some["draw"]].ravel() for v in drawn.values()])
    k = np.empty(len(ratios))
    moved = np.empty((len(ratios), len(values)))
    for i, ratio in enumerate(ratios):
        log_weight, k[i] = psis.smooth(ratio)
        moved[i] = values @ np.exp(log_weight)
    moved = (moved - values.mean(axis=1)) / np.maximum(values.std(axis=1), 1e-300)
    order = np.argsort(-np.abs(moved).max(axis=1), kind="stable")
    out = xr.Dataset(
        {"shift": (("run", "quantity"), moved[order]), "pareto_k": ("run", k[order])},
        {"run": like.run.values[some["run"]][order], "quantity": list(drawn)},
    )
    return out.assign_attrs(verdict=_furthest(out))


def _clustered(fit: xr.DataTree) -> bool:
    return isinstance(model_of(fit).observation, ReadsClusters)


def _furthest(out: xr.Dataset) -> str:
    first = out.isel(run=0)
    at = int(np.argmax(np.abs(first["shift"].values)))
    far = abs(float(first["shift"].values[at]))
    k = float(first["pareto_k"])
    about = "" if k < INFLUENTIAL else f", as far as weights of Pareto k {k:.2f} can tell"
    return (
        f"run {first['run'].item()} moves {first['quantity'].values[at]} furthest, by {far:.2f} sd"
        f"{about}"
    )


def influence_verdict(fit: xr.DataTree, budget: float | None) -> Verdict:
    """Judge whether one run carries the fit, and how far the plan moves without it."""
    name = "leave-one-out"
    if "log_likelihood" not in fit.children:
        return Verdict(name, "SKIP", "not checked: the fit carries no log likelihood", "")
    if _clustered(fit):
        return Verdict(name, "SKIP", f"not checked: {TOGETHER}", "")
    found = without_each(fit, decided_by(fit, budget))
    worst = found.isel(run=int(np.argmax(found["pareto_k"].values)))
    k = float(worst["pareto_k"])
    far = float(np.abs(found["shift"]).max())
    said = f"largest Pareto k {k:.2f} (run {worst['run'].item()}); {found.attrs['verdict']}"
    do = "look at that run; refit without it and see whether the plan moves"
    return Verdict(name, "PASS" if k < INFLUENTIAL and far < FAR else "REVIEW", said, do)
