"""What the best mixture is sought of: fits, validation sets and their weights, what was trained."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._registry import did_you_mean
from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision._simplex import Region
from bayes_scaling.errors import FitFileError, SpecError
from bayes_scaling.laws import HasShares, HasShareSlopes
from bayes_scaling.laws._ranges import ROUNDED
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

Fits = xr.DataTree | Mapping[str, xr.DataTree]
SET = "validation"  # the column that names the set, where no pooled model says another
DIGITS = 6  # of a share, in which two runs are of one mixture


@dataclass(frozen=True)
class Aim:
    """The loss that a mixture is to lower: a weighted sum over validation sets.

    Parameters
    ----------
    law : Law
        Of the loss in shares.
    theta : dict of str to (sample, set) array
        Draws of its parameters, for every validation set that counts.
    weights : (set,) array
        Of the sets; they sum to one.
    sets : tuple of str
        Their names; one empty name where there is but one.
    draws : tuple of int
        Chains and draws.
    """

    law: Any
    theta: Mapping[str, np.ndarray]
    weights: np.ndarray
    sets: tuple[str, ...]
    draws: tuple[int, int]

    @property
    def rows(self) -> int:
        """How many draws there are."""
        return self.draws[0] * self.draws[1]

    def value(self, mixture: np.ndarray, at: Mapping[str, float], which: Any = None) -> Any:
        """Return the loss of mixtures (row, domain) or (1, domain) under draws `which`, (row,)."""
        return self.law(self._of(which), self._at(mixture, at)) @ self.weights

    def both(self, mixture: np.ndarray, at: Mapping[str, float], which: Any = None) -> Any:
        """Return that, and its slope in every share, (row, domain)."""
        theta, x = self._of(which), self._at(mixture, at)
        shape = (len(next(iter(theta.values()))), len(self.weights))
        slopes = self.law.slopes(theta, x)
        slope = [np.broadcast_to(slopes[d], shape) @ self.weights for d in self.law.shares]
        return self.law(theta, x) @ self.weights, np.stack(slope, axis=-1)

    def _of(self, which: Any) -> dict[str, np.ndarray]:
        return {k: v if which is None else v[which] for k, v in self.theta.items()}

    def _at(self, mixture: np.ndarray, at: Mapping[str, float]) -> dict[str, Any]:
        shares = {d: mixture[:, j, None] for j, d in enumerate(self.law.shares)}
        return {**at, **shares}


def aim_of(fit: Fits, target: Any) -> tuple[Aim, str]:
    """Return what is to be lowered, and whether all fits are to be trusted.

    Raises
    ------
    SpecError
        No law of mixtures, laws that differ, a target that names no validation set, or none given
        where there are several.
    """
    fits: dict[str, Any] = {"": fit}
    if not isinstance(fit, xr.DataTree):
        fits = dict(fit) if isinstance(fit, Mapping) else {}
    if not fits or not all(isinstance(f, xr.DataTree) for f in fits.values()):
        msg = f"a fit, or fits by the name of their validation set, are wanted; found {fit!r}"
        raise SpecError(msg)
    trust = list(dict.fromkeys(warn_if_untrusted(f) for f in fits.values()))
    laws: list[Any] = [model_of(f).law for f in fits.values()]
    for law in laws:
        if not _mixes(law):
            msg = (
                f"law {law.name!r} has no shares of a mixture; fit `mixing_exp`, or `mixing_scale` "
                f"where runs differ in size"
            )
            raise SpecError(msg)
        if law.shares != laws[0].shares or law.inputs != laws[0].inputs:
            msg = f"the fits are of {', '.join(laws[0].inputs)} and of {', '.join(law.inputs)}"
            raise SpecError(msg)
    if isinstance(fit, xr.DataTree):
        pooling = model_of(fit).pooling
        groups = fit["posterior"].to_dataset()[pooling.column].values if pooling else [""]
        names = [str(g) for g in groups]
        found = [(laws[0], theta_of(fit, g or None)) for g in names]
    else:
        names = list(fits)
        if pooled := [n for n, f in fits.items() if model_of(f).pooling]:
            msg = f"{', '.join(pooled)}: a pooled fit holds several sets by itself; give it alone"
            raise SpecError(msg)
        found = [(law, theta_of(f)) for law, f in zip(laws, fits.values(), strict=True)]
    weights = _weights(target, names)
    kept = [i for i, n in enumerate(names) if weights[n] > 0]
    posterior = next(iter(fits.values()))["posterior"]
    draws = tuple(int(posterior.sizes[s]) for s in SAMPLES)
    if any(tuple(f["posterior"].sizes[s] for s in SAMPLES) != draws for f in fits.values()):
        msg = "the fits hold different numbers of draws; sample all with the same method and draws"
        raise SpecError(msg)
    laws = [found[i][0] for i in kept]
    theta = {}
    for p in laws[0].params:
        each = [np.asarray(found[i][1][p.name].transpose(*SAMPLES)).ravel() for i in kept]
        theta[p.name] = np.stack(each, axis=-1)
    if any(law.reference != laws[0].reference for law in laws[1:]):
        theta = _at_one_reference(laws, theta)
    sets = tuple(names[i] for i in kept)
    of = np.array([weights[n] for n in sets])
    said = "trusted" if trust == ["trusted"] else "; ".join(t for t in trust if t != "trusted")
    return Aim(laws[0], theta, of, sets, (draws[0], draws[1])), said


def _mixes(law: Any) -> bool:
    return isinstance(law, HasShares) and isinstance(law, HasShareSlopes)


def _at_one_reference(laws: list[Any], theta: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Write the draws of laws that were bound to tables of their own at the first one's sizes."""
    out = {k: v.copy() for k, v in theta.items()}
    for i, law in enumerate(laws[1:], 1):
        moved = laws[0].from_paper(law.to_paper({k: v[:, i] for k, v in theta.items()}))
        for k, v in moved.items():
            out[k][:, i] = v
    return out


def _weights(target: Any, names: list[str]) -> dict[str, float]:
    if names == [""]:
        if target is not None:
            msg = f"target: the fit is of one validation set; leave it out. Found {target!r}"
            raise SpecError(msg)
        return {"": 1.0}
    known = ", ".join(names)
    how = f"target={{{names[0]!r}: 1.0, ...}}, weights of the validation sets {known}"
    if isinstance(target, str):
        target = {target: 1.0}
    if not isinstance(target, Mapping) or not target:
        msg = f"the best mixture depends on what it is for: {how}; found {target!r}"
        raise SpecError(msg)
    for name in target:
        if str(name) not in names:
            msg = f"target: no validation set is named {name!r}.{did_you_mean(str(name), names)} "
            raise SpecError(msg + f"There are {known}.")
    wanted = {str(n): _weight(v, n) for n, v in target.items()}
    total = sum(wanted.values())
    if not total > 0:
        msg = f"target: some weight above zero is wanted; found {target!r}"
        raise SpecError(msg)
    return {n: wanted.get(n, 0.0) / total for n in names}


def _weight(value: Any, name: Any) -> float:
    return one_number(value, f"target: the weight of {name!r} is a number from 0 on", above=-1e-300)


def mixture_of(value: Any, domains: tuple[str, ...], what: str) -> np.ndarray:
    """Return the shares of one mixture, (domain,), or say what is wrong with it."""
    wanted = f"{what}: shares of {', '.join(domains)} that sum to 1"
    if not isinstance(value, Mapping) or not set(value) <= set(domains):
        msg = f"{wanted}; found {value!r}"
        raise SpecError(msg)
    try:
        shares = np.array([float(value.get(d, 0.0)) for d in domains])
    except (TypeError, ValueError):
        shares = np.full(len(domains), np.nan)
    if not np.all(shares >= 0) or not abs(shares.sum() - 1) <= 10 * ROUNDED:
        msg = f"{wanted}; found {value!r}, {shares.sum():.4g} in all"
        raise SpecError(msg)
    return shares / shares.sum()


@dataclass(frozen=True)
class Trained:
    """The mixtures that runs were trained on.

    Parameters
    ----------
    mixtures : (mixture, domain) array
        The distinct ones.
    loss : (mixture,) array, nat/token
        What the target's sets measured, weighted, at the smallest scale; NaN where one is missing.
    """

    mixtures: np.ndarray
    loss: np.ndarray


def trained(fit: Fits, aim: Aim, runs: pd.DataFrame | None = None) -> Trained | None:
    """Return what was trained, of runs or of fits that carry them; else None.

    Raises
    ------
    SpecError
        The runs lack a column.
    """
    table = _runs(fit) if runs is None else _checked(runs, fit, aim)
    if table is None:
        return None
    domains, law = list(aim.law.shares), aim.law
    shares = table[domains].to_numpy(float)
    shares = np.round(shares / shares.sum(axis=1, keepdims=True), DIGITS)
    mixtures, which = np.unique(shares, axis=0, return_inverse=True)
    others = [c for c in law.inputs if c not in domains]
    scales = [tuple(row) for row in table[others].to_numpy(float)]
    loss, sets = table[law.outcome].to_numpy(float), table[SET].astype(str).to_numpy()
    cells: dict[Any, dict[tuple[int, str], list[float]]] = {}
    for scale, m, name, value in zip(scales, np.ravel(which), sets, loss, strict=True):
        cells.setdefault(scale, {}).setdefault((int(m), name), []).append(value)
    weighted = {s: _weighted(len(mixtures), aim, found) for s, found in cells.items()}
    most = max(int(np.isfinite(v).sum()) for v in weighted.values())
    # Of the sizes at which at least half of the mixtures were compared, the smallest.
    fair = [s for s, v in weighted.items() if 2 * np.isfinite(v).sum() >= max(most, 1)]
    return Trained(mixtures, weighted[min(fair, key=lambda s: float(np.prod(s)))])


def _runs(fit: Fits) -> pd.DataFrame | None:
    fits = {"": fit} if isinstance(fit, xr.DataTree) else dict(fit)
    if not all(carries_runs(f) for f in fits.values()):
        return None
    tables = []
    for name, one in fits.items():
        data, model = one["constant_data"].to_dataset(), model_of(one)
        table = pd.DataFrame({c: data[c].values for c in model.law.inputs})
        table[model.law.outcome] = one["observed_data"][model.law.outcome].values
        table[SET] = data[model.pooling.column].values if model.pooling else name
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _checked(runs: pd.DataFrame, fit: Fits, aim: Aim) -> pd.DataFrame:
    one = isinstance(fit, xr.DataTree)
    pooling = model_of(fit).pooling if one else None
    column = pooling.column if pooling else "" if one else SET
    wanted = [*aim.law.inputs, aim.law.outcome, *([column] if column else [])]
    if lacking := [c for c in wanted if c not in runs]:
        msg = f"runs: {', '.join(lacking)} not in the table; it has {', '.join(map(str, runs))}"
        raise SpecError(msg)
    kept = runs.loc[runs["use"].to_numpy(bool)] if "use" in runs else runs
    table = pd.DataFrame({c: kept[c].to_numpy() for c in wanted})
    table[SET] = table[column] if column else ""
    return table


def _weighted(count: int, aim: Aim, cells: Mapping[Any, list[float]]) -> np.ndarray:
    each = [[np.mean(cells.get((m, s), [np.nan])) for s in aim.sets] for m in range(count)]
    return np.array(each) @ aim.weights


def region_of(within: Any, known: Trained | None, domains: tuple[str, ...]) -> Region:
    """Return where a mixture is sought.

    Raises
    ------
    FitFileError
        It is to be where runs were trained, and the fit does not carry them.
    SpecError
        No such region, or bounds that no mixture meets.
    """
    if isinstance(within, Mapping):
        return _box(within, domains)
    if within == "anywhere":
        return _box({}, domains)
    if within not in ("sampled", "hull"):
        msg = (
            f"within is one of sampled, hull, anywhere, or bounds of shares such as "
            f"{{{domains[0]!r}: (0.1, 0.5)}}; found {within!r}"
        )
        raise SpecError(msg)
    if known is None:
        msg = (
            f"within={within!r}: the fit does not carry the runs that say which mixtures were "
            f"trained; give bounds, within={{{domains[0]!r}: (0.1, 0.5)}}, or within='anywhere'"
        )
        raise FitFileError(msg)
    if within == "hull":
        return Region.hull(known.mixtures)
    return Region.box(known.mixtures.min(axis=0), known.mixtures.max(axis=0))


def _box(bounds: Mapping[str, Any], domains: tuple[str, ...]) -> Region:
    wanted = f"within: bounds of {', '.join(domains)} from 0 to 1 that a mixture can meet"
    try:
        pairs = {str(k): (float(low), float(high)) for k, (low, high) in bounds.items()}
    except (TypeError, ValueError):
        pairs = {"": (1.0, 0.0)}
    fine = set(pairs) <= set(domains)
    fine = fine and all(0 <= low <= high <= 1 for low, high in pairs.values())
    both = np.array([pairs.get(d, (0.0, 1.0)) for d in domains])
    if not fine or not both[:, 0].sum() <= 1 <= both[:, 1].sum():
        msg = f"{wanted}; found {dict(bounds)!r}"
        raise SpecError(msg)
    return Region.box(both[:, 0], both[:, 1])
