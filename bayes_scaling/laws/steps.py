"""The law of a learning curve in size and optimizer steps, from which Kaplan's allocation comes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative
from bayes_scaling.laws.joint import FLOOR, SHARE, SLOPE, SLOPE_OF_TOTAL, Scaled, Surface, loss_of
from bayes_scaling.param import Param, Prior

INPUTS = ("params", "steps")
MOST = Prior.of("LogNormal", median=0.85, sigma=0.3, times="mean_loss")
SOME = Prior.of("LogNormal", median=0.1, sigma=1.0, times="mean_loss")
QUICK = Prior.of("LogNormal", median=0.7, sigma=0.4)


@LAWS.register("kaplan_ns")
@dataclass(frozen=True)
class KaplanNS(Scaled):
    """Kaplan's law ``L(N, S_min) = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S``.

    Parameters
    ----------
    floor : bool, default False
        Whether an irreducible loss E is added, which the paper does not do.
    reference : tuple of (str, float), optional
        The sizes N0 and S0; the geometric means of the training table unless given.

    Notes
    -----
    The column `steps` is S_min, the steps that a batch far above the critical one would take:
    ``S_min = S / (1 + B_crit / B)`` for S steps at batch size B. Parameters are
    ``a0 = (N_c / N0)^alpha_N``, ``s0 = (S_c / S0)^alpha_S``, ``alpha`` and ``alpha_s``.

    References
    ----------
    Kaplan et al. 2020, arXiv:2001.08361, section 5 and Table 3.

    Examples
    --------
    >>> from bayes_scaling.laws import KaplanNS
    >>> law = KaplanNS(reference=(("params", 1e8), ("steps", 1e4)))
    >>> paper = {"N_c": 6.5e13, "S_c": 2.1e3, "alpha_N": 0.077, "alpha_S": 0.76}
    >>> round(float(law(law.from_paper(paper), {"params": 1e9, "steps": 1e5})), 3)
    2.401
    """

    floor: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "kaplan_ns"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "N_c": ("params", "N at which the N-term alone is one nat"),
        "S_c": ("optimizer steps", "S_min at which the step-term alone is one nat"),
        "alpha_N": ("1", "Kaplan's alpha_N"),
        "alpha_S": ("1", "Kaplan's alpha_S"),
    }
    decreasing: ClassVar[tuple[str, ...]] = INPUTS
    terms = (
        ("params", "a0", "alpha", "N_c", "alpha_N"),
        ("steps", "s0", "alpha_s", "S_c", "alpha_S"),
    )

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        size, steps = (SHARE, SHARE) if self.floor else (MOST, SOME)
        return (
            *([FLOOR] if self.floor else []),
            Param("a0", size, "nat/token", "loss owed to finite parameters at the reference run",
                  (0.3, 4.0), "intercept"),
            Param("s0", steps, "nat/token", "loss owed to finite steps at the reference run",
                  (0.05, 1.0), "intercept"),
            Param("alpha", SLOPE if self.floor else SLOPE_OF_TOTAL, "1",
                  "exponent of the loss in parameters", (0.05, 0.4), "slope"),
            Param("alpha_s", QUICK, "1", "exponent of the loss in steps", (0.4, 1.0), "slope"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["params"]`` and ``x["steps"]``, raw counts."""
        xp = namespace(theta, x)
        n, s = (relative(self, x, name, xp) for name in INPUTS)
        floor = theta["E"] if self.floor else None
        terms = (theta["a0"], theta["s0"], theta["alpha"], theta["alpha_s"])
        return loss_of(Surface(floor, *terms, None), n, s, xp)


def frontier_exponents(alpha_n: Any, alpha_s: Any, alpha_b: Any) -> dict[str, Any]:
    """Return the exponents in compute of a run at its critical batch size, by quantity.

    Both terms fall alike along the frontier, ``B_crit = B* / L^(1 / alpha_b)`` and compute is
    ``6 N B_crit S_min``.
    """
    loss = 1 / (1 / alpha_n + 1 / alpha_s + 1 / alpha_b)
    out = {"loss": loss, "params": loss / alpha_n, "batch": loss / alpha_b, "steps": loss / alpha_s}
    return {**out, "tokens": out["batch"] + out["steps"]}


def compute_ratio(ratio: Any, alpha_n: Any, alpha_s: Any) -> Any:
    """Return compute over the least, of a run at ``ratio`` times the best size for its loss.

    ``r (1 + (alpha_s / alpha_n) (1 - r^-alpha_n))^(-1 / alpha_s)``: the bracket is the loss that is
    left to the steps, over that at the best size. Without any the loss is never reached: inf.
    """
    left = 1 + alpha_s / alpha_n * (1 - ratio**-alpha_n)
    with np.errstate(divide="ignore"):
        return ratio * np.maximum(left, 0.0) ** (-1 / alpha_s)
