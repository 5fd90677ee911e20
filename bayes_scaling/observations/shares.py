"""Outcomes that are shares of a number of questions, or averages of such shares over tasks.

A share of n questions is one of 0, 1/n, ..., 1. No answer right is an observation like any other:
nothing here takes logarithms of shares, and residuals are differences.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.observations._protocol import OBSERVATIONS
from bayes_scaling.observations._scatter import SIGMA, TAIL, Scatter
from bayes_scaling.observations.alone import StudentT
from bayes_scaling.param import Param, Prior

COUNT = "questions"
LEAST = 1e-12  # a share and what is left of it are no less: a law may say 0 and a model still guess
SPREAD = Param(
    "spread",
    Prior.of("LogNormal", median=0.1, sigma=1.0),
    "1",
    "how models' own shares scatter about the law: sd over sqrt(share (1 - share))",
    (0.02, 0.3),
    "noise",
)
SPREAD_OF_MEAN = Param(
    "spread",
    Prior.of("HalfNormal", scale=0.01),
    "1",
    "scatter of a share averaged over tasks about the law",
    (0.001, 0.02),
    "noise",
)


@OBSERVATIONS.register("binomial")
@dataclass(frozen=True)
class Binomial:
    """A share of n questions, each right or wrong by itself: ``n Y ~ Binomial(n, mu)``.

    The column `questions` says n.

    Notes
    -----
    The density is that of the count ``n Y``; a share that was rounded counts as ``n Y`` questions,
    whole or not. Models of one law seldom agree as well as this: see `BetaBinomial`.
    """

    name: ClassVar[str] = "binomial"
    scale: ClassVar[str] = "linear"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return (COUNT,)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return ()

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:  # noqa: ARG002
        """Return the distribution of the measured share about `mu`."""
        from bayes_scaling import _distributions as dist

        return dist.BinomialShare(x[COUNT], mu, validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:  # noqa: ARG002
        """Draw measured shares about `mu` with NumPy."""
        return _answered(rng, x, np.clip(mu, 0.0, 1.0))


@OBSERVATIONS.register("beta_binomial")
@dataclass(frozen=True)
class BetaBinomial:
    """A share of n questions by models that scatter about the law: a beta-binomial count.

    ``n Y ~ Binomial(n, p)``, ``p ~ Beta(mu / s^2, (1 - mu) / s^2)``, so that ``sd(p)`` is
    ``s sqrt(mu (1 - mu) / (1 + s^2))``, s being `spread`. The column `questions` says n.

    Notes
    -----
    Two models at one loss answer a task unlike for reasons that no law of scale knows, and not one
    question at a time: the more questions, the more of the scatter is of this kind. The density is
    that of the count, so that elpd compares with `Binomial` and not with `AverageShare`.

    References
    ----------
    Skellam 1948, doi:10.1111/j.2517-6161.1948.tb00014.x.
    """

    name: ClassVar[str] = "beta_binomial"
    scale: ClassVar[str] = "linear"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return (COUNT,)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (SPREAD,)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured share about `mu`."""
        from bayes_scaling import _distributions as dist

        return dist.BetaBinomialShare(x[COUNT], mu, theta["spread"], validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured shares about `mu` with NumPy."""
        mean = np.clip(mu, LEAST, 1 - LEAST)
        firm = 1 / np.asarray(theta["spread"]) ** 2
        return _answered(rng, x, rng.beta(mean * firm, (1 - mean) * firm))


@OBSERVATIONS.register("average_share")
@dataclass(frozen=True)
class AverageShare:
    """A share averaged over many tasks: ``Y ~ StudentT(nu, mu, spread)``, between 0 and 1.

    Notes
    -----
    What would lie beyond 0 or 1 is folded back, so that the density is that of shares; averages
    over tasks of every kind are far from either.
    """

    name: ClassVar[str] = "average_share"
    scale: ClassVar[str] = "linear"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return ()

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (SPREAD_OF_MEAN, TAIL)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:  # noqa: ARG002
        """Return the distribution of the measured share about `mu`."""
        from bayes_scaling import _distributions as dist

        return dist.FoldedShare(
            dist.StudentT(theta["nu"], mu, theta["spread"], validate_args=False),
            validate_args=False,
        )

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:  # noqa: ARG002
        """Draw measured shares about `mu` with NumPy."""
        z = rng.standard_t(np.broadcast_to(theta["nu"], np.shape(mu)))
        folded = 1 - np.abs(1 - np.abs(mu + theta["spread"] * z))
        return np.clip(folded, 0.0, 1.0)


SHARES = {kind.name: kind for kind in (BetaBinomial, Binomial, AverageShare)}


@OBSERVATIONS.register("chained")
@dataclass(frozen=True)
class Chained:
    """A share, and the loss it goes through, measured together.

    ``ln l ~ StudentT(nu, ln l(x), sigma)`` of the law's first step, then the share about the law's
    link at the loss **measured** (column `loss`). A run whose loss is better than its size and data
    say does better in the task as well; a new run's share scatters by both.

    Parameters
    ----------
    share : {"beta_binomial", "binomial", "average_share"}, default "beta_binomial"
        How the share scatters about the link; `nu` is one number for loss and share.

    Notes
    -----
    The log likelihood of a run is of its loss and its share together: elpd compares with that of
    other models of both. The loss that was measured enters the fit; no prediction looks at one.
    """

    share: Literal["beta_binomial", "binomial", "average_share"] = "beta_binomial"

    name: ClassVar[str] = "chained"
    scale: ClassVar[str] = "linear"
    latents: ClassVar[tuple[str, ...]] = ("upstream",)
    witness: ClassVar[str] = "loss"

    @property
    def _share(self) -> Any:
        return SHARES[self.share]()

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return (self.witness, *self._share.inputs)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (SIGMA, TAIL, *(p for p in self._share.params if p is not TAIL))

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the share about `mu`, and beside it that of the loss."""
        from bayes_scaling import _distributions as dist

        loss = StudentT().distribution(x["upstream"], theta, x)
        share = self._share.distribution(mu, theta, x)
        return dist.Beside(share, loss.log_prob(x[self.witness]), validate_args=False)

    def draw_witness(self, rng: np.random.Generator, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured losses about the law's first step."""
        expected = np.asarray(x["upstream"])
        z = rng.standard_t(np.broadcast_to(theta["nu"], expected.shape))
        return Scatter("log", "constant", known=False).add(expected, theta["sigma"] * z)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured shares about `mu`, the link at the losses drawn, with NumPy."""
        return self._share.draw(rng, mu, theta, x)


def _answered(rng: np.random.Generator, x: Inputs, p: np.ndarray) -> np.ndarray:
    count = np.broadcast_to(np.maximum(np.round(x[COUNT]), 1.0).astype(np.int64), np.shape(p))
    return rng.binomial(count, p) / count
