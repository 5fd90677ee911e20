"""Several laws on one table: which predicts runs it has not seen, inside the data and beyond."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtr

from bayes_scaling.criticism import _comparing
from bayes_scaling.criticism._held_out import TRUSTED, Method, log_mean
from bayes_scaling.criticism.folds import kfold
from bayes_scaling.criticism.future import leave_future_out
from bayes_scaling.criticism.refits import exact_loo
from bayes_scaling.criticism.stacking import stacking
from bayes_scaling.inference.fit import fit as fit_model
from bayes_scaling.model import ScalingModel
from bayes_scaling.trust import verdicts_of

FOLDS = 10  # of groups, unless there are fewer
CENTRAL = 0.9  # of the intervals whose coverage is told

Models = Mapping[str, Any] | Sequence[Any]


@dataclass(frozen=True)
class Comparison:
    """How several laws predict runs that they have not seen.

    Parameters
    ----------
    table : DataFrame
        One row per law, the best beyond the data first. `elpd_loo`, `elpd_lfo`: log density of
        held-out runs, log(1 / (nat/token)), and of each `diff` from the best, its standard error
        `se`, `better`, the chance to be better than the best (NaN of the best itself), `weight` and
        `rank`, as `loo_diff`, `lfo_diff` and so on. `p_loo`, effective parameters; `rmse`,
        nat/token (or the outcome's unit), and `coverage` of 90 % intervals, of runs ahead of a cut;
        `trust`, "trusted" or why a score is not.
    scores : xarray.Dataset over (law, run, cut)
        Per run `loo` and `ahead`, its scores, the second a mean over cuts; `measured`; `cuts_of`,
        how many cuts score it. Per cut `lfo`, `predicted` and `pit`. Coordinate `flops`, and
        `group` where runs go together.
    fits : dict of str to DataTree
        The fit of every law to all runs, for `average`.
    said : tuple of str
        What it comes to, in sentences.
    """

    table: pd.DataFrame
    scores: xr.Dataset
    fits: dict[str, xr.DataTree]
    said: tuple[str, ...]

    @property
    def weights(self) -> dict[str, float]:
        """Stacking weights for extrapolation: of the runs ahead of the cuts."""
        values = self.table["lfo_weight"].to_numpy(float).tolist()
        return dict(zip(map(str, self.table.index), values, strict=True))

    @property
    def verdict(self) -> str:
        """What it comes to, in one paragraph."""
        return " ".join(self.said)

    @property
    def trust(self) -> str:
        """Whether every score is to be trusted; else which law's is not, and why."""
        pairs = zip(self.table.index, self.table["trust"].tolist(), strict=True)
        return "; ".join(f"{k}: {v}" for k, v in pairs if v != TRUSTED) or TRUSTED

    def to_frame(self) -> pd.DataFrame:
        """Return the table."""
        return self.table.copy()

    def __str__(self) -> str:
        """Write the page a person reads: a line per law, and what it comes to."""
        return _comparing.page(self.table, self.said)

    __repr__ = __str__


def compare(
    models: Models,
    runs: pd.DataFrame,
    *,
    by: str | None = None,
    cuts: float | Sequence[float] | None = None,
    folds: int | None = None,
    method: Method = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Comparison:
    """Score laws by runs that they have not seen, inside the data and beyond it, and weigh them.

    Parameters
    ----------
    models : mapping of str to ScalingModel, or sequence
        Two or more, of one outcome, without pooling; a law, or its name, stands for the model that
        it is usually fitted with. A sequence is named by the laws.
    runs : DataFrame
        A run table; one that was not read yet goes through `read_runs`.
    by : str, optional
        Column whose rows share a training run (or a recipe): left out together, by `kfold` and
        by `leave_future_out`, and counted together in standard errors. By default that of the
        models' clusters, if they have any.
    cuts : float or (cut,) sequence, FLOP, optional
        Of `leave_future_out`; by default a decade and half a decade below the largest run.
    folds : int, optional
        Score by so many folds in the place of leave-one-out; with `by` 10 unless given, or as many
        as there are groups.
    method : {"laplace", "auto"}
        Of the refits, as in `fit_many`. The fits to all runs are those of `fit`.
    draws, executor, progress
        Of the refits, as in `fit_many`.
    seed : int
        Of fits, folds and refits.

    Returns
    -------
    Comparison
        `table`, `weights`, `verdict`, and `fits` for ``average(found.fits, found)``.

    Raises
    ------
    SpecError
        With every problem at once: fewer than two models, a name that is no law, models that pool
        or differ in outcome or in the runs that they use, a column `by` that is not there, cuts
        with no run on one side.
    FitError
        The table cannot identify a law, or nothing but a part of it can be fitted.

    Notes
    -----
    Inside the data: ``elpd_i = ln p(y_i | other runs)`` by `exact_loo` (smoothed weights, and a
    refit where Pareto k is above 0.7), else by `kfold`. Beyond: the mean over the cuts below run i
    of ``ln p(y_i | runs up to the cut)``: a run above several cuts counts once, in equal shares for
    the distances that it was predicted over, so that the largest runs do not outvote the rest.
    `rmse` and `coverage` share runs out in the same way. Runs that a law has no score for are left
    out for all.

    The difference of two laws is the sum of the runs' own, with ``se = sqrt(n var(difference))``
    over runs, or over the sums of groups; `better` is ``Phi(diff / se)``. Runs above a cut are
    predicted by one fit and miss together, so that `lfo_se` is too small rather than too large, and
    below 4 nats or with few runs the normal approximation does not hold: the verdict calls laws
    apart from 2 standard errors and 4 nats on. With `by`, a trajectory
    that crosses a cut is not fitted, and what lies above the cut is scored.

    The two answer different questions. Leave-one-out asks who fills gaps between runs, where a
    flexible law can only gain; leave-future-out who says what comes next, which a plan needs. Where
    they part, the weights from runs ahead are the ones to plan by, as far as the cuts go: no score
    is from further out than the largest run.

    References
    ----------
    Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4; Buerkner, Gabry and Vehtari 2020,
    doi:10.1080/00949655.2020.1783262; Sivula, Magnusson and Vehtari 2020, arXiv:2008.10296 (when
    the standard error holds); Yao et al. 2018, doi:10.1214/17-BA1091 (weights).

    Examples
    --------
    Does the table bear the exponents of Kaplan et al. 2020? (``["chinchilla", "kaplan_nd"]`` would
    compare the two laws themselves.)

    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> theirs = {"alpha": bs.Prior.of("LogNormal", median=0.076, sigma=0.05),
    ...           "beta": bs.Prior.of("LogNormal", median=0.103, sigma=0.05)}
    >>> models = {"free": bs.ScalingModel(), "theirs": bs.ScalingModel(priors=theirs)}
    >>> found = bs.compare(models, runs, cuts=[2e20, 2e21])
    >>> found.table.lfo_rank.to_dict(), bool(found.weights["free"] > 0.9)
    ({'free': 1, 'theirs': 2}, True)
    >>> plan = bs.allocate(bs.average(found.fits, found), 1e23)
    """
    named, table, by = _comparing.checked(models, runs, by, cuts, folds)
    how: dict[str, Any] = {"method": method, "draws": draws, "seed": seed}
    how |= {"executor": executor, "progress": progress}
    fits, inside, beyond = {}, {}, {}
    for name, model in named.items():
        fits[name] = fit_model(model, table, seed=seed)
        inside[name] = _inside(model, fits[name], table, by, folds, how)
        beyond[name] = leave_future_out(model, table, cuts, by=by, **how)
    first = next(iter(fits))
    measured = fits[first]["observed_data"].to_dataset()[named[first].law.outcome]
    scores = _joined(inside, beyond, measured, _comparing.groups(table, measured.run.values, by))
    out = _table(scores, inside, fits, beyond)
    return Comparison(out, scores, fits, _comparing.said(out, scores))


def _inside(
    model: ScalingModel, fit: xr.DataTree, runs: pd.DataFrame, by: Any, folds: Any, how: Any
) -> xr.Dataset:
    if by is None and folds is None:
        return exact_loo(fit, runs, **how)
    count = folds or min(FOLDS, _comparing.sizes(runs, by))
    found = kfold(model, runs, count, by=by, **how)
    like = fit["log_likelihood"].to_dataset()[model.law.outcome].transpose("chain", "draw", "run")
    known = np.sum(log_mean(like.values.reshape(-1, like.sizes["run"])))
    return found.assign(p=float(known) - found["elpd"])


def _joined(
    inside: Mapping[str, xr.Dataset],
    beyond: Mapping[str, xr.Dataset],
    measured: xr.DataArray,
    group: np.ndarray | None,
) -> xr.Dataset:
    names = xr.Variable("law", np.array(list(inside), object))
    out = xr.concat([d[["elpd_i", "predicted", "pit"]] for d in beyond.values()], names)
    out = out.rename(elpd_i="lfo").assign(measured=measured)
    out["loo"] = xr.concat([d["elpd_i"] for d in inside.values()], names)
    # A part of the table that one law could not be fitted to says nothing of the others.
    scored = out["lfo"].notnull().all("law")
    out["ahead"] = out["lfo"].where(scored).mean("cut")
    out["cuts_of"] = scored.sum("cut")
    out["loo"] = out["loo"].where(out["loo"].notnull().all("law"))
    out.attrs = {k: v for k, v in out.attrs.items() if k != "trust"}
    return out if group is None else out.assign_coords(group=("run", group))


def _table(scores: xr.Dataset, inside: Any, fits: Any, beyond: Any) -> pd.DataFrame:
    names = [str(k) for k in scores["law"].values]
    flat = scores.stack(score=("cut", "run")).transpose("law", "score", ...)
    scored = np.isfinite(flat["lfo"].values).all(axis=0)
    share = 1 / flat["cuts_of"].values[scored]
    weights = {
        "loo": stacking(scores["loo"].transpose("run", "law").values),
        "lfo": stacking(flat["lfo"].values[:, scored].T, share),
    }
    out = pd.DataFrame(index=pd.Index(names, name="law"))
    for kind, each in (("loo", scores["loo"]), ("lfo", scores["ahead"])):
        values = _comparing.by_group(each, scores)
        total = values.sum(axis=1)
        best = int(np.argmax(total))
        apart = values - values[best]
        gap, se = apart.sum(axis=1), np.sqrt(apart.shape[1] * apart.var(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            better = ndtr(gap / se)
        better[best] = np.nan
        found = {"diff": gap, "se": se, "better": better, "weight": weights[kind]}
        found["rank"] = np.argsort(np.argsort(-total, kind="stable")) + 1
        out[f"elpd_{kind}"] = total
        for name, value in found.items():
            out[f"{kind}_{name}"] = value
    out["p_loo"] = [float(inside[k]["p"]) for k in names]
    miss = (flat["predicted"] - flat["measured"]).transpose("law", "score").values[:, scored]
    within = np.abs(flat["pit"].values[:, scored] - 0.5) <= CENTRAL / 2
    out["rmse"] = np.sqrt(np.average(miss**2, axis=1, weights=share))
    out["coverage"] = np.average(within, axis=1, weights=share)
    out["trust"] = [_trust(fits[k], inside[k], beyond[k]) for k in names]
    return out.sort_values("lfo_rank")


def _trust(fit: xr.DataTree, inside: xr.Dataset, beyond: xr.Dataset) -> str:
    bad = [f"fit, {v.name}: {v.found}" for v in verdicts_of(fit) if v.status == "FAIL"]
    told = (("held-out runs", inside), ("runs ahead", beyond))
    bad += [f"{k}, {v.attrs['trust']}" for k, v in told if v.attrs["trust"] != TRUSTED]
    return "; ".join(bad) or TRUSTED
