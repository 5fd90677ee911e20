"""Backtest: whether intervals would have held at larger runs, measured inside a table."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._registry import did_you_mean
from bayes_scaling.criticism import _scores
from bayes_scaling.criticism._baselines import BASELINES, Ahead, baseline, nothing
from bayes_scaling.criticism._cuts import below, edges_of, size_of
from bayes_scaling.criticism._held_out import (
    Method,
    clusters_of,
    log_densities,
    log_mean,
    refit_parts,
    verdict,
    whole,
)
from bayes_scaling.criticism._reading import refuse
from bayes_scaling.criticism.future import new_runs
from bayes_scaling.data.numbers import values_of
from bayes_scaling.data.summary import refusals
from bayes_scaling.errors import BayesScalingError, FitError, SpecError
from bayes_scaling.laws import to_vary
from bayes_scaling.model import ScalingModel
from bayes_scaling.program import Prepared

Along = Literal["flops", "params", "tokens"]
PER_PARAMETER = 3  # runs below the first default cut
CAVEAT = (
    "Runs above one cut share its fit, and a run counts above every cut below it: binomial "
    "intervals are narrower than they should be. The range `if they were right` allows for the "
    "shared fit."
)


def backtest(
    models: ScalingModel | Mapping[str, ScalingModel],
    runs: pd.DataFrame,
    *,
    along: Along = "flops",
    cuts: float | Sequence[float] | None = None,
    by: str | None = None,
    baselines: Sequence[str] = ("huber", "mse", "parabola"),
    method: Method = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Fit the small runs of a table, predict its large ones, and score intervals by distance.

    Parameters
    ----------
    models : ScalingModel or mapping of str to ScalingModel
        Without pooling, and of one outcome.
    runs : DataFrame
        A run table; one that was not read yet goes through `read_runs`.
    along : {"flops", "params", "tokens"}, default "flops"
        In what runs are small or large; compute is the column `flops`, else 6 N D.
    cuts : float or (cut,) sequence, FLOP or raw counts, optional
        Runs of at most that much are fitted, all above are predicted. By default between the rungs
        of a ladder (such as isoFLOP budgets), else evenly in logs up to the largest run; at most
        six, each with three runs per parameter below it.
    by : str, optional
        Column whose rows share a training run: those of a run that reaches above a cut are not
        fitted below it. By default what the observation model takes for a cluster.
    baselines : sequence of {"huber", "mse", "parabola"}
        What to compare with: point fits of the additive law by Huber's loss or least squares on
        ln L, and parabolas at each budget whose minima, sizes and curvatures are continued.
    method : {"laplace", "auto"}
        As in `fit_many`.
    draws, executor, progress
        As in `fit_many`.
    seed : int
        Of the fits, of the scatter of new runs, and of resampled residuals.

    Returns
    -------
    xarray.Dataset over (model, cut, run, prob, ahead, level)
        Per model, cut and run, NaN where a run was fitted or could not be predicted: `predicted`
        (median of a new run), `error` (minus what was measured), `pit`, `crps`, `log_score` (log
        density, log(1 / (nat/token))), and over prob (50, 80, 90, 95 %) `inside`, `width`. Per
        model and distance `ahead`: `runs`, `rmse`, `mre` (mean relative error), `mean_crps`,
        `mean_log_score`, `pit_histogram` and over prob `coverage` with its binomial 95 % interval
        `covered_low`, `covered_high`, the range `own_low`, `own_high` it would have 95 times in
        100 were the intervals right, and the probabilities `p_narrow`, `p_wide` that right
        intervals cover as few, as many; `mean_width`. Per model and cut `trust` and `k_hat`; per
        model `verdict` and `kind`. Coordinates `size` and `measured` over run, `fitted` over cut,
        `distance` over (cut, run), decades past the largest run fitted. Attributes `verdict`,
        `trust`, `caveat`, `scale`.

    Raises
    ------
    SpecError
        Everything that is wrong with models, cuts, baselines and columns, at once.
    TableError
        The table lacks what a model reads.
    FitError
        No model can be fitted below any cut.

    Notes
    -----
    CRPS is of ln L ("log" in attribute `scale`), where heavy-tailed scatter has a mean, and of the
    outcome itself where that is not always positive.

    Baselines predict with a residual bootstrap: 200 refits to fitted values with residuals
    (inflated by ``sqrt(n / (n - p))``) resampled, and another residual on every prediction. One
    that cannot run has NaN and the reason in `trust`.

    Were a model right, what is measured would be one of its own predictive draws. How many runs
    lie inside their intervals is therefore compared with how many of each draw do: draws share
    parameters as the runs above a cut do, and a share that is off for that reason is no alarm.
    `verdict` alarms in one of twenty tables of a right model, over all distances. A fit that is
    not to be trusted is scored like the rest, and flagged in `trust`.

    References
    ----------
    Tashman 2000 (rolling origin), doi:10.1016/S0169-2070(00)00065-0; Gneiting, Balabdaoui and
    Raftery 2007 (calibration and sharpness), doi:10.1111/j.1467-9868.2007.00587.x.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> found = bs.backtest(bs.ScalingModel(), runs, cuts=[1.5e20, 1.5e21], baselines=["mse"])
    >>> found.model.values.tolist(), found.fitted.values.tolist()
    (['chinchilla', 'mse'], [159, 259])
    >>> found.verdict.values[0].endswith("they hold")
    True
    """
    named = dict(models) if isinstance(models, Mapping) else {_name(models): models}
    refuse("backtest", _problems(named, along, baselines))
    full = _bound(named, runs)
    first = next(iter(full.values()))
    size = size_of(first.runs, along)
    least = PER_PARAMETER * max(len(m.params) for m in named.values())

    def usable(rows: np.ndarray) -> bool:
        part = first.runs.iloc[rows]
        laws = [m.law for m in named.values()]
        return not any(refusals(part, to_vary(law), len(law.params)) for law in laws)

    labelled = [clusters_of(ready, by) for ready in full.values()]
    labels = [one for one in labelled if one is not None]
    if any(not np.array_equal(one, labels[0]) for one in labels):
        msg = "backtest: models whose rows scatter by several clusters: give one at a time, or `by`"
        raise SpecError(msg)
    whose = labels[0] if labels else None
    edges = edges_of(size, cuts, least, usable, whose)
    fitted = [below(size, e, whose) for e in edges]
    above = [np.flatnonzero(size > e) for e in edges]
    seen = values_of(first.runs, first.model.law.outcome)
    log = bool(np.all(seen > 0))
    found: dict[str, list[Ahead]] = {}
    for name, ready in full.items():
        try:
            refits = refit_parts(ready, fitted, method, draws, seed, executor, progress)
        except FitError as error:
            found[name] = [nothing(len(rows), str(error)) for rows in above]
            continue
        found[name] = [
            _of_model(ready, one, rows, np.random.default_rng([seed, at, 4]))
            for at, (one, rows) in enumerate(zip(refits, above, strict=True))
        ]
    if not any(len(a.draws) for got in found.values() for a in got):
        msg = f"no model can be fitted below any cut: {next(iter(found.values()))[0].trust}"
        raise FitError(msg)
    for name in baselines:
        rng = np.random.default_rng([seed, list(BASELINES).index(name), 6])
        found[name] = [
            baseline(name, first.runs, inside, rows, draws, rng)
            for inside, rows in zip(fitted, above, strict=True)
        ]
    distance = np.array([np.log10(size / size[rows].max()) for rows in fitted])
    distance[size <= edges[:, None]] = np.nan
    out = _scores.joined(found, seen, above, distance, log)
    out = out.assign_coords(
        cut=edges,
        run=first.runs.index,
        size=("run", size),
        measured=("run", seen),
        fitted=("cut", [len(rows) for rows in fitted]),
        kind=("model", ["model"] * len(full) + ["baseline"] * len(baselines)),
    )
    trusts = np.concatenate([[a.trust for a in found[name]] for name in full])
    said = [f"{n}: {v}" for n, v in zip(found, out["verdict"].values, strict=True) if n in full]
    return out.assign_attrs(
        along=along,
        scale="log" if log else "linear",
        draws=draws,
        seed=seed,
        trust=verdict(trusts, "refits"),
        verdict="; ".join(said),
        caveat=CAVEAT,
    )


def backtest_table(result: xr.Dataset, *, prob: float = 0.95) -> pd.DataFrame:
    """Tabulate a backtest: models side by side at every distance ahead.

    Parameters
    ----------
    result : xarray.Dataset
        From `backtest`.
    prob : {0.5, 0.8, 0.9, 0.95}
        Of the intervals whose coverage and width are shown.

    Returns
    -------
    pandas.DataFrame
        A row per distance and model; columns `runs`, `rmse`, `mre`, `crps`, `log_score`,
        `coverage`, `covered_low`, `covered_high`, `own_low`, `own_high`, `width`. Distances without
        runs are left out.

    Raises
    ------
    SpecError
        Intervals of that probability were not scored.
    """
    if not np.isclose(result["prob"].values, prob).any():
        known = ", ".join(f"{p:g}" for p in result["prob"].values)
        msg = f"prob {prob!r} was not scored; choose one of: {known}"
        raise SpecError(msg)
    each = ["runs", "rmse", "mre", "mean_crps", "mean_log_score", "coverage", "covered_low"]
    each += ["covered_high", "own_low", "own_high", "mean_width"]
    kept = result[each].sel(prob=prob, method="nearest").reset_coords(drop=True)
    kept = kept.isel(ahead=(kept["runs"].max("model") > 0).values)
    named = {f"mean_{k}": k for k in ("crps", "log_score", "width")}
    table = kept.rename(named).to_dataframe(dim_order=["ahead", "model"])
    return table[[named.get(k, k) for k in each]]  # pyright: ignore[reportReturnType]


def _name(model: Any) -> str:
    return str(getattr(getattr(model, "law", None), "name", "model"))


def _problems(named: Mapping[str, Any], along: Any, baselines: Any) -> list[str]:
    out = [] if named else ["no model was given"]
    for name, model in named.items():
        if not isinstance(model, ScalingModel):
            out.append(f"model {name!r}: a ScalingModel is wanted; found {model!r}")
        elif model.pooling:
            out.append(f"model {name!r} pools: give models without pooling")
    outcomes = {m.law.outcome for m in named.values() if isinstance(m, ScalingModel)}
    if len(outcomes) > 1:
        out.append(
            f"models of several outcomes ({', '.join(sorted(outcomes))}): give one at a time"
        )
    if along not in get_args(Along):
        out.append(f"along {along!r} is none of: {', '.join(get_args(Along))}")
    if isinstance(baselines, str):
        return [*out, f"baselines {baselines!r}: give a list, such as [{baselines!r}]"]
    for name in baselines:
        if name not in BASELINES:
            hint = did_you_mean(str(name), list(BASELINES))
            out.append(f"no baseline is named {name!r}.{hint} Known: {', '.join(BASELINES)}")
        elif name in named:
            out.append(f"{name!r} names a model and a baseline: call the model something else")
    return out


def _bound(named: Mapping[str, ScalingModel], runs: pd.DataFrame) -> dict[str, Prepared]:
    full, wrong = {}, []
    for name, model in named.items():
        try:
            full[name] = whole(model, runs, "backtest")
        except BayesScalingError as error:
            if len(named) == 1:
                raise
            wrong.append(f"model {name!r}: {error}")
    rows = [set(ready.runs.index) for ready in full.values()]
    if rows and any(r != rows[0] for r in rows):
        odd = sorted(map(str, set.union(*rows) - set.intersection(*rows)))
        what = f"{len(odd)} runs are usable to some models only (such as {odd[0]})"
        wrong.append(f"{what}: give models that read the same runs, or leave these out")
    refuse("backtest", wrong)
    return full


def _of_model(full: Prepared, one: Any, rows: np.ndarray, rng: np.random.Generator) -> Ahead:
    if one.ready is None:
        return nothing(len(rows), one.trust)
    log_score = log_mean(log_densities(full, one, rows, by_itself=True))
    k_hat = float(one.attrs.get("k_hat", np.nan))
    return Ahead(new_runs(full, one, rows, rng), log_score, one.trust, k_hat)
