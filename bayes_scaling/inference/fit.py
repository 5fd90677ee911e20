"""`fit`: from a model and a run table to a posterior that says how it was made."""

import datetime
import platform
import time
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.numbers import values_of
from bayes_scaling.data.read import read_runs
from bayes_scaling.data.record import RECORD
from bayes_scaling.data.summary import summary
from bayes_scaling.errors import FitError
from bayes_scaling.inference.sampling import Draws, Method, sample
from bayes_scaling.model import ScalingModel
from bayes_scaling.program import Prepared, prepare
from bayes_scaling.results import SAMPLES, dataset, tree, with_derived
from bayes_scaling.trust import diagnose

PREDICTIVE = 500  # draws of the prior kept beside the posterior: enough for its density
VERSIONS = ("jax", "numpyro", "numpy", "xarray")


def fit(
    model: ScalingModel,
    runs: pd.DataFrame,
    *,
    method: Method = "auto",
    draws: int | None = None,
    chains: int = 4,
    warmup: int = 500,
    seed: int = 0,
    progress: bool | None = None,
    force: bool = False,
) -> xr.DataTree:
    """Fit a scaling model to a run table.

    Parameters
    ----------
    model : ScalingModel
        Law, observation model, priors, pooling.
    runs : DataFrame
        A table from `read_runs` or `load_dataset`; any other goes through `read_runs` first.
    method : {"auto", "laplace", "nuts"}
        The engine; see `bayes_scaling.inference.sample`.
    draws : int, optional
        In all for "laplace" (4,000), per chain for "nuts" (1,000).
    chains, warmup : int
        For NUTS.
    seed : int
        Equal seeds give equal fits on one device.
    progress : bool, optional
        Show NUTS's progress bar; by default only at a terminal.
    force : bool, default False
        Fit a table whose summary says FAIL, with that in the fit's attributes.

    Returns
    -------
    xarray.DataTree
        Groups `posterior` (parameters, and A, B, `a`), `sample_stats`, `log_likelihood`,
        `log_prior`, `prior`, `posterior_predictive`, `observed_data`, `constant_data`; root
        attributes say model, method and why, seed, table and versions.

    Raises
    ------
    TableError
        The table lacks what the model reads.
    FitError
        The table cannot identify the law.

    Notes
    -----
    Numerical trouble is not raised: `check` reads it off the fit and says what to do.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.fit(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"), seed=0)
    >>> sorted(fit.children)  # doctest: +NORMALIZE_WHITESPACE
    ['constant_data', 'log_likelihood', 'log_prior', 'observed_data', 'posterior',
     'posterior_predictive', 'prior', 'sample_stats']
    """
    start = time.perf_counter()
    if not {"use", "flag"} <= set(runs.columns):
        runs = read_runs(runs)
    judged = summary(runs, coordinates=model.law.inputs, n_parameters=len(model.law.params))
    refusals = judged.failures()
    if refusals and not force:
        lines = "\n".join(f"  - {v.found}; {v.do}" for v in refusals)
        way = "force=True (on the command line --force) fits it anyway."
        msg = f"the table cannot identify {model.law.name!r}:\n{lines}\n{way}"
        raise FitError(msg)
    ready = prepare(model, runs)
    got = sample(
        ready.program,
        ready.data,
        method=method,
        draws=draws,
        chains=chains,
        warmup=warmup,
        seed=seed,
        progress=_at_terminal() if progress is None else progress,
    )
    unused = runs[~runs["use"]]
    record = runs.attrs.get(RECORD, {})
    return _tree(
        ready,
        got,
        seed,
        table={k: v for k, v in record.items() if k in ("source", "flops", "count", "notes")},
        rows=len(ready.runs),
        unused=dict(zip(map(str, unused.index), map(str, unused["flag"]), strict=True)),
        refusals=[v.found for v in refusals],
        seconds=round(time.perf_counter() - start, 3),
    )


def _tree(ready: Prepared, got: Draws, seed: int, **attrs: Any) -> xr.DataTree:
    model, rows = ready.model, len(ready.runs)
    rng = np.random.default_rng(seed)
    column = model.pooling.column if model.pooling else ""
    coords = {"run": ready.runs.index.to_numpy(), column: list(ready.groups)}
    dims = {f"{p.name}_{kind}": (column,) for p in model.params for kind in ("group", "z")}
    outcome = model.law.outcome
    posterior = dataset(got.values, dims, coords)
    like = {outcome: got.log_likelihood[outcome][..., :rows]}
    prior_values, _ = ready.program.prior_draws(ready.data, rng, PREDICTIVE)
    prior = dataset({k: v[None] for k, v in prior_values.items()}, dims, coords)
    if model.pooling is None:
        prior = with_derived(model, prior)
    stats = dataset(got.stats)
    groups = {
        "posterior": with_derived(model, posterior),
        "sample_stats": stats,
        "log_likelihood": dataset(like, {outcome: ("run",)}, coords),
        "log_prior": dataset(got.log_prior),
        "prior": prior,
        "posterior_predictive": _replicates(ready, posterior, rng),
        "observed_data": dataset(
            {outcome: ready.runs[outcome].to_numpy(float)}, {outcome: ("run",)}, coords, ()
        ),
        "constant_data": _inputs(ready),
    }
    return tree(
        groups,
        model,
        **got.attrs,
        sampling=[list(v) for v in diagnose(posterior, stats, got.attrs)],
        **_scale_of(ready.runs),
        fingerprint=ready.fingerprint,
        seed=seed,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions={**{v: version(v) for v in VERSIONS}, "python": platform.python_version()},
        **attrs,
    )


def _scale_of(runs: pd.DataFrame) -> dict[str, Any]:
    """Return how far the table reaches: what later says that a prediction lies beyond it."""
    sizes = [c for c in ("params", "tokens", "flops") if c in runs]
    out: dict[str, Any] = {"best_loss": float(values_of(runs, "loss").min())}
    out |= {"largest": {c: float(values_of(runs, c).max()) for c in sizes}}
    if "flops" in runs:
        out["log_flops_mean"] = float(np.log(values_of(runs, "flops")).mean())
    return out


def _replicates(ready: Prepared, posterior: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Draw replicated data sets from the posterior, by the law and the observation model."""
    model, rows = ready.model, len(ready.runs)
    group = ready.data["group"][:rows] if model.pooling else None
    theta = {}
    for p in model.params:
        if model.mode(p) == "shared":
            theta[p.name] = posterior[p.name].to_numpy()[..., None]
        else:
            each = posterior[f"{p.name}_group"].transpose(*SAMPLES, ...)
            theta[p.name] = each.to_numpy()[..., group]
    x = {k: v if np.ndim(v) == 0 else v[:rows] for k, v in ready.data["x"].items()}
    mu = np.asarray(model.law(theta, x))
    drawn = model.observation.draw(rng, mu, theta, x)
    name = model.law.outcome
    return dataset({name: drawn}, {name: ("run",)}, {"run": ready.runs.index.to_numpy()})


def _inputs(ready: Prepared) -> xr.Dataset:
    known = {c for c in (*ready.model.inputs, "params", "tokens", "flops") if c in ready.runs}
    values = {c: ready.runs[c].to_numpy() for c in sorted(known)}
    values = {c: v.astype(str) if v.dtype == object else v for c, v in values.items()}
    coords = {"run": ready.runs.index.to_numpy()}
    return dataset(values, dict.fromkeys(values, ("run",)), coords, ())


def _at_terminal() -> bool:
    import sys

    return sys.stderr.isatty()
