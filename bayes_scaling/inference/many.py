"""`fit_many`: one model, hundreds or thousands of tables, one compiled program."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.summary import refusals
from bayes_scaling.errors import BayesScalingError, SpecError
from bayes_scaling.inference._batch import Batch, Posterior, fit_batch
from bayes_scaling.inference.fit import as_read, at_terminal, scale_of
from bayes_scaling.inference.rows import is_large
from bayes_scaling.inference.sampling import BLOCKS, counted, doubts, few_runs, minor_modes, sample
from bayes_scaling.laws import to_vary
from bayes_scaling.model import ScalingModel, model_from_dict, model_to_json
from bayes_scaling.program import Prepared, prepare
from bayes_scaling.results import dataset, tree, with_derived
from bayes_scaling.trust import diagnose

CHUNK = 256  # tables of one task: its memory, and how often progress moves

Tables = Mapping[Any, pd.DataFrame] | Sequence[pd.DataFrame]


@dataclass(frozen=True)
class Refit:
    """One table of many, fitted or not.

    Parameters
    ----------
    ready : Prepared, optional
        The model bound to the table; None where the table was refused.
    values : dict of str to (chain, draw, ...) array
        Parameters on their own scale.
    z : (sample, d) array
        The same draws, unconstrained.
    attrs : dict
        `method`, `method_reason`, `modes`, `optimum_converged` and what the engine adds.
    trust : str
        "trusted", or why not.
    """

    ready: Prepared | None
    values: dict[str, np.ndarray]
    z: np.ndarray
    attrs: dict[str, Any]
    trust: str


def fit_many(
    model: ScalingModel,
    tables: Tables,
    *,
    method: Literal["laplace", "auto"] = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Fit one model to many tables.

    Parameters
    ----------
    model : ScalingModel
        Law, observation model and priors; without pooling.
    tables : sequence or mapping of label to DataFrame
        Run tables; those that were not read yet go through `read_runs`.
    method : {"laplace", "auto"}
        "laplace" flags the fits that importance sampling is not enough for, "auto" hands them to
        NUTS, one by one.
    draws : int
        Per fit.
    seed : int
        Fit i of seed s is the same whatever stands beside it.
    executor : concurrent.futures.Executor, optional
        Where chunks of 256 tables run; here, one after the other, if none is given.
    progress : bool, optional
        Show a progress bar; by default only at a terminal.

    Returns
    -------
    xarray.Dataset
        The posterior over (fit, chain, draw): parameters, paper's parameters and `a`. Per fit:
        `k_hat`, `effective`, `rounds`, `modes`, `rows`, `method`, and `trust`, which is "trusted"
        or says what is wrong. A table that cannot be fitted has NaN and its reason. `one_of` picks
        a fit for `predict` and `allocate`.

    Raises
    ------
    SpecError
        No tables or a single one, an unknown method, no draws, or a model that pools.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> from bayes_scaling.data.simulate import chinchilla_study
    >>> fits = bs.fit_many(bs.ScalingModel(), [chinchilla_study(s) for s in range(3)], draws=400)
    >>> dict(fits.sizes), fits.trust.values.tolist()
    ({'fit': 3, 'chain': 4, 'draw': 100}, ['trusted', 'trusted', 'trusted'])
    >>> bs.allocate(bs.one_of(fits, 1), 1e23).attrs["trust"]
    'trusted'
    """
    if method not in ("laplace", "auto"):
        msg = f"method {method!r} is unknown to fit_many; choose laplace or auto"
        raise SpecError(msg)
    if model.pooling:
        msg = "fit_many takes models without pooling: fit a pooled model to one table with `fit`"
        raise SpecError(msg)
    if isinstance(tables, pd.DataFrame | str):
        msg = "fit_many takes a list or a mapping of tables; put a single one into a list"
        raise SpecError(msg)
    labels = list(tables) if isinstance(tables, Mapping) else list(range(len(tables)))
    if not labels:
        msg = "fit_many was given no table"
        raise SpecError(msg)
    each = tables.values() if isinstance(tables, Mapping) else tables
    refits = refit(
        model, each, method=method, draws=draws, seed=seed, executor=executor, progress=progress
    )
    return _joined(model, labels, refits, draws, seed)


def refit(
    model: ScalingModel,
    tables: Iterable[pd.DataFrame],
    *,
    method: str = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> list[Refit]:
    """Fit one model to many tables and return every piece; parameters as in `fit_many`."""
    counted(draws=draws)
    bound = [_bound(model, runs) for runs in tables]
    lots: dict[Any, list[int]] = {}
    for i, (ready, _) in enumerate(bound):
        if ready is not None:
            key = (len(ready.data["y"]), is_large(ready.data))
            lots.setdefault(key, []).append(i)
    tasks = [
        (part, key[1])
        for key, members in lots.items()
        for part in (members[at : at + CHUNK] for at in range(0, len(members), CHUNK))
    ]
    found: dict[int, Refit] = {}
    small = [part for part, large in tasks if not large]
    run: Any = executor.map if executor else map
    done: Any = run(fit_batch, [_batch(bound, part, draws, seed) for part in small])
    if at_terminal() if progress is None else progress:
        from rich.progress import track

        done = track(done, f"fitting {len(bound)} tables", total=len(small), transient=True)
    for part, posteriors in zip(small, done, strict=True):
        for i, posterior in zip(part, posteriors, strict=True):
            found[i] = judged(bound[i][0], posterior)
    for i, (ready, reason) in enumerate(bound):
        if ready is None:
            found[i] = Refit(None, {}, np.empty((0, 0)), {}, reason)
        elif i not in found:
            found[i] = alone(ready, method, draws, seed + i)
        elif method == "auto" and found[i].attrs["method_reason"]:
            found[i] = alone(ready, "nuts", draws, seed + i)
    return [found[i] for i in range(len(bound))]


def _bound(model: ScalingModel, runs: pd.DataFrame) -> tuple[Prepared | None, str]:
    """Bind a model to a table, or say why that cannot be done."""
    try:
        runs = as_read(runs, model)
        refused = refusals(runs, to_vary(model.law), len(model.law.params))
        if refused:
            return None, "; ".join(v.found for v in refused)
        return prepare(model, runs), ""
    except BayesScalingError as error:
        return None, str(error)


def _batch(bound: list[Any], part: list[int], draws: int, seed: int) -> Batch:
    ready = [bound[i][0] for i in part]
    data = tuple(r.data for r in ready)
    return Batch(ready[0].program, data, tuple((seed, i) for i in part), draws)


def judged(ready: Prepared | None, p: Posterior) -> Refit:
    """Return a posterior of a batch with what is to be thought of it."""
    assert ready is not None, "only fitted tables are here"
    attrs = {
        "method": "laplace",
        "method_reason": doubts(p.optimum, p.k_hat, p.effective, len(p.z), ready.data),
        "k_hat": p.k_hat,
        "effective": p.effective,
        "rounds": p.rounds,
        "modes": 1 + minor_modes(p.optimum),
        "few_runs": few_runs(ready.data, len(p.optimum.z)),
        "optimum_converged": int(p.optimum.converged),
    }
    blocks = BLOCKS if len(p.z) % BLOCKS == 0 else 1
    values = {k: v.reshape(blocks, -1, *v.shape[1:]) for k, v in p.values.items()}
    doubt = attrs["method_reason"]
    return Refit(ready, values, p.z, attrs, doubt or _trust(values, {}, attrs))


def alone(ready: Prepared, method: Any, draws: int, seed: int) -> Refit:
    """Fit one table by the engine of `fit`, as by NUTS where importance sampling is not enough."""
    per_chain = -(-draws // BLOCKS) if method == "nuts" else draws
    got = sample(
        ready.program, ready.data, method=method, draws=per_chain, chains=BLOCKS, seed=seed
    )
    z = got.z.reshape(-1, got.z.shape[-1])
    return Refit(ready, got.values, z, got.attrs, _trust(got.values, got.stats, got.attrs))


def _trust(values: dict[str, np.ndarray], stats: dict[str, np.ndarray], attrs: dict) -> str:
    bad = [v.found for v in diagnose(dataset(values), dataset(stats), attrs) if v.status == "FAIL"]
    return "; ".join(bad) or "trusted"


def _joined(
    model: ScalingModel, labels: list[Any], refits: list[Refit], draws: int, seed: int
) -> xr.Dataset:
    """Stack fits along a dimension `fit`; what is missing is NaN."""
    fitted = {i: r for i, r in enumerate(refits) if r.ready is not None}
    variables: dict[str, Any] = {}
    for i, r in fitted.items():
        assert r.ready is not None, "only fitted tables are here"
        for key, v in with_derived(r.ready.model, dataset(r.values)).items():
            name = str(key)
            if name not in variables:
                gap = np.full((len(refits), *v.shape), np.nan)
                variables[name] = (("fit", *v.dims), gap, v.attrs)
            variables[name][1][i] = v.values
    each = {
        "k_hat": [float(r.attrs.get("k_hat", np.nan)) for r in refits],
        "effective": [float(r.attrs.get("effective", np.nan)) for r in refits],
        "rounds": [int(r.attrs.get("rounds", 0)) for r in refits],
        "modes": [int(r.attrs.get("modes", 0)) for r in refits],
        "rows": [len(r.ready.runs) if r.ready else 0 for r in refits],
        "method": [str(r.attrs.get("method", "none")) for r in refits],
        "trust": [r.trust for r in refits],
        "model": [model_to_json(r.ready.model) if r.ready else "" for r in refits],
        "table": [
            json.dumps(scale_of(r.ready.runs, r.ready.model.law)) if r.ready else "" for r in refits
        ],
    }
    variables |= {k: (("fit",), np.array(v)) for k, v in each.items()}
    attrs = {"model": model_to_json(model), "draws": draws, "seed": seed}
    return xr.Dataset(variables, coords={"fit": labels}, attrs=attrs)


def one_of(fits: xr.Dataset, label: Any) -> xr.DataTree:
    """Pick one of many fits, for `predict`, `allocate` and the plots.

    Parameters
    ----------
    fits : xarray.Dataset
        From `fit_many`.
    label : label of its dimension `fit`

    Returns
    -------
    xarray.DataTree
        With the group `posterior` and the attributes of a fit.

    Raises
    ------
    SpecError
        No such fit, or its table was refused.
    """
    if label not in fits.indexes["fit"]:
        msg = f"no fit {label!r}; there are {fits.sizes['fit']}, from {fits.fit.values[0]!r} on"
        raise SpecError(msg)
    one = fits.sel(fit=label, drop=True)
    about = {k: one[k].item() for k in ("k_hat", "effective", "rounds", "modes", "method")}
    if about["method"] == "none":
        msg = f"table {label!r} was not fitted: {one.trust.item()}"
        raise SpecError(msg)
    posterior = one[[v for v in one.data_vars if "draw" in one[v].dims]]
    trust = one.trust.item()
    sampling = [["fit", "PASS" if trust == "trusted" else "FAIL", trust, "fit this table alone"]]
    return tree(
        {"posterior": posterior},
        model_from_dict(json.loads(one.model.item())),
        **about,
        method_reason="one of many",
        sampling=sampling,
        seed=fits.attrs["seed"],
        **json.loads(one.table.item()),
    )
