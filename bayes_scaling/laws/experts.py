"""Losses of routed models against size and number of experts, at a fixed number of tokens.

Everything here is one equation, in the decades ``n = log10(N / N0)`` of size and
``e = log10(E_hat(E) / E_start)`` of effective experts,

    L = floor + a0 10^(-s n - gain e),   s = max(alpha - fade e, alpha / 10),
    1 / E_hat = 1 / (E - 1 + 1 / (1 / E_start - 1 / E_max)) + 1 / E_max,

without floor the bilinear law of Clark et al. (2022, arXiv:2202.01169). A dense model has ``e = 0``
whatever the router: its loss is ``floor + a0 (N / N0)^-alpha``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, sizes
from bayes_scaling.laws.coupled import FADING, FEWEST, HIDDEN, LARGEST, LEAST, STEEPER
from bayes_scaling.laws.joint import FLOOR, NEVER, SHARE, SLOPE, WHOLE
from bayes_scaling.param import Param, Prior

EXPERTS = "experts"
INPUTS = ("params", EXPERTS)
RANGES: Mapping[str, tuple[float, float]] = {EXPERTS: (1.0, np.inf)}
START = Param("start", Prior.of("LogNormal", median=1.0, sigma=0.8), "experts",
              "E_start - 1: how many experts it takes before routing helps", (0.5, 4.0),
              apart=0.5)  # fmt: skip
SPAN = Param("span", Prior.of("LogNormal", median=350.0, sigma=0.7), "experts",
             "E_max - E_start: how many experts before more of them stop helping", (150.0, 600.0),
             apart=0.3)  # fmt: skip
DECADE = np.log(10.0)
TINY = 1e-30
EDGE_BY_HAND = 0.5 * DECADE  # past the reference, where no table said where its largest runs lie


def decades_of_experts(theta: Theta, experts: Any) -> Any:
    """Return ``log10(E_hat / E_start)``: 0 for a dense model, at most ``log10(E_max / E_start)``.

    `theta` holds ``start = E_start - 1`` and ``span = E_max - E_start``.
    """
    xp = namespace(theta, {EXPERTS: experts})
    first = 1 + theta["start"]
    most = first + theta["span"]
    # 1 / (1 / E_start - 1 / E_max), without the difference of two numbers that are nearly equal
    dense = first * most / theta["span"]
    return -xp.log(first * (1 / (experts - 1 + dense) + 1 / most)) / DECADE


@LAWS.register("clark_moe")
@dataclass(frozen=True)
class ClarkMoE:
    """Clark et al.'s law of routed models: the gain of experts fades as models grow.

    ``log10 L = a log10 N + b log10 E_hat + c log10 N log10 E_hat + d``.

    Parameters
    ----------
    floor : bool, default False
        Whether the equation is of the loss above a floor E, which the paper's is not.
    reference : tuple of (str, float), optional
        The size N0; the geometric mean of the training table unless given. Experts are counted from
        the dense model, and a reference number of them is not read.

    Notes
    -----
    `params` are active: what one token passes through (of Clark et al.'s table, `params_dense`);
    `experts` are those of a routed layer, 1 for a dense model. All runs are of equally many tokens.

    Parameters are ``a0``, the dense model's loss at N0, above the floor where there is one;
    ``alpha``, its exponent; ``gain``, the exponent of the loss in effective experts at N0;
    ``fade``, c: how much of either a decade of the other takes away; ``start = E_start - 1`` and
    ``span = E_max - E_start``. Logarithms are to base 10, as in the paper. No number of experts
    takes more than nine tenths of alpha, so that size never hurts: nothing that was ever fitted
    comes near that.

    The dense law is the same for every router: pool over routers with `a0` and `alpha` shared, and
    give the dense runs once, under any of them.

    References
    ----------
    Clark et al. 2022, Unified Scaling Laws for Routed Language Models, arXiv:2202.01169, Table 3.

    Examples
    --------
    >>> from bayes_scaling.laws import ClarkMoE
    >>> law = ClarkMoE(reference=(("params", 1e8),))
    >>> theta = law.from_paper({"a": -0.082, "b": -0.108, "c": 0.009, "d": 1.104,
    ...                         "E_start": 1.847, "E_max": 314.478})
    >>> [round(float(law(theta, {"params": 1.3e8, "experts": e})), 3) for e in (1, 64)]
    [2.687, 2.389]
    """

    floor: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "clark_moe"
    outcome: ClassVar[str] = "loss"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = RANGES
    decreasing: ClassVar[tuple[str, ...]] = ("params",)
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "a": ("1", "power of N at one effective expert, base-10 logs"),
        "b": ("1", "power of effective experts at N = 1, raw counts, base-10 logs"),
        "c": ("1", "interaction of both, per decade of each"),
        "d": ("1", "log10 of the loss at N = 1 and one effective expert, in nat/token"),
        "E_start": ("experts", "effective experts of a dense model"),
        "E_max": ("experts", "effective experts that no number of them goes above"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        return parameters(self.floor)

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]``, active, and ``x["experts"]``."""
        floor = theta["E"] if self.floor else 0.0
        return floor + above_floor(theta, self.decades(theta, x), x)

    def decades(self, theta: Theta, x: Inputs) -> Any:
        """Return ``log10(N / N0)``."""
        return decades_of_size(self, theta, x)

    def cut_off(self, theta: Theta, experts: Any) -> Any:
        """Return the size, params, from which so many experts no longer help; inf for none."""
        xp = namespace(theta, {EXPERTS: experts})
        with np.errstate(over="ignore"):  # to infinity, where they always help
            return sizes(self)["params"] * xp.exp(DECADE * last_decade(theta, experts))

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E; zero where the law has none."""
        return theta["E"] if self.floor else 0.0 * theta["a0"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return a, b, c, d, E_start and E_max, and E where there is a floor."""
        out = to_clark(theta, np.log10(sizes(self)["params"]))
        return out | ({"E": theta["E"]} if self.floor else {})

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        out = from_clark(paper, np.log10(sizes(self)["params"]))
        return out | ({"E": paper["E"]} if self.floor else {})


@LAWS.register("routed")
@dataclass(frozen=True)
class Routed:
    """Clark et al.'s equation above a floor, with an exponent of its own beyond the data.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        The size N0, the geometric mean of the training table unless given; where its largest runs
        lie (`params_edge`, the geometric mean over the tenth of the runs with most parameters) and
        the largest (`params_top`). Of a reference without those the table is taken to reach half a
        decade past it.

    Notes
    -----
    At a fixed number of tokens the loss does not fall for ever: a law of powers of N alone promises
    too much of larger models, and takes what they miss for a gain that fades. Parameters are those
    of `ClarkMoE` with its floor ``E``, and, as of `Coupled` with the same priors, chosen on other
    tables than any of routed models,

    - ``ahead_n``: how far a decade of size goes beyond the largest runs, over one up to them,
      LogNormal(1, 0.4); a decade beyond, half of the way there;
    - ``ahead_e``: -ln of the share of the floor that no larger run removes, LogNormal(.01, 1.3).

    Examples
    --------
    >>> from bayes_scaling.laws import ClarkMoE, Routed
    >>> at, x = (("params", 1e8),), {"params": 1e9, "experts": 64}
    >>> theta = {"E": 1.4, "a0": 1.2, "alpha": 0.18, "gain": 0.1, "fade": 0.005, "start": 1.0,
    ...          "span": 300.0}
    >>> same = {"ahead_n": 1.0, "ahead_e": 0.0}
    >>> laws = Routed(reference=at), ClarkMoE(floor=True, reference=at)
    >>> [round(float(law(theta | same, x)), 6) for law in laws]
    [1.980214, 1.980214]
    """

    reference: Reference | None = None

    name: ClassVar[str] = "routed"
    outcome: ClassVar[str] = "loss"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = RANGES
    decreasing: ClassVar[tuple[str, ...]] = ("params",)
    derived: ClassVar[Mapping[str, tuple[str, str]]] = ClarkMoE.derived

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        further = "decades of size beyond the largest runs, over those up to them"
        less = "-ln of the share of the floor that no larger run removes"
        return (
            *parameters(floor=True),
            Param("ahead_n", STEEPER, "1", further, (0.5, 1.8), "ahead"),
            Param("ahead_e", HIDDEN, "1", less, (0.001, 0.1), "ahead"),
        )

    def anchors(self, x: Inputs) -> Reference:
        """Return where the largest runs of a table lie."""
        logs = np.sort(np.log(np.asarray(x["params"], float)))[::-1]
        edge = logs[: max(FEWEST, int(LARGEST * len(logs)))].mean()
        at = {"params_edge": edge, "params_top": logs[0]}
        return tuple((k, float(f"{np.exp(v):.6g}")) for k, v in at.items())

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]``, active, and ``x["experts"]``."""
        xp = namespace(theta, x)
        past = xp.maximum(xp.log(x["params"]) - self._anchor("params_top", xp), 0.0)
        kept = xp.exp(theta["ahead_e"] * xp.expm1(-FADING * past))
        return theta["E"] * kept + above_floor(theta, self.decades(theta, x), x)

    def decades(self, theta: Theta, x: Inputs) -> Any:
        """Return ``log10(N / N0)``, as long beyond the largest runs as decades are said to be."""
        xp = namespace(theta, x)
        whole = xp.minimum(decades_of_size(self, theta, x), NEVER)
        past = xp.maximum(whole - self._edge(xp), 0.0)
        return whole + (theta["ahead_n"] - 1) * past * (past / (past + 1))

    def cut_off(self, theta: Theta, experts: Any) -> Any:
        """Return the size, params, from which so many experts no longer help; inf for none."""
        xp = namespace(theta, {EXPERTS: experts})
        past = last_decade(theta, experts) - self._edge(xp)
        # p + (ahead - 1) p^2 / (p + 1) = past, its positive root where that is positive
        ahead, t = theta["ahead_n"], xp.maximum(past, 0.0)
        p = ((t - 1) + xp.sqrt((t - 1) ** 2 + 4 * ahead * t)) / (2 * ahead)
        whole = self._edge(xp) + xp.minimum(past, 0.0) + p
        with np.errstate(over="ignore"):
            return sizes(self)["params"] * xp.exp(DECADE * whole)

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E, less what larger runs remove of it."""
        return theta["E"] * namespace(theta).exp(-theta["ahead_e"])

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return a, b, c, d, E_start and E_max of the loss above the floor E, and what is ahead."""
        own = {k: theta[k] for k in ("E", "ahead_n", "ahead_e")}
        return to_clark(theta, np.log10(sizes(self)["params"])) | own

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference; where no ``ahead`` is given nothing changes."""
        none = {"ahead_n": 1.0, "ahead_e": 0.0}
        own = {"E": paper["E"]} | {k: paper.get(k, v) for k, v in none.items()}
        return from_clark(paper, np.log10(sizes(self)["params"])) | own

    def _edge(self, xp: Any) -> Any:
        return (self._anchor("params_edge", xp) - xp.log(sizes(self)["params"])) / DECADE

    def _anchor(self, name: str, xp: Any) -> Any:
        given = sizes(self)
        if name in given:
            return xp.log(given[name])
        return xp.log(given["params"]) + EDGE_BY_HAND


def parameters(floor: bool) -> tuple[Param, ...]:
    """Return the parameters; above a floor all is a larger share of what is left."""
    of = "loss of the dense model at the reference size" + ", above the floor" * floor
    alpha = SLOPE if floor else Prior.of("LogNormal", median=0.08, sigma=0.4)
    gain = Prior.of("LogNormal", median=0.1 if floor else 0.04, sigma=0.7)
    fade = Prior.of("Normal", loc=0.0 if floor else 0.01, scale=0.03 if floor else 0.01)
    typical = (0.05, 0.2) if floor else (0.03, 0.05)
    level = (0.3, 2.0) if floor else (2.0, 4.0)
    return (
        *([FLOOR] if floor else []),
        Param("a0", SHARE if floor else WHOLE, "nat/token", of, level, "intercept"),
        Param("alpha", alpha, "1", "exponent of the dense model's loss in parameters",
              (0.1, 0.3) if floor else (0.06, 0.1), "slope"),
        Param("gain", gain, "1", "exponent of the loss in effective experts at the reference size",
              typical, "slope"),
        Param("fade", fade, "1", "how much of either exponent a decade of the other takes away",
              (-0.01, 0.02) if floor else (0.008, 0.014), "slope",
              apart=0.003 if floor else 0.001),
        START,
        SPAN,
    )  # fmt: skip


def decades_of_size(law: Any, theta: Theta, x: Inputs) -> Any:
    """Return ``log10(N / N0)``."""
    xp = namespace(theta, x)
    return (xp.log(x["params"]) - xp.log(sizes(law)["params"])) / DECADE


def lost(theta: Theta, e: Any) -> Any:
    """Return what of alpha so many decades of effective experts take away."""
    xp = namespace(theta, {"e": e})
    return xp.minimum(theta["fade"] * e, (1 - LEAST) * theta["alpha"])


def last_decade(theta: Theta, experts: Any) -> Any:
    """Return how many decades from N0 so many experts cease to help, ``gain / fade``, or never."""
    xp = namespace(theta, {EXPERTS: experts})
    e = decades_of_experts(theta, experts)
    return xp.minimum(theta["gain"] * e / xp.maximum(lost(theta, e), TINY), NEVER)


def above_floor(theta: Theta, n: Any, x: Inputs) -> Any:
    """Return the loss above the floor, nat/token, at n decades of size from N0."""
    xp = namespace(theta, x)
    e = decades_of_experts(theta, x[EXPERTS])
    return theta["a0"] * xp.exp(
        -DECADE * ((theta["alpha"] - lost(theta, e)) * n + theta["gain"] * e)
    )


def to_clark(theta: Theta, n0: float) -> dict[str, Any]:
    """Return the paper's a, b, c, d, E_start and E_max; n0 is log10 of the reference size."""
    xp = namespace(theta)
    first, c = 1 + theta["start"], theta["fade"]
    e0 = xp.log(first) / DECADE
    level = xp.log(theta["a0"]) / DECADE
    d = level + theta["alpha"] * n0 + theta["gain"] * e0 + c * n0 * e0
    return {
        "a": -theta["alpha"] - c * e0,
        "b": -theta["gain"] - c * n0,
        "c": c,
        "d": d,
        "E_start": first,
        "E_max": first + theta["span"],
    }


def from_clark(paper: Mapping[str, Any], n0: float) -> dict[str, Any]:
    """Return the parameters at the reference from the paper's."""
    xp = namespace(paper)
    c, e0 = paper["c"], xp.log(paper["E_start"]) / DECADE
    alpha, gain = -paper["a"] - c * e0, -paper["b"] - c * n0
    level = paper["d"] - alpha * n0 - gain * e0 - c * n0 * e0
    return {
        "a0": xp.exp(DECADE * level),
        "alpha": alpha,
        "gain": gain,
        "fade": c,
        "start": paper["E_start"] - 1,
        "span": paper["E_max"] - paper["E_start"],
    }
