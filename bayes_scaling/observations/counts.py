"""Outcomes that are counts of steps, or squared norms: lower bounds, and scatter of a mean."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.observations._protocol import OBSERVATIONS
from bayes_scaling.observations._scatter import SIGMA, Scatter
from bayes_scaling.param import Param, Prior

SHAPE = Param(
    "shape",
    Prior.of("LogNormal", median=10.0, sigma=1.0),
    "1",
    "shape of the Gamma scatter: the outcome's relative sd is 1 / sqrt(shape)",
    (1.0, 100.0),
    "noise",
)


@OBSERVATIONS.register("censored")
@dataclass(frozen=True)
class Censored:
    """Gaussian scatter of the logarithm, some outcomes known only as lower bounds.

    A run that was stopped before it reached its target says that it takes longer than that:
    ``P(Y > y)`` in the place of the density, where the column `censored` says so. Dropping such
    runs would make a hard target look easy.

    Notes
    -----
    For outcomes that are counted until something happens, such as steps to a loss.

    References
    ----------
    Tobin 1958, doi:10.2307/1907382.
    """

    name: ClassVar[str] = "censored"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return ("censored",)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (SIGMA,)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the outcome about `mu`."""
        from bayes_scaling._distributions import CensoredNormal

        scatter = Scatter("log", "constant", known=False)
        censored, sd = x["censored"], theta["sigma"]
        return scatter.about(mu, lambda loc: CensoredNormal(loc, sd, censored, validate_args=False))

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:  # noqa: ARG002
        """Draw outcomes about `mu` with NumPy, as if nothing stopped them."""
        return mu * np.exp(theta["sigma"] * rng.normal(size=np.shape(mu)))


@OBSERVATIONS.register("gamma")
@dataclass(frozen=True)
class Gamma:
    """Scatter of a positive outcome about its mean: ``Y ~ Gamma(shape, mean mu)``.

    The law is the mean itself, not the median, and the relative scatter is ``1 / sqrt(shape)``.

    Notes
    -----
    For squared norms: that of Gaussian noise of covariance S is close to a Gamma of shape
    ``tr(S)^2 / (2 tr(S^2))``. One shape serves all rows.

    References
    ----------
    Satterthwaite 1946, doi:10.2307/3002019.
    """

    name: ClassVar[str] = "gamma"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return ()

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (SHAPE,)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:  # noqa: ARG002
        """Return the distribution of the outcome of mean `mu`."""
        import numpyro.distributions as dist

        shape = theta["shape"]
        return dist.Gamma(shape, shape / mu, validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:  # noqa: ARG002
        """Draw outcomes of mean `mu` with NumPy; the arrays broadcast to its shape."""
        shape = np.broadcast_to(theta["shape"], np.shape(mu))
        return mu * rng.gamma(shape) / shape
