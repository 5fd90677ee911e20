"""Joint laws of loss in parameters and tokens: the additive law and its nested family.

Everything here is one equation,

    L = E + ((a0 e^(-alpha n))^(1/q) + (b0 e^(-beta d))^(1/q))^q,
    n = ln(N / N0),  d = ln(D / D0),

with q = 1 the additive law of Rosenfeld et al. (2019, arXiv:1909.12673) and Hoffmann et al.
(2022, arXiv:2203.15556), and E = 0, q = beta Kaplan's joint law (2020, arXiv:2001.08361).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative, sizes
from bayes_scaling.param import Param, Prior

FLOOR = Param(
    "E",
    Prior.of("Beta", a=4, b=2, times="min_loss"),
    "nat/token",
    "irreducible loss: what no size and no amount of data removes",
    (1.4, 1.9),
    "intercept",
)
SHARE = Prior.of("LogNormal", median=0.15, sigma=0.8, times="mean_loss")
WHOLE = Prior.of("LogNormal", median=0.8, sigma=0.4, times="mean_loss")
SLOPE = Prior.of("LogNormal", median=0.3, sigma=0.5)
SLOPE_OF_TOTAL = Prior.of("LogNormal", median=0.08, sigma=0.5)
INPUTS = ("params", "tokens")
OF_OPTIMUM = ("1", "exponent of the optimal size, N* ~ C^a")
LEAST, NEVER = 1e-300, 1e4  # the least positive number; the logarithm of an infinity
NOTHING = -1e30  # logarithm of a term that has vanished; float32 holds it too


class Surface(NamedTuple):
    """The numbers of the equation; None: no floor `E`, or the plain sum that is q = 1."""

    E: Any
    a0: Any
    b0: Any
    alpha: Any
    beta: Any
    q: Any


def loss_of(s: Surface, n: Any, d: Any, xp: Any) -> Any:
    """Evaluate the equation above."""
    floor = 0.0 if s.E is None else s.E
    if s.q is None:  # two positive terms: their sum needs no logarithm to be exact
        return floor + s.a0 * xp.exp(-s.alpha * n) + s.b0 * xp.exp(-s.beta * d)
    u = xp.maximum((xp.log(s.a0) - s.alpha * n) / s.q, NOTHING)
    v = xp.maximum((xp.log(s.b0) - s.beta * d) / s.q, NOTHING)
    # ln(e^u + e^v) by hand: logaddexp looks after infinities, at four times the price.
    reducible = xp.maximum(u, v) + xp.log1p(xp.exp(-xp.abs(u - v)))
    return floor + xp.exp(s.q * reducible)


def _evaluate(law: Any, s: Surface, x: Inputs) -> Any:
    xp = namespace({"a0": s.a0}, x)
    return loss_of(s, relative(law, x, "params", xp), relative(law, x, "tokens", xp), xp)


def _optimum(law: Any, s: Surface, product: Any) -> tuple[Any, Any]:
    # On n + d = k the derivative vanishes where alpha u^(1/q) = beta v^(1/q), u and v the terms.
    xp = namespace({"a0": s.a0, "product": product})
    ref = sizes(law)
    k = xp.log(product) - xp.log(ref["params"]) - xp.log(ref["tokens"])
    n = size_fed(s, k, xp) * s.alpha / (s.alpha + s.beta)
    return xp.exp(n) * ref["params"], xp.exp(k - n) * ref["tokens"]


def size_fed(s: Surface, d: Any, xp: Any) -> Any:
    """Return ln(N / N0) of the size whose compute-optimal data are at ``d = ln(D / D0)``."""
    q = 1.0 if s.q is None else s.q
    lead = xp.log(s.a0) - xp.log(s.b0) + q * (xp.log(s.alpha) - xp.log(s.beta))
    return (lead + s.beta * d) / s.alpha


def _tokens_to(law: Any, s: Surface, loss: Any, params: Any) -> Any:
    # v^(1/q) = (L - E)^(1/q) - u^(1/q), v the data's term, in logs.
    xp = namespace({"a0": s.a0, "loss": loss, "params": params})
    reducible = loss if s.E is None else loss - s.E
    q = 1.0 if s.q is None else s.q
    u = (xp.log(s.a0) - s.alpha * relative(law, {"params": params}, "params", xp)) / q
    total = xp.log(xp.maximum(reducible, LEAST)) / q
    with np.errstate(over="ignore"):  # to infinity, where no data are enough
        left = -xp.expm1(u - total)  # the share of the reducible loss that is left to the data
        log_v = q * (total + xp.log(xp.maximum(left, LEAST)))
        never = NEVER * ((left <= 0) | (reducible <= 0))
        return xp.exp((xp.log(s.b0) - log_v) / s.beta + never) * sizes(law)["tokens"]


def intercept_param(name: str, of: str, prior: Prior) -> Param:
    """Return what a term is at the reference run."""
    meaning = f"loss owed to finite {of} at the reference run"
    return Param(name, prior, "nat/token", meaning, (0.05, 1.0), "intercept")


def exponent_param(name: str, of: str, prior: Prior) -> Param:
    """Return how fast a term falls."""
    return Param(name, prior, "1", f"exponent of the reducible loss in {of}", (0.08, 0.6), "slope")


@LAWS.register("chinchilla")
@dataclass(frozen=True)
class Chinchilla:
    """The additive joint law ``L(N, D) = E + A / N^alpha + B / D^beta`` and its nested form.

    Parameters
    ----------
    tied : bool, default False
        One exponent for both terms (``alpha = beta``), as in Gadre et al. and Muennighoff et al.
    floor : bool, default True
        Whether there is an irreducible loss E.
    nested : bool, default False
        Whether the two terms add as ``(u^(1/q) + v^(1/q))^q`` with q a parameter; q = 1 is the
        additive law, q -> 0 the larger term alone. Needs runs with very unequal ``D / N``.
    reference : tuple of (str, float), optional
        The sizes N0 and D0; the geometric means of the training table unless given.

    Notes
    -----
    Parameters are ``E``, ``a0 = A N0^-alpha``, ``b0 = B D0^-beta`` (nats at the reference run),
    ``alpha``, ``beta`` and, when nested, ``q``.

    References
    ----------
    Hoffmann et al. 2022, Training Compute-Optimal Large Language Models, arXiv:2203.15556;
    Besiroglu et al. 2024, Chinchilla Scaling: A replication attempt, arXiv:2404.10102;
    Gadre et al. 2024, arXiv:2403.08540 (tied exponents).

    Examples
    --------
    >>> from bayes_scaling.laws import Chinchilla
    >>> law = Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> theta = law.from_paper(
    ...     {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658})
    >>> round(float(law(theta, {"params": 70e9, "tokens": 1.4e12})), 4)
    1.9739
    """

    tied: bool = False
    floor: bool = True
    nested: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "chinchilla"
    outcome: ClassVar[str] = "loss"
    decreasing: ClassVar[tuple[str, ...]] = INPUTS
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "A in A / N^alpha, N in raw counts"),
        "B": ("nat/token", "B in B / D^beta, D in raw counts"),
        "a": OF_OPTIMUM,
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        intercept, slope = (SHARE, SLOPE) if self.floor else (WHOLE, SLOPE_OF_TOTAL)
        out = [FLOOR] if self.floor else []
        out += [
            intercept_param("a0", "parameters", intercept),
            intercept_param("b0", "tokens", intercept),
        ]
        out += [exponent_param("alpha", "both" if self.tied else "parameters", slope)]
        out += [] if self.tied else [exponent_param("beta", "tokens", slope)]
        if self.nested:
            prior = Prior.of("LogNormal", median=1.0 if self.floor else 0.1,
                             sigma=0.7 if self.floor else 0.3)  # fmt: skip
            out += [Param("q", prior, "1", "how the two terms add; 1 is a sum", (0.05, 1.5))]
        return tuple(out)

    def _surface(self, theta: Theta) -> Surface:
        return Surface(
            theta["E"] if self.floor else None,
            theta["a0"],
            theta["b0"],
            theta["alpha"],
            theta["alpha" if self.tied else "beta"],
            theta["q"] if self.nested else None,
        )

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]`` and ``x["tokens"]``, raw counts."""
        return _evaluate(self, self._surface(theta), x)

    def optimum(self, theta: Theta, product: Any) -> tuple[Any, Any]:
        """Return the `params` and `tokens` of least loss with ``params * tokens = product``."""
        return _optimum(self, self._surface(theta), product)

    def tokens_to(self, theta: Theta, loss: Any, params: Any) -> Any:
        """Return the tokens with which models of `params` reach `loss`; inf where none do."""
        return _tokens_to(self, self._surface(theta), loss, params)

    def exponent(self, theta: Theta) -> Any:
        """Return ``a = beta / (alpha + beta)``: the optimum N* grows as C^a."""
        s = self._surface(theta)
        return s.beta / (s.alpha + s.beta)

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E; zero where the law has none."""
        return theta["E"] if self.floor else 0.0 * theta["a0"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ``A = a0 N0^alpha`` and ``B = b0 D0^beta`` beside the rest."""
        ref, s = sizes(self), self._surface(theta)
        out = {k: theta[k] for k in ("E", "alpha", "beta", "q") if k in theta}
        return out | {"A": s.a0 * ref["params"] ** s.alpha, "B": s.b0 * ref["tokens"] ** s.beta}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from A and B."""
        ref = sizes(self)
        out = {k: paper[k] for k in ("E", "alpha", "beta", "q") if k in paper}
        beta = paper["alpha" if self.tied else "beta"]
        return out | {
            "a0": paper["A"] * ref["params"] ** -paper["alpha"],
            "b0": paper["B"] * ref["tokens"] ** -beta,
        }


class Scaled:
    """A law of power terms that papers write as ``(X_c / X)^alpha_X``, with or without a floor E.

    `terms` says per term: the input, its amplitude and exponent here, X_c and alpha_X there.
    """

    floor: bool
    terms: ClassVar[tuple[tuple[str, str, str, str, str], ...]]

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E; zero where the law has none."""
        return theta["E"] if self.floor else 0.0 * theta[self.terms[0][1]]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the paper's scales and exponents, and E where there is one."""
        ref = sizes(self)  # pyright: ignore
        out = {"E": theta["E"]} if self.floor else {}
        for name, amplitude, exponent, scale, called in self.terms:
            out[scale] = ref[name] * theta[amplitude] ** (1 / theta[exponent])
            out[called] = theta[exponent]
        return out

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        ref = sizes(self)  # pyright: ignore
        out = {"E": paper["E"]} if self.floor else {}
        for name, amplitude, exponent, scale, called in self.terms:
            out[amplitude] = (paper[scale] / ref[name]) ** paper[called]
            out[exponent] = paper[called]
        return out


@LAWS.register("kaplan_nd")
@dataclass(frozen=True)
class KaplanND(Scaled):
    """Kaplan's joint law ``L(N, D) = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D``.

    Parameters
    ----------
    floor : bool, default False
        Whether an irreducible loss E is added, which the paper does not do.
    reference : tuple of (str, float), optional
        The sizes N0 and D0; the geometric means of the training table unless given.

    Notes
    -----
    The nested law with ``q = beta``. Parameters are ``a0 = (N_c / N0)^alpha``,
    ``b0 = (D_c / D0)^beta``, ``alpha = alpha_N`` and ``beta = alpha_D``.

    References
    ----------
    Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv:2001.08361, Table 2.

    Examples
    --------
    >>> from bayes_scaling.laws import KaplanND
    >>> law = KaplanND(reference=(("params", 1e8), ("tokens", 1e9)))
    >>> theta = law.from_paper({"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103})
    >>> round(float(law(theta, {"params": 1e9, "tokens": 1e10})), 5)
    2.41965
    """

    floor: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "kaplan_nd"
    outcome: ClassVar[str] = "loss"
    decreasing: ClassVar[tuple[str, ...]] = INPUTS
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "N_c": ("params", "N at which the N-term alone is one nat"),
        "D_c": ("tokens", "D at which the D-term alone is one nat"),
        "alpha_N": ("1", "Kaplan's alpha_N"),
        "alpha_D": ("1", "Kaplan's alpha_D"),
        "a": OF_OPTIMUM,
    }
    terms = (
        ("params", "a0", "alpha", "N_c", "alpha_N"),
        ("tokens", "b0", "beta", "D_c", "alpha_D"),
    )

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        intercept, slope = (SHARE, SLOPE) if self.floor else (WHOLE, SLOPE_OF_TOTAL)
        return (
            *([FLOOR] if self.floor else []),
            intercept_param("a0", "parameters", intercept),
            intercept_param("b0", "tokens", intercept),
            exponent_param("alpha", "parameters", slope),
            exponent_param("beta", "tokens", slope),
        )

    def _surface(self, theta: Theta) -> Surface:
        E = theta["E"] if self.floor else None
        return Surface(E, theta["a0"], theta["b0"], theta["alpha"], theta["beta"], theta["beta"])

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]`` and ``x["tokens"]``, raw counts."""
        return _evaluate(self, self._surface(theta), x)

    def optimum(self, theta: Theta, product: Any) -> tuple[Any, Any]:
        """Return the `params` and `tokens` of least loss with ``params * tokens = product``."""
        return _optimum(self, self._surface(theta), product)

    def tokens_to(self, theta: Theta, loss: Any, params: Any) -> Any:
        """Return the tokens with which models of `params` reach `loss`; inf where none do."""
        return _tokens_to(self, self._surface(theta), loss, params)

    def exponent(self, theta: Theta) -> Any:
        """Return ``a = beta / (alpha + beta)``: the optimum N* grows as C^a."""
        return theta["beta"] / (theta["alpha"] + theta["beta"])
