"""Which run next: how much less a decision is expected to waste once a run is known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._writing import flop, size
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.decision._plans import Plans, plans_of, searched
from bayes_scaling.decision._scenario import Scenario, amounts_of, read
from bayes_scaling.decision.items import Shelf
from bayes_scaling.errors import SpecError
from bayes_scaling.predict import flops_reference
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

TRUTHS, INNER = 200, 1000  # outcomes that are imagined, and draws that they are weighed by
COSTS, RATIOS = (1e-4, 1e-3, 1e-2, 1e-1), (5.0, 20.0, 80.0)  # candidates, if nobody names any
FEW = 20.0  # effective draws below which a candidate's figures are noise
LEVEL = 0.9


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
        expected to fall; `effective`, the median number of draws that outcomes leave; `rank` by
        `per_flop`, from 1. The set over pick: `pick`, positions of candidates, and `pick_gain`, the
        gain of all picks up to this one. Attributes: `waste`, what the decision is expected to
        waste now, FLOP, which no runs can save more than; `verdict`, in a sentence. `run_cards`
        tells each candidate's case.

    Raises
    ------
    SpecError
        A scenario without exactly one budget, candidates that lack a column or are not positive.

    Notes
    -----
    Preposterior analysis: a draw is taken for the truth and gives the candidate's outcome, its own
    draw set aside, the others are reweighted by that outcome's likelihood, and the plan with least
    expected waste is chosen anew. It is chosen on one half of the draws and judged on the other,
    so that a plan is not praised for the noise that chose it. Outcomes of a set are imagined
    together: the second run is worth what it adds to the first. The law is taken to hold.

    References
    ----------
    Raiffa and Schlaifer 1961, Applied Statistical Decision Theory; Lindley 1956,
    doi:10.1214/aoms/1177728069 (the variance rule it is compared with).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> could = {"params": [1e8, 8e9], "tokens": [2e9, 1.6e11]}
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
    gain, error, drop, effective = imagined.gains(np.zeros((1, 1)))
    picks, totals = _set(imagined, gain, cost, most, left, price)
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
            "effective": ("candidate", effective, {"units": "draws"}),
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
            f"({_percent(cost / budget)} of the budget). It is expected to save {_signed(gain)} "
            f"FLOP of the big run [{_signed(low)}, {_signed(high)}], {_percent(gain / waste)} of "
            f"what being wrong about the law now costs: {worth} than it takes. It takes "
            f"{_percent(float(one.variance_drop))} of the variance of the best size away."
        )
        if float(one.effective) < FEW:
            text += (
                " Its outcome would leave too few of the draws to be sure of these figures: make it"
                " in steps, or fit with more draws."
            )
        out.append(text)
    return out


@dataclass(frozen=True)
class Imagined:
    """Outcomes of candidates under draws that are taken for the truth.

    Parameters
    ----------
    regret : (draw, plan) array
        What plans waste, FLOP.
    log_size : (draw,) array
        ln N* of every draw.
    density : callable
        Position of a candidate to (truth, draw) log likelihoods.
    count : int
        Of candidates.
    own : (truth,) array
        The draw that every truth is.
    """

    regret: np.ndarray
    log_size: np.ndarray
    density: Callable[[int], np.ndarray]
    count: int
    own: np.ndarray

    @property
    def waste(self) -> float:
        """What the best plan now is expected to waste."""
        return float(self.regret.mean(axis=0).min())

    def gains(self, known: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return of every candidate, beside what is `known`, gain, its error, and the rest."""
        out = [self.gain(known + self.density(i)) for i in range(self.count)]
        return tuple(np.array(v) for v in zip(*out, strict=True))

    def gain(self, log_weights: np.ndarray) -> tuple[float, float, float, float]:
        """Return the gain of outcomes with these log likelihoods, (truth, draw)."""
        logs = np.broadcast_to(log_weights, (len(self.own), len(self.regret))).copy()
        logs[np.arange(len(self.own)), self.own] = -np.inf
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        saved = np.nanmean([self._saved(weights, half) for half in (0, 1)], axis=0)
        mean = weights @ self.log_size
        variance = (weights @ self.log_size**2 - mean**2).mean()
        error = float(np.nanstd(saved) / np.sqrt(len(saved)))
        effective = float(np.median(1 / (weights**2).sum(axis=1)))
        drop = 1 - float(variance / np.var(self.log_size))
        return float(np.nanmean(saved)), error, drop, effective

    def _saved(self, weights: np.ndarray, half: int) -> np.ndarray:
        """Return what every outcome saves: plans chosen on one half of the draws, now and then."""
        middle = len(self.regret) // 2
        halves = slice(middle), slice(middle, None)
        on, by = self.regret[halves[half]], self.regret[halves[1 - half]]
        now = by[:, np.argmin(on.mean(axis=0))]
        judges = weights[:, halves[1 - half]]
        after = np.argmin(weights[:, halves[half]] @ on, axis=1)
        waste = judges @ by
        saved = judges @ now - waste[np.arange(len(after)), after]
        total = judges.sum(axis=1)
        return np.where(total > 0, saved / np.where(total > 0, total, 1.0), np.nan)


def _imagined(fit: xr.DataTree, scenario: Scenario, runs: pd.DataFrame, group: Any,
              seed: int) -> Imagined:  # fmt: skip
    count = int(np.prod([fit["posterior"].sizes[d] for d in SAMPLES]))
    served, unique = amounts_of(scenario, count, seed)
    plans = plans_of(fit, scenario, served, unique, group, seed)
    every = slice(None, None, max(1, count // INNER))
    few = Plans(plans.problem.part(every), scenario, plans.shift[every], plans.relative)
    theta = {k: v.transpose(*SAMPLES).values.reshape(-1)[every]
             for k, v in theta_of(fit, group).items()}  # fmt: skip
    rng = np.random.default_rng([seed, 6])
    own = rng.permutation(len(few.shift))[:TRUTHS]
    regret, log_size = _regret(few, scenario)
    density = partial(_density, fit, runs, theta, own, [seed, 7])
    return Imagined(regret, log_size, density, len(runs), own)


def _regret(plans: Plans, scenario: Scenario) -> tuple[np.ndarray, np.ndarray]:
    """Return what buildable plans waste in every draw, and every draw's ln N*."""
    best = plans.optimum()[0]
    shelf = scenario.get(Shelf)
    if shelf:
        params = np.asarray(shelf.params)[None, None]
        tokens = plans.tokens(params) if shelf.tokens is None else np.array([[shelf.tokens]])
    else:
        params = _around(plans, best)
        tokens = plans.tokens(params)
    allowed = np.ones(params.shape, bool)
    for used in plans.used(params, tokens).values():
        allowed = allowed & (used <= 1 + 1e-9)
    if not allowed.any():
        msg = "no plan of the scenario is allowed: `decide` says which item rules out what"
        raise SpecError(msg)
    params, tokens = params[allowed][None, None], tokens[allowed][None, None]
    wasted = plans.wasted(params, tokens, plans.problem.loss(params, tokens))[1]
    return wasted[:, 0, :], np.log(best).ravel()


def _around(plans: Plans, best: np.ndarray) -> np.ndarray:
    """Return sizes that some outcome may make the best: those of the draws, and about them."""
    found = searched(plans, LEVEL)
    ends = [*np.quantile(best, [0.001, 0.999]), *(float(v[0]) for v in found.best.values())]
    return np.geomspace(min(ends) / 2, max(ends) * 2, 61)[None, None]


def _density(fit: Any, runs: Any, theta: Any, own: Any, seed: Any, i: int) -> np.ndarray:
    """Return log likelihoods of one candidate's outcomes: truths by draws, as float32."""
    import jax

    model, run = model_of(fit), runs.iloc[i]
    x: dict[str, Any] = {k: float(run[k]) for k in ("params", "tokens", "flops")}
    if "flops" in model.inputs:
        x["flops_ref"] = flops_reference(fit)
    lacking = [c for c in model.observation.inputs if c not in x and c in runs]
    x |= {c: float(run[c]) for c in lacking}
    mean = model.law(theta, x)
    truth = {k: v[own] for k, v in theta.items()}
    seen = model.observation.draw(np.random.default_rng([*seed, i]), mean[own], truth, x)
    with jax.enable_x64(True):
        return np.asarray(_logs(model.observation, mean, theta, x, seen[:, None]), np.float32)


def _logs(observation: Any, mean: Any, theta: Any, x: Any, seen: Any) -> Any:
    import jax

    global _COMPILED
    if _COMPILED is None:
        _COMPILED = jax.jit(
            lambda of, mu, t, at, y: of.distribution(mu, t, at).log_prob(y), static_argnums=0
        )
    return _COMPILED(observation, mean, theta, x, seen)


_COMPILED: Any = None  # made when first used, since importing must not import JAX


def _set(imagined: Imagined, gain: Any, cost: Any, most: int, spend: float,
         price: float) -> tuple[list[int], list[float]]:  # fmt: skip
    """Choose a set greedily, by gain per FLOP and by gain less cost; keep the better of the two.

    Under a limit of cost the first alone may take many cheap runs that stand in the way of the one
    that matters, the second one run where several cheap ones would do.
    """
    tries = []
    for per_flop in (True, False):
        picks, totals = [], []
        known, sure, now, left = np.zeros((1, 1)), 0.0, gain, spend
        while len(picks) < most:
            more = now - sure
            fine = (cost <= left) & ~np.isin(np.arange(len(cost)), picks) & (more > price * cost)
            if not fine.any():
                break
            value = more / cost if per_flop else more - price * cost
            best = int(np.argmax(np.where(fine, value, -np.inf)))
            picks.append(best)
            totals.append(float(now[best]))
            known, sure, left = known + imagined.density(best), float(now[best]), left - cost[best]
            if len(picks) < most:
                now = imagined.gains(known)[0]
        net = (totals[-1] if totals else 0.0) - price * float(cost[picks].sum())
        tries.append((net, picks, totals))
    best_of = max(tries, key=lambda t: t[0])
    return best_of[1], best_of[2]


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
        table[name] = positive(table[name].to_numpy(), f"candidates: positive {name}")
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


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
