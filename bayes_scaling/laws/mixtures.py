"""Laws of the loss in the mixture of the training data: shares of domains, which sum to one."""

import functools
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
from bayes_scaling.laws.joint import FLOOR as FLOOR_OF_ALL
from bayes_scaling.laws.joint import INPUTS as SIZES
from bayes_scaling.laws.joint import NOTHING, SHARE, SLOPE, exponent_param, intercept_param
from bayes_scaling.param import Param, Prior

FLOOR = FLOOR_OF_ALL.prior
PURE = Prior.of("LogNormal", median=0.3, sigma=1.0, times="mean_loss")
GAIN = Prior.of("LogNormal", median=1.0, sigma=0.65)  # nearly softplus of Normal(0.5, 1)
MIXED = Prior.of("LogNormal", median=0.15, sigma=1.0, times="mean_loss")
GAMMA = Prior.of("LogNormal", median=0.5, sigma=0.5)
TILT = Prior.of("Normal", loc=0.0, scale=0.15)
LEAST = 1e-30  # share whose logarithm is still taken
TERMS = (("u", "a0", "alpha", "params"), ("v", "b0", "beta", "tokens"))


def domains_of(given: Any) -> tuple[str, ...]:
    """Return the share columns of a law of mixtures, or say what is wrong with them."""
    names = (given,) if isinstance(given, str) else tuple(given)
    fine = len(names) > 1 and len(set(names)) == len(names)
    if not fine or not all(isinstance(n, str) and n for n in names):
        msg = (
            f"domains: two or more distinct columns of shares are wanted, such as "
            f"('web', 'code', 'books'); found {given!r}"
        )
        raise SpecError(msg)
    return names


@LAWS.register("mixing_exp")
@dataclass(frozen=True)
class MixingExp:
    """The exponential mixing law ``L(r) = c + k exp(sum_j t_j r_j)`` of one validation set.

    Parameters
    ----------
    domains : tuple of str, default ("p1", "p2")
        The columns that hold the shares r_j of the training domains; they sum to one.
    own : str, optional
        The training domain that the validation set is of: a model of it alone is then better there
        than one of the others in equal parts, in every draw.
    reference : tuple of (str, float), optional
        The mean shares of the training table unless given. The equation does not read them.

    Raises
    ------
    SpecError
        Fewer than two domains, one twice, or `own` is none of them.

    Notes
    -----
    As shares sum to one, ``(ln k - u, t + u)`` is the same law for any u. Parameters here have no
    such freedom: ``c``, the loss that no mixture removes, and ``pure_j``, the reducible loss after
    training on domain j alone (its logarithm is tau_j = ln k + t_j),

        ln(L - c) = sum_j r_j ln pure_j.

    With `own` the domain itself has ``gain`` > 0 instead, ``ln pure_own = mean_j ln pure_j - gain``
    over the others. `to_paper` gives k and t_j in the gauge in which the t_j sum to zero.

    Several validation sets, each a group of a pooled model, have parameters of their own:
    `by_validation` makes the table, ``Pooling("validation", modes)`` the model. An optimum at
    shares far from all that were trained is an extrapolation of the exponential.

    References
    ----------
    Ye et al. 2024, Data Mixing Laws: Optimizing Data Mixtures by Predicting Language Modeling
    Performance, arXiv:2403.16952.

    Examples
    --------
    >>> from bayes_scaling.laws import MixingExp
    >>> law = MixingExp(("web", "code"), reference=(("web", 0.5), ("code", 0.5)))
    >>> theta = {"c": 1.5, "pure_web": 2.0, "pure_code": 0.5}
    >>> float(law(theta, {"web": 1.0, "code": 0.0})), float(law(theta, {"web": 0.5, "code": 0.5}))
    (3.5, 2.5)
    >>> {k: round(float(v), 3) for k, v in law.to_paper(theta).items()}
    {'c': 1.5, 'k': 1.0, 't_web': 0.693, 't_code': -0.693}
    """

    domains: tuple[str, ...] = ("p1", "p2")
    own: str | None = None
    reference: Reference | None = None

    name: ClassVar[str] = "mixing_exp"
    outcome: ClassVar[str] = "loss"

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", domains_of(self.domains))
        if self.own is not None and self.own not in self.domains:
            msg = f"own: {self.own!r} is none of the domains {', '.join(self.domains)}"
            raise SpecError(msg)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return self.domains

    @property
    def shares(self) -> tuple[str, ...]:
        """The inputs that sum to one."""
        return self.domains

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """What every share may be."""
        return dict.fromkeys(self.domains, (0.0, 1.0))

    @property
    def derived(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of the paper's parameters."""
        t = {f"t_{d}": ("1", f"slope of ln(L - c) in {d}; all sum to zero") for d in self.domains}
        return {"k": ("nat/token", "reducible loss of equal shares"), **t}

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        out = [Param("c", FLOOR, "nat/token", "loss that no mixture removes", (1.0, 3.0),
                     "intercept")]  # fmt: skip
        for d in self.domains:
            if d != self.own:
                of = f"reducible loss after training on {d} alone"
                out.append(Param(f"pure_{d}", PURE, "nat/token", of, (0.2, 2.0), "intercept"))
        if self.own is not None:
            of = f"ln of the reducible loss of the others alike over that of {self.own} alone"
            out.append(Param("gain", GAIN, "1", of, (0.3, 3.0)))
        return tuple(out)

    def levels(self, theta: Theta) -> dict[str, Any]:
        """Return tau_j, ln of the reducible loss after training on each domain alone."""
        xp = namespace(theta)
        tau = {d: xp.log(theta[f"pure_{d}"]) for d in self.domains if d != self.own}
        if self.own is not None:
            tau[self.own] = sum(tau.values()) / len(tau) - theta["gain"]
        return {d: tau[d] for d in self.domains}

    def _reducible(self, tau: Mapping[str, Any], x: Inputs) -> Any:
        return namespace(tau, x).exp(sum(tau[d] * x[d] for d in self.domains))

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at shares of the domains."""
        return theta["c"] + self._reducible(self.levels(theta), x)

    def slopes(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return the derivative of the loss in every share, nat/token."""
        tau = self.levels(theta)
        left = self._reducible(tau, x)
        return {d: tau[d] * left for d in self.domains}

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return c, k and the t_j, which sum to zero."""
        tau = self.levels(theta)
        middle = sum(tau.values()) / len(tau)
        k = namespace(tau).exp(middle)
        return {"c": theta["c"], "k": k, **{f"t_{d}": tau[d] - middle for d in self.domains}}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters from c, k and the t_j, in whatever gauge."""
        xp = namespace(paper)
        tau = {d: xp.log(paper["k"]) + paper[f"t_{d}"] for d in self.domains}
        rest = [d for d in self.domains if d != self.own]
        out = {"c": paper["c"], **{f"pure_{d}": xp.exp(tau[d]) for d in rest}}
        if self.own is not None:
            out["gain"] = sum(tau[d] for d in rest) / len(rest) - tau[self.own]
        return out


@LAWS.register("mixing_scale")
@dataclass(frozen=True)
class MixingScale(Checked):
    """A mixing law along scale, ``L(h, N, D) = E + M(h) + A(h) / N^alpha + B(h) / D^beta``.

    Parameters
    ----------
    domains : tuple of str, default ("p1", "p2")
        The columns that hold the shares h_j of the training domains; they sum to one.
    joint : bool, default False
        Whether A and B depend on the mixture too, so that the best one moves with scale; without,
        it is the same at every scale.
    term : {"power", "exp"}, default "power"
        The mixture's own term: ``M = 1 / sum_j C_j h_j^gamma_j`` of Shukor et al., or
        ``M = exp(sum_j h_j ln pure_j)``, the exponential law of Ye et al.
    reference : tuple of (str, float), optional
        The sizes N0 and D0, geometric means of the training table, and its mean shares.

    Raises
    ------
    SpecError
        Fewer than two domains, one twice, or a term that is not known.

    Notes
    -----
    Parameters are ``E``; ``pure_j``, M of domain j alone, which is ``1 / C_j``; with "power" the
    exponents ``gamma_j``; ``a0`` and ``b0``, nats at the reference run, ``alpha`` and ``beta`` as
    of `Chinchilla`. With `joint` also ``u_j`` and ``v_j``: ``ln A(h) = ln A + sum_j u_j h_j``,
    where a0 belongs to the mean mixture, and likewise B and v. One number added to all u_j changes
    no loss; their prior, Normal(0, 0.15), says that a change from one pure domain to another moves
    A by a factor 0.66 to 1.52 (95 %). Each scale needs two mixtures more than there are domains.

    M is convex in the mixture where no gamma is above 1, and then so is the loss. The paper's joint
    law has another A(h); this one has as many numbers as domains.

    References
    ----------
    Shukor et al. 2025, Scaling Laws for Optimal Data Mixtures, arXiv:2507.09404; Ye et al. 2024,
    arXiv:2403.16952.

    Examples
    --------
    >>> from bayes_scaling.laws import MixingScale
    >>> sizes = (("web", 0.5), ("code", 0.5), ("params", 1e9), ("tokens", 2e10))
    >>> law = MixingScale(("web", "code"), term="exp", reference=sizes)
    >>> theta = {"E": 1.5, "pure_web": 0.5, "pure_code": 0.5, "a0": 0.3, "b0": 0.3, "alpha": 0.3,
    ...          "beta": 0.3}
    >>> round(float(law(theta, {"web": 0.9, "code": 0.1, "params": 1e9, "tokens": 2e10})), 6)
    2.6
    """

    domains: tuple[str, ...] = ("p1", "p2")
    joint: bool = False
    term: Literal["power", "exp"] = "power"
    reference: Reference | None = None

    name: ClassVar[str] = "mixing_scale"
    outcome: ClassVar[str] = "loss"
    decreasing: ClassVar[tuple[str, ...]] = SIZES

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "domains", domains_of(self.domains))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (*self.domains, *SIZES)

    @property
    def shares(self) -> tuple[str, ...]:
        """The inputs that sum to one."""
        return self.domains

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """What every share may be."""
        return dict.fromkeys(self.domains, (0.0, 1.0))

    @property
    def derived(self) -> Mapping[str, tuple[str, str]]:
        """Unit and meaning of the paper's parameters."""
        c = {f"C_{d}": ("token/nat", f"C of {d} in M = 1 / sum C h^gamma") for d in self.domains}
        return {
            **(c if self.term == "power" else {}),
            "A": ("nat/token", "A in A exp(sum u h) / N^alpha, N in raw counts"),
            "B": ("nat/token", "B in B exp(sum v h) / D^beta, D in raw counts"),
        }

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        out = [FLOOR_OF_ALL]
        for d in self.domains:
            of = f"loss owed to the mixture after training on {d} alone"
            out.append(Param(f"pure_{d}", MIXED, "nat/token", of, (0.1, 1.0), "intercept"))
        if self.term == "power":
            for d in self.domains:
                of = f"exponent of the share of {d}"
                out.append(Param(f"gamma_{d}", GAMMA, "1", of, (0.2, 1.0), "slope"))
        out += [intercept_param("a0", "parameters", SHARE), intercept_param("b0", "tokens", SHARE)]
        out += [
            exponent_param("alpha", "parameters", SLOPE),
            exponent_param("beta", "tokens", SLOPE),
        ]
        for letter, of in (("u", "size"), ("v", "data")) * self.joint:
            for d in self.domains:
                moves = f"how ln of the loss owed to finite {of} moves with the share of {d}"
                out.append(Param(f"{letter}_{d}", TILT, "1", moves, (-0.3, 0.3), "slope"))
        return tuple(out)

    def _mixed(self, theta: Theta, x: Inputs) -> tuple[Any, dict[str, Any]]:
        """Return M, and its derivative in every share."""
        xp = namespace(theta, x)
        if self.term == "exp":
            tau = {d: xp.log(theta[f"pure_{d}"]) for d in self.domains}
            mixed = xp.exp(sum(tau[d] * x[d] for d in self.domains))
            return mixed, {d: tau[d] * mixed for d in self.domains}
        log = {d: xp.log(xp.maximum(x[d], LEAST)) for d in self.domains}
        pure = {d: xp.log(theta[f"pure_{d}"]) for d in self.domains}
        gamma = {d: theta[f"gamma_{d}"] for d in self.domains}
        # In units of the largest, no term of the sum overflows; of no share it is nothing at all.
        each = {d: gamma[d] * (log[d] + NOTHING * (x[d] <= 0)) - pure[d] for d in self.domains}
        top = functools.reduce(xp.maximum, each.values())
        mixed = xp.exp(-top) / sum(xp.exp(v - top) for v in each.values())
        slopes = {
            d: -(mixed**2) * gamma[d] * xp.exp((gamma[d] - 1) * log[d] - pure[d])
            for d in self.domains
        }
        return mixed, slopes

    def _tilt(self, theta: Theta, letter: str, x: Inputs) -> Any:
        """Return by how much ln A or ln B at a mixture is above that at the reference."""
        ref = sizes(self)
        return sum(theta[f"{letter}_{d}"] * (x[d] - ref[d]) for d in self.domains)

    def _terms(self, theta: Theta, x: Inputs) -> list[tuple[str, Any]]:
        xp, out = namespace(theta, x), []
        for letter, amplitude, power, name in TERMS:
            log = xp.log(theta[amplitude]) - theta[power] * relative(self, x, name, xp)
            out.append((letter, xp.exp(log + self._tilt(theta, letter, x) if self.joint else log)))
        return out

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at shares of the domains, `params` and `tokens`."""
        return theta["E"] + self._mixed(theta, x)[0] + sum(v for _, v in self._terms(theta, x))

    def slopes(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return the derivative of the loss in every share, nat/token."""
        slopes = self._mixed(theta, x)[1]
        for letter, value in self._terms(theta, x) if self.joint else ():
            slopes = {d: s + theta[f"{letter}_{d}"] * value for d, s in slopes.items()}
        return slopes

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return A, B and, of the power term, the C_j beside the rest."""
        xp, ref = namespace(theta), sizes(self)
        kept = [p.name for p in self.params if p.name not in ("a0", "b0")]
        if self.term == "power":
            kept = [n for n in kept if not n.startswith("pure_")]
        out = {n: theta[n] for n in kept}
        if self.term == "power":
            out |= {f"C_{d}": 1 / theta[f"pure_{d}"] for d in self.domains}
        for (letter, amplitude, power, name), called in zip(TERMS, "AB", strict=True):
            log = xp.log(theta[amplitude]) + theta[power] * xp.log(ref[name])
            if self.joint:
                log = log + self._tilt(theta, letter, dict.fromkeys(self.domains, 0.0))
            out[called] = xp.exp(log)
        return out

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        xp, ref = namespace(paper), sizes(self)
        out: dict[str, Any] = {}
        for (letter, amplitude, power, name), called in zip(TERMS, "AB", strict=True):
            log = xp.log(paper[called]) - paper[power] * xp.log(ref[name])
            if self.joint:
                log = log - self._tilt(paper, letter, dict.fromkeys(self.domains, 0.0))
            out[amplitude] = xp.exp(log)
        if self.term == "power":
            out |= {f"pure_{d}": 1 / paper[f"C_{d}"] for d in self.domains}
        return {p.name: out[p.name] if p.name in out else paper[p.name] for p in self.params}
