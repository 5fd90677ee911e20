"""How much compute one recipe saves over another, and whether that holds at scale."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._writing import flop, number
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.decision._groups import (
    UNITS,
    Groups,
    costs,
    groups_of,
    one_group,
    prior_slopes,
)
from bayes_scaling.errors import SpecError
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted

PLACES = ("inside", "beyond", "not there")  # of a crossing; see `speedup`
AHEAD = 1e3  # times the largest run: where a crossing is still looked forward to
FARTHEST, GRID, HALVINGS = 12.0, 0.25, 30  # decades searched either side; apart; then bisection
FIRST = 25  # points, where no `at` is given
BOUNDS = (0.05, 0.5, 0.95)
OVER = {"needed": "at", "speedup": "at", "slope": "", "crossover": "", "difference": ""}
DIMS: dict[str, tuple[str, ...]] = {
    **{k: (*SAMPLES, "group", *([v] if v else [])) for k, v in OVER.items()},
    **dict.fromkeys(("faster", "never", "inside"), ("group", "at")),
    **dict.fromkeys(("overlap", "steeper", "equivalent", "savage_dickey", "cost"), ("group",)),
    "cross": ("group", "place"),
}
LEAD = dict.fromkeys(OVER, len(SAMPLES))  # where the groups go


def speedup(
    fit: xr.DataTree,
    baseline: str,
    at: Any = None,
    *,
    cost: Any = "6ND",
    rope: float = 0.03,
    seed: int = 0,
) -> xr.Dataset:
    """Say how many times less compute the other groups of a fit need than a baseline.

    Parameters
    ----------
    fit : xarray.DataTree
        A pooled fit of a law of `params` and `tokens`, or of one variable such as
        ``PowerLaw("flops")``.
    baseline : str
        The group that the others are measured by.
    at : float or (at,) array, FLOP, optional
        Compute of the baseline; of a law of another variable, amounts of that. Without it 25 from
        the baseline's least run to ten times its largest.
    cost : {"6ND", "table"} or mapping of group to float
        Training FLOP per 6ND. Groups that count alike need none; "table" takes every group's
        geometric mean from the `flops` of its runs.
    rope : float, default 0.03
        Share of the baseline's slope up to which slopes are as good as equal.
    seed : int
        Of the draws of the prior.

    Returns
    -------
    xarray.Dataset over (chain, draw, group, at)
        `loss`, what the baseline reaches at its best split of `at`; `needed`, the compute with
        which a group reaches that, inf where it never does; `speedup`, `at` over `needed`, 0 where
        that is inf; `slope_baseline` and `slope`, exponents of the reducible loss along the
        frontier, and `difference`, the second less the first; `crossover`, the compute at which the
        two curves meet: the first at or past the least run of both, else the last before it, and
        inf where they do not meet within twelve decades of the runs. Over (group, at): `faster`,
        the probability that the speed-up is above 1; `never`, that the group never gets there;
        `inside`, that both computes lie within the runs of their groups. Over group: `steeper`,
        the probability that `difference` is positive; `equivalent`, that it is below `rope` in
        size; `savage_dickey`, posterior over prior density at equal slopes, above 1 in favour of
        equality; `overlap`, decades that the runs of both reach over, negative where there is a gap
        between; `cross`, the probabilities that they cross "inside" those, "beyond" by at most
        three decades, or "not there". `cost` per group. `verdict` is a list of sentences.

    Raises
    ------
    SpecError
        Another law, no pooling, no such group, `at` not positive or needed, a wrong cost.
    FitFileError
        ``cost="table"`` and the fit does not carry its runs.

    Warns
    -----
    UntrustedFitWarning
        The fit failed its checks.

    Notes
    -----
    ``m(l) = C_ref(l) / C_g(l)`` at ``l = L_ref(at)``, in every draw: with one slope and one floor
    ``exp((ln a_g - ln a_ref) / -s)``, the same at any compute. A crossover is a ratio with heavy
    tails that has no mean: read its quantiles. Under partial pooling slopes are drawn together,
    which is right for the multiplier and makes a test of their difference cautious; for that test
    set them "free". Where the losses of a group have been
    tuned less, its speed-up is a lower bound.

    References
    ----------
    Ho et al. 2024, arXiv:2403.05812 (compute multipliers); Kruschke 2018,
    doi:10.1177/2515245918771304 (equivalence); Wagenmakers et al. 2010,
    doi:10.1016/j.cogpsych.2009.12.001 (Savage and Dickey).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.speedup(bs.load_posterior("xlstm"), "llama", [1e19, 1e21])
    >>> found.speedup.median(("chain", "draw")).round(1).values.tolist()
    [[1.1, 1.5]]
    """
    trust = warn_if_untrusted(fit)
    groups = groups_of(fit)
    baseline = one_group(baseline, groups, "baseline")
    rope = one_number(rope, "rope: a share of the slope such as 0.03")
    price, of = costs(groups, cost), groups.of
    reach = groups.reach.mul([price[n] for n in groups.names], axis=0)[["low", "high"]]
    amounts = _amounts(at, reach.loc[baseline], of)
    loss = groups.best(groups.theta[baseline], amounts / price[baseline])
    others = [name for name in groups.names if name != baseline]
    each = [_against(groups, n, baseline, loss, amounts, price, reach) for n in others]
    found = {k: np.stack([one[k] for one in each], LEAD.get(k, 0)) for k in each[0]}
    base = groups.slope(groups.theta[baseline], groups.middle)[..., 0]
    found["difference"] = found["slope"] - base[..., None]
    found["steeper"] = (found["difference"] > 0).mean((0, 1))
    found["equivalent"] = (abs(found["difference"]) < rope * base[..., None]).mean((0, 1))
    prior = prior_slopes(fit, groups, seed)
    found["savage_dickey"] = np.array([_savage_dickey(one["slope"] / base, prior) for one in each])
    found["cost"] = np.array([price[n] for n in others])
    unit = {"needed": UNITS[of], "crossover": UNITS[of], "overlap": "decades"}
    variables = {k: (DIMS[k], v, {"units": unit.get(k, "1")}) for k, v in found.items()}
    variables["loss"] = ((*SAMPLES, "at"), loss, {"units": "nat/token"})
    variables["slope_baseline"] = (SAMPLES, base, {"units": "1"})
    where = ("at", amounts, {"units": UNITS[of], "long_name": f"{of} of {baseline}"})
    coords: dict[str, Any] = {k: np.arange(n) for k, n in zip(SAMPLES, base.shape, strict=True)}
    coords |= {"group": others, "at": where, "place": list(PLACES)}
    out = xr.Dataset(variables, coords)
    low, high = (float(v) for v in reach.loc[baseline])
    out.attrs = {"trust": trust, "baseline": baseline, "column": groups.column, "of": of}
    out.attrs |= {"rope": rope, "cost_baseline": price[baseline], "low": low, "high": high}
    if caution := _caution(groups, price):
        out.attrs["caution"] = caution
    out.attrs["verdict"] = [_sentence(out, name) for name in others]
    return out


def _amounts(at: Any, reach: Any, of: str) -> np.ndarray:
    if at is not None:
        return positive(at, f"at: positive {UNITS[of]} of the baseline, one or a list of them")
    if not np.isfinite(reach["low"]):
        msg = f"the fit does not carry its runs, so give `at`, {UNITS[of]} of the baseline"
        raise SpecError(msg)
    return np.geomspace(reach["low"], 10 * reach["high"], FIRST)


def _against(
    groups: Groups, name: str, baseline: str, loss: Any, amounts: Any, price: Any, reach: Any
) -> dict[str, Any]:
    """Compare one group with the baseline."""
    theta = groups.theta[name]
    needed = price[name] * groups.to_reach(theta, loss)
    speed = amounts / needed  # 0 where it is never reached
    (low, high), (low_ref, high_ref) = reach.loc[name], reach.loc[baseline]
    within = (amounts >= low_ref) & (amounts <= high_ref) & (needed >= low) & (needed <= high)
    start, end = max(low, low_ref), min(high, high_ref)
    known = bool(np.isfinite(start))
    least = min(start, end) if known else groups.middle
    crossover = _crossover(groups, name, baseline, price, least)
    inside = (crossover >= start) & (crossover <= end)
    beyond = (crossover > max(start, end)) & (crossover <= AHEAD * max(start, end))
    shares = [inside.mean(), beyond.mean(), 1 - inside.mean() - beyond.mean()]
    return {
        "needed": needed,
        "speedup": speed,
        "slope": groups.slope(theta, groups.middle)[..., 0],
        "crossover": crossover,
        "faster": (speed > 1).mean((0, 1)),
        "never": np.isinf(needed).mean((0, 1)),
        "inside": within.mean((0, 1)) if known else np.full(len(amounts), np.nan),
        "overlap": np.log10(end / start),
        "cross": np.array(shares if known else [np.nan] * 3),
    }


def _crossover(groups: Groups, name: str, other: str, price: Any, start: float) -> np.ndarray:
    """Return where two frontiers meet: the first place at or past `start`, else the last before."""

    def ahead_at(log: Any) -> Any:
        one, two = (groups.best(groups.theta[n], np.exp(log) / price[n]) for n in (name, other))
        return one < two

    logs = np.log(start) + np.log(10) * np.arange(-FARTHEST, FARTHEST + GRID, GRID)
    side = ahead_at(logs)
    change = side[..., 1:] != side[..., :-1]
    later = change & (logs[1:] > np.log(start))
    last = change.shape[-1] - 1 - np.argmax(change[..., ::-1], -1)
    index = np.where(later.any(-1), np.argmax(later, -1), last)
    low, high = logs[index][..., None], logs[index + 1][..., None]
    below = np.take_along_axis(side, index[..., None], -1)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        same = ahead_at(middle) == below
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return np.where(change.any(-1), np.exp(high[..., 0]), np.inf)


def _savage_dickey(ratio: np.ndarray, prior: np.ndarray) -> float:
    """Return posterior over prior density of ``ln(slope / slope_baseline)`` at zero."""
    if prior.ndim < 2:  # one slope for all
        return np.nan
    return _at_zero(np.log(ratio).ravel()) / _at_zero(np.log(prior[0] / prior[1]))


def _at_zero(draws: np.ndarray) -> float:
    """Return the density at zero, by a Gaussian kernel of a width for peaks and long tails."""
    low, high = np.quantile(draws, [0.25, 0.75])
    spread = min(float(draws.std()), (high - low) / 1.349) if high > low else 0.0
    if spread == 0:
        return np.nan
    width = 0.6 * spread * len(draws) ** -0.2
    return float(np.exp(-0.5 * (draws / width) ** 2).mean() / (width * np.sqrt(2 * np.pi)))


def _caution(groups: Groups, price: dict[str, float]) -> str:
    told = groups.per_6nd
    if len(told) < 2 or any(v != 1 for v in price.values()):
        return ""
    if max(told.values()) < 1.05 * min(told.values()):
        return ""
    said = ", ".join(f"{v:.2f} times 6ND for {n}" for n, v in told.items())
    return f"the table's FLOP are {said}: compared at 6ND; cost='table' compares at its FLOP"


def _sentence(out: xr.Dataset, name: str) -> str:
    one = out.sel(group=name)
    last = one.isel(at=-1)
    low, middle, high = last.speedup.quantile(BOUNDS, SAMPLES, method="inverted_cdf").values
    at, unit = flop(float(last["at"])), UNITS[out.attrs["of"]]
    said = [
        f"{name} is {number(middle)} times as efficient as {out.attrs['baseline']} at {at} {unit} "
        f"(90 % {number(low)} to {number(high)}), ahead with probability {float(last.faster):.2f}"
    ]
    if float(last.never) > 0:
        said.append(f"it never gets there with probability {float(last.never):.2f}")
    p = float(one.steeper)
    if bool(np.isfinite(one.savage_dickey)):
        said.append(
            f"its curve is the steeper with probability {p:.2f}, as steep within "
            f"{out.attrs['rope']:.0%} with {float(one.equivalent):.2f}"
        )
    else:
        said.append("one slope for all, so that nothing changes with scale but through the floor")
    if bool(np.isfinite(one.cross).all()):
        shares = [float(v) for v in one.cross]
        said.append(
            f"the curves cross within the runs of both with probability {shares[0]:.2f}, within "
            f"three decades past them with {shares[1]:.2f}"
        )
        if float(one.overlap) <= 0:
            said.append("the runs of the two do not overlap: all of it is extrapolation")
        elif float(last.inside) < 0.5:
            said.append("at that compute the runs of at least one are left behind: extrapolation")
    else:
        said.append("the fit does not say how far its runs reach")
    return "; ".join(said) + "."
