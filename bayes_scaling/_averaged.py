"""How a measured loss scatters about an average of laws: as about the law that a draw follows."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.laws.average import choose, members, of_member
from bayes_scaling.observations import ReadsLatents
from bayes_scaling.param import Param


@dataclass(frozen=True)
class Averaged:
    """The scatters of several fits; `which` says whose a draw has.

    Parameters
    ----------
    scatters : tuple of observation models
        One for every law of the `Average`, all of the same scale.

    Raises
    ------
    SpecError
        Scatters of different scales, or one that reads what a law of sweeps says.
    """

    scatters: tuple[Any, ...]

    name: ClassVar[str] = "average"

    def __post_init__(self) -> None:
        scales = {scale_of(s): s.name for s in self.scatters}
        if len(scales) > 1:
            on = ", ".join(f"{name!r} on a {scale} one" for scale, name in scales.items())
            msg = f"these scatters have no average: {on}; fit all laws with one scale"
            raise SpecError(msg)
        if any(isinstance(s, ReadsLatents) for s in self.scatters):
            msg = "these scatters have no average: the scatter of a sweep belongs to its law"
            raise SpecError(msg)

    @property
    def scale(self) -> str:
        """Whether the scatter is a share of the outcome ("log") or in its unit ("linear")."""
        return scale_of(self.scatters[0])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns they read beside the laws'."""
        return tuple(dict.fromkeys(c for s in self.scatters for c in s.inputs))

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters of every scatter, under names of their own."""
        return tuple(members([s.params for s in self.scatters]))

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured outcome about `mu`, draw by draw."""
        from bayes_scaling._distributions import Chosen

        each = [s.distribution(mu, self._own(theta, k), x) for k, s in enumerate(self.scatters)]
        return Chosen(theta["which"], each, validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured outcomes about `mu` with NumPy; the arrays broadcast to its shape."""
        each = [s.draw(rng, mu, self._own(theta, k), x) for k, s in enumerate(self.scatters)]
        return choose(theta["which"], each)

    def _own(self, theta: Theta, k: int) -> dict[str, Any]:
        return of_member(theta, k, self.scatters[k].params)


def scale_of(scatter: Any) -> str:
    """Return the scale of an observation model: that of logarithms where it says nothing."""
    return getattr(scatter, "scale", "log")
