"""From a loss to what a model scores in a task: laws in two steps.

The first step is a loss ``l`` of size and data or of compute, the second a link from that loss to
the share of right or of wrong answers. Either step alone is a law: the first is in other files, the
second is a law of `loss`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import (
    LAWS,
    Checked,
    Inputs,
    Reference,
    Theta,
    namespace,
    sizes,
)
from bayes_scaling.laws.joint import INPUTS, Chinchilla
from bayes_scaling.laws.single import PowerLaw
from bayes_scaling.param import Param, Prior

Upstream = Literal["params_tokens", "flops", "loss"]
Shape = Literal["logistic", "gompertz"]
FAR = 80.0  # minus ln of the least share: e^-80, which no number of questions tells from zero
LN2 = 0.6931471805599453
GUESS_KNOWN = 40.0  # questions' worth of trust in a share of guesses that is known
CEILING = Param("ceil", Prior.of("Beta", a=9, b=1), "1",
                "accuracy that no model goes beyond", (0.7, 1.0))  # fmt: skip


def floor_param(chance: float | None) -> Param:
    """Return the accuracy of a model that knows nothing: known, or what most tasks have."""
    prior = Prior.of("Beta", a=2, b=6) if chance is None else Prior.of("Fixed", value=chance)
    return Param("floor", prior, "1", "accuracy of a model that knows nothing", (0.0, 0.5),
                 "intercept")  # fmt: skip


def rising(t: Any, shape: Shape, xp: Any) -> Any:
    """Return a share that rises from 0 to 1 along t, and is 1/2 at 0.

    ``1 / (1 + e^-t)``, or of Gompertz ``2^(-e^-t)``, which leaves 0 late and nears 1 slowly.
    """
    if shape == "gompertz":
        less = LN2 * xp.exp(xp.minimum(-t, FAR))
    else:  # ln(1 + e^-t), of which a share near 0 keeps all its digits
        less = xp.maximum(-t, 0.0) + xp.log1p(xp.exp(-xp.abs(t)))
    return xp.exp(-xp.minimum(less, FAR))


class Guessed(Checked):
    """A law with a share of right guesses that may be known."""

    chance: float | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.chance is not None and not 0 <= self.chance < 1:
            msg = f"chance: the share of guesses that are right, 0 to 1; found {self.chance!r}"
            raise SpecError(msg)


class TwoStep(Guessed):
    """What laws in two steps share: the first step, as one of the laws of loss."""

    upstream: Upstream
    reference: Reference | None
    tied: ClassVar[bool]

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS if self.upstream == "params_tokens" else (self.upstream,)

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """What a loss that is an input may be."""
        return {"loss": (0.0, float("inf"))} if self.upstream == "loss" else {}

    @property
    def latents(self) -> tuple[str, ...]:
        """What the law says of a run beside its outcome: `upstream`, the loss expected."""
        return () if self.upstream == "loss" else ("upstream",)

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return the loss expected, nat/token; nothing where the loss is an input."""
        return {"upstream": self._loss(theta, x)} if self.latents else {}

    @property
    def _first(self) -> Any:
        """Return the law of the first step; None where the loss is an input."""
        if self.upstream == "loss":
            return None
        if self.upstream == "flops":
            return PowerLaw("flops", reference=self.reference)
        return Chinchilla(tied=self.tied, reference=self.reference)

    @property
    def _first_params(self) -> tuple[Param, ...]:
        """Return its parameters, their priors in units of the losses of the table."""
        first = self._first
        return tuple(upstream_param(p) for p in first.params) if first else ()

    def _loss(self, theta: Theta, x: Inputs) -> Any:
        return self._first(theta, x) if self._first else x["loss"]

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the outcome, a share, at raw counts or at a loss in nat/token."""
        return self.link(theta, self._loss(theta, x))

    def link(self, theta: Theta, loss: Any) -> Any:
        """Return the outcome, a share, of a model of a given loss, nat/token."""
        raise NotImplementedError


def upstream_param(param: Param) -> Param:
    """Take a prior in units of the outcome to be in units of the losses beside another outcome."""
    prior = param.prior
    return replace(param, prior=replace(prior, times=prior.times.replace("_loss", "_upstream")))


@LAWS.register("ladder")
@dataclass(frozen=True)
class Ladder(TwoStep):
    """Accuracy through the loss, ``floor + (ceil - floor) / (1 + e^(k (l - l_mid)))``.

    Parameters
    ----------
    upstream : {"params_tokens", "flops", "loss"}, default "params_tokens"
        What the loss l is a law of: ``E + A / N^alpha + B / D^beta``, ``E + A / C^alpha``, or
        nothing, an input.
    shape : {"logistic", "gompertz"}, default "logistic"
        The link; Gompertz's is ``floor + (ceil - floor) 2^(-e^(k (l - l_mid)))``.
    chance : float, optional
        Accuracy of guessing, such as 0.25 of four choices: the floor is then known. Without it the
        floor has a prior about 0.25.
    reference : tuple of (str, float), optional
        The sizes that inputs are divided by; the means of the training table unless given.

    Notes
    -----
    Parameters are those of the loss, ``floor``, ``ceil``, ``k`` (per nat; normalised accuracy is
    0.82 and 0.18 at 0.3 nats from ``l_mid`` for k = 5) and ``l_mid``, the loss at which accuracy is
    half way. Models that all lie above ``l_mid`` leave `ceil` at its prior.

    Usually fitted with the loss of every run as a second measurement, see `Chained`: what the
    second step is fitted to is the loss measured, so that one run's luck is in both.

    References
    ----------
    Bhagia et al. 2024, arXiv:2412.04403; Dubey et al. 2024 (Llama 3), arXiv:2407.21783.

    Examples
    --------
    >>> from bayes_scaling.laws import Ladder
    >>> law = Ladder("loss", reference=(("loss", 1.0),))
    >>> theta = {"floor": 0.25, "ceil": 0.95, "k": 5.0, "l_mid": 1.0}
    >>> [round(float(law(theta, {"loss": v})), 3) for v in (0.7, 1.0, 1.3)]
    [0.822, 0.6, 0.378]
    """

    upstream: Upstream = "params_tokens"
    shape: Shape = "logistic"
    chance: float | None = None
    reference: Reference | None = None

    name: ClassVar[str] = "ladder"
    outcome: ClassVar[str] = "accuracy"
    known: ClassVar[tuple[str, ...]] = ("chance",)
    tied: ClassVar[bool] = False
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "A in A / N^alpha or A / C^alpha, raw counts"),
        "B": ("nat/token", "B in B / D^beta, D in raw counts"),
    }

    @property
    def usual(self) -> Mapping[str, Any]:
        """Counts of right answers, with the loss beside them where it is no input."""
        return {"name": "chained" if self.latents else "beta_binomial"}

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        middle = Prior.of("LogNormal", median=1.0, sigma=0.2, times="mean_upstream")
        return (
            *self._first_params,
            floor_param(self.chance),
            CEILING,
            Param("k", Prior.of("LogNormal", median=5.0, sigma=0.7), "token/nat",
                  "how steeply accuracy falls with the loss", (1.0, 20.0), "slope"),
            Param("l_mid", middle, "nat/token", "loss at which accuracy is half way", (0.5, 4.0)),
        )  # fmt: skip

    def link(self, theta: Theta, loss: Any) -> Any:
        """Return the accuracy of a model of a given loss, nat/token."""
        xp = namespace(theta, {"loss": loss})
        share = rising(theta["k"] * (theta["l_mid"] - loss), self.shape, xp)
        return theta["floor"] + (theta["ceil"] - theta["floor"]) * share

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return A and B of the loss; the rest is as in the papers."""
        own = {name: theta[name] for name in ("floor", "ceil", "k", "l_mid")}
        return (self._first.to_paper(theta) if self._first else {}) | own

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        own = {name: paper[name] for name in ("floor", "ceil", "k", "l_mid")}
        return (self._first.from_paper(paper) if self._first else {}) | own


BENT = 0.01  # of the error of guessing: below it the line is bent, as no error is negative


@LAWS.register("gadre_error")
@dataclass(frozen=True)
class GadreError(TwoStep):
    """Error averaged over tasks, ``eps - k e^(-gamma L)``: a power law of the perplexity.

    Parameters
    ----------
    upstream : {"loss", "params_tokens", "flops"}, default "loss"
        Whether the loss L is an input, or a law of size and data with one exponent
        (``E + A / N^eta + B / D^eta``, the over-trained law) or of compute.
    chance : float, optional
        Accuracy of guessing, averaged over the tasks: 1 less it is about what `eps` is.
    reference : tuple of (str, float), optional
        The loss, or the sizes, that inputs are counted from; the means of the training table
        unless given.

    Notes
    -----
    Parameters are ``eps``, the error that worse and worse models tend to, ``k0 = eps - Err`` at the
    reference (at the loss expected there, where the loss is a law) and ``gamma``. In the paper's
    own ``k = k0 e^(gamma L0)`` the two are one number (correlation nearly 1). Six models and three
    numbers: `eps` rests on its prior unless weak models are among them.

    The line runs below zero at a loss of ``ln(k / eps) / gamma``; from where a hundredth of `eps`
    is left it is bent to stay above.

    References
    ----------
    Gadre et al. 2024, arXiv:2403.08540, equation 5.

    Examples
    --------
    >>> from bayes_scaling.laws import GadreError
    >>> law = GadreError(reference=(("loss", 3.0),))
    >>> theta = law.from_paper({"eps": 0.857, "k": 2.21, "gamma": 0.715})
    >>> round(float(law(theta, {"loss": 2.5})), 4)
    0.4871
    """

    upstream: Upstream = "loss"
    chance: float | None = None
    reference: Reference | None = None

    name: ClassVar[str] = "gadre_error"
    outcome: ClassVar[str] = "error"
    known: ClassVar[tuple[str, ...]] = ("chance",)
    tied: ClassVar[bool] = True
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "k": ("1", "k in eps - k e^(-gamma L)"),
        "A": ("nat/token", "A in A / N^eta or A / C^alpha, raw counts"),
        "B": ("nat/token", "B in B / D^eta, D in raw counts"),
    }

    @property
    def usual(self) -> Mapping[str, Any]:
        """Scatter of an average, with the loss beside it where it is no input."""
        if self.latents:
            return {"name": "chained", "share": "average_share"}
        return {"name": "average_share"}

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        guess = Prior.of("Beta", a=8, b=2.5)
        if self.chance is not None:
            guess = Prior.of("Beta", a=1 + GUESS_KNOWN * (1 - self.chance),
                             b=1 + GUESS_KNOWN * self.chance)  # fmt: skip
        return (
            *self._first_params,
            Param("eps", guess, "1", "error of models that know nothing", (0.7, 0.9)),
            Param("k0", Prior.of("HalfNormal", scale=0.3), "1",
                  "how far below it the error is at the reference", (0.05, 0.5), "intercept"),
            Param("gamma", Prior.of("LogNormal", median=0.8, sigma=0.4), "token/nat",
                  "how fast that grows as the loss falls", (0.5, 1.2), "slope"),
        )  # fmt: skip

    def _at_reference(self, theta: Theta) -> Any:
        """Return the loss that `k0` is stated at."""
        ref = sizes(self)
        return ref["loss"] if self.upstream == "loss" else self._first(theta, ref)

    def link(self, theta: Theta, loss: Any) -> Any:
        """Return the error of a model of a given loss, nat/token."""
        xp = namespace(theta, {"loss": loss})
        gone = theta["k0"] * xp.exp(theta["gamma"] * (self._at_reference(theta) - loss))
        gone = gone / theta["eps"]
        bent = BENT**2 / (xp.maximum(gone, 1 - BENT) - 1 + 2 * BENT)  # of the same slope there
        return theta["eps"] * (xp.maximum(1 - BENT - gone, 0.0) + bent)

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return k, and A and B of the loss, beside the rest."""
        xp = namespace(theta)
        k = theta["k0"] * xp.exp(theta["gamma"] * self._at_reference(theta))
        out = self._first.to_paper(theta) if self._first else {}
        return out | {"eps": theta["eps"], "k": k, "gamma": theta["gamma"]}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        xp = namespace(paper)
        out = self._first.from_paper(paper) if self._first else {}
        k0 = paper["k"] * xp.exp(-paper["gamma"] * self._at_reference(out))
        return out | {"eps": paper["eps"], "k0": k0, "gamma": paper["gamma"]}
