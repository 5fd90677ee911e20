"""What every answer of a `Tuning` law needs: its draws, planned sizes, and how runs fail."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.decision._planned import of_a_new_sweep, of_the_law, planned
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Tuning
from bayes_scaling.observations import Sweep
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
    if group is not None or model_of(fit).pooling is None:
        return theta_of(fit, group)
    return of_the_law(fit, "l0") if seed is None else of_a_new_sweep(fit, "l0", seed)


def points_of(
    law: Tuning, at: Any, more: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, xr.DataArray]:
    """Return planned sizes over `point`, or say which are missing; 6ND where `flops` are."""
    needed = tuple(dict.fromkeys((*law.fixed, *more)))
    if isinstance(at, Mapping) and "flops" in needed and {"params", "tokens"} <= set(at):
        at = {"flops": flops_6nd(np.asarray(at["params"]), np.asarray(at["tokens"])), **at}
        optional = (*optional, "params", "tokens")
    return planned(at, needed, "the best setting", optional)


def said(rule: Any, sizes: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return what a rule says, and a caution where it is used beyond what its authors trust.

    Raises
    ------
    SpecError
        The rule has no answer there.
    """
    found = rule(sizes)
    if any(np.isnan(v).any() for v in found.values()):
        msg = f"rule {rule.name!r} has no answer at sizes as large as these ({rule.source})"
        raise SpecError(msg)
    past = [k for k, most in rule.reach if (sizes[k] > most).any()]
    beyond = f"{rule.name} beyond its reach in {', '.join(past)} ({rule.source})"
    return found, beyond if past else None


def failure_of(fit: xr.DataTree, law: Tuning, theta: Any, x: Any) -> Any:
    observation = model_of(fit).observation
    if not (isinstance(observation, Sweep) and observation.divergence):
        return None
    return observation.failure(theta, law.latent(theta, x)["overshoot"])


def one_of_them(what: str, given: str | None, known: tuple[str, ...]) -> str:
    if given is None and len(known) == 1:
        return known[0]
    if not known:
        msg = f"{what}: the law's optimum moves along no size; fit `Tuning` along one"
        raise SpecError(msg)
    if given not in known:
        choices = ", ".join(known) or "none"
        msg = f"{what}: one of {choices} is meant; found {given!r}"
        raise SpecError(msg)
    return given


def unit_of(name: str) -> str:
    return next((u for k, u in UNITS.items() if name.startswith(k)), "1")
