"""Which run next: how much less a decision is expected to waste once a run is known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._writing import flop, percent, size
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import counts, one_number
from bayes_scaling.decision._imagined import NODES, Imagined, outcomes_of
from bayes_scaling.decision._plans import Plans, plans_of
from bayes_scaling.decision._scenario import TOLERANCE, Scenario, amounts_of, read
from bayes_scaling.decision.items import Shelf
from bayes_scaling.errors import SpecError
from bayes_scaling.results import SAMPLES, theta_of
from bayes_scaling.trust import warn_if_untrusted

DRAWS = 4000
SURE, TOLD = 1.0, 0.01  # errors, and share of the variance, that a further run must add
COSTS, RATIOS = (1e-4, 1e-3, 1e-2, 1e-1), (5.0, 20.0, 80.0)  # candidates, if nobody names any


def next_runs(
    fit: xr.DataTree,
    *items: Any,
    candidates: pd.DataFrame | Mapping[str, Any] | None = None,
    most: int = 3,
    spend: float | None = None,
    price: float = 1.0,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Rank runs by how much compute of the big run they are expected to save per FLOP they take.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`; `sample_prior` makes one before any run exists.
    *items : items of a scenario
        The decision that the runs are for, as of `decide`: one budget, and any of the rest.
    candidates : DataFrame or mapping, optional
        Runs that could be made: `params` and `tokens`, and if wanted `flops`, what each costs
        (6ND unless given), and `name`. Without it a grid of 0.01 to 10 % of the budget at 5, 20 and
        80 tokens per parameter.
    most : int, default 3
        How many runs the set may hold.
    spend : float, FLOP, optional
        What the set may cost together.
    price : float, default 1
        Of a FLOP of small runs over one of the big run: above 1 where time or people are short.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of imagined outcomes.

    Returns
    -------
    xarray.Dataset over candidate
        `params`, `tokens`, `cost` (FLOP); `gain`, the expected drop in the decision's waste, FLOP,
        with `gain_se` its Monte Carlo error; `per_flop`, gain over cost; `worth`, whether gain is
        more than price times cost; `variance_drop`, the share by which the variance of ln N* is
        expected to fall; `rank` by `per_flop`, from 1. The set over pick: `pick`, positions of
        candidates, and `pick_gain`, the gain of all picks up to this one. Attributes: `waste`, what
        the decision is expected to waste now, FLOP, which no runs can save more than; `verdict`, in
        a sentence. `run_cards` tells each candidate's case.

    Raises
    ------
    SpecError
        A scenario without exactly one budget, candidates that lack a column or are not positive.

    Notes
    -----
    Preposterior analysis: every draw is once the truth and gives the candidates' outcomes, scatter
    included. A regression of ln N* on outcomes (a straight one, and a cubic in what that one says;
    fitted on one half of the draws, used on the other) is what a planner would be told; the plan
    then follows it, and misses only by what is left of ln N*. Each draw's own curve of waste
    against size turns what is left into FLOP. Outcomes of a set are regressed on together: the
    second run is worth what it adds. What runs teach of the curves' steepness is left out, and the
    law is taken to hold.

    References
    ----------
    Raiffa and Schlaifer 1961, Applied Statistical Decision Theory; Strong, Oakley, Brennan and
    Breeze 2015, doi:10.1177/0272989X15575286 (the value of a sample by regression).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> could = {"params": [9e9, 2e9], "tokens": [1.8e11, 1e12]}  # on the 20:1 line, and off it
    >>> found = bs.next_runs(fit, bs.ComputeBudget(1e25), candidates=could, most=1)
    >>> bool(found.gain[1] > found.gain[0])
    True
    """
    trust = warn_if_untrusted(fit)
    scenario = read(items)
    if scenario.targets is not None or scenario.budgets is None or len(scenario.budgets) != 1:
        msg = "next_runs asks what one budget wastes: give ComputeBudget(...) with one number"
        raise SpecError(msg)
    price = one_number(price, "price: a positive ratio")
    most = int(one_number(most, "most: how many runs, 1 or more"))
    budget = float(scenario.budgets[0])
    runs = _candidates(candidates, budget)
    cost = runs["flops"].to_numpy(float)
    left = np.inf if spend is None else one_number(spend, "spend: positive FLOP")
    if not (cost <= left).any():
        msg = f"spend: {left:.4g} FLOP; the cheapest candidate costs {cost.min():.4g}"
        raise SpecError(msg)
    imagined = _imagined(fit, scenario, runs, group, seed)
    first = gain, error, drop = imagined.gains([])
    picks, totals = _set(imagined, first, cost, most, left, price)
    made = xr.Dataset(
        {
            "params": ("candidate", runs["params"].to_numpy(float), {"units": "params"}),
            "tokens": ("candidate", runs["tokens"].to_numpy(float), {"units": "tokens"}),
            "cost": ("candidate", cost, {"units": "FLOP"}),
            "gain": ("candidate", gain, {"units": "FLOP"}),
            "gain_se": ("candidate", error, {"units": "FLOP"}),
            "per_flop": ("candidate", gain / cost, {"units": "1"}),
            "worth": ("candidate", gain > price * cost),
            "variance_drop": ("candidate", drop, {"units": "1"}),
            "rank": ("candidate", np.argsort(np.argsort(-gain / cost)) + 1),
            "pick": ("pick", np.array(picks, int)),
            "pick_gain": ("pick", np.array(totals, float), {"units": "FLOP"}),
        },
        coords={"candidate": runs["name"].to_numpy(object)},
    )
    made.attrs = {"trust": trust, "budget": budget, "waste": imagined.waste, "price": price}
    made.attrs["verdict"] = _verdict(made)
    return made


def run_cards(found: xr.Dataset, most: int = 5) -> list[str]:
    """Tell the case of the best candidates, a paragraph each.

    Parameters
    ----------
    found : xarray.Dataset
        What `next_runs` returned.
    most : int, default 5

    Returns
    -------
    list of str

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> could = {"params": [8e9], "tokens": [1.6e11]}
    >>> found = bs.next_runs(fit, bs.ComputeBudget(1e25), candidates=could)
    >>> bs.run_cards(found)[0].startswith("8.00B on 160B tokens, 7.68e21 FLOP")
    True
    """
    budget, waste = found.attrs["budget"], found.attrs["waste"]
    out = []
    for i in np.argsort(found["rank"].values)[:most]:
        one = found.isel(candidate=i)
        gain, se, cost = (float(one[k]) for k in ("gain", "gain_se", "cost"))
        low, high = gain - 1.645 * se, gain + 1.645 * se
        worth = "more" if bool(one.worth) else "less"
        name = str(one.candidate.values)
        called = f"{size(float(one.params))} on {size(float(one.tokens))} tokens"
        text = (
            f"{called if name == called else f'{name} ({called})'}, {flop(cost)} FLOP "
            f"({percent(cost / budget)} of the budget). It is expected to save {_signed(gain)} "
            f"FLOP of the big run [{_signed(low)}, {_signed(high)}], {percent(gain / waste)} of "
            f"what being wrong about the law now costs: {worth} than it takes. It takes "
            f"{percent(float(one.variance_drop))} of the variance of the best size away."
        )
        out.append(text)
    return out


def _imagined(fit: xr.DataTree, scenario: Scenario, runs: pd.DataFrame, group: Any,
              seed: int) -> Imagined:  # fmt: skip
    count = int(np.prod([fit["posterior"].sizes[d] for d in SAMPLES]))
    served, unique = amounts_of(scenario, count, seed)
    plans = plans_of(fit, scenario, served, unique, group, seed)
    # In random order, so that neither half of the draws is one chain's or the proposal's first.
    order = np.random.default_rng([seed, 6]).permutation(count)[:DRAWS]
    few = Plans(plans.problem.part(order), scenario, plans.shift[order], plans.relative)
    theta = {k: v.transpose(*SAMPLES).values.reshape(-1)[order]
             for k, v in theta_of(fit, group).items()}  # fmt: skip
    best = few.optimum()[0]
    ends, shelf = _allowed(few, scenario, best)
    params = best * np.exp(NODES)
    tokens = few.tokens(params)
    lacking = tokens <= 0  # serving alone costs more than there is: all of it is wasted
    trained = np.where(lacking, 1.0, tokens)
    cost, wasted = few.wasted(params, trained, few.problem.loss(params, trained))
    wasted = np.where(lacking, cost, wasted)[:, 0, :]
    root = np.sqrt(wasted) * np.sign(NODES)
    return Imagined(np.log(best).ravel(), root, ends, shelf, outcomes_of(fit, runs, theta, seed))


def _allowed(plans: Plans, scenario: Scenario, best: np.ndarray) -> tuple[Any, Any]:
    """Return ln N that plans may have: from where to where, and a shelf's own."""
    shelf = scenario.get(Shelf)
    if shelf and shelf.tokens is not None:
        msg = "next_runs asks for sizes that share a budget: give Shelf(params), without tokens"
        raise SpecError(msg)
    low, high = np.quantile(best, [0.001, 0.999])
    params = np.sort(shelf.params) if shelf else np.geomspace(low / 3, high * 3, 401)
    allowed = np.ones(len(params), bool)
    for used in plans.used(params[None, None], plans.tokens(params[None, None])).values():
        allowed &= used[0, 0] <= 1 + TOLERANCE
    if not allowed.any():
        msg = "no plan of the scenario is allowed: `decide` says which item rules out what"
        raise SpecError(msg)
    logs = np.log(params[allowed])
    return (float(logs[0]), float(logs[-1])), (logs if shelf else None)


def _set(imagined: Imagined, first: Any, cost: Any, most: int, spend: float,
         price: float) -> tuple[list[int], list[float]]:  # fmt: skip
    """Choose a set greedily in two ways, and keep the one that is worth more.

    By gain, and by the drop of variance, which goes on where no run alone is worth anything, as it
    takes several to tell size from data; less cost, or per FLOP where there is so much to spend.
    """
    best_net, best = 0.0, ([], [])
    for way in ("gain", "variance"):
        picks, totals = [], []
        (gain, error, drop), sure, told, left = first, 0.0, 0.0, spend
        while len(picks) < most:
            more = gain - sure
            fine = (cost <= left) & ~np.isin(np.arange(len(cost)), picks)
            least = np.maximum(price * cost, SURE * error)  # what noise alone would promise
            fine &= (more > least) | ((way == "variance") & (drop - told > TOLD))
            if not fine.any():
                break
            value = more if way == "gain" else (drop - told) * imagined.waste
            value = value / cost if np.isfinite(spend) else value - price * cost
            one = int(np.argmax(np.where(fine, value, -np.inf)))
            picks.append(one)
            totals.append(float(gain[one]))
            sure, told, left = float(gain[one]), float(drop[one]), left - cost[one]
            net = sure - price * float(cost[picks].sum())
            if net > best_net:
                best_net, best = net, (list(picks), list(totals))
            if len(picks) < most:
                gain, error, drop = imagined.gains(picks)
    return best


def _candidates(given: Any, budget: float) -> pd.DataFrame:
    if given is None:
        cost, ratio = (v.ravel() for v in np.meshgrid(np.multiply(COSTS, budget), RATIOS))
        params = np.sqrt(cost / flops_6nd(1.0, ratio))
        given = {"params": params, "tokens": ratio * params}
    try:
        table = pd.DataFrame(given).copy()
    except ValueError as error:
        msg = f"candidates: columns of one length, params and tokens; {error}"
        raise SpecError(msg) from error
    lacking = [c for c in ("params", "tokens") if c not in table]
    if lacking:
        msg = f"candidates: {' and '.join(lacking)} not given; found {', '.join(map(str, table))}"
        raise SpecError(msg)
    for name in ("params", "tokens", *(["flops"] if "flops" in table else [])):
        table[name] = counts(table[name].to_numpy(), name, f"candidates: positive {name}")
    if "flops" not in table:
        table["flops"] = flops_6nd(table["params"].to_numpy(), table["tokens"].to_numpy())
    if "name" not in table:
        table["name"] = [f"{size(n)} on {size(d)} tokens" for n, d in
                         zip(table["params"], table["tokens"], strict=True)]  # fmt: skip
    return table


def _verdict(found: xr.Dataset) -> str:
    waste = found.attrs["waste"]
    now = f"being wrong about the law is expected to waste {flop(waste)} FLOP"
    if not found.sizes["pick"]:
        return f"stop: {now}, and no candidate saves more of it than it costs"
    names = [str(found.candidate.values[i]) for i in found["pick"].values]
    cost = float(found.cost.values[found["pick"].values].sum())
    return (f"run {', then '.join(names)}: {now}; these {flop(cost)} FLOP are expected to save "
            f"{flop(float(found.pick_gain[-1]))} of it")  # fmt: skip


def _signed(value: float) -> str:
    return f"-{flop(-value)}" if value < 0 else flop(value)
