"""What comparisons of groups share: draws side by side, frontiers, how far their runs reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling import priors
from bayes_scaling._registry import did_you_mean
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.decision.reach import LEAST, MOST, STEPS
from bayes_scaling.errors import FitFileError, SpecError
from bayes_scaling.laws import best_split, irreducible, splits
from bayes_scaling.laws._protocol import sizes
from bayes_scaling.program import GROUP_SD, GROUP_SD_ELSE, GROUP_SD_SIGMA, Program
from bayes_scaling.results import carries_runs, model_of, theta_of

WIDTH = 0.05  # e-folds of compute either side, over which a slope is taken
PRIOR = 50_000  # draws of the prior: its density at zero then has an error of a few per cent
UNITS = {"flops": "FLOP", "params": "parameters", "tokens": "tokens"}


@dataclass(frozen=True)
class Groups:
    """A pooled fit, its groups side by side.

    Parameters
    ----------
    law : Law
        Of `params` and `tokens`, or of one variable that it falls in.
    names : tuple of str
        The groups.
    column : str
        The column that tells them.
    theta : dict of str to dict of str to (chain, draw, 1) array
        Draws of the law's parameters, by group: arrays without names, which cost ten times less.
    reach : pandas.DataFrame
        Per group `low` and `high`, what its runs reach from and to in the law's variable or in
        FLOP, and `cost`, their FLOP per 6ND; NaN where the fit does not carry that.
    """

    law: Any
    names: tuple[str, ...]
    column: str
    theta: dict[str, dict[str, np.ndarray]]
    reach: pd.DataFrame

    @property
    def of(self) -> str:
        """The amount that groups are compared by: `flops`, or the law's one variable."""
        return "flops" if splits(self.law) else self.law.inputs[0]

    def best(self, theta: Mapping[str, Any], amount: Any) -> Any:
        """Return the least loss that an amount buys: FLOP at 6ND, or the law's one variable."""
        if not splits(self.law):
            return self.law(theta, {self.of: amount})
        params, tokens = best_split(self.law, theta, amount / PER_TOKEN)
        return self.law(theta, {"params": params, "tokens": tokens})

    def slope(self, theta: Mapping[str, Any], amount: float) -> Any:
        """Return ``-d ln(L* - E) / d ln C`` at an amount: of power laws the same at any."""
        floor = irreducible(self.law, theta)
        up, down = (np.log(self.best(theta, amount * np.exp(s)) - floor) for s in (-WIDTH, WIDTH))
        return (up - down) / (2 * WIDTH)

    def to_reach(self, theta: Mapping[str, Any], loss: Any) -> Any:
        """Return the least amount that buys a loss, inf where none does; by bisection of its ln."""
        never = self.best(theta, MOST) > loss
        low = np.full(np.shape(never), np.log(LEAST))
        high = np.full(np.shape(never), np.log(MOST))
        for _ in range(STEPS):
            middle = 0.5 * (low + high)
            there = self.best(theta, np.exp(middle)) <= loss
            high, low = np.where(there, middle, high), np.where(there, low, middle)
        return np.where(never, np.inf, np.exp(high))

    @property
    def per_6nd(self) -> dict[str, float]:
        """The FLOP of the runs per 6ND, of the groups whose runs the fit carries."""
        found = zip(self.names, np.asarray(self.reach["cost"], float), strict=True)
        return {name: float(value) for name, value in found if np.isfinite(value)}

    @property
    def middle(self) -> float:
        """The amount at the law's reference sizes."""
        ref = sizes(self.law)
        if splits(self.law):
            return ref["params"] * ref["tokens"] * PER_TOKEN
        return ref[self.of]


def groups_of(fit: xr.DataTree) -> Groups:
    """Return the groups of a pooled fit.

    Raises
    ------
    SpecError
        The model does not pool, has one group, or its law does not say what compute buys.
    """
    model = model_of(fit)
    law = model.law
    falls = tuple(getattr(law, "decreasing", ())) == tuple(law.inputs)
    if not splits(law) and not (len(law.inputs) == 1 and falls):
        msg = (
            f"law {law.name!r} reads {', '.join(law.inputs)}: groups are compared under a law of "
            f"params and tokens, or of one variable that it falls in, such as PowerLaw('flops')"
        )
        raise SpecError(msg)
    if model.pooling is None:
        msg = "the model does not pool, so it has no groups: pooling=Pooling('arch', ...)"
        raise SpecError(msg)
    column, posterior = model.pooling.column, fit["posterior"].to_dataset()
    if column not in posterior.dims:
        msg = f"every parameter is shared, so groups of {column!r} do not differ: pool one"
        raise SpecError(msg)
    names = tuple(str(g) for g in posterior[column].values)
    if len(names) < 2:
        msg = f"{column!r} has one group, {', '.join(names)}: there is nothing to compare it with"
        raise SpecError(msg)
    theta = {}
    for name in names:
        draws = theta_of(fit, name)
        theta[name] = {p.name: draws[p.name].values[..., None] for p in law.params}
    return Groups(law, names, column, theta, _reach(fit, law, column, names))


def _reach(fit: xr.DataTree, law: Any, column: str, names: tuple[str, ...]) -> pd.DataFrame:
    lacking = pd.DataFrame(np.nan, index=list(names), columns=["low", "high", "cost"])
    if not carries_runs(fit):
        return lacking
    runs = fit["constant_data"].to_dataset()
    whose = runs[column].values.astype(str)
    plane = splits(law)
    amount = flops_6nd(runs["params"].values, runs["tokens"].values) if plane else None
    amount = runs[law.inputs[0]].values if amount is None else amount
    for name in names:
        mine = whose == name
        cost = 1.0
        if plane and "flops" in runs:
            cost = float(np.exp(np.mean(np.log(runs["flops"].values / amount)[mine])))
        lacking.loc[name] = [amount[mine].min(), amount[mine].max(), cost]
    return lacking


def one_group(named: str, groups: Groups, what: str) -> str:
    """Return a group, or say which there are."""
    if str(named) not in groups.names:
        msg = (
            f"{what}: the fit has no {groups.column} {named!r}."
            f"{did_you_mean(str(named), groups.names)} Groups: {', '.join(groups.names)}."
        )
        raise SpecError(msg)
    return str(named)


def costs(groups: Groups, given: Any) -> dict[str, float]:
    """Return the FLOP per 6ND of every group: 1, the table's own, or those given.

    Raises
    ------
    SpecError
        Given to a law of one variable, for a group that is not there, or not positive.
    FitFileError
        The table's own, of a fit that does not carry its runs.
    """
    if isinstance(given, str) and given == "6ND":
        return dict.fromkeys(groups.names, 1.0)
    if not splits(groups.law):
        msg = f"cost: law {groups.law.name!r} reads {groups.of} itself; leave it out"
        raise SpecError(msg)
    if isinstance(given, str) and given == "table":
        found = groups.per_6nd
        if len(found) < len(groups.names):
            msg = "cost='table': the fit does not carry its runs; give cost={group: FLOP per 6ND}"
            raise FitFileError(msg)
        return found
    if not isinstance(given, Mapping):
        msg = f"cost: '6ND', 'table', or a mapping of group to FLOP per 6ND; found {given!r}"
        raise SpecError(msg)
    out = dict.fromkeys(groups.names, 1.0)
    for name, value in given.items():
        one_group(name, groups, "cost")
        if not (np.isfinite(value) and value > 0):
            msg = f"cost: FLOP per 6ND are positive; found {value!r} for {name!r}"
            raise SpecError(msg)
        out[str(name)] = float(value)
    return out


def prior_slopes(fit: xr.DataTree, groups: Groups, seed: int) -> np.ndarray:
    """Return prior draws of the slopes of two groups, (2, draw)."""
    model = model_of(fit)
    best = float(fit.attrs.get("best_loss", 1.0))
    stats = {"min_loss": best, "mean_loss": best}
    modes = {p.name: model.mode(p) for p in model.params}
    scale = {
        p.name: np.full(2, best if model.prior(p.name).times else 1.0)
        for p in model.params
        if modes[p.name] != "shared"
    }
    data: dict[str, Any] = {
        "prior": {p.name: priors.values(model.prior(p.name), stats) for p in model.params},
        "group_scale": scale,
        "group_sd": {
            p.name: {"median": GROUP_SD.get(p.role, GROUP_SD_ELSE), "sigma": GROUP_SD_SIGMA}
            for p in model.params
            if modes[p.name] == "partial"
        },
    }
    rng = np.random.default_rng(seed)
    drawn, _ = Program(model.structure).prior_draws(data, rng, PRIOR)
    theta = {}
    for p in model.law.params:
        if modes[p.name] == "shared":
            theta[p.name] = drawn[p.name]
        elif modes[p.name] == "free":
            theta[p.name] = drawn[f"{p.name}_group"].T
        else:
            bare = priors.tighten(model.prior(p.name), drawn[f"{p.name}_z"].T)
            theta[p.name] = bare * scale[p.name][:, None]
    return np.asarray(groups.slope(theta, groups.middle))
