"""How a measured loss scatters about the law.

An observation model is a frozen dataclass of choices, as a law is: `params` lists what it adds to
the posterior, `distribution` gives the density of the measured loss. Densities are of the loss
itself (nats), whatever scale the scatter lives on, so that elpd compares between them.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from bayes_scaling._registry import Registry
from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import Inputs, Theta, checked_choices, namespace
from bayes_scaling.param import Param, Prior

Scale = Literal["log", "linear"]
Noise = Literal["constant", "compute"]


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


OBSERVATIONS: Registry[type] = Registry("observation model")

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
DEBT = Param(
    "debt",
    Prior.of("HalfNormal", scale=0.03),
    "1",
    "mean shortfall of a run from the attainable loss, as a share of the loss",
    (0.001, 0.05),
    "noise",
)


SHAPE = Param(
    "shape",
    Prior.of("LogNormal", median=10.0, sigma=1.0),
    "1",
    "shape of the Gamma scatter: the outcome's relative sd is 1 / sqrt(shape)",
    (1.0, 100.0),
    "noise",
)
# Away from zero: a bowl whose bottom is put exactly on one run of every sweep has any density.
REPEATED = Param(
    "sigma",
    Prior.of("LogNormal", median=0.003, sigma=0.5),
    "1",
    "scatter of repeated runs at the best setting, as a share of the loss",
    (0.001, 0.01),
    "noise",
)
REPEATED_NATS = replace(
    REPEATED,
    prior=Prior.of("LogNormal", median=0.003, sigma=0.5, times="mean_loss"),
    unit="nat/token",
    meaning="scatter of repeated runs at the best setting",
    typical=(0.003, 0.03),
)
WARP = Param(
    "warp",
    Prior.of("HalfNormal", scale=0.3),
    "1",
    "error of a bowl's shape, as a share of the excess over its bottom",
    (0.02, 0.5),
    "noise",
)
MARGIN = Param(
    "margin",
    Prior.of("LogNormal", median=1.4, sigma=0.4),
    "1",
    "ln of the knob at which half of the runs diverge, over its best",
    (0.7, 3.0),
    "noise",
)
CLIFF = Param(
    "cliff",
    Prior.of("LogNormal", median=0.2, sigma=0.7),
    "1",
    "in how much of ln(knob) the share of diverging runs rises, e-fold of the odds",
    (0.05, 0.6),
    "noise",
)

NEVER = 700.0  # ln of the odds beyond which a probability would overflow


@dataclass(frozen=True)
class _Scatter:
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


@OBSERVATIONS.register("student_t")
@dataclass(frozen=True)
class StudentT:
    """Heavy-tailed scatter: ``ln L ~ StudentT(nu, ln mu, sigma)``.

    Parameters
    ----------
    scale : {"log", "linear"}, default "log"
        Whether the scatter is a share of the loss, or in nats.
    noise : {"constant", "compute"}, default "constant"
        Whether sigma is one number or grows as ``(C / C0)^h``; needs the column `flops`.
    known : bool, default False
        Whether a known sd per run (column `loss_sd`, nats: evaluation or seed noise) adds in
        quadrature.

    Notes
    -----
    The default, because digitised and real ladders hold outliers: on the 245 Chinchilla points
    it beats the Normal by more than 200 in elpd. ``nu = 1 + Gamma(2, 0.1)`` lets the data choose.
    """

    scale: Scale = "log"
    noise: Noise = "constant"
    known: bool = False
    name: ClassVar[str] = "student_t"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return _Scatter(self.scale, self.noise, self.known).inputs

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (*_Scatter(self.scale, self.noise, self.known).params, TAIL)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured loss about `mu`."""
        from bayes_scaling import _distributions as dist

        scatter = _Scatter(self.scale, self.noise, self.known)
        sd = scatter.sd(mu, theta, x)
        return scatter.about(
            mu, lambda loc: dist.StudentT(theta["nu"], loc, sd, validate_args=False)
        )

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured losses about `mu` with NumPy; the arrays broadcast to its shape."""
        scatter = _Scatter(self.scale, self.noise, self.known)
        z = rng.standard_t(np.broadcast_to(theta["nu"], np.shape(mu)))
        return scatter.add(mu, scatter.sd(mu, theta, x) * z)


@OBSERVATIONS.register("normal")
@dataclass(frozen=True)
class Normal:
    """Gaussian scatter; `scale`, `noise` and `known` as in `StudentT`."""

    scale: Scale = "log"
    noise: Noise = "constant"
    known: bool = False
    name: ClassVar[str] = "normal"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return _Scatter(self.scale, self.noise, self.known).inputs

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return _Scatter(self.scale, self.noise, self.known).params

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured loss about `mu`."""
        import numpyro.distributions as dist

        scatter = _Scatter(self.scale, self.noise, self.known)
        sd = scatter.sd(mu, theta, x)
        return scatter.about(mu, lambda loc: dist.Normal(loc, sd, validate_args=False))

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured losses about `mu` with NumPy; the arrays broadcast to its shape."""
        scatter = _Scatter(self.scale, self.noise, self.known)
        return scatter.add(mu, scatter.sd(mu, theta, x) * rng.normal(size=np.shape(mu)))


@OBSERVATIONS.register("under_tuned")
@dataclass(frozen=True)
class UnderTuned:
    """One-sided scatter: ``ln L = ln mu + Normal(0, sigma) + Exponential(mean debt)``.

    The law is then what a well-tuned run attains; runs fall short of it by their tuning debt.
    `scale`, `noise` and `known` as in `StudentT`.

    Notes
    -----
    The exponentially modified Gaussian of Grushka (1972, doi:10.1021/ac60319a011).
    """

    scale: Scale = "log"
    noise: Noise = "constant"
    known: bool = False
    name: ClassVar[str] = "under_tuned"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return _Scatter(self.scale, self.noise, self.known).inputs

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (*_Scatter(self.scale, self.noise, self.known).params, DEBT)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured loss about the attainable loss `mu`."""
        from bayes_scaling._distributions import ExGaussian

        scatter = _Scatter(self.scale, self.noise, self.known)
        sd = scatter.sd(mu, theta, x)
        debt = theta["debt"] if self.scale == "log" else theta["debt"] * mu
        return scatter.about(mu, lambda loc: ExGaussian(loc, sd, debt, validate_args=False))

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured losses about `mu` with NumPy; the arrays broadcast to its shape."""
        scatter = _Scatter(self.scale, self.noise, self.known)
        debt = theta["debt"] if self.scale == "log" else theta["debt"] * mu
        noise = scatter.sd(mu, theta, x) * rng.normal(size=np.shape(mu))
        return scatter.add(mu, noise + debt * rng.exponential(size=np.shape(mu)))


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

        scatter = _Scatter("log", "constant", known=False)
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


@OBSERVATIONS.register("sweep")
@dataclass(frozen=True)
class Sweep:
    """Scatter of a tuning sweep: least at the best setting, more with every miss; failures count.

    ``ln L ~ StudentT(nu, ln mu, s)`` with ``s^2 = sigma^2 + (warp * excess)^2``: the shape of a
    bowl is right near its bottom and wrong, by a share `warp`, of what lies above. Runs far from
    the optimum then say little of where it is, and none needs to be left out.

    Parameters
    ----------
    scale : {"log", "linear"}, default "log"
        Whether `sigma` and the excess are shares of the loss, or nats, as the law's scale.
    divergence : bool, default False
        Whether runs that diverged (column `diverged`) count, through
        ``P(diverged) = 1 / (1 + e^(-(overshoot - margin) / cliff))`` of the first knob's
        `overshoot`, ``ln(knob / its best)``: where runs fail says where the best is. What loss they
        ended at is not looked at.

    Notes
    -----
    Leaving diverged runs out takes the steep side of a sweep away and moves its optimum.
    """

    scale: Scale = "log"
    divergence: bool = False
    name: ClassVar[str] = "sweep"
    latents: ClassVar[tuple[str, ...]] = ("excess", "overshoot")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return ("diverged",) * self.divergence

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        sigma = REPEATED if self.scale == "log" else REPEATED_NATS
        return (sigma, WARP, TAIL) + (MARGIN, CLIFF) * self.divergence

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured loss about `mu`."""
        import jax.numpy as jnp

        from bayes_scaling import _distributions as dist

        scatter = _Scatter(self.scale, "constant", known=False)
        sd = jnp.sqrt(theta["sigma"] ** 2 + (theta["warp"] * x["excess"]) ** 2)
        loss = scatter.about(mu, lambda m: dist.StudentT(theta["nu"], m, sd, validate_args=False))
        if not self.divergence:
            return loss
        logit = self.log_odds(theta, x["overshoot"])
        return dist.OrFailed(loss, logit, x["diverged"], validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw losses of runs that do not diverge about `mu` with NumPy."""
        sd = np.sqrt(theta["sigma"] ** 2 + (theta["warp"] * x["excess"]) ** 2)
        z = rng.standard_t(np.broadcast_to(theta["nu"], np.shape(mu)))
        return _Scatter(self.scale, "constant", known=False).add(mu, sd * z)

    def log_odds(self, theta: Theta, overshoot: Any) -> Any:
        """Return ln of the odds that a run diverges, at an `overshoot` in ln."""
        return (overshoot - theta["margin"]) / theta["cliff"]

    def failure(self, theta: Theta, overshoot: Any) -> Any:
        """Return the probability that a run diverges, at an `overshoot` in ln."""
        xp = namespace(theta, {"overshoot": overshoot})
        return 1 / (1 + xp.exp(xp.minimum(-self.log_odds(theta, overshoot), NEVER)))


def observation_from_dict(spec: dict[str, Any] | str) -> Any:
    """Build an observation model from plain data, such as ``{"name": "student_t"}``.

    Raises
    ------
    UnknownNameError
        No observation model has that name.
    SpecError
        A choice it does not have.

    Examples
    --------
    >>> from bayes_scaling.observations import observation_from_dict
    >>> observation_from_dict("normal")
    Normal(scale='log', noise='constant', known=False)
    """
    choices: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    if choices.get("name") == "average":  # of a fit; no model to choose
        from bayes_scaling._averaged import Averaged

        return Averaged(tuple(observation_from_dict(s) for s in choices.get("scatters", ())))
    kind = OBSERVATIONS[choices.pop("name", "")]
    return kind(**checked_choices(kind, "observation model", choices))
