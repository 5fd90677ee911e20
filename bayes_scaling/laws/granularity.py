"""The loss of routed models in all parameters, tokens and how finely experts are cut.

    L = E + a0 e^(-alpha n) (1 - z + z G^-gamma) + b0 e^(-beta d),
    n = ln(N / N0),  d = ln(D / D0),

in the granularity G: the width of a dense feed-forward layer over that of an expert. A share z of
what finite size costs falls with it; with G = 1 this is the additive law.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative, sizes
from bayes_scaling.laws.joint import FLOOR, SHARE, exponent_param, intercept_param
from bayes_scaling.param import Param, Prior

TOTAL, GRAINS = "total_params", "granularity"
SLOPE_OF_ROUTED = Prior.of("LogNormal", median=0.15, sigma=0.5)

INPUTS = (TOTAL, "tokens", GRAINS)


@LAWS.register("moe_granular")
@dataclass(frozen=True)
class MoEGranular:
    """Loss against all parameters, tokens and granularity (Krajewski, Ludziejewski et al. 2024).

    ``L = E + (g / G^gamma + a) / N^alpha + B / D^beta``, at one number of experts.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        The sizes N0 and D0; the geometric means of the training table unless given. Granularity is
        counted from 1, and a reference number of it is not read.

    Notes
    -----
    `total_params` are all parameters of the routed model, `granularity` is d_ff / d_expert.
    Parameters are those of the additive law at G = 1, ``E``, ``a0 = (a + g) N0^-alpha``, ``b0``,
    ``alpha`` and ``beta``; ``z = g / (a + g)``, the share of the size's term that finer experts
    take away, and ``gamma``, how fast. Four granularities at least, or z and gamma go together.

    The exponents and the floor of the published fit, 0.115, 0.147 and 0.47, hang together: they are
    not comparable with those of fits whose floor is 1.7.

    References
    ----------
    Krajewski et al. 2024, Scaling Laws for Fine-Grained Mixture of Experts, arXiv:2402.07871.

    Examples
    --------
    >>> from bayes_scaling.laws import MoEGranular
    >>> law = MoEGranular(reference=(("total_params", 1e9), ("tokens", 2e10)))
    >>> theta = law.from_paper({"E": 0.47, "a": 18.1, "g": 2.1, "gamma": 0.58, "alpha": 0.115,
    ...     "B": 30.8, "beta": 0.147})
    >>> at = {"total_params": 1e9, "tokens": 2e10}
    >>> [round(float(law(theta, at | {"granularity": g})), 4) for g in (1, 8)]
    [3.2761, 3.1404]
    """

    reference: Reference | None = None

    name: ClassVar[str] = "moe_granular"
    outcome: ClassVar[str] = "loss"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {GRAINS: (1.0, np.inf)}
    decreasing: ClassVar[tuple[str, ...]] = INPUTS
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "a": ("nat/token", "the size's term at N = 1 that no granularity takes away, raw counts"),
        "g": ("nat/token", "the size's term at N = 1 that finer experts take away, raw counts"),
        "B": ("nat/token", "the data's term at D = 1, raw counts"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return INPUTS

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        share = "share of the size's term that ever finer experts take away"
        return (
            FLOOR,
            intercept_param("a0", "parameters", SHARE),
            intercept_param("b0", "tokens", SHARE),
            exponent_param("alpha", "parameters", SLOPE_OF_ROUTED),
            exponent_param("beta", "tokens", SLOPE_OF_ROUTED),
            Param("z", Prior.of("Beta", a=2, b=8), "1", share, (0.05, 0.4), apart=0.05),
            Param("gamma", Prior.of("LogNormal", median=0.6, sigma=0.4), "1",
                  "exponent of that share in granularity", (0.3, 1.2), apart=0.1),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at all parameters, tokens and granularity, raw counts."""
        xp = namespace(theta, x)
        n, d = (relative(self, x, k, xp) for k in (TOTAL, "tokens"))
        coarse = xp.exp(-theta["gamma"] * xp.log(x[GRAINS]))
        of_size = theta["a0"] * xp.exp(-theta["alpha"] * n) * (1 - theta["z"] * (1 - coarse))
        return theta["E"] + of_size + theta["b0"] * xp.exp(-theta["beta"] * d)

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor E."""
        return theta["E"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return the coefficients of the paper's equation; its c is our E, its b our B."""
        xp = namespace(theta)
        n0, d0 = (np.log(sizes(self)[k]) for k in (TOTAL, "tokens"))
        both = theta["a0"] * xp.exp(theta["alpha"] * n0)
        return {
            "E": theta["E"],
            "a": both * (1 - theta["z"]),
            "g": both * theta["z"],
            "B": theta["b0"] * xp.exp(theta["beta"] * d0),
            "alpha": theta["alpha"],
            "beta": theta["beta"],
            "gamma": theta["gamma"],
        }

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        xp = namespace(paper)
        n0, d0 = (np.log(sizes(self)[k]) for k in (TOTAL, "tokens"))
        both = paper["a"] + paper["g"]
        return {
            "E": paper["E"],
            "a0": both * xp.exp(-paper["alpha"] * n0),
            "b0": paper["B"] * xp.exp(-paper["beta"] * d0),
            "alpha": paper["alpha"],
            "beta": paper["beta"],
            "z": paper["g"] / both,
            "gamma": paper["gamma"],
        }
