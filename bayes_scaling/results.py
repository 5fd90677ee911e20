"""Draws -> DataTree: the one result, readable by every ArviZ function, saved in one line."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling import __version__
from bayes_scaling.errors import FitFileError
from bayes_scaling.laws import HasDerived, HasOptimum
from bayes_scaling.model import ScalingModel, model_from_dict, model_to_json

SCHEMA = 1  # of the groups and root attributes below; raised when a reader must change
DATA_GROUPS = ("observed_data", "constant_data", "log_likelihood", "posterior_predictive")
SAMPLES = ("chain", "draw")
PACKED = 2**18  # numbers up to which a variable is compressed on disk


def model_of(fit: xr.DataTree) -> ScalingModel:
    """Return the model of a fit, with the law's reference sizes.

    Raises
    ------
    FitFileError
        The tree was not made by this package.
    """
    if "model" not in fit.attrs:
        msg = "this tree has no `model` in its root attributes: it is not a fit of bayes_scaling"
        raise FitFileError(msg)
    return model_from_dict(json.loads(fit.attrs["model"]))


def theta_of(fit: xr.DataTree, group: str | None = None) -> dict[str, xr.DataArray]:
    """Return the draws of every parameter, for one group of runs where the model pools.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    group : str, optional
        A group of the pooling column. Without it, a partially pooled parameter is that of the
        population, and a free one has no such value.

    Raises
    ------
    FitFileError
        The group is unknown, or needed and not given.
    """
    model, posterior = model_of(fit), fit["posterior"].to_dataset()
    if group is not None and model.pooling is None:
        msg = f"the model does not pool, so there is no group {group!r}: leave it out"
        raise FitFileError(msg)
    out = {}
    for p in model.params:
        each = f"{p.name}_group"
        if each in posterior and (group is not None or p.name not in posterior):
            assert model.pooling is not None, "only pooled models have groups"
            column = model.pooling.column
            groups = [str(g) for g in posterior[column].values]
            if str(group) not in groups:
                lacks = f"the fit has no {column} {group!r}"
                if group is None:
                    lacks = f"{p.name}: every {column} has its own; say which, group=..."
                msg = f"{lacks}; give one of: {', '.join(groups)}"
                raise FitFileError(msg)
            value = posterior[each].isel({column: groups.index(str(group))}, drop=True)
        else:
            value = posterior[p.name]
        out[p.name] = unlabelled(value)
    return out


def carries_runs(fit: xr.DataTree) -> bool:
    """Return whether a fit holds the runs it was fitted to, as published posteriors never do."""
    return {"observed_data", "constant_data"} <= set(fit.children)


def unlabelled(values: xr.DataArray) -> xr.DataArray:
    """Return draws without unit and meaning: arithmetic would hand them on to what it makes."""
    values = values.copy(deep=False)
    values.attrs = {}
    return values


def units_of(model: ScalingModel) -> dict[str, dict[str, str]]:
    """Return unit and meaning of every posterior variable, by name."""
    named = {p.name: {"units": p.unit, "long_name": p.meaning} for p in model.params}
    derived = model.law.derived if isinstance(model.law, HasDerived) else {}
    for name, (unit, meaning) in derived.items():
        named.setdefault(name, {"units": unit, "long_name": meaning})
    return named


def with_derived(model: ScalingModel, draws: xr.Dataset) -> xr.Dataset:
    """Add the paper's own parameters (A, B, ...) and the exponent `a` to a group of draws."""
    theta: dict[str, Any] = {}
    for p in model.law.params:
        each = f"{p.name}_group"
        theta[p.name] = draws[each] if each in draws else draws[p.name]
    plain = model.pooling is None  # then nothing broadcasts by name, and plain arrays are quick
    if plain:
        theta = {k: v.values for k, v in theta.items()}
    extra = dict(model.law.to_paper(theta))
    if isinstance(model.law, HasOptimum):
        extra["a"] = model.law.exponent(theta)
    new = {k: v for k, v in extra.items() if k not in draws and f"{k}_group" not in draws}
    draws = draws.assign({k: (SAMPLES, v) for k, v in new.items()} if plain else new)
    for name, attrs in units_of(model).items():
        for variable in (name, f"{name}_group"):
            if variable in draws:
                draws[variable].attrs.update(attrs)
    return draws


def intervals(
    draws: xr.Dataset, probs: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
) -> pd.DataFrame:
    """Tabulate quantiles of every variable over the draws.

    Parameters
    ----------
    draws : xarray.Dataset over (chain, draw, ...)
        A plan, a prediction or a posterior group.
    probs : tuple of float
        Probabilities; the default is the median with 50 and 90 % equal-tailed intervals.

    Returns
    -------
    pandas.DataFrame
        One row per variable and point, one column per quantile. Quantiles are draws, never
        interpolated, so infinities (a loss out of reach) stay what they are.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> bs.intervals(bs.allocate(bs.load_posterior("chinchilla"), 1e22)).index.names
    FrozenList(['variable', 'budget'])
    """
    kept = draws[[v for v in draws.data_vars if set(SAMPLES) <= set(draws[v].dims)]]
    kept = kept.reset_coords(drop=True)
    table = kept.quantile(probs, dim=SAMPLES, method="inverted_cdf").to_dataarray("variable")
    return table.to_series().unstack("quantile")  # pyright: ignore[reportReturnType]


def dataset(
    values: Mapping[str, np.ndarray],
    dims: Mapping[str, tuple[str, ...]] | None = None,
    coords: Mapping[str, Any] | None = None,
    lead: tuple[str, ...] = SAMPLES,
) -> xr.Dataset:
    """Put arrays with leading sample dimensions into a Dataset with named ones."""
    dims = dims or {}
    variables = {}
    for name, value in values.items():
        extra = np.ndim(value) - len(lead)
        named = dims.get(name) or tuple(f"{name}_dim_{i}" for i in range(extra))
        variables[name] = ((*lead, *named), value)
    found = {d: n for v, (ds, a) in variables.items() for d, n in zip(ds, a.shape, strict=True)}
    index = {d: np.arange(n) for d, n in found.items() if d in SAMPLES}
    labels = {k: v for k, v in (coords or {}).items() if k in found}
    return xr.Dataset(variables, coords={**index, **labels})


def tree(groups: Mapping[str, xr.Dataset], model: ScalingModel, **attrs: Any) -> xr.DataTree:
    """Join groups into a fit whose root attributes say what it is."""
    out = xr.DataTree.from_dict({f"/{k}": v for k, v in groups.items()})
    out.attrs["bayes_scaling_schema"] = SCHEMA
    out.attrs["bayes_scaling_version"] = __version__
    out.attrs["model"] = model_to_json(model)
    for name, value in attrs.items():  # NetCDF keeps text and numbers; the rest goes as JSON
        out.attrs[name] = value if isinstance(value, str | int | float) else json.dumps(value)
    out.attrs["posterior_sha256"] = digest(out)
    return out


def save_fit(fit: xr.DataTree, path: str | Path, *, data: bool = True) -> Path:
    """Save a fit as NetCDF.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    path : str or Path
        Where to; conventionally ending in ``.nc``.
    data : bool, default True
        Whether the training data, and what is computed per run, go along. A published posterior
        leaves them out.

    Returns
    -------
    Path
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = fit if data else fit.drop_nodes([g for g in DATA_GROUPS if g in fit.children])
    packed = {  # random digits hardly shrink: it is not worth a second for the large groups
        f"/{name}": {v: {"zlib": True} for v, a in node.data_vars.items() if a.size < PACKED}
        for name, node in kept.children.items()
    }
    kept.to_netcdf(path, engine="h5netcdf", encoding=packed)
    return path


def open_fit(path: str | Path, *, verify: bool = True) -> xr.DataTree:
    """Open a fit that `save_fit` wrote.

    Parameters
    ----------
    path : str or Path
        The file.
    verify : bool, default True
        Whether to refuse a posterior that is not the one that was saved.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    FitFileError
        No file, not a fit, truncated, written by a later version, or changed since.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"{path}: no such file. A fit is what `save_fit` or `bayes-scaling fit --out` wrote."
        raise FitFileError(msg)
    try:
        fit = xr.load_datatree(path, engine="h5netcdf") if hasattr(xr, "load_datatree") else (
            xr.open_datatree(path, engine="h5netcdf").load()
        )  # fmt: skip
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        size = path.stat().st_size
        msg = (
            f"{path}: cannot be read as NetCDF ({size} bytes; {str(error).splitlines()[0]}). It is "
            f"no fit, or was cut off while it was written or copied: save or copy it again."
        )
        raise FitFileError(msg) from error
    schema = fit.attrs.get("bayes_scaling_schema")
    if schema is None or "posterior" not in fit.children:
        groups = ", ".join(fit.children) or "none"
        msg = f"{path}: NetCDF, but not a fit of bayes_scaling (groups: {groups}; no schema number)"
        raise FitFileError(msg)
    if int(schema) > SCHEMA:
        written = fit.attrs.get("bayes_scaling_version")
        msg = (
            f"{path}: written by bayes_scaling {written} (schema {int(schema)}); this is "
            f"{__version__}, which reads schema {SCHEMA}. Upgrade bayes_scaling to open it."
        )
        raise FitFileError(msg)
    if verify and fit.attrs.get("posterior_sha256") != digest(fit):
        msg = (
            f"{path}: the posterior or the model is not what was saved: the file was edited after "
            f"the fit. Fit again, or open it with verify=False if the change is yours."
        )
        raise FitFileError(msg)
    return fit


def digest(fit: xr.DataTree) -> str:
    """Return a hash of the model and of every draw: what `open_fit` verifies."""
    posterior = fit["posterior"].to_dataset()
    total = hashlib.sha256(fit.attrs["model"].encode())
    for name in sorted(map(str, posterior.data_vars)):
        total.update(name.encode())
        total.update(np.ascontiguousarray(posterior[name].values, dtype="<f8").tobytes())
    return total.hexdigest()
