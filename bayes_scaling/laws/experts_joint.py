"""The loss of routed models in active parameters, tokens and experts.

    L = E + a0 e^(-s n - gain_n x) + b0 e^(-t d - gain_d x),
    s = max(alpha - fade x, alpha / 10),  t = max(beta + rise x, beta / 10),
    n = ln(N / N0),  d = ln(D / D0),  x = ln(E_hat / E_start),

with E_hat as in Clark et al.'s law. A dense model has x = 0: for it this is the additive law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative, sizes
from bayes_scaling.laws.coupled import LEAST
from bayes_scaling.laws.experts import DECADE, EXPERTS, RANGES, SPAN, START, decades_of_experts
from bayes_scaling.laws.joint import FLOOR, SHARE, SLOPE, exponent_param, intercept_param
from bayes_scaling.param import Param, Prior

MAIN = Prior.of("Normal", loc=0.0, scale=0.2)
MIXED = Prior.of("Normal", loc=0.0, scale=0.02)


@LAWS.register("moe_joint")
@dataclass(frozen=True)
class MoEJoint:
    """Loss against active parameters, tokens and experts (Ludziejewski et al. 2025).

    ``L = E + A X^-delta_1 N^(-alpha_1 + g ln X) + B X^omega_1 D^(-beta_1 - z ln X)``, X = E_hat.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        The sizes N0 and D0; the geometric means of the training table unless given. Experts are
        counted from the dense model, and a reference number of them is not read.

    Notes
    -----
    `params` are active: what one token passes through. Parameters are those of the additive law of
    dense models, ``E``, ``a0``, ``b0``, ``alpha`` and ``beta``; ``gain_n`` and ``gain_d``, the
    exponents of its two terms in effective experts at the reference run, positive where experts
    help; ``fade = g`` and ``rise = z``, how much of alpha an e-fold of effective experts takes
    away and how much it adds to beta; ``start`` and ``span`` as of `ClarkMoE`. Of either exponent
    a tenth is left in any case, so that neither size nor data ever hurt. Experts have to vary at
    three sizes and three numbers of tokens at least, or the interactions are the prior's.

    Two secondary sources disagree on the signs of the published coefficients. Here they are those
    under which experts help at the published values; no published loss was found to check them by.

    With `hold(fit, experts=64)` what is left is a law of params and tokens, of which `allocate` and
    `decide` take the split; `best_experts` chooses the experts too.

    References
    ----------
    Ludziejewski et al. 2025, Joint MoE Scaling Laws, arXiv:2502.05172.

    Examples
    --------
    >>> from bayes_scaling.laws import MoEJoint
    >>> law = MoEJoint(reference=(("params", 1e9), ("tokens", 2e10)))
    >>> theta = law.from_paper({"E": 1.3637, "A": 35.91, "alpha_1": 0.1889, "delta_1": 0.2285,
    ...     "g": 0.0098, "B": 35.98, "beta_1": 0.1775, "omega_1": 0.5529, "z": 0.0259,
    ...     "E_start": 2.07, "E_max": 290.45})
    >>> at = {"params": 1e9, "tokens": 2e10}
    >>> [round(float(law(theta, at | {"experts": e})), 4) for e in (1, 16)]
    [2.5777, 2.4814]
    """

    reference: Reference | None = None

    name: ClassVar[str] = "moe_joint"
    outcome: ClassVar[str] = "loss"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = RANGES
    decreasing: ClassVar[tuple[str, ...]] = ("params", "tokens")
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "the size's term at N = 1 and one effective expert, raw counts"),
        "B": ("nat/token", "the data's term at D = 1 and one effective expert, raw counts"),
        "alpha_1": ("1", "exponent in N at one effective expert"),
        "beta_1": ("1", "exponent in D at one effective expert"),
        "delta_1": ("1", "-power of effective experts in the size's term at N = 1"),
        "omega_1": ("1", "power of effective experts in the data's term at D = 1"),
        "g": ("1", "how much of the exponent in N an e-fold of effective experts takes away"),
        "z": ("1", "how much it adds to the exponent in D"),
        "E_start": ("experts", "effective experts of a dense model"),
        "E_max": ("experts", "effective experts that no number of them goes above"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("params", "tokens", EXPERTS)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        gain = "exponent of the {} term in effective experts at the reference run"
        mixed = "how much of the exponent in {} an e-fold of effective experts {}"
        return (
            FLOOR,
            intercept_param("a0", "parameters", SHARE),
            intercept_param("b0", "tokens", SHARE),
            exponent_param("alpha", "parameters", SLOPE),
            exponent_param("beta", "tokens", SLOPE),
            Param("gain_n", MAIN, "1", gain.format("size's"), (0.0, 0.3), "slope"),
            Param("gain_d", MAIN, "1", gain.format("data's"), (-0.1, 0.2), "slope"),
            Param("fade", MIXED, "1", mixed.format("N", "takes away"), (-0.01, 0.03), "slope",
                  apart=0.002),
            Param("rise", MIXED, "1", mixed.format("D", "adds"), (-0.01, 0.03), "slope",
                  apart=0.002),
            START,
            SPAN,
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at active params, tokens and experts, raw counts."""
        xp = namespace(theta, x)
        n, d = (relative(self, x, k, xp) for k in ("params", "tokens"))
        e = DECADE * decades_of_experts(theta, x[EXPERTS])
        alpha, beta = theta["alpha"], theta["beta"]
        s = xp.maximum(alpha - theta["fade"] * e, LEAST * alpha)
        t = xp.maximum(beta + theta["rise"] * e, LEAST * beta)
        of_size = theta["a0"] * xp.exp(-s * n - theta["gain_n"] * e)
        of_data = theta["b0"] * xp.exp(-t * d - theta["gain_d"] * e)
        return theta["E"] + of_size + of_data

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E."""
        return theta["E"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the coefficients of the paper's equation; its c is our E."""
        xp = namespace(theta)
        n0, d0 = (np.log(sizes(self)[k]) for k in ("params", "tokens"))
        first, g, z = 1 + theta["start"], theta["fade"], theta["rise"]
        e0 = xp.log(first)
        alpha, beta = theta["alpha"] + g * e0, theta["beta"] - z * e0
        delta, omega = theta["gain_n"] + g * n0, z * d0 - theta["gain_d"]
        return {
            "E": theta["E"],
            "A": theta["a0"] * xp.exp(theta["alpha"] * n0 + delta * e0),
            "B": theta["b0"] * xp.exp(theta["beta"] * d0 - omega * e0),
            "alpha_1": alpha,
            "beta_1": beta,
            "delta_1": delta,
            "omega_1": omega,
            "g": g,
            "z": z,
            "E_start": first,
            "E_max": first + theta["span"],
        }

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        xp = namespace(paper)
        n0, d0 = (np.log(sizes(self)[k]) for k in ("params", "tokens"))
        g, z, e0 = paper["g"], paper["z"], xp.log(paper["E_start"])
        alpha, beta = paper["alpha_1"] - g * e0, paper["beta_1"] + z * e0
        gain_n, gain_d = paper["delta_1"] - g * n0, z * d0 - paper["omega_1"]
        return {
            "E": paper["E"],
            "a0": paper["A"] * xp.exp(-alpha * n0 - paper["delta_1"] * e0),
            "b0": paper["B"] * xp.exp(paper["omega_1"] * e0 - beta * d0),
            "alpha": alpha,
            "beta": beta,
            "gain_n": gain_n,
            "gain_d": gain_d,
            "fade": g,
            "rise": z,
            "start": paper["E_start"] - 1,
            "span": paper["E_max"] - paper["E_start"],
        }
