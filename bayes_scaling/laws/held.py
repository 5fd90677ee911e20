"""A law with some of its inputs held: what is left is a law of the others."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling._registry import did_you_mean
from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import (
    HasFloor,
    HasLatents,
    HasScatter,
    HasSweeps,
    HasUpstream,
    Inputs,
    Monotone,
    Reference,
    Theta,
    from_zero,
    ranges_of,
)
from bayes_scaling.laws._ranges import misfits
from bayes_scaling.param import Param


@dataclass(frozen=True)
class Held:
    """A law whose inputs `at` are held: experts, unique tokens, shares of a mixture.

    What is left may be a law of `params` and `tokens`, of which compute has a best split.

    Parameters
    ----------
    law : Law
        With reference sizes.
    at : tuple of (str, float)
        Inputs of it and their values.

    Raises
    ------
    SpecError
        No input of that name, a value that it may not have, nothing held, or nothing left.

    Examples
    --------
    >>> from bayes_scaling.laws import Chinchilla
    >>> from bayes_scaling.laws.held import Held
    >>> law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> theta = {"E": 1.7, "a0": 0.4, "b0": 0.4, "alpha": 0.3, "beta": 0.3}
    >>> float(Held(law, (("tokens", 2e10),))(theta, {"params": 1e9}))
    2.5
    """

    law: Any
    at: Reference

    name: ClassVar[str] = "held"

    def __post_init__(self) -> None:
        if wrong := _problems(self.law, dict(self.at)):
            msg = f"law {self.law.name!r} cannot be held so: " + "; ".join(wrong)
            raise SpecError(msg)
        # Abilities are found by looking whether something is there: of a value, not of its class.
        law, left = self.law, self.inputs
        found: dict[str, Any] = {}
        if isinstance(law, HasFloor):
            found["irreducible"] = self._irreducible
        if isinstance(law, Monotone):
            found["decreasing"] = tuple(x for x in law.decreasing if x in left)
        if isinstance(law, HasScatter):
            found["scatter"] = law.scatter
        if isinstance(law, HasLatents):
            found |= {"latents": law.latents, "latent": self._latent}
        if isinstance(law, HasUpstream):
            found["link"] = law.link
        if zero := tuple(x for x in from_zero(law) if x in left):
            found["from_zero"] = zero
        if ranges := {k: v for k, v in ranges_of(law).items() if k in left}:
            found["ranges"] = ranges
        if shares := tuple(x for x in getattr(law, "shares", ()) if x in left):
            found["shares"] = shares
        for ability, value in found.items():
            object.__setattr__(self, ability, value)

    @property
    def outcome(self) -> str:
        """What the law predicts."""
        return self.law.outcome

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it still reads."""
        held = dict(self.at)
        return tuple(name for name in self.law.inputs if name not in held)

    @property
    def reference(self) -> Reference:
        """The sizes that inputs are divided by."""
        return self.law.reference

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        return self.law.params

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the law."""
        return self.law(theta, {**x, **dict(self.at)})

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the paper's parameters."""
        return self.law.to_paper(theta)

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        return self.law.from_paper(paper)

    def _irreducible(self, theta: Theta) -> Any:
        """Return the loss as every size that is left goes to infinity."""
        ranges = ranges_of(self)
        ends = {k: ranges[k][1] if k in ranges else np.inf for k in self.inputs}
        return self(theta, ends)

    def _latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        return self.law.latent(theta, {**x, **dict(self.at)})


def _problems(law: Any, at: Mapping[str, Any]) -> list[str]:
    wrong = []
    if isinstance(law, HasSweeps):
        wrong.append("it is of sweeps: say where with `at` instead")
    for name in at:
        if name not in law.inputs:
            hint = did_you_mean(name, law.inputs)
            wrong.append(f"{name!r} is no input of it.{hint} Inputs: {', '.join(law.inputs)}")
    known = {k: v for k, v in at.items() if k in law.inputs}
    ranges = ranges_of(law)
    for name, value in known.items():
        number = isinstance(value, int | float | np.floating | np.integer)
        if not number or not np.isfinite(value):
            wrong.append(f"{name}: one finite number is wanted; found {value!r}")
        elif name not in (*ranges, *from_zero(law)) and value <= 0:
            wrong.append(f"{name}: a positive raw count is wanted; found {value!r}")
    if not wrong:
        wrong += [f"{m.column}: {m.found}; {m.do}" for m in misfits(law, known)]
    shares = getattr(law, "shares", ())
    if 0 < len(set(shares) & set(known)) < len(shares):
        wrong.append(f"{', '.join(shares)} sum to one: hold all of them, or none")
    if not at or set(law.inputs) <= set(known):
        wrong.append(f"hold some of its inputs and not all: {', '.join(law.inputs)}")
    return wrong


@dataclass(frozen=True)
class PerDraw:
    """A law some of whose inputs are another number in every draw: they are read from `theta`.

    Unique tokens that are known up to a distribution, for one.

    Parameters
    ----------
    law : Law
        With reference sizes.
    drawn : tuple of str
        Inputs of it.

    Examples
    --------
    >>> from bayes_scaling.laws import Chinchilla
    >>> from bayes_scaling.laws.held import PerDraw
    >>> law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> theta = {"E": 1.7, "a0": 0.4, "b0": 0.4, "alpha": 0.3, "beta": 0.3, "tokens": 2e10}
    >>> float(PerDraw(law, ("tokens",))(theta, {"params": 1e9}))
    2.5
    """

    law: Any
    drawn: tuple[str, ...]

    name: ClassVar[str] = "per_draw"
    outcome: ClassVar[str] = "loss"

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it still reads of a run."""
        return tuple(name for name in self.law.inputs if name not in self.drawn)

    @property
    def decreasing(self) -> tuple[str, ...]:
        """The inputs that may only lower the outcome."""
        falls = self.law.decreasing if isinstance(self.law, Monotone) else ()
        return tuple(name for name in falls if name in self.inputs)

    @property
    def reference(self) -> Reference:
        """The sizes that inputs are divided by."""
        return self.law.reference

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the law."""
        return self.law(theta, {**x, **{name: theta[name] for name in self.drawn}})

    def irreducible(self, theta: Theta) -> Any:
        """Return the loss as every size that is left goes to infinity."""
        return self(theta, dict.fromkeys(self.inputs, np.inf))
