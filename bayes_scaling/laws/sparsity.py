"""The loss of routed models in all parameters, tokens and the share of them that rests.

    L = E + a0 e^(-alpha n) + b0 e^(-beta d) + c0 e^(lam s) + m0 e^(delta s - gamma n),
    n = ln(N / N0),  d = ln(D / D0),  s = -ln(1 - S),

in the sparsity S: the share of experts that a token does not pass through. A dense model has s = 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative, sizes
from bayes_scaling.laws.granularity import TOTAL
from bayes_scaling.laws.joint import FLOOR, SHARE, SLOPE, exponent_param, intercept_param
from bayes_scaling.param import Param, Prior

SPARSITY = "sparsity"
SPARSEST = 0.9999  # one token in ten thousand: past every model that was built

INPUTS = (TOTAL, "tokens", SPARSITY)


@LAWS.register("moe_sparsity")
@dataclass(frozen=True)
class MoESparsity:
    """Loss against all parameters, tokens and sparsity (Abnar et al. 2025).

    ``L = E + A / N^alpha + B / D^beta + c / (1 - S)^lam + d / ((1 - S)^delta N^gamma)``.

    Parameters
    ----------
    alone : bool, default True
        Whether sparsity has a term of its own, c.
    reference : tuple of (str, float), optional
        The sizes N0 and D0; the geometric means of the training table unless given. Sparsity is
        counted from the dense model, and a reference number of it is not read.

    Notes
    -----
    `total_params` are all parameters N, of which about ``(1 - S) N`` are active; `sparsity` is
    S = (experts - active experts) / experts. Parameters are ``E``, ``a0``, ``b0``, ``alpha`` and
    ``beta`` of the additive law; ``c0``, nats that sparsity's own term holds in the dense model,
    and ``lam``, its exponent, negative where sparsity helps at any size; ``m0``, the nats of the
    term that sparsity and size share, at the reference size of a dense model, ``delta`` and
    ``gamma``.

    Ten parameters in five terms: where sparsity hardly moves the loss, c0 goes with the floor, and
    ``alone=False`` drops that term (`compare` the two). Held-out losses of the published fit have
    an R2 of 0.68 where those fitted have 0.99: extrapolate with care. A secondary source denies
    that the paper prints this equation.

    References
    ----------
    Abnar et al. 2025, Parameters vs FLOPs: Scaling Laws for Optimal Sparsity for Mixture-of-Experts
    Language Models, arXiv:2501.12370.

    Examples
    --------
    >>> from bayes_scaling.laws import MoESparsity
    >>> law = MoESparsity(reference=(("total_params", 1e9), ("tokens", 2e10)))
    >>> theta = law.from_paper({"E": 0.94, "A": 16612.5, "alpha": 0.5962, "B": 5455.67,
    ...     "beta": 0.3954, "c": 0.4598, "lam": -0.1666, "d": 17.26, "delta": 0.1603,
    ...     "gamma": 0.1595})
    >>> at = {"total_params": 1e10, "tokens": 2e10}
    >>> [round(float(law(theta, at | {"sparsity": s})), 3) for s in (0, 0.9)]
    [2.318, 2.367]
    """

    alone: bool = True
    reference: Reference | None = None

    name: ClassVar[str] = "moe_sparsity"
    outcome: ClassVar[str] = "loss"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {SPARSITY: (0.0, SPARSEST)}
    decreasing: ClassVar[tuple[str, ...]] = (TOTAL, "tokens")
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "A": ("nat/token", "the size's term at N = 1, raw counts"),
        "B": ("nat/token", "the data's term at D = 1, raw counts"),
        "c": ("nat/token", "sparsity's own term in a dense model"),
        "d": ("nat/token", "the term of sparsity and size in a dense model at N = 1, raw counts"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        both = "loss owed to finite size and sparsity, dense at the reference size"
        own = (
            Param("c0", SHARE, "nat/token", "loss of sparsity's own term in a dense model",
                  (0.05, 1.0), "intercept"),
            Param("lam", Prior.of("Normal", loc=0.0, scale=0.2), "1",
                  "exponent of that term in 1 / (1 - S)", (-0.3, 0.3), "slope", apart=0.03),
        )  # fmt: skip
        return (
            FLOOR,
            intercept_param("a0", "parameters", SHARE),
            intercept_param("b0", "tokens", SHARE),
            exponent_param("alpha", "parameters", SLOPE),
            exponent_param("beta", "tokens", SLOPE),
            *own * self.alone,
            Param("m0", SHARE, "nat/token", both, (0.05, 1.0), "intercept"),
            Param("delta", Prior.of("Normal", loc=0.15, scale=0.15), "1",
                  "exponent of the shared term in 1 / (1 - S)", (-0.1, 0.4), "slope", apart=0.03),
            Param("gamma", Prior.of("LogNormal", median=0.2, sigma=0.5), "1",
                  "exponent of the shared term in parameters", (0.08, 0.5), "slope", apart=0.03),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at all parameters, tokens (raw counts) and sparsity."""
        xp = namespace(theta, x)
        n, d = (relative(self, x, k, xp) for k in (TOTAL, "tokens"))
        s = -xp.log1p(-x[SPARSITY])
        loss = theta["E"] + theta["a0"] * xp.exp(-theta["alpha"] * n)
        loss = loss + theta["b0"] * xp.exp(-theta["beta"] * d)
        if self.alone:
            loss = loss + theta["c0"] * xp.exp(theta["lam"] * s)
        return loss + theta["m0"] * xp.exp(theta["delta"] * s - theta["gamma"] * n)

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the coefficients of the paper's equation; its e is our E."""
        xp = namespace(theta)
        n0, d0 = (np.log(sizes(self)[k]) for k in (TOTAL, "tokens"))
        own = {"c": theta["c0"], "lam": theta["lam"]} if self.alone else {}
        return {
            "E": theta["E"],
            "A": theta["a0"] * xp.exp(theta["alpha"] * n0),
            "alpha": theta["alpha"],
            "B": theta["b0"] * xp.exp(theta["beta"] * d0),
            "beta": theta["beta"],
            **own,
            "d": theta["m0"] * xp.exp(theta["gamma"] * n0),
            "delta": theta["delta"],
            "gamma": theta["gamma"],
        }

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        xp = namespace(paper)
        n0, d0 = (np.log(sizes(self)[k]) for k in (TOTAL, "tokens"))
        own = {"c0": paper["c"], "lam": paper["lam"]} if self.alone else {}
        return {
            "E": paper["E"],
            "a0": paper["A"] * xp.exp(-paper["alpha"] * n0),
            "b0": paper["B"] * xp.exp(-paper["beta"] * d0),
            "alpha": paper["alpha"],
            "beta": paper["beta"],
            **own,
            "m0": paper["d"] * xp.exp(-paper["gamma"] * n0),
            "delta": paper["delta"],
            "gamma": paper["gamma"],
        }
