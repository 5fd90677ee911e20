"""Accuracy along compute: a sigmoid, and what a smooth loss makes of exact match.

A task that counts an answer as right when every one of its k tokens is has ``accuracy = p^k``, with
``p = e^(-l)`` of the loss per token: smooth in l, and sharp in accuracy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayes_scaling.errors import SpecError
from bayes_scaling.laws._protocol import (
    LAWS,
    Checked,
    Inputs,
    Reference,
    Theta,
    namespace,
    relative,
    sizes,
)
from bayes_scaling.laws.single import BrokenPowerLaw
from bayes_scaling.laws.tasks import CEILING, FAR, Guessed, Shape, floor_param, rising
from bayes_scaling.param import Param, Prior

DECADE = 2.302585092994046  # ln 10
SUBUNIT = ("E", "a0")  # of the loss, whose priors are of an answer's tokens here


@LAWS.register("sigmoid_compute")
@dataclass(frozen=True)
class SigmoidCompute(Guessed):
    """Accuracy straight from compute, ``floor + (ceil - floor) / (1 + (C_mid / C)^(k / ln 10))``.

    Parameters
    ----------
    shape : {"logistic", "gompertz"}, default "logistic"
        ``1 / (1 + e^(-k m))`` or ``2^(-e^(-k m))`` of ``m = log10(C / C_mid)``.
    chance : float, optional
        Accuracy of guessing: the floor is then known.
    reference : tuple of (str, float), optional
        The compute C0; the geometric mean of the training table unless given.

    Notes
    -----
    Parameters are ``floor``, ``ceil``, ``k`` per decade (10 to 90 % of the way takes ``4.39 / k``
    decades) and ``mid``, the decades from C0 to C_mid. Models that all lie below C_mid
    leave `ceil` at its prior and say of C_mid only that it is larger: what is beyond the data is
    then wide on one side.

    References
    ----------
    Ruan et al. 2024, arXiv:2405.10938; Owen 2024, arXiv:2401.04757.

    Examples
    --------
    >>> from bayes_scaling.laws import SigmoidCompute
    >>> law = SigmoidCompute(reference=(("flops", 1e22),))
    >>> theta = {"floor": 0.25, "ceil": 0.95, "k": 2.0, "mid": 1.0}
    >>> [round(float(law(theta, {"flops": c})), 3) for c in (1e21, 1e23, 1e25)]
    [0.263, 0.6, 0.937]
    """

    shape: Shape = "logistic"
    chance: float | None = None
    reference: Reference | None = None

    name: ClassVar[str] = "sigmoid_compute"
    outcome: ClassVar[str] = "accuracy"
    known: ClassVar[tuple[str, ...]] = ("chance",)
    usual: ClassVar[Mapping[str, Any]] = {"name": "beta_binomial"}
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log10_C_mid": ("log10 FLOP", "compute at which accuracy is half way")
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("flops",)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        return (
            floor_param(self.chance),
            CEILING,
            Param("k", Prior.of("LogNormal", median=2.0, sigma=0.6), "1/decade",
                  "how steeply accuracy rises with compute", (0.7, 6.0), "slope"),
            Param("mid", Prior.of("Normal", loc=1.5, scale=2.0), "decades",
                  "from the reference to the compute at which accuracy is half way", (-2.0, 4.0),
                  "intercept"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the accuracy at ``x["flops"]``, FLOP."""
        xp = namespace(theta, x)
        decades = relative(self, x, "flops", xp) / DECADE - theta["mid"]
        share = rising(theta["k"] * decades, self.shape, xp)
        return theta["floor"] + (theta["ceil"] - theta["floor"]) * share

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return log10 of C_mid, FLOP, beside the rest."""
        kept = {name: theta[name] for name in ("floor", "ceil", "k")}
        xp = namespace(theta)
        return kept | {"log10_C_mid": theta["mid"] + xp.log(sizes(self)["flops"]) / DECADE}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        kept = {name: paper[name] for name in ("floor", "ceil", "k")}
        xp = namespace(paper)
        return kept | {"mid": paper["log10_C_mid"] - xp.log(sizes(self)["flops"]) / DECADE}


@LAWS.register("emergence")
@dataclass(frozen=True)
class Emergence(Checked):
    """Exact match of k tokens, ``e^(-k l(C))``, of a loss per token that is smooth in compute.

    Parameters
    ----------
    breaks : {0, 1}, default 0
        Whether the loss is a power law, under which any jump is the metric's, or one whose slope
        changes once, under which the capability itself may break.
    floor : bool, default False
        Whether the loss per token has a floor, which caps accuracy at ``e^(-k E)``.
    length : float, default 5.0
        Tokens of an answer, about which the prior of k lies.
    reference : tuple of (str, float), optional
        The compute C0; the geometric mean of the training table unless given.

    Notes
    -----
    Parameters are ``k``, those of the loss ``l = E + l0 (C / C0)^-g`` (``a0``, ``alpha``, and where
    asked for ``E`` and the break), per token of the answer. Without floor accuracy is a Gompertz
    curve in ln C, which goes from 5 to 95 % in ``log10(ln 0.05 / ln 0.95) / g = 1.77 / g`` decades
    whatever k is; k moves it by ``ln k / g``. A jump narrower than that is no artefact of the
    metric. Accuracy alone tells the product of k and l0: measure the loss per token of the answers
    too (column `loss`, ``observation=Chained()``), and fit the law with and without a break to
    compare them.

    References
    ----------
    Schaeffer et al. 2023, arXiv:2304.15004; Wei et al. 2022, arXiv:2206.07682; Caballero et al.
    2022 (the break), arXiv:2210.14891.

    Examples
    --------
    >>> from bayes_scaling.laws import Emergence
    >>> law = Emergence(reference=(("flops", 1e22),))
    >>> theta = {"a0": 0.10536, "alpha": 0.2, "k": 30.0}
    >>> round(float(law(theta, {"flops": 1e22})), 4)
    0.0424
    """

    breaks: Literal[0, 1] = 0
    floor: bool = False
    length: float = 5.0
    reference: Reference | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.length < float("inf"):
            msg = f"length: tokens of an answer, a positive number; found {self.length!r}"
            raise SpecError(msg)

    name: ClassVar[str] = "emergence"
    outcome: ClassVar[str] = "accuracy"
    latents: ClassVar[tuple[str, ...]] = ("upstream",)
    known: ClassVar[tuple[str, ...]] = ("length",)
    usual: ClassVar[Mapping[str, Any]] = {"name": "beta_binomial"}
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_b": ("1", "ln of the loss per token beyond E, extrapolated to one FLOP"),
        "c0": ("1", "exponent of the loss before any break"),
        "c1": ("1", "change of that exponent at the break"),
        "log_d1": ("1", "ln of the compute at the break, FLOP"),
        "f1": ("1", "width of the break"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("flops",)

    @property
    def _first(self) -> BrokenPowerLaw:
        return BrokenPowerLaw("flops", breaks=self.breaks, reference=self.reference)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        least = Param("E", Prior.of("HalfNormal", scale=0.1), "nat/token",
                      "loss per token that remains", (0.0, 0.3), "intercept")  # fmt: skip
        return (
            *([least] if self.floor else []),
            Param("a0", Prior.of("LogNormal", median=0.5, sigma=1.0), "nat/token",
                  "loss per token of the answer at the reference", (0.05, 3.0), "intercept"),
            Param("alpha", Prior.of("LogNormal", median=0.15, sigma=0.4), "1",
                  "exponent of that loss in compute", (0.05, 0.4), "slope"),
            *(p for p in self._first.params if p.name not in (*SUBUNIT, "alpha")),
            Param("k", Prior.of("LogNormal", median=self.length, sigma=0.5), "tokens",
                  "tokens that must all be right", (1.0, 50.0)),
        )  # fmt: skip

    def _full(self, theta: Theta) -> dict[str, Any]:
        return {**theta} if self.floor else {**theta, "E": 0.0 * theta["a0"]}

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return the loss per token of the answer, nats."""
        return {"upstream": self._first(self._full(theta), x)}

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the accuracy at ``x["flops"]``, FLOP."""
        return self.link(theta, self.latent(theta, x)["upstream"])

    def link(self, theta: Theta, loss: Any) -> Any:
        """Return the accuracy at a loss per token of the answer, nats."""
        xp = namespace(theta, {"loss": loss})
        return xp.exp(-xp.minimum(theta["k"] * loss, FAR))

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the loss as papers write it, and k."""
        out = self._first.to_paper(self._full(theta)) | {"k": theta["k"]}
        return out if self.floor else {name: v for name, v in out.items() if name != "E"}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        full = paper if self.floor else {**paper, "E": 0.0}
        out = self._first.from_paper(full) | {"k": paper["k"]}
        return out if self.floor else {name: v for name, v in out.items() if name != "E"}
