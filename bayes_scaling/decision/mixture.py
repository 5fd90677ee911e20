"""The best mixture of training data, how flat it is, and whether it moves with scale."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision._mixtures import (
    Aim,
    Fits,
    Trained,
    aim_of,
    mixture_of,
    region_of,
    trained,
)
from bayes_scaling.decision._planned import planned
from bayes_scaling.decision._simplex import Region, inside, minimise
from bayes_scaling.errors import SpecError
from bayes_scaling.results import SAMPLES

AT_A_BOUND = 1e-3  # share
MOVED = 0.05  # share: a change that a plan would notice
MEMBERS = 128  # draws whose optimum is tried as a member of the credible set
DRAWS = 1000  # that say how far the set goes
HALVES = 10  # of the way from the best mixture to an end of the region
SURE, UNSURE = 0.95, 0.05


def best_mixture(
    fit: Fits,
    target: Mapping[str, float] | str | None = None,
    default: Mapping[str, float] | None = None,
    at: Mapping[str, Any] | None = None,
    *,
    within: str | Mapping[str, tuple[float, float]] = "sampled",
    tolerance: float = 0.01,
    probability: float = 0.9,
    runs: pd.DataFrame | None = None,
) -> xr.Dataset:
    """Find the mixture of training data of least loss, and every mixture that is as good.

    Parameters
    ----------
    fit : xarray.DataTree or mapping of str to xarray.DataTree
        A fit of a law of mixtures: of one validation set, or pooled over several; or a fit for
        every validation set by its name, which are then taken to be independent.
    target : mapping of str to float, or str, optional
        Weights of the validation sets; needed where there are several. The best mixture is
        conditional on it.
    default : mapping of str to float, optional
        The mixture that is trained on otherwise, shares by domain.
    at : mapping, optional
        The sizes of the planned runs, raw counts, where the law reads them beside the shares, such
        as ``{"params": [1e8, 1e10], "tokens": [2e9, 2e11]}``.
    within : {"sampled", "hull", "anywhere"} or mapping of str to (float, float)
        Where mixtures are sought: every share between the least and the largest that was trained;
        mixtures of the mixtures that were; all of the simplex; or bounds of shares.
    tolerance : float, nat/token, default 0.01
        How far above its least the loss of a mixture may be that is as good.
    probability : float, default 0.9
        How sure of that one wants to be.
    runs : DataFrame, optional
        The runs that were fitted, where the fit does not carry them, as a published posterior or
        one of `fit_many`: the columns of the law, and `validation` where there are several sets.

    Returns
    -------
    xarray.Dataset
        Over (chain, draw): `share` (domain), the best mixture of every draw; `loss`, its loss;
        `regret` of `best`, the one mixture of least expected loss (domain), which is what to train
        on; with `default`, `gain`, by how much `best` is below it. Of `mixture`, those that were
        trained and `default`: `mixture_share` (domain) and `mixture_regret`. Over (domain): `low`
        and `high`, between which the shares of the credible set lie, the mixtures that are within
        `tolerance` of the least loss with `probability`; `at_bound`, the probability that the best
        share is at a bound of where it was sought; `outside`, whether that of `best` is one that
        was never trained. Numbers: `expected_regret`; `beats_default`; `ranking_regret`, the
        expected regret of the mixture that measured best at the smallest scale, and `ranking`, its
        name; `between`, whether `best` lies between mixtures that were trained; `gap`, the
        most that a loss may be above its minimum.

        With `at`, all of it over `point`; with two points or more also `shift` (chain, draw,
        domain), the best share at the last less that at the first, and `moves`, the probability
        that a share changes by more than 0.05. Attributes: `verdict`, a sentence; `trust`.

    Raises
    ------
    SpecError
        Another law, a target that names no validation set, no mixture, sizes that are missing or
        not read, or a region that holds no mixture.
    FitFileError
        Mixtures are sought where runs were trained, and these are not known.

    Notes
    -----
    The loss is a weighted sum of convex functions of the shares, so the optimum of every draw is
    found by exponentiated gradient to within `gap` nats, which its own slope certifies. Expected
    regret is E[L(r)] - E[min L] over the draws: `best` has the least of all in the region. The
    optimum of a law whose exponents `gamma` exceed 1 may be one of several.

    Neither fits of single sets nor a pooled one know that a run may miss the law of all sets
    together: a weighted loss is then less sure than it says. A fit to the weighted loss itself,
    as to one set, does.

    References
    ----------
    Ye et al. 2024, arXiv:2403.16952; Kivinen and Warmuth 1997, doi:10.1006/inco.1996.2612.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> web, noise = np.linspace(0, 1, 24), np.random.default_rng(0).normal(size=24)
    >>> sets = {"web": 2 + np.exp(-1.2 * web), "code": 2 + np.exp(1.5 * (web - 1))}
    >>> law, scatter = bs.MixingExp(("web", "code")), bs.Normal()
    >>> fits = {name: bs.fit(bs.ScalingModel(law, scatter), {
    ...     "web": web, "code": 1 - web, "loss": y * np.exp(0.002 * noise)})
    ...     for name, y in sets.items()}
    >>> found = bs.best_mixture(fits, {"web": 0.5, "code": 0.5}, {"web": 1.0})
    >>> bool(abs(found.best.sel(domain="web") - 0.48) < 0.03), bool(found.beats_default > 0.99)
    (True, True)
    """
    aim, trust = aim_of(fit, target)
    domains = aim.law.shares
    tolerance = one_number(tolerance, "tolerance: nats of loss such as 0.01")
    if not one_number(probability, "probability: between 0 and 1, such as 0.9") < 1:
        msg = f"probability: between 0 and 1, such as 0.9; found {probability!r}"
        raise SpecError(msg)
    usual = None if default is None else mixture_of(default, domains, "default")
    sizes = tuple(c for c in aim.law.inputs if c not in domains)
    points = planned(at, sizes, "the loss of a mixture")
    known = trained(fit, aim, runs)
    region = region_of(within, known, domains)
    asked = [{k: float(v[i]) for k, v in points.items()} for i in range(_count(points))]
    each = [_at(aim, one, region, known, usual, tolerance, probability) for one in asked]
    if not sizes:
        out = each[0]
    else:
        out = xr.concat(each, "point").assign_coords(
            {k: ("point", v.values) for k, v in points.items()}
        )
        out = out.transpose(*SAMPLES, "point", ...)
    if len(each) > 1:
        shift = out["share"].isel(point=-1) - out["share"].isel(point=0)
        out["shift"] = shift.drop_vars(list(points), errors="ignore").assign_attrs(units="1")
        out["moves"] = (abs(shift) > MOVED).any("domain").mean()
    units = {"loss": "nat/token", "regret": "nat/token", "gain": "nat/token",
             "mixture_regret": "nat/token", "expected_regret": "nat/token",
             "ranking_regret": "nat/token", "gap": "nat/token"}  # fmt: skip
    for name in out.data_vars:
        out[name].attrs["units"] = units.get(str(name), "1")
    out.attrs = {
        "verdict": _verdict(out, tolerance, probability),
        "trust": trust,
        "target": ", ".join(f"{s} {w:.3g}" for s, w in zip(aim.sets, aim.weights, strict=True)),
        "tolerance": tolerance,
        "probability": probability,
        "within": within if isinstance(within, str) else "bounds",
    }
    return out


def _count(points: Mapping[str, Any]) -> int:
    return len(next(iter(points.values()))) if points else 1


def _at(
    aim: Aim,
    at: Mapping[str, float],
    region: Region,
    known: Trained | None,
    usual: np.ndarray | None,
    tolerance: float,
    probability: float,
) -> xr.Dataset:
    domains = list(aim.law.shares)
    share, loss, gap = minimise(lambda r, i: aim.both(r, at, i), region, aim.rows)

    def expected(r: np.ndarray, _: Any) -> tuple[np.ndarray, np.ndarray]:
        value, slope = aim.both(r, at)
        return value.mean(keepdims=True), slope.mean(axis=0, keepdims=True)

    best, _, best_gap = minimise(expected, region, 1)
    of_best = aim.value(best, at)
    regret = np.maximum(of_best - loss, 0.0)

    def sampled(v: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        more = ("domain",) if v.ndim > 1 else ()
        return (*SAMPLES, *more), v.reshape(*aim.draws, *v.shape[1:])

    out: dict[str, Any] = {
        "share": sampled(share),
        "loss": sampled(loss),
        "best": ("domain", best[0]),
        "regret": sampled(regret),
        "expected_regret": regret.mean(),
        "gap": max(float(gap.max()), float(best_gap.max())),
    }
    bounds = region if region.corners.shape[0] == len(domains) else None
    if bounds is not None:
        touch = (share < bounds.low + AT_A_BOUND) | (share > bounds.high - AT_A_BOUND)
        out["at_bound"] = ("domain", touch.mean(axis=0))
    names, tried = [], []
    if known is not None:
        low, high = known.mixtures.min(axis=0), known.mixtures.max(axis=0)
        slack = AT_A_BOUND
        out["outside"] = ("domain", (best[0] < low - slack) | (best[0] > high + slack))
        out["between"] = inside(best[0], known.mixtures)
        names += [f"trained {i}" for i in range(len(known.mixtures))]
        tried += list(known.mixtures)
    if usual is not None:
        names, tried = [*names, "default"], [*tried, usual]
        gain = aim.value(usual[None], at) - of_best
        out |= {"gain": sampled(gain), "beats_default": float((gain > 0).mean())}
    if tried:
        each = np.stack([aim.value(r[None], at) - loss for r in tried], axis=-1)
        out["mixture_share"] = (("mixture", "domain"), np.array(tried))
        out["mixture_regret"] = ((*SAMPLES, "mixture"), each.reshape(*aim.draws, len(tried)))
        if known is not None and np.isfinite(known.loss).any():
            first = int(np.nanargmin(known.loss))
            out |= {"ranking": names[first], "ranking_regret": each[:, first].mean()}
    members = [r for r in (*share[:: -(-len(share) // MEMBERS)], best[0], *tried)
               if (aim.value(r[None], at) - loss <= tolerance).mean() >= probability]  # fmt: skip
    if members:
        members += _reach(aim, at, best[0], region, loss + tolerance, probability)
    held = np.array(members) if members else np.full((1, len(domains)), np.nan)
    out |= {"low": ("domain", held.min(axis=0)), "high": ("domain", held.max(axis=0))}
    return xr.Dataset(out, coords={"domain": domains, "mixture": names} if names else
                      {"domain": domains})  # fmt: skip


def _reach(
    aim: Aim,
    at: Mapping[str, float],
    best: np.ndarray,
    region: Region,
    limit: np.ndarray,
    probability: float,
) -> list[np.ndarray]:
    """Go from the best mixture towards every end of the region as far as the loss allows.

    The loss of every draw is convex along the way, so those that allow a point allow all before.
    """
    some = np.arange(0, len(limit), -(-len(limit) // DRAWS))
    out = []
    for end in region.ends(best):
        near, far = 0.0, 1.0
        for _ in range(HALVES):
            middle = (near + far) / 2
            loss = aim.value((best + middle * (end - best))[None], at, some)
            fine = (loss <= limit[some]).mean() >= probability
            near, far = (middle, far) if fine else (near, middle)
        out.append(best + near * (end - best))
    return out


def _verdict(out: xr.Dataset, tolerance: float, probability: float) -> str:
    last = out.isel(point=-1) if "point" in out.dims else out
    mixed = ", ".join(
        f"{d} {float(v):.2f}" for d, v in zip(last.domain.values, last.best, strict=True)
    )
    said = [f"train on {mixed}: expected regret {float(last.expected_regret):.4f} nats"]
    if "beats_default" in last:
        sure, by = float(last.beats_default), float(last.gain.median())
        said.append(f"it beats the default with probability {sure:.2f}, by {by:.3f} nats")
    if "ranking_regret" in last:
        said.append(f"the mixture that measured best has {float(last.ranking_regret):.4f}")
    if np.isfinite(last.low).all():
        room = last.high - last.low
        widest = str(last.domain.values[int(room.values.argmax())])
        low, high = (float(v.sel(domain=widest)) for v in (last.low, last.high))
        said.append(
            f"mixtures within {tolerance:g} nats with {probability:.0%} reach from {widest} "
            f"{low:.2f} to {high:.2f}"
        )
    else:
        said.append(f"no mixture is within {tolerance:g} nats with {probability:.0%}")
    if float(last.gap) > tolerance:
        off = f"the search is certain to within {float(last.gap):.2g} nats alone"
        said.append(f"{off}, more than the tolerance: the law may have several best mixtures")
    if "outside" in last and bool(last.outside.any()):
        beyond = ", ".join(map(str, last.domain.values[last.outside.values]))
        said.append(f"shares of {beyond} lie outside all that were trained")
    elif "between" in last and not bool(last.between):
        said.append("it does not lie between mixtures that were trained")
    if "moves" in out:
        p = float(out.moves)
        how = "moves" if p > SURE else "does not move" if p < UNSURE else "may or may not move"
        said.append(f"the optimum {how} with scale (a share by more than {MOVED}: {p:.2f})")
    return "; ".join(said)
