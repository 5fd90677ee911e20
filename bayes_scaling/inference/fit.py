"""`fit`: from a model and a run table to a posterior that says how it was made."""

import datetime
import functools
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._lazy import Computed, computed
from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.numbers import values_of
from bayes_scaling.data.read import read_runs
from bayes_scaling.data.record import RECORD
from bayes_scaling.data.summary import refusals
from bayes_scaling.errors import FitError
from bayes_scaling.inference.sampling import Draws, Likelihood, Method, sample
from bayes_scaling.inference.target import Target
from bayes_scaling.laws import HasSweeps, from_zero, ranges_of, to_vary
from bayes_scaling.model import ScalingModel
from bayes_scaling.observations import CLUSTER, Refuses
from bayes_scaling.program import WEIGHTLESS, Prepared, prepare, refuse_made
from bayes_scaling.results import dataset, tree, with_derived
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
        Equal seeds give equal fits of one table on one device; two tables' draws are independent.
    progress : bool, optional
        Show NUTS's progress bar; by default only at a terminal.
    force : bool, default False
        Fit a table whose summary says FAIL, with that in the fit's attributes.

    Returns
    -------
    xarray.DataTree
        Groups `posterior` (parameters, and A, B, `a`), `sample_stats`, `log_likelihood`,
        `log_prior`, `prior`, `posterior_predictive`, `observed_data`, `constant_data`; root
        attributes say model, method and why, seed, table and versions. `log_likelihood` and
        `posterior_predictive` are computed when they are first looked at.

    Raises
    ------
    TableError
        The table lacks what the model reads.
    FitError
        The table cannot identify the law.
    SpecError
        The law is an average, which `average` makes from fits.

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
    refuse_made(model)
    runs = as_read(runs, model)
    refused = refusals(runs, to_vary(model.law), len(model.law.params))
    if refused and not force:
        lines = "\n".join(f"  - {v.found}; {v.do}" for v in refused)
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
        progress=at_terminal() if progress is None else progress,
    )
    unused = runs.loc[~runs.index.isin(ready.runs.index)]
    record = runs.attrs.get(RECORD, {})
    return _tree(
        ready,
        got,
        seed,
        table={k: v for k, v in record.items() if k in ("source", "flops", "count", "notes")},
        rows=len(ready.runs),
        unused=dict(zip(map(str, unused.index), map(str, unused["flag"]), strict=True)),
        refusals=[v.found for v in refused],
        seconds=round(time.perf_counter() - start, 3),
    )


def _tree(ready: Prepared, got: Draws, seed: int, **attrs: Any) -> xr.DataTree:
    model, runs = ready.model, ready.runs.index.to_numpy()
    column = model.pooling.column if model.pooling else ""
    coords = {"run": runs, column: list(ready.groups)}
    dims = {f"{p.name}_{kind}": (column,) for p in model.params for kind in ("group", "z")}
    outcome = model.law.outcome
    posterior = dataset(got.values, dims, coords)
    rng = np.random.default_rng(seed)
    prior_values, _ = ready.program.prior_draws(ready.data, rng, PREDICTIVE)
    prior = dataset({k: v[None] for k, v in prior_values.items()}, dims, coords)
    if model.pooling is None:
        prior = with_derived(model, prior)
    stats = dataset(got.stats)
    shape = (*got.z.shape[:2], len(runs))
    likelihood = LogLikelihood(got.target, got.data, got.z.reshape(-1, got.z.shape[-1]), outcome)
    replicates = Replicates(
        ready, {k: v.reshape(-1, *v.shape[2:]) for k, v in got.values.items()}, seed
    )
    groups = {
        "posterior": with_derived(model, posterior),
        "sample_stats": stats,
        "log_likelihood": computed(outcome, Computed(shape, likelihood), runs),
        "log_prior": dataset(got.log_prior),
        "prior": prior,
        "posterior_predictive": computed(outcome, Computed(shape, replicates), runs),
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
        **scale_of(ready.runs, model.law),
        fingerprint=ready.fingerprint,
        seed=seed,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        versions=_versions(),
        **attrs,
    )


@dataclass(frozen=True)
class LogLikelihood:
    """The log likelihood of every run under a range of draws, (draw, run)."""

    target: Target
    data: Any
    z: np.ndarray
    outcome: str

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Compute it, by the compiled program."""
        real = int(np.sum(self.data["weight"] > WEIGHTLESS))
        return Likelihood(self.target, self.data, self.z)(start, stop)[self.outcome][:, :real]


@dataclass(frozen=True)
class Replicates:
    """The outcome replicated under a range of draws, (draw, run), by law and observation model."""

    ready: Prepared
    values: Mapping[str, np.ndarray]
    seed: int

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """Draw it: equal blocks are equal draws."""
        ready, model, theta = self.ready, self.ready.model, {}
        rows = len(ready.runs)
        for p in model.params:
            if model.mode(p) == "shared":
                theta[p.name] = self.values[p.name][start:stop, None]
            else:
                group = ready.data["group"][:rows]
                theta[p.name] = self.values[f"{p.name}_group"][start:stop][:, group]
        x = {k: v if np.ndim(v) == 0 else v[:rows] for k, v in ready.data["x"].items()}
        rng = np.random.default_rng([self.seed, start])
        return model.draw(rng, theta, x)


@functools.cache
def _versions() -> dict[str, str]:
    return {**{v: version(v) for v in VERSIONS}, "python": platform.python_version()}


def scale_of(runs: pd.DataFrame, law: Any) -> dict[str, Any]:
    """Return how far the table reaches: what later says that a prediction lies beyond it."""
    # Neither a setting that is swept, nor what may be zero, nor what is no size says how large.
    swept = law.swept if isinstance(law, HasSweeps) else ()
    others = (*swept, *from_zero(law), *ranges_of(law))
    read = [c for c in law.inputs if c not in others and pd.api.types.is_numeric_dtype(runs[c])]
    sizes = [c for c in dict.fromkeys(("params", "tokens", "flops", *read)) if c in runs]
    out: dict[str, Any] = {}
    if "loss" in runs:
        out["best_loss"] = float(values_of(runs, "loss").min())
    largest = {c: float(values_of(runs, c).max()) for c in sizes}
    if {"tokens", "unique_tokens"} <= {*sizes}:
        passes = values_of(runs, "tokens") / values_of(runs, "unique_tokens")
        largest["epochs"] = float(passes.max())
    out |= {"largest": largest}
    if "flops" in runs:
        out["log_flops_mean"] = float(np.log(values_of(runs, "flops")).mean())
    return out


def _inputs(ready: Prepared) -> xr.Dataset:
    known = {c for c in (*ready.model.columns, "params", "tokens", "flops") if c in ready.runs}
    values = {c: ready.runs[c].to_numpy() for c in sorted(known - {"run"})}
    values = {c: v.astype(str) if v.dtype == object else v for c, v in values.items()}
    if CLUSTER in ready.data["x"]:
        values[CLUSTER] = ready.data["x"][CLUSTER][: len(ready.runs)]
    elif "run" in ready.runs and ready.runs["run"].duplicated().any():
        code = pd.factorize(ready.runs["run"])[0]  # runs without a name are each their own
        values[CLUSTER] = np.where(code < 0, len(code) + np.arange(len(code)), code).astype(float)
    coords = {"run": ready.runs.index.to_numpy()}
    return dataset(values, dict.fromkeys(values, ("run",)), coords, ())


def as_read(runs: Any, model: ScalingModel) -> pd.DataFrame:
    """Return a run table as it is, and anything else through `read_runs`."""
    if isinstance(runs, pd.DataFrame) and {"use", "flag"} <= set(runs.columns):
        return runs
    return read_runs(runs, require=roles_of(model))


def roles_of(model: ScalingModel) -> tuple[str, ...]:
    """Return the roles that a run table must have for a model."""
    law, seen = model.law, model.observation
    counted: tuple[str, ...] = seen.inputs if isinstance(seen, Refuses) else ()  # pyright: ignore
    return (*dict.fromkeys(c for c in (*law.inputs, *counted) if c in COLUMNS), law.outcome)


def at_terminal() -> bool:
    """Return whether somebody is looking: progress is shown only then."""
    import sys

    return sys.stderr.isatty()
