"""What plans cost and lose under the draws of one law: arrays of draws by cases by plans."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bayes_scaling.data.accounting import flops_6nd, serving_flops
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import (
    HasOptimum,
    Repetition,
    best_split,
    has_isoquants,
    irreducible,
    tokens_to,
)
from bayes_scaling.laws._search import GOLDEN
from bayes_scaling.laws.repetition import fed_by

WIDE = 6.0  # e-folds of size searched on either side of the plain optimum
FINE, ROUGH = 18, 12  # golden-section steps: 12 e-folds to 2e-3, and to 4e-2
POLISH, NEAR = 3, 3e-4  # Newton's steps on the place itself, and their differences in ln N
BLOCK = 200  # draws at once: what stays in a core's cache
FEWEST = 1.0  # tokens: what a plan gets whose size alone costs more than there is
ROUNDS, STEP, CLOSE = 40, 1e-3, 1e-12  # of Newton's method in ln C


@dataclass(frozen=True)
class Problem:
    """What training and serving cost and lose.

    Parameters
    ----------
    law : Law
        In `params` and `tokens`.
    theta : dict of (draw, 1, 1) arrays
    served : (draw, 1, 1) array or 0.0, tokens
        Forward passes of the model's life, at the price of training.
    unique : (draw, 1, 1) array, tokens, optional
        Where repeats begin; then with `repetition`.
    repetition : Repetition, optional

    Notes
    -----
    Beyond `unique` the law is asked at ``(N', D')``, what sizes and repeats are worth; N' by the
    size that all unique tokens feed, so that a wall that is far away changes nothing.
    """

    law: Any
    theta: dict[str, np.ndarray]
    served: Any = 0.0
    unique: Any = None
    repetition: Repetition | None = None

    def __post_init__(self) -> None:
        if self.plain:
            return
        fed = self.unique is None or isinstance(self.law, HasOptimum)
        if not (has_isoquants(self.law) and fed):
            name = getattr(self.law, "name", self.law)
            msg = (
                f"law {name!r} says what a budget buys, and not what more data do for a given "
                f"size, which serving, repeated tokens and targets ask of it: fit a joint law, "
                f"`Chinchilla`"
            )
            raise SpecError(msg)

    @property
    def plain(self) -> bool:
        """Whether training is all there is, on tokens without end."""
        return self.unique is None and not np.any(self.served)

    @property
    def floor(self) -> Any:
        """The loss that nothing removes."""
        return irreducible(self.law, self.theta)

    @cached_property
    def fed(self) -> Any:
        """The size whose compute-optimal data are the unique tokens."""
        return fed_by(self.law, self.theta, self.unique)

    def loss(self, params: Any, tokens: Any) -> Any:
        """Return the law's loss, nat/token."""
        if self.unique is not None:
            assert self.repetition is not None, "a wall comes with what repeats are worth"
            params = self.repetition.params_worth(params, self.fed)
            tokens = self.repetition.tokens_worth(tokens, self.unique)
        return self.law(self.theta, {"params": params, "tokens": tokens})

    def cost(self, params: Any, tokens: Any) -> Any:
        """Return FLOP of training and serving."""
        return flops_6nd(params, tokens) + serving_flops(params, self.served)

    def tokens_for(self, cost: Any, params: Any) -> Any:
        """Return the tokens that a lifetime cost leaves a size to train on."""
        left = (cost - serving_flops(params, self.served)) / (PER_TOKEN * params)
        return np.maximum(left, FEWEST)

    def tokens_to(self, loss: Any, params: Any) -> Any:
        """Return the tokens with which a size reaches a loss; inf where it never does."""
        if self.unique is None:
            return tokens_to(self.law, self.theta, loss, params)
        assert self.repetition is not None, "a wall comes with what repeats are worth"
        worth = self.repetition.params_worth(params, self.fed)
        needed = tokens_to(self.law, self.theta, loss, worth)
        return self.repetition.tokens_for(needed, self.unique)

    def best(self, cost: Any) -> tuple[Any, Any]:
        """Return the `params` and `tokens` of least loss at a lifetime cost."""
        params, tokens = best_split(self.law, self.theta, cost / PER_TOKEN)
        if self.plain:
            return params, tokens

        def lost(n: Any) -> Any:
            size = np.exp(n)
            return np.log(self.loss(size, self.tokens_for(cost, size)) - self.floor * (1 - 1e-12))

        # Serving takes sizes down, a wall takes them up; both are bounded by what the cost allows.
        with np.errstate(divide="ignore"):
            most = np.log(cost / serving_flops(1.0, self.served))
        n = _least(lost, np.minimum(np.log(params), most), WIDE, FINE, POLISH)
        return np.exp(n), self.tokens_for(cost, np.exp(n))

    def cheapest(self, loss: Any, steps: int = FINE, polish: int = POLISH) -> tuple[Any, Any]:
        """Return the `params` and `tokens` that reach a loss at least lifetime cost."""
        flops = self._compute_to(loss)
        reached = np.isfinite(flops)
        flops = np.where(reached, flops, 1.0)  # any number: those plans stay without tokens enough
        params, tokens = best_split(self.law, self.theta, flops / PER_TOKEN)
        if self.plain:
            return params, np.where(reached, tokens, np.inf)

        def spent(n: Any) -> Any:
            size = np.exp(n)
            return np.log(self.cost(size, self.tokens_to(loss, size)))

        size = np.exp(_least(spent, np.log(params), WIDE, steps, polish))
        return size, self.tokens_to(loss, size)

    def least_cost(self, loss: Any) -> Any:
        """Return the least lifetime cost that reaches a loss; inf where none does."""
        if self.plain:
            return self._compute_to(loss)
        loss = loss + 0.0 * self.floor
        blocks = [slice(i, i + BLOCK) for i in range(0, len(loss), BLOCK)]

        def part(rows: slice) -> Any:
            some = self.part(rows)
            return some.cost(*some.cheapest(loss[rows], ROUGH, polish=1))

        with ThreadPoolExecutor() as pool:  # NumPy lets go of the interpreter in its loops
            return np.concatenate(list(pool.map(part, blocks)))

    def part(self, rows: Any) -> "Problem":
        """Return the problem of some draws."""

        def some(values: Any) -> Any:
            return values[rows] if np.ndim(values) else values

        theta = {k: some(v) for k, v in self.theta.items()}
        unique = None if self.unique is None else some(self.unique)
        return replace(self, theta=theta, served=some(self.served), unique=unique)

    def _compute_to(self, loss: Any) -> Any:
        """Return the training compute whose best plain run reaches a loss.

        Newton's method on the logarithm of the reducible loss, which is straight in ln C for a law
        whose optimum is a power law: two rounds. The reference size starts it.
        """
        ref = dict(self.law.reference)
        above = np.asarray(loss - self.floor)
        out_of_reach = above <= 0
        target = np.log(np.where(out_of_reach, np.inf, above))
        x = np.log(PER_TOKEN * ref["params"] * ref["tokens"]) + 0.0 * above

        def left(x: Any) -> Any:
            split = best_split(self.law, self.theta, np.exp(x) / PER_TOKEN)
            found = self.law(self.theta, dict(zip(("params", "tokens"), split, strict=True)))
            return np.log(np.maximum(found - self.floor, 1e-300))

        start = x
        target = np.where(out_of_reach, left(x), target)
        slope = (left(x + STEP) - left(x - STEP)) / (2 * STEP)
        for _ in range(ROUNDS):
            move = np.clip((target - left(x)) / slope, -60.0, 60.0)
            x = np.clip(x + move, start - 250.0, start + 400.0)
            if np.max(np.abs(move), initial=0.0) < CLOSE * np.max(np.abs(x), initial=1.0):
                break
        return np.where(out_of_reach, np.inf, np.exp(x))


def _least(of: Callable[[Any], Any], about: Any, wide: float, steps: int, polish: int) -> Any:
    """Return where a function that falls and then rises is least: golden section, then Newton."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        low, high = about - wide, about + wide
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        at_left, at_right = of(left), of(right)
        low, high, left, right = np.broadcast_arrays(low, high, left, right, at_left)[:4]
        for _ in range(steps):
            down = at_left < at_right
            low, high = np.where(down, low, left), np.where(down, right, high)
            kept, at_kept = np.where(down, left, right), np.where(down, at_left, at_right)
            new = np.where(down, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
            at_new = of(new)
            left, right = np.where(down, new, kept), np.where(down, kept, new)
            at_left, at_right = np.where(down, at_new, at_kept), np.where(down, at_kept, at_new)
        found = 0.5 * (low + high)
        for _ in range(polish):
            below, here, above = of(found - NEAR), of(found), of(found + NEAR)
            move = 0.5 * NEAR * (below - above) / (above - 2 * here + below)
            within = np.abs(move) < high - low  # a kink, or a plan that nothing reaches: leave it
            found = found + np.where(within, move, 0.0)
    return found
