"""On which scale runs scatter, by how much, and what that depends on."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import Inputs, Theta, namespace
from bayes_scaling.param import Param, Prior

Scale = Literal["log", "linear"]
Noise = Literal["constant", "compute"]

SIGMA = Param(
    "sigma",
    Prior.of("HalfNormal", scale=0.02),
    "1",
    "scatter of a run about the law, as a share of the outcome",
    (0.001, 0.03),
    "noise",
)
SIGMA_NATS = replace(
    SIGMA,
    prior=Prior.of("HalfNormal", scale=0.02, times="mean_loss"),
    unit="nat/token",
    meaning="scatter of a run about the law",
    typical=(0.003, 0.1),
)
SCALING = Param(
    "h",
    Prior.of("Normal", loc=0.0, scale=0.15),
    "1",
    "how the scatter moves with compute: sd proportional to C^h",
    (-0.3, 0.1),
    "noise",
)
TAIL = Param(
    "nu",
    Prior.of("Gamma", shape=2, rate=0.1, plus=1.0),
    "1",
    "degrees of freedom: small means heavy tails",
    (1.5, 30.0),
    "noise",
)


@dataclass(frozen=True)
class Scatter:
    """What the models share: on which scale, constant or not, and a known part."""

    scale: Scale
    noise: Noise
    known: bool

    def __post_init__(self) -> None:
        if self.scale not in get_args(Scale) or self.noise not in get_args(Noise):
            msg = (
                f"scale is one of {get_args(Scale)} and noise one of {get_args(Noise)}; "
                f"found {self.scale!r} and {self.noise!r}"
            )
            raise SpecError(msg)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("flops",) * (self.noise == "compute") + ("loss_sd",) * self.known

    @property
    def params(self) -> tuple[Param, ...]:
        sigma = SIGMA if self.scale == "log" else SIGMA_NATS
        return (sigma, SCALING) if self.noise == "compute" else (sigma,)

    def sd(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the scatter on its own scale: the law's, times C^h, plus what is known."""
        xp = namespace(theta, x)
        sd = theta["sigma"]
        if self.noise == "compute":
            sd = sd * xp.exp(theta["h"] * xp.log(x["flops"] / x["flops_ref"]))
        if self.known:
            known = x["loss_sd"] / mu if self.scale == "log" else x["loss_sd"]
            sd = xp.sqrt(sd**2 + known**2)
        return sd

    def residual(self, measured: Any, mu: Any) -> Any:
        """Return how far a measured outcome lies off `mu`, on the scatter's own scale."""
        xp = namespace({"mu": mu, "measured": measured})
        return xp.log(measured) - xp.log(mu) if self.scale == "log" else measured - mu

    def add(self, mu: Any, scatter: np.ndarray) -> np.ndarray:
        """Put NumPy draws of the scatter about `mu`."""
        with np.errstate(over="ignore"):  # with nu near 1 a draw may be infinite, and is
            return mu * np.exp(scatter) if self.scale == "log" else mu + scatter

    def about(self, mu: Any, make: Any) -> Any:
        """Put ``make(location)`` on the loss: through its logarithm, or as it is.

        Unvalidated: tables are checked as they are read, and a comparison per row would make a
        compiled likelihood four times slower.
        """
        import jax.numpy as jnp
        import numpyro.distributions as dist
        from numpyro.distributions.transforms import ExpTransform

        if self.scale == "linear":
            return make(mu)
        return dist.TransformedDistribution(make(jnp.log(mu)), ExpTransform(), validate_args=False)
