"""What a planned run is: its sizes, by name, and a sweep of its own that nobody has made yet."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._registry import did_you_mean
from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.priors import KINDS
from bayes_scaling.results import model_of, unlabelled


def planned(
    at: Any, needed: tuple[str, ...], what: str, optional: tuple[str, ...] = ()
) -> dict[str, xr.DataArray]:
    """Return planned sizes over `point`, or say what is missing, unknown or no size.

    Parameters
    ----------
    at : mapping of str to float or (point,) array, or None
    needed : tuple of str
        The sizes that are read; what is not positive among them is refused.
    what : str
        What reads them, for messages: "the best setting".
    optional : tuple of str
        Further names that are no mistake.
    """
    example = ", ".join(f"{d!r}: ..." for d in needed)
    wanted = f"{what} is along {' and '.join(needed)}: give at={{{example}}}, positive"
    nothing = f"{what} moves along no size: leave `at` out"
    given = {} if at is None else at
    if not isinstance(given, Mapping):
        if len(needed) != 1:
            msg = f"{wanted if needed else nothing}; found {at!r}"
            raise SpecError(msg)
        given = {needed[0]: at}
    for name in given:
        if name not in (*needed, *optional):
            hint = did_you_mean(str(name), list(needed))
            msg = f"at: {name!r} is not read.{hint} Here {wanted if needed else nothing}"
            raise SpecError(msg)
    if lacking := [n for n in needed if n not in given]:
        msg = f"at: {', '.join(lacking)} of the planned run not given; {wanted}"
        raise SpecError(msg)
    values = {n: positive(given[n], f"at: positive {n}; {wanted}") for n in needed}
    return together(values, f"{wanted}, as many of each or one", "point")


def together(values: Mapping[str, np.ndarray], wanted: str, dim: str) -> dict[str, xr.DataArray]:
    """Return lists that pair up, as long as the longest; those of one number are repeated."""
    try:
        each = np.broadcast_arrays(*values.values()) if values else []
    except ValueError as error:
        counts = ", ".join(f"{len(v)} of {n}" for n, v in values.items())
        msg = f"{wanted}; found {counts}"
        raise SpecError(msg) from error
    coords = {n: (dim, v) for n, v in zip(values, each, strict=True)}
    return {n: xr.DataArray(v, dims=dim, coords=coords) for n, v in zip(values, each, strict=True)}


def of_the_law(fit: xr.DataTree, own: str) -> dict[str, xr.DataArray]:
    """Return draws of what all sweeps share, and of the laws that the rest scatters about.

    Parameters
    ----------
    own : str
        The level that every sweep may have of its own, and that no plan depends on.
    """
    model, posterior = model_of(fit), fit["posterior"].to_dataset()
    names = [p.name for p in (*model.law.params, *model.observation.params)]
    missing = [n for n in names if n not in posterior and n != own]
    if missing:
        msg = f"{', '.join(missing)}: every sweep has its own, so say which: group=..."
        raise SpecError(msg)
    return {n: unlabelled(posterior[n]) for n in names if n in posterior}


def of_a_new_sweep(fit: xr.DataTree, own: str, seed: int) -> dict[str, xr.DataArray]:
    """Return draws of a sweep that misses the laws as those of the table do."""
    model, posterior = model_of(fit), fit["posterior"].to_dataset()
    rng, out = np.random.default_rng(seed), of_the_law(fit, own)
    for name, value in out.items():
        if f"{name}_sd" in posterior:
            spread = unlabelled(posterior[f"{name}_sd"])
            move = spread * rng.normal(size=value.shape)
            above_zero = KINDS[model.prior(name).dist].support == "positive"
            out[name] = value * np.exp(move) if above_zero else value + move
    return out
