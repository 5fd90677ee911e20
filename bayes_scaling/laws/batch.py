"""Steps to a target loss against batch size: the trade-off whose elbow is the critical batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar, Literal

import numpy as np

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
from bayes_scaling.param import Param, Prior

BATCH = "batch_size_tokens"
FAR = 80.0  # ln(B_crit / B) beyond which steps would overflow a float32
Along = Literal["one", "params", "tokens", "params_tokens", "target_loss"]
SLOPES = {
    "params": (("params", "rise", Prior.of("Normal", loc=0.3, scale=0.3)),),
    "tokens": (("tokens", "rise", Prior.of("Normal", loc=0.45, scale=0.2)),),
    # Data drive it, say those who varied both (Zhang et al.); size may.
    "params_tokens": (
        ("params", "rise_params", Prior.of("Normal", loc=0.0, scale=0.2)),
        ("tokens", "rise_tokens", Prior.of("Normal", loc=0.45, scale=0.2)),
    ),
    "target_loss": (("target_loss", "alpha_B", Prior.of("LogNormal", median=0.21, sigma=0.4)),),
}
ELBOW = Param("k", Prior.of("LogNormal", median=1.0, sigma=0.3), "1",
              "how sharp the elbow of the trade-off is", (0.5, 2.0))  # fmt: skip


@LAWS.register("cbs")
@dataclass(frozen=True)
class CriticalBatch(Checked):
    """Optimizer steps to a target loss, ``S = S_min (1 + (B_crit / B)^k)^(1 / k)``.

    Parameters
    ----------
    along : {"one", "params", "tokens", "params_tokens", "target_loss"}, default "one"
        What the critical batch size is a power law of, over the sweeps of a table.
    elbow : bool, default False
        Whether k is learned; without, it is 1. The limits either side of the elbow are the same.
    reference : tuple of (str, float), optional
        The batch size B0, and the size, data or loss; the geometric means of the training table
        unless given.

    Notes
    -----
    Parameters are ``s0 = S_min (1 + b_crit^k)^(1 / k)``, the steps at B0, and ``b_crit``, B_crit at
    the reference in batches B0; along `params` or `tokens` their exponent ``rise``, along
    `params_tokens` ``rise_params`` and ``rise_tokens`` of ``B_crit ~ N^p D^q``, along
    `target_loss` ``alpha_B`` of ``B_crit ~ L^(-1 / alpha_B)``. A table of several sweeps has an
    `s0` of its own for each: ``Pooling("model", (("s0", "free"),))``, under which `b_crit` scatters
    about the power law. All batches far below B_crit say what B_crit S_min is and not B_crit; all
    far above, S_min; and k wants batches on both sides.

    The column `tokens` must be one number per sweep: what the target stands for, such as the fewest
    tokens that any batch size took to it (of the smallest batches, E_min, which Bergsma et al. plan
    with), or the 20 N that the target was set by. The tokens of each run will not do: they are
    steps times batch, so the outcome itself. Of a table with the latter,
    ``runs.assign(tokens=runs.groupby("model")["tokens"].transform("min"))``.

    References
    ----------
    McCandlish et al. 2018, arXiv:1812.06162, section 2.3; Kaplan et al. 2020, arXiv:2001.08361,
    section 5.1; Zhang et al. 2024, arXiv:2410.21676; Bergsma et al. 2025, arXiv:2505.13738.

    Examples
    --------
    >>> from bayes_scaling.laws import CriticalBatch
    >>> law = CriticalBatch(reference=(("batch_size_tokens", 1e6),))
    >>> theta = {"s0": 2e4, "b_crit": 1.0}
    >>> float(law(theta, {"batch_size_tokens": 1e6})), float(law.to_paper(theta)["S_min"])
    (20000.0, 10000.0)
    """

    along: Along = "one"
    elbow: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "cbs"
    outcome: ClassVar[str] = "steps"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "S_min": ("optimizer steps", "steps to the target that no batch size goes below"),
        "B_crit": ("tokens", "critical batch size"),
        "log_B": ("1", "ln of the critical batch size at one of all that it is along, tokens"),
    }
    decreasing: ClassVar[tuple[str, ...]] = (BATCH,)
    scatter: ClassVar[Prior] = Prior.of("HalfNormal", scale=0.1)

    @property
    def drivers(self) -> tuple[str, ...]:
        """What the critical batch size is along."""
        return tuple(column for column, _, _ in SLOPES.get(self.along, ()))

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (BATCH, *self.drivers)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        steps = Prior.of("LogNormal", median=1.0, sigma=1.0, times="mean_loss")
        batch = Prior.of("LogNormal", median=1.0, sigma=2.0)
        out = [
            Param("s0", steps, "optimizer steps", "steps to the target at the reference batch",
                  (1e3, 1e5), "intercept"),
            Param("b_crit", batch, "1", "critical batch size at the reference, in batches B0",
                  (0.1, 10.0), "intercept"),
        ]  # fmt: skip
        for column, name, prior in SLOPES.get(self.along, ()):
            of = f"exponent of the critical batch size in {column}"
            typical = (-0.1, 0.8)
            if self.along == "target_loss":
                of, typical = "B_crit grows as the loss falls, L^(-1 / alpha_B)", (0.1, 0.4)
            out.append(Param(name, prior, "1", of, typical, "slope"))
        return (*out, ELBOW) if self.elbow else tuple(out)

    def log_b_crit(self, theta: Theta, x: Inputs) -> Any:
        """Return ln B_crit, tokens, at the values of what it is along."""
        xp = namespace(theta, x)
        log = xp.log(theta["b_crit"]) + xp.log(sizes(self)[BATCH])
        for column, power in self._powers(theta).items():
            log = log + power * relative(self, x, column, xp)
        return log

    def _powers(self, theta: Theta) -> dict[str, Any]:
        """Return the power of each column that B_crit grows as."""
        if self.along == "target_loss":
            return {"target_loss": -1 / theta["alpha_B"]}
        return {column: theta[name] for column, name, _ in SLOPES.get(self.along, ())}

    def sharpness(self, theta: Theta) -> Any:
        """Return k."""
        return theta["k"] if self.elbow else 1.0

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the steps at ``x["batch_size_tokens"]``, tokens."""
        xp = namespace(theta, x)
        ratio = self.log_b_crit(theta, x) - xp.log(x[BATCH])
        return self.least_steps(theta) * bent(ratio, self.sharpness(theta), xp)

    def least_steps(self, theta: Theta) -> Any:
        """Return S_min, the steps that no batch size goes below."""
        xp = namespace(theta)
        return theta["s0"] / bent(xp.log(theta["b_crit"]), self.sharpness(theta), xp)

    def least_tokens(self, theta: Theta, x: Inputs) -> Any:
        """Return E_min = B_crit S_min, the tokens that no batch size goes below."""
        return self.least_steps(theta) * namespace(theta, x).exp(self.log_b_crit(theta, x))

    def batch_for(self, theta: Theta, x: Inputs, overhead: float) -> Any:
        """Return the batch size, tokens, that takes a share `overhead` of tokens over E_min.

        ``E / E_min = (1 + (B / B_crit)^k)^(1 / k)``.
        """
        xp = namespace(theta, x)
        k = self.sharpness(theta)
        return xp.exp(self.log_b_crit(theta, x)) * xp.expm1(k * np.log1p(overhead)) ** (1 / k)

    def batch_at(self, theta: Theta, x: Inputs, steps: Any) -> Any:
        """Return the batch size, tokens, that takes so many steps; inf where none is so quick."""
        xp = namespace(theta, x)
        k = self.sharpness(theta)
        above = xp.expm1(k * (xp.log(steps) - xp.log(self.least_steps(theta))))
        with np.errstate(divide="ignore"):
            return xp.exp(self.log_b_crit(theta, x)) * xp.maximum(above, 0.0) ** (-1 / k)

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return S_min, and B_crit in tokens, or ``log_B`` and the exponents of ``B X^power``."""
        xp = namespace(theta)
        ref = sizes(self)
        out = {"S_min": self.least_steps(theta)}
        if self.along == "one":
            out |= {"B_crit": theta["b_crit"] * ref[BATCH]}
        else:
            log = xp.log(theta["b_crit"]) + xp.log(ref[BATCH])
            for column, power in self._powers(theta).items():
                log = log - power * xp.log(ref[column])
            out |= {"log_B": log}
        return {**out, **{p.name: theta[p.name] for p in self.params[2:]}}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from the paper's."""
        xp = namespace(paper)
        ref = sizes(self)
        log = xp.log(paper["B_crit"]) if self.along == "one" else paper["log_B"]
        for column, power in self._powers(paper).items():
            log = log + power * xp.log(ref[column])
        log = log - xp.log(ref[BATCH])
        s0 = paper["S_min"] * bent(log, self.sharpness(paper), xp)
        return {"s0": s0, "b_crit": xp.exp(log), **{p.name: paper[p.name] for p in self.params[2:]}}


def bent(log_ratio: Any, k: Any, xp: ModuleType) -> Any:
    """Return ``(1 + r^k)^(1 / k)`` of ``r = exp(log_ratio)``: 1 below the elbow, r above it."""
    near = xp.minimum(log_ratio, FAR)
    if isinstance(k, float) and k == 1.0:
        return 1 + xp.exp(near)
    t = k * near  # ln(1 + e^t) by hand: logaddexp takes a fifth longer to compile
    return xp.exp((xp.maximum(t, 0.0) + xp.log1p(xp.exp(-xp.abs(t)))) / k)
