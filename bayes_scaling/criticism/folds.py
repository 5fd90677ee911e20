"""K-fold cross-validation, by run or by group of runs."""

from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._held_out import (
    Method,
    certificates,
    clusters_of,
    column_of,
    keep_whole,
    log_densities,
    log_mean,
    refit_parts,
    scored,
    verdict,
    whole,
)
from bayes_scaling.data.read import read_runs
from bayes_scaling.errors import SpecError
from bayes_scaling.model import ScalingModel
from bayes_scaling.program import Prepared

Folds = int | str | Sequence[Any] | np.ndarray


def kfold(
    model: ScalingModel,
    runs: pd.DataFrame,
    folds: Folds = 10,
    *,
    by: str | None = None,
    method: Method = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Score every run under the fit to the folds that it is not in.

    Parameters
    ----------
    model : ScalingModel
        Without pooling.
    runs : DataFrame
        A run table; one that was not read yet goes through `read_runs`.
    folds : int, str or (run,) array
        How many folds to draw at random, of equal size as far as that goes; or the column each of
        whose values is a fold (leave one group out); or the label of every run's fold.
    by : str, optional
        Column whose values stay together when folds are drawn: the recipe of several runs, the
        training run of several checkpoints. By default what the observation model takes for a
        cluster, else every run is by itself.
    method : {"laplace", "auto"}
        As in `fit_many`.
    draws, executor, progress
        As in `fit_many`.
    seed : int
        Of the folds, and of the fits.

    Returns
    -------
    xarray.Dataset over (run, fold)
        `elpd_i` and `in_fold` of every usable run; `rows` held out, `k_hat` and `trust` of every
        fold. Scalars `elpd` and `se`. Attribute `trust` sums up; a fold whose other runs cannot be
        fitted leaves NaN.

    Raises
    ------
    SpecError
        An unknown column or one with gaps, labels that are not one per run or part rows which
        scatter together, fewer runs (or groups) than folds, less than two folds, or a model that
        pools.
    FitError
        No refit was possible.

    Notes
    -----
    ``elpd_i = ln mean_s p(y_i | theta_s)``, theta_s from the posterior without the fold of run i;
    of rows that scatter together each is given those of its cluster before it.
    Runs that share what the law does not know (a recipe, a seed, a trajectory) predict one another:
    folds by run then flatter the model, and folds `by` the group do not.

    References
    ----------
    Vehtari and Lampinen 2002, doi:10.1162/08997660260293292; Roberts et al. 2017 (groups),
    doi:10.1111/ecog.02881.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> scores = bs.kfold(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"), 5)
    >>> scores.rows.values.tolist(), scores.attrs["trust"]
    ([58, 58, 57, 57, 57], 'trusted')
    """
    full = whole(model, runs, "kfold")
    labels, fold = np.unique(_folds(runs, full, folds, by, seed), return_inverse=True)
    keep_whole(full, fold, "folds:")
    if len(labels) < 2:
        msg = f"kfold needs two folds at least; these make {len(labels)}"
        raise SpecError(msg)
    held_out = [np.flatnonzero(fold == f) for f in range(len(labels))]
    others = [np.flatnonzero(fold != f) for f in range(len(labels))]
    refits = refit_parts(full, others, method, draws, seed, executor, progress)
    elpd = np.empty(len(fold))
    for rows, one in zip(held_out, refits, strict=True):
        elpd[rows] = log_mean(log_densities(full, one, rows))
    out = scored(full, {"elpd_i": elpd, "in_fold": labels[fold]})
    each = {"rows": [len(rows) for rows in held_out], **certificates(refits)}
    out = out.assign({k: ("fold", v) for k, v in each.items()}).assign_coords(fold=labels)
    return out.assign_attrs(draws=draws, seed=seed, trust=verdict(each["trust"], "folds"))


def _folds(
    given: pd.DataFrame, full: Prepared, folds: Folds, by: str | None, seed: int
) -> np.ndarray:
    """Return the fold of every usable run; the table `given` may have others."""
    runs = full.runs
    if isinstance(folds, str):
        return column_of(runs, folds)
    if not isinstance(folds, int | np.integer):
        labels = np.asarray(folds)
        if labels.shape != (len(given),):
            msg = f"fold labels of shape {labels.shape} for {len(given)} runs: give one for each"
            raise SpecError(msg)
        use = given["use"] if "use" in given else read_runs(given)["use"]
        return labels[np.flatnonzero(use)]
    labels = clusters_of(full, by)
    whose = np.arange(len(runs)) if labels is None else labels
    _, group = np.unique(whose, return_inverse=True)
    sizes = np.bincount(group)
    if not 2 <= folds <= len(sizes):
        what = f"values of {by!r}" if by else "usable runs" if labels is None else "clusters"
        msg = f"{folds} folds of {len(sizes)} {what}: ask for 2 to {len(sizes)}"
        raise SpecError(msg)
    # The largest group first, each into the fold that is emptiest so far; ties fall at random.
    order = np.random.default_rng([seed, 0, 3]).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled, fold = np.zeros(int(folds), int), np.empty(len(sizes), int)
    for g in order:
        fold[g] = np.argmin(filled)
        filled[fold[g]] += sizes[g]
    return fold[group]
