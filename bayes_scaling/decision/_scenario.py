"""Items read together: what is missing, twice or at odds, and every item's numbers as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from bayes_scaling._writing import flop
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.decision import amounts
from bayes_scaling.decision.items import (
    ComputeBudget,
    DataWall,
    Deadline,
    GpuBudget,
    Hardware,
    Item,
    Limit,
    LossTarget,
    MoneyBudget,
    ServingDemand,
    Shelf,
    in_words,
)
from bayes_scaling.errors import SpecError

BUDGETS = ComputeBudget, GpuBudget, MoneyBudget
TOLERANCE = 1e-9  # of a limit: plans that use all of it are allowed


@dataclass(frozen=True)
class Scenario:
    """What items say, after they were checked against each other.

    Parameters
    ----------
    budgets : (budget,) array, FLOP, optional
    targets : (target,) array, nat/token, optional
    probability : float
        That a target must be met with.
    """

    items: tuple[Any, ...]
    budgets: np.ndarray | None
    targets: np.ndarray | None
    probability: float

    def get(self, kind: type) -> Any:
        """Return the item of a kind, or None."""
        return next((i for i in self.items if isinstance(i, kind)), None)

    @property
    def dim(self) -> str:
        """What the cases are told apart by."""
        return "budget" if self.targets is None else "target"

    @property
    def cases(self) -> np.ndarray:
        """Budgets or targets; one case without either."""
        found = self.budgets if self.targets is None else self.targets
        return np.full(1, np.nan) if found is None else found

    def used(self, params: Any, tokens: Any, cost: Any, unique: Any) -> dict[str, np.ndarray]:
        """Return the share that plans use of every limit, by the item in words."""
        out = {in_words(i): i.used(params, tokens) for i in self.items if isinstance(i, Limit)}
        hardware, deadline, wall = (self.get(k) for k in (Hardware, Deadline, DataWall))
        if deadline:
            out[repr(deadline)] = hardware.days(flops_6nd(params, tokens)) / deadline.days
        if wall and np.isfinite(wall.most_epochs):
            out[in_words(wall)] = tokens / (np.median(unique) * wall.most_epochs) + 0.0 * params
        if self.budgets is not None:
            limit = self.budgets if self.targets is None else self.budgets[:1]
            most = " or ".join(flop(b) for b in limit)
            out[f"the budget of {most} FLOP"] = cost / limit.reshape(1, -1, 1)
        return out


def read(items: Sequence[Any]) -> Scenario:
    """Check items against each other, all problems in one error.

    Raises
    ------
    SpecError
        Something that is no item, an item twice, nothing to spend or to reach, several budgets
        beside a target, or an item that needs another.
    """
    problems = []
    kinds = get_args(Item)
    for item in items:
        if not isinstance(item, kinds):
            names = ", ".join(k.__name__ for k in kinds)
            problems.append(f"{item!r} is no item of a scenario; there are: {names}")
    items = [i for i in items if isinstance(i, kinds)]
    for kind in kinds:
        if sum(isinstance(i, kind) for i in items) > 1:
            problems.append(f"{kind.__name__} is given more than once")
    found = {type(i): i for i in items}
    money = [i for i in items if isinstance(i, BUDGETS)]
    if len({type(i) for i in money}) > 1:
        problems.append(f"one budget is meant; found {', '.join(map(repr, money))}")
    hardware, shelf = found.get(Hardware), found.get(Shelf)
    whole = shelf is not None and shelf.tokens is not None
    if not money and LossTarget not in found and not whole:
        problems.append("nothing to spend and nothing to reach: add ComputeBudget or LossTarget")
    wants = {GpuBudget: "peak", MoneyBudget: "dollars_per_hour", Deadline: "devices"}
    for kind, what in wants.items():
        if kind in found and (hardware is None or getattr(hardware, what) is None):
            problems.append(f"{found[kind]!r} needs Hardware(..., {what}=...) beside it")
    several = money and len(next(iter(vars(money[0]).values()))) > 1
    if several and LossTarget in found:
        problems.append("with a target, one budget is the most that may be spent; found several")
    if problems:
        raise SpecError("; ".join(problems))
    target = found.get(LossTarget)
    return Scenario(
        tuple(items),
        _budgets(money[0], hardware) if money else None,
        np.array(target.loss) if target else None,
        target.probability if target else np.nan,
    )


def _budgets(item: Any, hardware: Any) -> np.ndarray:
    if isinstance(item, ComputeBudget):
        return np.array(item.flops)
    if isinstance(item, GpuBudget):
        return hardware.flops(np.array(item.hours))
    return np.array(item.dollars) / hardware.dollars(1.0)


def amounts_of(scenario: Scenario, count: int, seed: int) -> tuple[Any, Any]:
    """Return draws of the tokens processed in serving, and of unique tokens; 0 and None without."""
    demand, wall = scenario.get(ServingDemand), scenario.get(DataWall)
    served = amounts.draw(demand.tokens, count, [seed, 1]) * demand.multiple if demand else 0.0
    unique = amounts.draw(wall.unique, count, [seed, 2]) if wall else None
    return served, unique
