"""Attempts at problems: how many of each problem's succeeded."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws import Misfit
from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.observations._protocol import OBSERVATIONS
from bayes_scaling.param import Param

WHOLE = 1e-3  # of an attempt: a share given to four digits is still a count of up to ten


@OBSERVATIONS.register("attempts")
@dataclass(frozen=True)
class Attempts:
    """Counts of a problem's attempts that succeeded, chances differing between problems.

    A row is one problem: ``c ~ Binomial(attempts, p)``, ``p ~ Beta(u, v)``, integrated over p
    exactly (beta-binomial), u and v being the law's. The outcome is the share c / attempts, which
    may be 0 or 1. Of `samples` > 1 a row is one attempt of so many samples, solved or not.

    Notes
    -----
    Densities are probabilities of the count. A problem that no attempt solved counts: it says how
    thick the tail of hard problems is.

    Examples
    --------
    >>> from bayes_scaling.observations import Attempts
    >>> Attempts().params, Attempts().inputs
    ((), ('attempts',))
    """

    name: ClassVar[str] = "attempts"
    scale: ClassVar[str] = "linear"
    latents: ClassVar[tuple[str, ...]] = ("u", "v", "never")
    inputs: ClassVar[tuple[str, ...]] = ("attempts",)
    params: ClassVar[tuple[Param, ...]] = ()

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:  # noqa: ARG002
        """Return the distribution of the share of attempts that succeed."""
        from bayes_scaling._distributions import Solved

        numbers = (x["attempts"], x["samples"], x["u"], x["v"], x["never"])
        return Solved(*numbers, validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:  # noqa: ARG002
        """Draw shares of attempts that succeed with NumPy, a new problem for every number."""
        shape = np.shape(mu)
        read = ("u", "v", "never", "attempts", "samples")
        u, v, never, n, k = (np.broadcast_to(x[c], shape) for c in read)
        # The logarithm of a Gamma draw of a tiny shape, which itself would round to zero.
        one, other = (_log_gamma_draw(rng, a) for a in (u, v))
        log_fails = other - np.logaddexp(one, other)  # ln(1 - p)
        chance = -np.expm1(np.minimum(k * log_fails, 0.0)) * (rng.random(shape) >= never)
        return rng.binomial(n.astype(int), np.clip(chance, 0.0, 1.0)) / n

    def misfits(self, x: Inputs, y: np.ndarray) -> list[Misfit]:
        """Find rows that are no counts: shares of no whole number, several samples of several."""
        n, out = np.asarray(x["attempts"], float), []
        if (bad := np.abs(y * n - np.round(y * n)) > WHOLE * np.maximum(n, 1)).any():
            found = f"{int(bad.sum())} shares of the attempts are no whole number of them"
            out.append(Misfit("coverage", bad, found, "give the number that succeeded: `solved`"))
        if (bad := (np.asarray(x["samples"], float) > 1) & (n > 1)).any():
            found = f"{int(bad.sum())} rows have several attempts of several samples each"
            do = "count single samples (samples 1), or give every attempt a row of its own"
            out.append(Misfit("samples", bad, found, do))
        return out


def _log_gamma_draw(rng: np.random.Generator, shape: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(rng.gamma(shape + 1)) + np.log(rng.random(shape.shape)) / shape
