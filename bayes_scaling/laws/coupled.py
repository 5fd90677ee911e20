"""A joint law that expects to be wrong, within the data and beyond them.

Its terms need not be separate, its exponents may change where the largest runs end, and a part of
its floor may turn out to be none.

    L = E f + min over N' <= N of R(N', D),
    R = a0 e^(-alpha n) + b0 e^(lam c - beta (1 + rho c) d),
    n = ln(N / N0) + (ahead_n - 1) p^2 / (p + ln 10),  p = how far ln N lies past the largest runs,
    d likewise, c = n within the sizes of the table, and
    ln f = -ahead_e (1 - (N D / P)^-0.3) where N D is more than P, that of the largest run; else 0.

With ``lam = rho = ahead_e = 0`` and ``ahead_n = ahead_d = 1`` it is the additive law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, sizes
from bayes_scaling.laws.joint import (
    FLOOR,
    INPUTS,
    SHARE,
    SLOPE,
    Surface,
    exponent_param,
    intercept_param,
    loss_of,
)
from bayes_scaling.param import Param, Prior

LARGEST = 0.1  # of the runs, by compute: where they lie is where the law stops being vouched for
FEWEST = 3
DECADE = np.log(10.0)
BY_HAND = {"low": -DECADE, "high": DECADE, "edge": DECADE / 2, "top": DECADE / 2}
COUPLING = Prior.of("Normal", loc=0.0, scale=0.13)  # 0.3 per decade of N
ONSET = DECADE  # a corner at the edge would draw optima to itself: no size is special
HIDDEN = Prior.of("LogNormal", median=0.01, sigma=1.3)
FADING = 0.3  # exponent, in N D, of what is hidden in the floor
STEEPER = Prior.of("LogNormal", median=1.0, sigma=0.4)
LEAST = 0.1  # of beta, however much smaller models learn less from data
TINY = 1e-9
NEVER = 1e4  # e-folds: infinitely far


@LAWS.register("coupled")
@dataclass(frozen=True)
class Coupled:
    """The additive law with a coupling of its terms, and with exponents of its own beyond the data.

    Parameters
    ----------
    coupling : bool, default True
        Whether level and exponent of the data's term depend on the size of the model.
    ahead : bool, default True
        Whether the exponents may change where the largest runs end, and the floor give way.
    reference : tuple of (str, float), optional
        N0 and D0, the geometric means of the training table unless given; the least and greatest
        parameters (`params_low`, `params_high`), where the largest runs lie (`params_edge`,
        `tokens_edge`, geometric means over the tenth of the runs with most compute), and the
        largest run (`params_top`, `tokens_top`). Of a reference without those the table is taken
        to reach a decade to either side, its largest runs half.

    Notes
    -----
    Parameters are those of the additive law at the reference run, where `alpha` and `beta` keep
    their meaning of local exponents, and

    - ``lam``, ``rho``: by how much ln of the data's term, and its exponent as a share, rise per
      e-fold of N. Held where the table's sizes end, so that no exponent runs away, and beta never
      falls below a tenth of itself. Larger models learn more from data where rho is positive, as
      Farseer (arXiv:2506.10972) finds.
    - ``ahead_n``, ``ahead_d``: the exponents far beyond the largest runs, over those up to them,
      LogNormal(1, 0.4); a decade beyond, three quarters of the way there. Runs that lie farther
      than most say a little of them, no run says how it goes on: intervals grow with the distance.
    - ``ahead_e``: the share of the floor that larger runs than any remove, LogNormal(.01, 1.3):
      between a thousandth and an eighth. A law that follows small runs where they are special, far
      from the best tokens per parameter above all, takes the bend that they make for a floor, and
      is then sure of one that is too high. No run that is fitted says anything of it.

    The minimum over smaller models says that size never hurts: with lam > 0 the plain sum would
    turn upwards in N where data are scarce. For given D the sum falls and then rises within the
    sizes of the table, and its lowest point has a closed form, so that the loss falls in N and in D
    under any parameters. The coupling is Farseer's to first order; what is ahead is this
    package's, its priors chosen on one half of the ladders of `benchmarks/ladders.py` and measured
    on the other.

    Examples
    --------
    >>> from bayes_scaling.laws import Chinchilla, Coupled
    >>> at, x = (("params", 1e9), ("tokens", 2e10)), {"params": 3e9, "tokens": 2e10}
    >>> theta = {"E": 1.8, "a0": 0.35, "b0": 0.35, "alpha": 0.35, "beta": 0.37}
    >>> same = {"lam": 0.0, "rho": 0.0, "ahead_n": 1.0, "ahead_d": 1.0, "ahead_e": 0.0}
    >>> laws = Coupled(reference=at), Chinchilla(reference=at)
    >>> [round(float(law(theta | same, x)), 6) for law in laws]
    [2.388273, 2.388273]
    """

    coupling: bool = True
    ahead: bool = True
    reference: Reference | None = None

    name: ClassVar[str] = "coupled"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "A in A / N^alpha, N in raw counts"),
        "B": ("nat/token", "the data's term at N = D = 1, raw counts"),
        "k": ("1", "how fast the data's exponent changes with ln N"),
        "b": ("1", "the data's exponent at N = 1, raw counts"),
        "l": ("1", "how fast the data's term changes with ln N at D = 1, raw counts"),
    }
    decreasing: ClassVar[tuple[str, ...]] = INPUTS

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        out = [
            FLOOR,
            intercept_param("a0", "parameters", SHARE),
            intercept_param("b0", "tokens", SHARE),
            exponent_param("alpha", "parameters", SLOPE),
            exponent_param("beta", "tokens", SLOPE),
        ]
        if self.coupling:
            level = "rise of the data's term with model size, per e-fold of it"
            slope = "rise of its exponent with model size, as a share, per e-fold"
            out += [Param("lam", COUPLING, "1", level, (-0.2, 0.2)),
                    Param("rho", COUPLING, "1", slope, (-0.2, 0.2))]  # fmt: skip
        if self.ahead:
            for name, of in (("ahead_n", "parameters"), ("ahead_d", "tokens")):
                meaning = f"exponent in {of} beyond the largest runs, over that up to them"
                out.append(Param(name, STEEPER, "1", meaning, (0.5, 1.8), "ahead"))
            meaning = "-ln of the share of the floor that no larger run removes"
            out.append(Param("ahead_e", HIDDEN, "1", meaning, (0.001, 0.1), "ahead"))
        return tuple(out)

    def anchors(self, x: Inputs) -> Reference:
        """Return how far a table reaches, and where its largest runs lie."""
        logs = {k: np.log(np.asarray(x[k], float)) for k in INPUTS}
        work = logs["params"] + logs["tokens"]
        top = np.argsort(-work, kind="stable")[: max(FEWEST, int(LARGEST * len(work)))]
        at = {
            "params_low": logs["params"].min(),
            "params_high": logs["params"].max(),
            **{f"{k}_edge": v[top].mean() for k, v in logs.items()},
            **{f"{k}_top": v[top[0]] for k, v in logs.items()},
        }
        return tuple((k, float(f"{np.exp(v):.6g}")) for k, v in at.items())

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]`` and ``x["tokens"]``, raw counts."""
        xp = namespace(theta, x)
        ref = sizes(self)
        zero = {k: xp.log(ref[k]) for k in INPUTS}
        n = self._steps(theta, x, "params", "ahead_n", zero, xp)
        d = self._steps(theta, x, "tokens", "ahead_d", zero, xp)
        a0, b0, alpha, beta = (theta[k] for k in ("a0", "b0", "alpha", "beta"))
        E = theta["E"] * self._kept(theta, x, xp)
        if not self.coupling:
            return loss_of(Surface(E, a0, b0, alpha, beta, None), n, d, xp)
        low = xp.minimum(self._anchor("params_low", xp) - zero["params"], -TINY)
        high = xp.maximum(self._anchor("params_high", xp) - zero["params"], TINY)
        lam, most = theta["lam"], 1 - LEAST
        rho = xp.minimum(xp.maximum(theta["rho"], -most / high), -most / low)

        def total(size: Any) -> Any:
            c = xp.minimum(xp.maximum(size, low), high)
            here = Surface(E, a0, b0 * xp.exp(lam * c), alpha, beta * (1 + rho * c), None)
            return loss_of(here, size, d, xp)

        # Within the sizes of the table ln of the data's term is straight in n, of slope `rise`.
        rise = xp.maximum(lam - beta * rho * d, TINY)
        lowest = (xp.log(a0 * alpha) - xp.log(b0 * rise) + beta * d) / (alpha + rise)
        lowest = xp.minimum(xp.maximum(lowest, low), high)
        return xp.minimum(total(n), total(xp.minimum(n, lowest)))

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E, less what larger runs remove of it."""
        if not self.ahead:
            return theta["E"]
        return theta["E"] * namespace(theta).exp(-theta["ahead_e"])

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ``A = a0 N0^alpha`` and ``B N^l D^-b N^(-k ln D)``, the data's term, as it is.

        Without a coupling the latter is ``B D^-beta``.
        """
        n0, d0 = (np.log(sizes(self)[k]) for k in INPUTS)
        alpha, beta = theta["alpha"], theta["beta"]
        own = [p.name for p in self.params if p.role == "ahead"]
        out = {k: theta[k] for k in ("E", "alpha", *own)} | {"A": theta["a0"] * np.exp(alpha * n0)}
        if not self.coupling:
            return out | {"beta": beta, "B": theta["b0"] * np.exp(beta * d0)}
        k, lam = beta * theta["rho"], theta["lam"]
        level = np.exp(beta * d0 - lam * n0 - k * n0 * d0)
        return out | {"k": k, "b": beta - k * n0, "l": lam + k * d0, "B": theta["b0"] * level}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference; where no ``ahead`` is given nothing changes."""
        n0, d0 = (np.log(sizes(self)[k]) for k in INPUTS)
        none = {"ahead_n": 1.0, "ahead_d": 1.0, "ahead_e": 0.0}
        own = {k: paper.get(k, v) for k, v in none.items() if self.ahead}
        a0 = paper["A"] * np.exp(-paper["alpha"] * n0)
        out = {"E": paper["E"], "alpha": paper["alpha"], "a0": a0, **own}
        if not self.coupling:
            return out | {"beta": paper["beta"], "b0": paper["B"] * np.exp(-paper["beta"] * d0)}
        k = paper["k"]
        beta, lam = paper["b"] + k * n0, paper["l"] - k * d0
        level = np.exp(beta * d0 - lam * n0 - k * n0 * d0)
        return out | {"beta": beta, "lam": lam, "rho": k / beta, "b0": paper["B"] / level}

    def _steps(
        self, theta: Theta, x: Inputs, name: str, ahead: str, zero: Mapping[str, Any], xp: Any
    ) -> Any:
        """Return ln(x / reference), as steep beyond the largest runs as they are said to be."""
        if not self.ahead:
            return xp.minimum(xp.log(x[name]) - zero[name], NEVER)
        edge = self._anchor(f"{name}_edge", xp)
        whole = xp.minimum(xp.log(x[name]) - zero[name], NEVER)
        past = xp.maximum(whole - (edge - zero[name]), 0.0)
        return whole + (theta[ahead] - 1) * past * (past / (past + ONSET))

    def _kept(self, theta: Theta, x: Inputs, xp: Any) -> Any:
        """Return the share of the floor that is left."""
        if not self.ahead:
            return 1.0
        past = sum(xp.log(x[k]) - self._anchor(f"{k}_top", xp) for k in INPUTS)
        return xp.exp(-theta["ahead_e"] * -xp.expm1(-FADING * xp.maximum(past, 0.0)))

    def _anchor(self, name: str, xp: Any) -> Any:
        given = sizes(self)
        if name in given:
            return xp.log(given[name])
        of, end = name.split("_")
        return xp.log(given[of]) + BY_HAND[end]
