"""The joint law seen from its valleys: where the best size lies at each compute, and how steep.

Along a budget the loss of a model too small falls as a power of its size and that of one too large
rises as another, so with ``w = ln(N / N*)`` its true shape is

    L = L*(C) + kappa(C) h(w),  h(w) = (e^(-alpha w) - 1) / alpha + (e^(beta w) - 1) / beta,

which a parabola matches in the middle only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

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
from bayes_scaling.laws.joint import FLOOR, INPUTS, OF_OPTIMUM, SLOPE
from bayes_scaling.param import Param, Prior

REDUCIBLE = Prior.of("LogNormal", median=0.3, sigma=0.6, times="mean_loss")
BEND = Prior.of("LogNormal", median=0.03, sigma=1.0, times="mean_loss")


@LAWS.register("isoflop")
@dataclass(frozen=True)
class IsoFlop(Checked):
    """Valleys of loss along budgets ``C = 6 N D``, with a power law through their lowest points.

    Parameters
    ----------
    frontier : {"power", "additive"}, default "power"
        "power": ``N* ~ C^a``, and level and steepness of the valleys are power laws of their own.
        "additive": all of them follow from alpha and beta, which is the additive joint law in
        other coordinates. Pool `n_opt` over a column of budgets to let every budget have a
        minimum of its own.
    shape : {"true", "quadratic"}, default "true"
        Of the valleys. "quadratic" is the parabola of Hoffmann et al.'s second approach, biased
        where grids are wide, one-sided or drifting: for replication.
    reference : tuple of (str, float), optional
        The sizes N0 and D0, and with them C0; the geometric means of the training table unless
        given.

    Notes
    -----
    Parameters are ``E``, ``l0 = L*(C0) - E``, ``n_opt = N*(C0) / N0``, ``alpha`` and ``beta``; of a
    power-law frontier also ``a``, ``gamma`` with ``L*(C) = E + l0 (C / C0)^-gamma``, and
    ``curvature = kappa (alpha + beta)``, of the valley at C0, which falls with the same gamma. It
    is the curvature that runs near the optimum see, not kappa. The additive law has
    ``a = beta / (alpha + beta)``, ``gamma = alpha a`` and ``kappa = gamma l0``.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.

    Examples
    --------
    >>> from bayes_scaling.laws import IsoFlop
    >>> law = IsoFlop("additive", reference=(("params", 1e9), ("tokens", 2e10)))
    >>> theta = {"E": 1.8, "l0": 0.5, "n_opt": 1.0, "alpha": 0.35, "beta": 0.35}
    >>> size, tokens = law.optimum(theta, 2e19)
    >>> float(size), float(law(theta, {"params": size, "tokens": tokens}))
    (1000000000.0, 2.3)
    """

    frontier: Literal["power", "additive"] = "power"
    shape: Literal["true", "quadratic"] = "true"
    reference: Reference | None = None

    name: ClassVar[str] = "isoflop"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_G": ("1", "ln G in N* = G (C / 6)^a"),
        "log_l": ("1", "ln of the reducible loss of the best run, times (C / 6)^gamma"),
        "log_curvature": ("1", "ln of the curvature of the valleys, times (C / 6)^gamma"),
        "a": OF_OPTIMUM,
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        near = Prior.of("LogNormal", median=1.0, sigma=1.0)
        out = [
            FLOOR,
            Param("l0", REDUCIBLE, "nat/token", "reducible loss of the best run at C0",
                  (0.1, 2.0), "intercept"),
            Param("n_opt", near, "1", "best size at C0, in reference sizes", (0.1, 10.0),
                  "intercept"),
            Param("alpha", SLOPE, "1", "exponent of the loss of too small a model", (0.08, 0.6),
                  "slope"),
            Param("beta", SLOPE, "1", "exponent of the loss of too few tokens", (0.08, 0.6),
                  "slope"),
        ]  # fmt: skip
        if self.frontier == "power":
            out += [
                Param("a", Prior.of("Beta", a=5.5, b=5.5), "1",
                      "exponent of the optimal size, N* ~ C^a", (0.3, 0.8), "slope"),
                Param("gamma", Prior.of("LogNormal", median=0.15, sigma=0.5), "1",
                      "exponent of the reducible loss of the best run in C", (0.04, 0.3), "slope"),
                Param("curvature", BEND, "nat/token",
                      "curvature of the valley at C0, per squared e-fold of size", (0.01, 0.3),
                      "intercept"),
            ]  # fmt: skip
        return tuple(out)

    def _frontier(self, theta: Theta) -> tuple[Any, Any, Any]:
        """Return a, gamma and the curvature."""
        if self.frontier == "power":
            return theta["a"], theta["gamma"], theta["curvature"]
        a = self.exponent(theta)
        return a, theta["alpha"] * a, theta["alpha"] * theta["beta"] * theta["l0"]

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]`` and ``x["tokens"]``, raw counts."""
        xp = namespace(theta, x)
        n, d = (relative(self, x, name, xp) for name in INPUTS)
        a, gamma, curvature = self._frontier(theta)
        alpha, beta = theta["alpha"], theta["beta"]
        w = (n - xp.log(theta["n_opt"])) - a * (n + d)
        if self.shape == "quadratic":
            valley = 0.5 * w**2
        else:
            valley = (xp.expm1(-alpha * w) / alpha + xp.expm1(beta * w) / beta) / (alpha + beta)
        return theta["E"] + (theta["l0"] + curvature * valley) * xp.exp(-gamma * (n + d))

    def optimum(self, theta: Theta, product: Any) -> tuple[Any, Any]:
        """Return the `params` and `tokens` of least loss with ``params * tokens = product``."""
        xp = namespace(theta, {"product": product})
        ref = sizes(self)
        k = xp.log(product) - xp.log(ref["params"]) - xp.log(ref["tokens"])
        n = xp.log(theta["n_opt"]) + self.exponent(theta) * k
        return xp.exp(n) * ref["params"], xp.exp(k - n) * ref["tokens"]

    def exponent(self, theta: Theta) -> Any:
        """Return a, the optimum N* growing as C^a."""
        if self.frontier == "power":
            return theta["a"]
        return theta["beta"] / (theta["alpha"] + theta["beta"])

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ``ln G`` of ``N* = G (C / 6)^a``, and such logs of level and curvature."""
        xp = namespace(theta)
        ref, (a, gamma, curvature) = sizes(self), self._frontier(theta)
        k = xp.log(ref["params"]) + xp.log(ref["tokens"])
        kept = {p.name: theta[p.name] for p in self.params}
        del kept["n_opt"], kept["l0"]
        out = {
            "log_G": xp.log(theta["n_opt"]) + xp.log(ref["params"]) - a * k,
            "log_l": xp.log(theta["l0"]) + gamma * k,
        }
        if self.frontier == "power":
            del kept["curvature"]
            out["log_curvature"] = xp.log(curvature) + gamma * k
        return {**kept, **out}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those logs."""
        xp = namespace(paper)
        ref = sizes(self)
        k = xp.log(ref["params"]) + xp.log(ref["tokens"])
        a = self.exponent(paper)
        gamma = paper["gamma"] if self.frontier == "power" else paper["alpha"] * a
        kept = {p.name: paper[p.name] for p in self.params if p.name in paper}
        out = {
            "n_opt": xp.exp(paper["log_G"] - xp.log(ref["params"]) + a * k),
            "l0": xp.exp(paper["log_l"] - gamma * k),
        }
        if self.frontier == "power":
            out["curvature"] = xp.exp(paper["log_curvature"] - gamma * k)
        return {**kept, **out}


def size_on_line(a: Any, log_g: Any, flops: Any) -> Any:
    """Return ``N* = e^log_g C^a``, the frontier as studies print it."""
    xp = namespace({"a": a, "log_g": log_g, "flops": flops})
    return xp.exp(log_g + a * xp.log(flops))
