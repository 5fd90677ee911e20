"""Plans of a scenario: what tokens a size gets, what plans waste, which sizes are worth a look."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd, serving_flops
from bayes_scaling.decision._problem import PER_TOKEN, Problem
from bayes_scaling.decision._scenario import TOLERANCE, Scenario
from bayes_scaling.decision.items import DataWall
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.laws import PerDraw, Repetition, splits
from bayes_scaling.laws.repetition import ENDLESS, UNIQUE
from bayes_scaling.laws.rules import RULES
from bayes_scaling.predict import flops_reference
from bayes_scaling.results import SAMPLES, model_of, theta_of

CRITERIA = "mean", "cvar", "worst"
SEARCHED, WIDE, NEAR, ZOOM = 150, 11, 33, 9  # draws and sizes of the search
AROUND, CLOSE = 30.0, 3.0  # factors searched beyond the optima of all draws, roughly and closely:
# limits and certainty move plans
FLAT_STEPS = 24  # bisections of an end of the flat region


@dataclass(frozen=True)
class Plans:
    """A problem under a scenario.

    Parameters
    ----------
    problem : Problem
    scenario : Scenario
    shift : (draw, 1, 1) array
        What a run measures over the law's loss: in logs where `relative`, else in nats.
    relative : bool
    """

    problem: Problem
    scenario: Scenario
    shift: np.ndarray
    relative: bool

    def thinned(self) -> "Plans":
        """Return the same with as many draws as a search needs."""
        every = slice(None, None, max(1, len(self.shift) // SEARCHED))
        return replace(self, problem=self.problem.part(every), shift=self.shift[every])

    @property
    def cases(self) -> np.ndarray:
        """Budgets or targets, (1, case, 1)."""
        return self.scenario.cases.reshape(1, -1, 1)

    @property
    def needed(self) -> Any:
        """The loss of the law under which a run meets the target, draw by draw."""
        return self.cases * np.exp(-self.shift) if self.relative else self.cases - self.shift

    def tokens(self, params: Any) -> Any:
        """Return the tokens that every size gets, (1, case, size).

        What the budget leaves after the expected demand; or the least with which the target is met
        with the required probability, inf where no number is enough.
        """
        if self.scenario.targets is None:
            left = self.cases - serving_flops(params, np.mean(self.problem.served))
            return np.maximum(left, 0.0) / (PER_TOKEN * params)
        needed = self.problem.tokens_to(self.needed, params)
        p = self.scenario.probability
        return np.quantile(needed, p, axis=0, method="higher", keepdims=True)

    def expected_cost(self, params: Any, tokens: Any) -> Any:
        """Return training and expected serving, FLOP."""
        return flops_6nd(params, tokens) + serving_flops(params, np.mean(self.problem.served))

    def meets(self, params: Any, tokens: Any) -> Any:
        """Return the probability that a run meets the target, (1, case, size)."""
        met = self.problem.loss(params, tokens) <= self.needed
        return met.mean(axis=0, keepdims=True)

    def wasted(self, params: Any, tokens: Any, loss: Any) -> tuple[Any, Any]:
        """Return what plans cost, and how much of it the same loss did not need."""
        cost = self.problem.cost(params, tokens)
        if self.scenario.targets is None and self.scenario.budgets is not None:
            cost = cost + np.maximum(self.cases - self.expected_cost(params, tokens), 0.0)
        return cost, np.maximum(cost - self.problem.least_cost(loss), 0.0)

    def measured(
        self, fit: xr.DataTree, group: str | None, mean: Any, params: Any, tokens: Any, seed: int
    ) -> np.ndarray:
        """Draw what runs measure where the law says `mean`."""
        model, theta = model_of(fit), _theta(fit, group)
        x: dict[str, Any] = {"flops": flops_6nd(params, tokens), "params": params, "tokens": tokens}
        if lacking := [c for c in model.observation.inputs if c not in x]:
            msg = f"the scatter of a run depends on {', '.join(lacking)}, which no plan knows yet"
            raise FitError(msg)
        if "flops" in model.inputs:
            x["flops_ref"] = flops_reference(fit)
        return model.observation.draw(np.random.default_rng([seed, 3]), mean, theta, x)

    def used(self, params: Any, tokens: Any) -> dict[str, Any]:
        """Return the share that plans use of every limit: those above 1 are ruled out."""
        possible = np.isfinite(tokens) & (tokens > 0)
        trained = np.where(possible, tokens, 1.0)
        unique = self.problem.theta.get(UNIQUE, self.problem.unique)
        out = self.scenario.used(params, trained, self.expected_cost(params, trained), unique)
        out = {k: np.where(possible, v, 0.0) for k, v in out.items()}
        served = serving_flops(params, np.mean(self.problem.served))
        if self.scenario.targets is None and self.scenario.budgets is not None:
            out["serving alone"] = np.where(possible, 0.0, served / self.cases)
        else:
            out["the target"] = np.where(possible, 0.0, np.inf)
        return out

    def optimum(self) -> tuple[Any, Any]:
        """Return every draw's own best plan: (draw, case, 1) arrays."""
        if self.scenario.targets is None:
            return self.problem.best(self.cases + 0.0 * self.shift)
        return self.problem.cheapest(self.cases + 0.0 * self.shift)

    def flat(self, share: float, params: Any, loss: Any) -> tuple[Any, Any]:
        """Return the ends of the sizes that lose at most a share of the compute, draw by draw."""
        problem = self.problem
        if self.scenario.targets is None:
            most = problem.loss(*problem.best(self.cases * (1 - share) + 0.0 * self.shift))

            def within(size: Any) -> Any:
                return problem.loss(size, problem.tokens_for(self.cases, size)) <= most
        else:
            limit = problem.cost(params, problem.tokens_to(loss, params)) / (1 - share)

            def within(size: Any) -> Any:
                return problem.cost(size, problem.tokens_to(loss, size)) <= limit

        ends = []
        for outward in (-1.0, 1.0):
            near, far = np.zeros_like(params), np.full_like(params, np.log(AROUND))
            for _ in range(FLAT_STEPS):
                middle = 0.5 * (near + far)
                inside = within(params * np.exp(outward * middle))
                near, far = np.where(inside, middle, near), np.where(inside, far, middle)
            ends.append(params * np.exp(outward * near))
        return ends[0], ends[1]


def statistic(values: Any, criterion: str, level: float) -> Any:
    """Return the mean over draws, the mean of the worst, or the worst."""
    if criterion == "mean":
        return values.mean(axis=0)
    if criterion == "worst":
        return values.max(axis=0)
    worst = max(1, round((1 - level) * len(values)))
    return np.partition(values, len(values) - worst, axis=0)[-worst:].mean(axis=0)


@dataclass(frozen=True)
class Searched:
    """Sizes along every case, and what they score under every criterion: (case, size) arrays."""

    params: np.ndarray
    tokens: np.ndarray
    wasted: np.ndarray  # (5, 50 and 95 %, mean), of the share
    best: dict[str, np.ndarray]  # (case,), by criterion


def searched(plans: Plans, level: float) -> Searched:
    """Search the sizes that are allowed for the best under every criterion."""
    few = plans.thinned()
    middle = few.optimum()[0]
    middle = np.where(np.isfinite(middle), middle, np.nan)
    low, high = (np.nanquantile(middle, q, axis=0)[:, 0] for q in (0.005, 0.995))
    ends = (low / AROUND, high * AROUND, WIDE), (low / CLOSE, high * CLOSE, NEAR)
    params = np.sort(np.hstack([np.geomspace(*e, axis=1) for e in ends]), axis=1)[None]
    scores, tokens, share = _scores(few, params, level)
    best = {}
    for criterion, score in scores.items():
        top = np.argmin(score, axis=1)
        beside = [np.clip(top + k, 0, params.shape[-1] - 1)[:, None] for k in (-1, 1)]
        ends = [np.take_along_axis(params[0], k, 1)[:, 0] for k in beside]
        near = np.geomspace(ends[0], ends[1], ZOOM, axis=1)[None]
        fine = _scores(few, near, level)[0][criterion]
        best[criterion] = np.take_along_axis(near[0], fine.argmin(axis=1)[:, None], 1)[:, 0]
    with np.errstate(invalid="ignore"):
        ends = [np.quantile(share, q, axis=0, method="higher") for q in (0.05, 0.5, 0.95)]
    return Searched(params[0], tokens[0], np.stack([*ends, share.mean(axis=0)]), best)


def _scores(plans: Plans, params: Any, level: float) -> tuple[dict[str, Any], Any, Any]:
    tokens = plans.tokens(params)
    possible = (tokens > 0) & np.isfinite(tokens)
    trained = np.where(possible, tokens, 1.0)
    cost, wasted = plans.wasted(params, trained, plans.problem.loss(params, trained))
    allowed = possible
    for used in plans.used(params, tokens).values():
        allowed = allowed & (used <= 1 + TOLERANCE)
    values = (wasted if plans.scenario.targets is None else cost) + 0.0 * plans.shift
    scores = {c: np.where(allowed[0], statistic(values, c, level), np.inf) for c in CRITERIA}
    share = np.where(possible, wasted / cost, np.nan)
    return scores, tokens, share


def by_rule(plans: Plans, rule: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the configuration of a rule of thumb in every case, (case,) arrays; NaN without one.

    Parameters
    ----------
    rule : float, str or pair
        Tokens per parameter, a published rule of size, or params and tokens.
    """
    cases = plans.scenario.cases
    if isinstance(rule, str):
        published = RULES[rule]
        if "params" not in published.knobs:
            msg = f"rules: {rule!r} sets {', '.join(published.knobs)}, and no size"
            raise SpecError(msg)
    else:
        numbers = np.atleast_1d(np.asarray(rule, dtype=float))
        if numbers.shape not in ((1,), (2,)) or not np.all(np.isfinite(numbers) & (numbers > 0)):
            msg = (f"rules: {name!r} is tokens per parameter, a configuration (params, tokens) or "
                   f"a published rule of size; found {rule!r}")  # fmt: skip
            raise SpecError(msg)
        if len(numbers) == 2:
            return np.full(len(cases), numbers[0]), np.full(len(cases), numbers[1])
    if np.isnan(cases).any():
        return cases, cases
    # Where the rule's own tokens cross those that the budget or the target gives, in logs.
    params = np.geomspace(1e3, 1e18, 1501)[None, None]
    few = plans.thinned() if plans.scenario.targets is not None else plans
    given = few.tokens(params)
    cost = few.expected_cost(params, given)
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(rule, str):
            own = RULES[rule]({"flops": cost})["params"]
            gap = np.log(params) - np.log(own)
        else:
            gap = np.log(params) + np.log(numbers[0]) - np.log(given)
    gap = np.where(np.isfinite(gap) & np.isfinite(given) & (given > 0), gap, np.nan)[0]
    found = np.array([_crossing(np.log(params[0, 0]), g) for g in gap])
    size = np.exp(found)
    return size, plans.tokens(np.nan_to_num(size, nan=1e9)[None, :, None])[0, :, 0]


def _crossing(x: np.ndarray, gap: np.ndarray) -> float:
    fine = np.isfinite(gap)
    x, gap = x[fine], gap[fine]
    over = np.flatnonzero((gap[:-1] < 0) & (gap[1:] >= 0))
    if not len(over):
        return np.nan
    i = over[0]
    return float(x[i] - gap[i] * (x[i + 1] - x[i]) / (gap[i + 1] - gap[i]))


def plans_of(
    fit: xr.DataTree, scenario: Scenario, served: Any, unique: Any, group: str | None, seed: int
) -> Plans:
    """Return the plans of a fit, the scatter of a run drawn once for every draw."""
    model, theta = model_of(fit), _theta(fit, group)
    own = {p.name: theta[p.name] for p in model.law.params}
    served = served.reshape(-1, 1, 1) if np.ndim(served) else served
    problem = _walled(model.law, own, served, unique, scenario.get(DataWall))
    ref = dict(model.law.reference or ())
    mean = problem.loss(ref["params"], ref["tokens"])
    plans = Plans(problem, scenario, np.zeros_like(mean), model.relative)
    run = plans.measured(fit, group, mean, ref["params"], ref["tokens"], seed)
    return replace(plans, shift=np.log(run / mean) if model.relative else run - mean)


def _walled(law: Any, theta: dict[str, Any], served: Any, unique: Any, wall: Any) -> Problem:
    """Return the problem behind a wall, where repeats are worth what the law or the item says."""
    unique = None if unique is None else unique.reshape(-1, 1, 1)
    if UNIQUE in law.inputs:
        if wall and wall.repetition:
            msg = "DataWall: repetition is given, and the fit has rates of its own: leave it out"
            raise SpecError(msg)
        theta = {**theta, UNIQUE: ENDLESS if unique is None else unique}
        law, unique = PerDraw(law, (UNIQUE,)), None
    if not splits(law):
        msg = (
            f"law {law.name!r} is in {', '.join(law.inputs)}: no size to choose. Where params and "
            f"tokens are among them, hold the others: hold(fit, ...)"
        )
        raise SpecError(msg)
    return Problem(law, theta, served, unique, (wall.repetition or Repetition()) if wall else None)


def reachable(plans: Plans) -> None:
    """Refuse targets that cannot be met with the required probability at any cost."""
    scenario, problem = plans.scenario, plans.problem
    if scenario.targets is None:
        return
    cost = problem.least_cost(plans.needed)
    p = scenario.probability
    for case, chance in zip(scenario.targets, np.isfinite(cost).mean(axis=0).ravel(), strict=True):
        if chance < p:
            walled = problem.unique is not None
            floor = problem.loss(np.inf, np.inf) if walled else problem.floor
            run = floor * np.exp(plans.shift) if plans.relative else floor + plans.shift
            least = np.quantile(run, p)
            msg = (f"LossTarget({case:g}, probability={p:g}): runs measure that with probability "
                   f"{chance:.2g} at most, whatever is spent; ask for more than {least:.4g}, or "
                   f"for less certainty")  # fmt: skip
            raise SpecError(msg)


def _theta(fit: xr.DataTree, group: str | None) -> dict[str, np.ndarray]:
    """Return the draws of every parameter, (draw, 1, 1), chain by chain."""
    found = theta_of(fit, group)
    return {k: v.transpose(*SAMPLES).values.reshape(-1, 1, 1) for k, v in found.items()}
