"""Laws of loss in one variable, everything else being plentiful or optimal.

The plain power law and the one with a floor,

    L = E + a0 e^(-alpha x),  x = ln(X / X0),

one that also levels off where nothing has been learned yet (M4), and one whose slope changes
smoothly at breaks (BNSL). X is the parameters, the tokens, the compute or the steps of a run.
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
from bayes_scaling.laws.joint import FLOOR, SHARE, SLOPE, SLOPE_OF_TOTAL
from bayes_scaling.param import Param, Prior

Variable = Literal["params", "tokens", "flops", "steps"]
WHOLE = Prior.of("LogNormal", median=1.0, sigma=0.3, times="mean_loss")
ALONG_RUN = Prior.of("LogNormal", median=0.5, sigma=0.4)
ALONG = ("tokens", "steps")
HALLEY = 4  # steps: the error is cubed in each, and after three is 2e-11 at any k from 0.05 to 20
FAR = 1e4  # beyond it an exponential has vanished


def _exponent(prior: Prior) -> Param:
    meaning = "exponent of the reducible loss"
    return Param("alpha", prior, "1", meaning, (0.05, 0.6), "slope")


def _intercept(prior: Prior) -> Param:
    meaning = "reducible loss at the reference run"
    return Param("a0", prior, "nat/token", meaning, (0.05, 4.0), "intercept")


class _OfOne(Checked):
    of: Variable

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (self.of,)


class _Falling(_OfOne):
    @property
    def decreasing(self) -> tuple[str, ...]:
        """What may only lower the loss."""
        return (self.of,)


@LAWS.register("power_law")
@dataclass(frozen=True)
class PowerLaw(_Falling):
    """The power law ``L(X) = E + A / X^alpha``, and without a floor ``(X_c / X)^alpha``.

    Parameters
    ----------
    of : {"params", "tokens", "flops", "steps"}, default "flops"
        What X is.
    floor : bool, default True
        Whether there is an irreducible loss E. What is called so belongs to X alone: the loss
        of a model of one size levels off at ``E + A / N^alpha`` of the joint law.
    curve : bool, default False
        Whether rows are checkpoints along runs at a constant learning rate, in `tokens` or `steps`:
        a learning curve falls faster than losses do from run to run, alpha ~ LogNormal(ln 0.5, 0.4)
        (from 30 to 100 % of a run 0.27 to 0.76 of the reducible loss stays, 95 %), and rows of one
        run miss it together (`Clustered`). Several sizes: ``Pooling("size", (("alpha",
        "partial"),))``. Of a run whose rate decays take `Annealing`.
    reference : tuple of (str, float), optional
        The size X0; the geometric mean of the training table unless given.

    Raises
    ------
    SpecError
        A learning curve without a floor, or one that is not along `tokens` or `steps`.

    Notes
    -----
    Parameters are ``E``, ``a0 = A X0^-alpha`` (nats at the reference run) and ``alpha``. The floor
    takes two decades and a threefold change of the reducible loss to be seen; short of that its
    posterior is wide, and that is the answer. Of one learning curve E is where a model of that size
    levels off: `saturation_prior` borrows it from a fit of many sizes.

    References
    ----------
    Kaplan et al. 2020, Scaling Laws for Neural Language Models, arXiv:2001.08361, Table 5;
    Hestness et al. 2017, arXiv:1712.00409; Henighan et al. 2020, arXiv:2010.14701.

    Examples
    --------
    >>> from bayes_scaling.laws import PowerLaw
    >>> law = PowerLaw(of="params", floor=False, reference=(("params", 1e8),))
    >>> theta = law.from_paper({"X_c": 8.8e13, "alpha": 0.076})
    >>> round(float(law(theta, {"params": 1e9})), 4)
    2.3756
    """

    of: Variable = "flops"
    floor: bool = True
    curve: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "power_law"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "A in A / X^alpha, X in raw counts"),
        "X_c": ("as X", "X at which the loss would be one nat"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.curve and (not self.floor or self.of not in ALONG):
            msg = (
                f"a learning curve is along {' or '.join(ALONG)} and levels off: "
                f"PowerLaw('tokens', curve=True); found of={self.of!r}, floor={self.floor}"
            )
            raise SpecError(msg)
        if self.curve:  # abilities are found by looking whether something is there
            seen = {"name": "clustered", "by": "run", "along": self.of}
            object.__setattr__(self, "usual", seen)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        if not self.floor:
            return _intercept(WHOLE), _exponent(SLOPE_OF_TOTAL)
        return FLOOR, _intercept(SHARE), _exponent(ALONG_RUN if self.curve else SLOPE)

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at the raw count ``x[of]``."""
        xp = namespace(theta, x)
        reducible = theta["a0"] * xp.exp(-theta["alpha"] * relative(self, x, self.of, xp))
        return self.irreducible(theta) + reducible

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E; zero where the law has none."""
        return theta["E"] if self.floor else 0.0 * theta["a0"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ``A = a0 X0^alpha``; without a floor ``X_c``, where the loss would be one nat."""
        x0, alpha = sizes(self)[self.of], theta["alpha"]
        if not self.floor:
            return {"X_c": x0 * theta["a0"] ** (1 / alpha), "alpha": alpha}
        return {"E": theta["E"], "A": theta["a0"] * x0**alpha, "alpha": alpha}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from A, or from X_c."""
        x0, alpha = sizes(self)[self.of], paper["alpha"]
        if not self.floor:
            return {"a0": (paper["X_c"] / x0) ** alpha, "alpha": alpha}
        return {"E": paper["E"], "a0": paper["A"] * x0**-alpha, "alpha": alpha}


@LAWS.register("m4")
@dataclass(frozen=True)
class M4(_Falling):
    """The power law between two levels, ``(L - E) / (L_max - L)^k = b X^-alpha``.

    Runs too small to have learned anything stay in the fit, near the ceiling, instead of being cut
    by hand.

    Parameters
    ----------
    of : {"params", "tokens", "flops", "steps"}, default "flops"
        What X is.
    reference : tuple of (str, float), optional
        The size X0; the geometric mean of the training table unless given.

    Notes
    -----
    Parameters are ``E``, ``share = (L(X0) - E) / (L_max - E)``, ``alpha``, ``L_max`` and ``k``.
    Where the ceiling is known, such as ln(vocabulary size), give it the prior
    ``Prior.of("Fixed", value=...)``. k needs runs near the ceiling. With
    ``z = logit((L - E) / (L_max - E))`` the equation reads
    ``ln sigmoid(z) - k ln sigmoid(-z) = t(X)``, whose left side rises with a slope between 1 and k,
    so Newton's method finds z from anywhere.

    References
    ----------
    Alabdulmohsin, Neyshabur, Zhai 2022, arXiv:2209.06640.

    Examples
    --------
    >>> from bayes_scaling.laws import M4
    >>> law = M4(of="tokens", reference=(("tokens", 1e9),))
    >>> theta = {"E": 1.5, "share": 0.5, "alpha": 0.5, "L_max": 10.0, "k": 1.0}
    >>> [round(float(law(theta, {"tokens": d})), 2) for d in (1.0, 1e9, 1e18)]
    [10.0, 5.75, 1.5]
    """

    of: Variable = "flops"
    reference: Reference | None = None

    name: ClassVar[str] = "m4"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_b": ("1", "ln b of the paper's equation, X in raw counts"),
    }

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        top = Prior.of("LogNormal", median=3.0, sigma=0.5, times="mean_loss")
        between = "where the reference run lies between floor (0) and ceiling (1)"
        return (
            FLOOR,
            Param("share", Prior.of("Beta", a=1.5, b=6), "1", between, (0.02, 0.5), "intercept"),
            _exponent(SLOPE),
            Param("L_max", top, "nat/token", "loss of a model that knows nothing", (4.0, 13.0)),
            Param("k", Prior.of("LogNormal", median=1.0, sigma=0.3), "1",
                  "how slowly the ceiling is left", (0.3, 3.0)),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at the raw count ``x[of]``."""
        xp = namespace(theta, x)
        share, k = theta["share"], theta["k"]
        at = xp.log(share) - k * xp.log1p(-share)
        at = at - theta["alpha"] * relative(self, x, self.of, xp)
        z = _above(xp.maximum(xp.minimum(at, FAR), -FAR), k, xp)
        span = theta["L_max"] - theta["E"]
        return theta["E"] + span * xp.exp(-_softplus(-z, xp))

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E."""
        return theta["E"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ``ln b``, with b of the paper's equation, beside the rest."""
        xp = namespace(theta)
        share, k, span = theta["share"], theta["k"], theta["L_max"] - theta["E"]
        log_b = xp.log(share) - k * xp.log1p(-share) + (1 - k) * xp.log(span)
        log_b = log_b + theta["alpha"] * xp.log(sizes(self)[self.of])
        kept = {name: theta[name] for name in ("E", "L_max", "alpha", "k")}
        return {**kept, "log_b": log_b}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from ln b."""
        xp = namespace(paper)
        k, span = paper["k"], paper["L_max"] - paper["E"]
        at = paper["log_b"] - (1 - k) * xp.log(span)
        at = at - paper["alpha"] * xp.log(sizes(self)[self.of])
        kept = {name: paper[name] for name in ("E", "L_max", "alpha", "k")}
        return {**kept, "share": xp.exp(-_softplus(-_above(at, k, xp), xp))}


def _softplus(z: Any, xp: Any) -> Any:
    return xp.maximum(z, 0.0) + xp.log1p(xp.exp(-xp.abs(z)))


def _above(at: Any, k: Any, xp: Any) -> Any:
    """Solve ``ln sigmoid(z) - k ln sigmoid(-z) = at`` for z."""
    z = xp.minimum(at, 0.0) + xp.maximum(at, 0.0) / k
    for _ in range(HALLEY):
        # The sigmoid of z and its logarithms out of one exponential and one logarithm.
        small = xp.exp(-xp.abs(z))
        rest = xp.log1p(small)
        up = 0.5 + 0.5 * xp.sign(z) * (1 - small) / (1 + small)
        error = xp.minimum(z, 0.0) - rest + k * (xp.maximum(z, 0.0) + rest) - at
        slope = 1 - up + k * up
        step = error / slope
        z = z - step / (1 - 0.5 * step * (k - 1) * up * (1 - up) / slope)
    return z


@LAWS.register("bnsl")
@dataclass(frozen=True)
class BrokenPowerLaw(_OfOne):
    """The broken power law ``L(X) = E + b X^-c0 prod_i (1 + (X / d_i)^(1 / f_i))^(-c_i f_i)``.

    Parameters
    ----------
    of : {"params", "tokens", "flops", "steps"}, default "flops"
        What X is.
    breaks : {0, 1, 2}, default 1
        How many; choose by predicting the largest runs from the rest, not by the fit.
    reference : tuple of (str, float), optional
        The size X0; the geometric mean of the training table unless given.

    Notes
    -----
    Parameters are ``E``, ``a0`` (reducible loss at the reference run), ``alpha = c0``, the slope
    before the first break, and per break i ``shift1`` (its place ``ln(d_1 / X0)``, the second at
    ``gap2`` beyond the first), ``bend_i`` (the change of slope c_i) and ``width_i`` (f_i; 0 is a
    kink). A break beyond the data is the prior speaking: nothing here can foresee one.

    References
    ----------
    Caballero et al. 2022, Broken Neural Scaling Laws, arXiv:2210.14891.

    Examples
    --------
    >>> from bayes_scaling.laws import BrokenPowerLaw
    >>> law = BrokenPowerLaw(of="tokens", reference=(("tokens", 1e9),))
    >>> theta = {"E": 1.0, "a0": 1.0, "alpha": 0.1, "shift1": 0.0, "bend1": 0.4, "width1": 0.1}
    >>> round(float(law(theta, {"tokens": 1e9})), 3)
    2.0
    """

    of: Variable = "flops"
    breaks: Literal[0, 1, 2] = 1
    reference: Reference | None = None

    name: ClassVar[str] = "bnsl"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_b": ("1", "ln b of the paper's equation, X in raw counts"),
        "log_d1": ("1", "ln X of the first break, raw counts"),
        "log_d2": ("1", "ln X of the second break, raw counts"),
        "c0": ("1", "slope before the first break"),
        "c1": ("1", "change of slope at the first break"),
        "c2": ("1", "change of slope at the second break"),
        "f1": ("1", "width of the first break"),
        "f2": ("1", "width of the second break"),
    }

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        place = Param("shift1", Prior.of("Normal", loc=0, scale=2), "1",
                      "ln of the break's place, in reference runs", (-5.0, 5.0))  # fmt: skip
        gap = Param("gap2", Prior.of("LogNormal", median=2.0, sigma=0.7), "1",
                    "e-folds from the first break to the second", (0.5, 8.0))  # fmt: skip
        out = [FLOOR, _intercept(SHARE), _exponent(SLOPE)]
        for i in range(1, self.breaks + 1):
            bend = Prior.of("Normal", loc=0, scale=0.3)
            width = Prior.of("LogNormal", median=0.5, sigma=0.7)
            out += [
                place if i == 1 else gap,
                Param(f"bend{i}", bend, "1", f"change of slope at break {i}", (-0.6, 0.6), "slope"),
                Param(f"width{i}", width, "1", f"width of break {i}", (0.1, 2.0)),
            ]
        return tuple(out)

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at the raw count ``x[of]``."""
        xp = namespace(theta, x)
        at = relative(self, x, self.of, xp)
        log = -theta["alpha"] * at
        for place, bend, width in self._breaks(theta):
            rise = _softplus((at - place) / width, xp) - _softplus(-place / width, xp)
            log = log - bend * width * rise
        return theta["E"] + theta["a0"] * xp.exp(log)

    def _breaks(self, theta: Theta) -> list[tuple[Any, Any, Any]]:
        out, place = [], 0.0
        for i in range(1, self.breaks + 1):
            place = place + theta["shift1" if i == 1 else "gap2"]
            out.append((place, theta[f"bend{i}"], theta[f"width{i}"]))
        return out

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the paper's b, c0, and c_i, ``log_d_i``, f_i, with E for its a."""
        xp = namespace(theta)
        log_x0 = xp.log(sizes(self)[self.of])
        out = {"E": theta["E"], "c0": theta["alpha"]}
        log_b = xp.log(theta["a0"]) + theta["alpha"] * log_x0
        for i, (place, bend, width) in enumerate(self._breaks(theta), 1):
            out |= {f"c{i}": bend, f"log_d{i}": place + log_x0, f"f{i}": width}
            log_b = log_b + bend * width * _softplus(-place / width, xp)
        return {**out, "log_b": log_b}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from the paper's."""
        xp = namespace(paper)
        log_x0 = xp.log(sizes(self)[self.of])
        out = {"E": paper["E"], "alpha": paper["c0"]}
        log_a0, before = paper["log_b"] - paper["c0"] * log_x0, log_x0
        for i in range(1, self.breaks + 1):
            bend, width, log_d = paper[f"c{i}"], paper[f"f{i}"], paper[f"log_d{i}"]
            out |= {"shift1" if i == 1 else "gap2": log_d - before, f"bend{i}": bend}
            out[f"width{i}"] = width
            log_a0 = log_a0 - bend * width * _softplus((log_x0 - log_d) / width, xp)
            before = log_d
        return {**out, "a0": xp.exp(log_a0)}


def rates_of(alpha: Any, k: float) -> dict[str, Any]:
    """Return what an exponent says in other words; see `bayes_scaling.rates`."""
    return {
        "per_doubling": 2.0**-alpha,
        "to_halve": 2.0 ** (1 / alpha),
        "dimension": k / alpha,
        "quantized": alpha / (1 + alpha),
    }
