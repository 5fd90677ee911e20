"""What every answer of a `Tuning` law needs: its draws, planned sizes, and how runs fail."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Tuning
from bayes_scaling.observations import Sweep
from bayes_scaling.priors import KINDS
from bayes_scaling.results import model_of, theta_of

UNITS = {"lr": "1", "batch_size_tokens": "tokens"}


def tuning_of(fit: xr.DataTree) -> Tuning:
    """Return the law of a fit, refusing any other than `tuning`."""
    law = model_of(fit).law
    if not isinstance(law, Tuning):
        msg = f"law {law.name!r} is of no setting that was swept; fit `Tuning` to sweeps"
        raise SpecError(msg)
    return law


def theta_at(fit: xr.DataTree, group: str | None, seed: int | None) -> dict[str, xr.DataArray]:
    """Return the draws of a sweep's parameters, of the power laws, or with `seed` of a new sweep.

    The level of the loss is every sweep's own, and what settings cost does not depend on it.
    """
    model = model_of(fit)
    if group is not None or model.pooling is None:
        return theta_of(fit, group)
    posterior, rng = fit["posterior"].to_dataset(), np.random.default_rng(seed)
    out: dict[str, xr.DataArray] = {}
    for p in (*model.law.params, *model.observation.params):
        if p.name not in posterior:
            if p.name != "l0":
                msg = f"{p.name}: every sweep has its own, so say which: group=..."
                raise SpecError(msg)
            continue
        out[p.name] = posterior[p.name]
        if seed is not None and f"{p.name}_sd" in posterior:
            move = posterior[f"{p.name}_sd"] * rng.normal(size=posterior[p.name].shape)
            positive_ = KINDS[model.prior(p.name).dist].support == "positive"
            out[p.name] = out[p.name] * np.exp(move) if positive_ else out[p.name] + move
    return out


def points_of(
    law: Tuning, at: Mapping[str, Any] | None, more: tuple[str, ...] = ()
) -> dict[str, xr.DataArray]:
    """Return planned sizes over `point`, or say which are missing."""
    needed = tuple(dict.fromkeys((*(x for xs in law.along for x in xs), *more)))
    given = dict(at or {})
    lacking = [x for x in needed if x not in given]
    if lacking:
        missing = ", ".join(lacking)
        msg = f"at: {missing} of the planned run not given, such as {{{lacking[0]!r}: 1e9}}"
        raise SpecError(msg)
    values = [positive(given[x], f"at: positive {x}") for x in needed]
    each = np.broadcast_arrays(*values) if values else []
    return {x: xr.DataArray(v, dims="point") for x, v in zip(needed, each, strict=True)}


def failure_of(fit: xr.DataTree, law: Tuning, theta: Any, x: Any) -> Any:
    observation = model_of(fit).observation
    if not (isinstance(observation, Sweep) and observation.divergence):
        return None
    return observation.failure(theta, law.latent(theta, x)["overshoot"])


def one_of_them(what: str, given: str | None, known: tuple[str, ...]) -> str:
    if given is None and len(known) == 1:
        return known[0]
    if given not in known:
        choices = ", ".join(known) or "none"
        msg = f"{what}: one of {choices} is meant; found {given!r}"
        raise SpecError(msg)
    return given


def unit_of(name: str) -> str:
    return next((u for k, u in UNITS.items() if name.startswith(k)), "1")
