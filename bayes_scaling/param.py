"""Parameters and priors as plain data.

A law or an observation model lists its parameters here; what a prior *means* to NumPyro is in
``bayes_scaling.priors``.
"""

from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["intercept", "slope", "shape", "noise", "ahead"]


@dataclass(frozen=True)
class Prior:
    """A prior as plain data: a named distribution, its numbers, and what it is relative to.

    The quantity is ``plus + times * X`` with ``X`` from the named distribution.

    Parameters
    ----------
    dist : str
        A name known to ``bayes_scaling.priors`` ("LogNormal", "Beta", ...).
    args : tuple of (str, float)
        The numbers of the distribution by name, sorted by name.
    times : str, optional
        A statistic of the table that scales the distribution ("min_loss", of many runs a 0.1 %
        quantile, or "mean_loss"), which makes the prior the same statement in any unit of loss.
        Both are of the outcome; "min_upstream" and "mean_upstream" are of the column `loss` that a
        table has beside another outcome. Empty: 1.
    plus : float, optional
        A shift, as in ``nu = 1 + Gamma``.

    Examples
    --------
    >>> from bayes_scaling.param import Prior
    >>> Prior.of("LogNormal", median=0.3, sigma=0.5)
    Prior('LogNormal', median=0.3, sigma=0.5)
    """

    dist: str
    args: tuple[tuple[str, float], ...]
    times: str = ""
    plus: float = 0.0

    @classmethod
    def of(cls, dist: str, *, times: str = "", plus: float = 0.0, **args: float) -> "Prior":
        """Write a prior with its numbers as keywords."""
        return cls(dist, tuple(sorted((k, float(v)) for k, v in args.items())), times, float(plus))

    def __repr__(self) -> str:
        """Write the prior as it would be typed."""
        numbers = ", ".join(f"{k}={v:g}" for k, v in self.args)
        extra = f", times={self.times!r}" if self.times else ""
        shift = f", plus={self.plus:g}" if self.plus else ""
        return f"Prior({self.dist!r}, {numbers}{extra}{shift})"

    @property
    def structure(self) -> "Prior":
        """The prior with its numbers blanked: what a compiled program depends on."""
        return replace(self, args=tuple((k, 1.0) for k, _ in self.args), plus=0.0)


@dataclass(frozen=True)
class Param:
    """One parameter of a law or an observation model.

    Parameters
    ----------
    name : str
        The name in the posterior.
    prior : Prior
        The default prior.
    unit : str
        The unit, "1" for a pure number.
    meaning : str
        One line for people.
    typical : tuple of (float, float)
        The range published values fall in.
    role : {"intercept", "slope", "shape", "noise", "ahead"}
        What pooling over groups does with it by default: intercepts move, slopes rarely do. Of
        what lies "ahead" the runs are not expected to tell anything.
    apart : float, optional
        How far groups typically are apart where they are pooled partially: the median of their sd,
        on the scale without constraints (the logarithm of a positive parameter). By default what is
        usual of the role, which presumes a parameter of order one, or a logarithm.
    """

    name: str
    prior: Prior
    unit: str
    meaning: str
    typical: tuple[float, float]
    role: Role = "shape"
    apart: float | None = None
