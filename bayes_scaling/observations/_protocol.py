"""What an observation model is, and the registry of those there are."""

from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from bayes_scaling._registry import Registry
from bayes_scaling.laws import Misfit
from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.param import Param


@runtime_checkable
class Observation(Protocol):
    """How a measured outcome scatters about the law's mean."""

    name: ClassVar[str]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        ...

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        ...

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the NumPyro distribution of the measured outcome."""
        ...

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured outcomes about `mu` with NumPy; the arrays broadcast."""
        ...


@runtime_checkable
class ReadsLatents(Protocol):
    """An observation model that reads what the law says of a run beside its mean."""

    latents: ClassVar[tuple[str, ...]]


@runtime_checkable
class ReadsClusters(Protocol):
    """An observation model under which rows of one cluster scatter together.

    `x` then holds the cluster of every row (`CLUSTER`, a number; `NO_CLUSTER` where a row only pads
    the table) and the outcome measured there (`MEASURED`).
    """

    by: str | None
    """The column that names the cluster; "" for rows of equal law inputs, None for all rows."""

    along: str
    """The column along which rows of a cluster grow unlike, positive numbers; "" for none."""

    across: bool
    """Whether a cluster reaches across the groups of a pooled model."""


@runtime_checkable
class ReadsWitness(Protocol):
    """An observation model of an outcome and of something measured with it, such as the loss.

    A fit reads the column `witness`; a prediction draws it.
    """

    witness: ClassVar[str]

    def draw_witness(self, rng: np.random.Generator, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw what would be measured beside the outcome."""
        ...


@runtime_checkable
class Refuses(Protocol):
    """An observation model that not every outcome can have come from."""

    def misfits(self, x: Inputs, y: np.ndarray) -> list[Misfit]:
        """Find the rows whose outcome, (row,), it does not know, given what it and the law read."""
        ...


CLUSTER, MEASURED = "cluster", "measured"
NO_CLUSTER = -1.0

OBSERVATIONS: Registry[type] = Registry("observation model")
