"""Pools of data whose worth decays as they are repeated: which filter, at which compute."""

from collections.abc import Mapping, Sequence
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
    sizes,
)
from bayes_scaling.laws.joint import FLOOR, NEVER, WHOLE
from bayes_scaling.laws.repetition import UNIQUE
from bayes_scaling.param import Param, Prior

PASSES = 200  # passes over a pool that are told apart; further ones add nothing
USUAL = 0.15  # the quality of a pool whose loss at the reference is `a0`


@LAWS.register("filtering")
@dataclass(frozen=True)
class Filtering(Checked):
    """The loss after several passes over one pool, ``y = d + a n^(-b) prod_j (j / (j-1))^(-b_j)``.

    Every pool has its quality b, the exponent of its samples in the first pass, and a half-life tau
    in passes: in pass j the exponent is ``b_j = b 2^(-(j-1) / tau)``. A pool of better samples that
    is small is repeated sooner, and loses to a larger one of worse samples where enough is trained
    on: how hard to filter depends on compute.

    Parameters
    ----------
    scored : {"loss", "error"}, default "loss"
        The column that is predicted: a loss, or a share of errors.
    origin : float, default 1
        Samples of which pools of any quality are worth the same: where the paper's `a`, which
        pools share, is stated.
    reference : tuple of (str, float), optional
        The samples n0; the geometric means of the training table unless given.

    Notes
    -----
    Parameters are the floor ``E`` (the paper's d), ``a0``, the reducible part after n0 new samples
    of a pool of the usual quality (0.15), ``b`` and ``tau``. Inputs are `tokens`, samples seen, and
    `unique_tokens`, the size of the pool; a pass that is under way counts as far as it went.
    Several pools are groups with `b` and `tau` of their own: ``Pooling("pool", (("E", "shared"),
    ("a0", "shared"), ("b", "free"), ("tau", "free")))``. A half-life wants three passes or more; b
    and the floor trade off as exponents and floors do. The printed formula is implemented; the
    authors' released code multiplies d as well.

    References
    ----------
    Goyal, Maini, Lipton, Raghunathan, Kolter 2024, Scaling Laws for Data Filtering: Data Curation
    cannot be Compute Agnostic, arXiv:2404.07177.

    Examples
    --------
    >>> from bayes_scaling.laws import Filtering
    >>> law = Filtering(reference=(("tokens", 1e9), ("unique_tokens", 1e9)))
    >>> theta = {"E": 0.2, "a0": 0.6, "b": 0.15, "tau": 4.0}
    >>> once = law(theta, {"tokens": 1e9, "unique_tokens": 1e9})
    >>> twice = law(theta, {"tokens": 2e9, "unique_tokens": 1e9})
    >>> float(round(once, 3)), float(round(twice, 3))
    (0.8, 0.75)
    """

    scored: Literal["loss", "error"] = "loss"
    origin: float = 1.0
    reference: Reference | None = None

    name: ClassVar[str] = "filtering"
    decreasing: ClassVar[tuple[str, ...]] = ("tokens", UNIQUE)
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_a": ("1", "ln of a in the paper's equation, samples in raw counts"),
        "d": ("nat/token", "the paper's floor"),
    }

    @property
    def outcome(self) -> str:
        """What is predicted."""
        return self.scored

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("tokens", UNIQUE)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        quality = Prior.of("LogNormal", median=0.15, sigma=0.5)
        half_life = Prior.of("LogNormal", median=4.0, sigma=0.7)
        return (
            FLOOR,
            Param("a0", WHOLE, "nat/token",
                  "what n0 new samples of a pool of quality 0.15 leave above the floor",
                  (0.1, 2.0), "intercept"),
            Param("b", quality, "1", "quality: exponent of new samples", (0.05, 0.4), "slope"),
            Param("tau", half_life, "epochs", "passes after which a sample is worth half as much",
                  (1.0, 20.0), "slope"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss at `tokens` seen of a pool of `unique_tokens`, raw counts."""
        xp = namespace(theta, x)
        worth = theta["b"] * self._seen(x, theta["tau"], xp)
        return theta["E"] + theta["a0"] * xp.exp(USUAL * self._span(xp) - worth)

    def merged(self, pools: Sequence[Theta], x: Inputs) -> Any:
        """Evaluate the loss of pools that are merged, of one size each: `unique_tokens` together.

        Half-lives are as many times longer as there are pools, ``b_j = mean_i b_i 2^(-(j-1) / (p
        tau_i))``; the floor and `a0` are those that pools share.
        """
        xp = namespace(pools[0], x)
        count = float(len(pools))
        parts = [p["b"] * self._seen(x, count * p["tau"], xp) for p in pools]
        worth = sum(parts[1:], parts[0]) / count
        return pools[0]["E"] + pools[0]["a0"] * xp.exp(USUAL * self._span(xp) - worth)

    def irreducible(self, theta: Theta) -> Any:
        """Return the floor."""
        return theta["E"]

    def _seen(self, x: Inputs, tau: Any, xp: ModuleType) -> Any:
        """Return ln of the samples seen over the origin, repeats counted at their worth."""
        start = xp.log(sizes(self)["tokens"])
        seen, pool = (xp.minimum(xp.log(x[c]) - start, NEVER) for c in ("tokens", UNIQUE))
        new = xp.minimum(seen, pool)
        return new + self._span(xp) + _repeats(seen - new, tau, xp)

    def _span(self, xp: ModuleType) -> Any:
        return xp.log(sizes(self)["tokens"]) - np.log(self.origin)

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return d, ln a and the rest, samples in raw counts."""
        xp = namespace(theta)
        log_a = xp.log(theta["a0"]) + USUAL * self._span(xp) + theta["b"] * np.log(self.origin)
        return {"d": theta["E"], "log_a": log_a, "b": theta["b"], "tau": theta["tau"]}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from those."""
        xp = namespace(paper)
        a0 = xp.exp(paper["log_a"] - paper["b"] * np.log(self.origin) - USUAL * self._span(xp))
        return {"E": paper["d"], "a0": a0, "b": paper["b"], "tau": paper["tau"]}


def _repeats(log_passes: Any, tau: Any, xp: ModuleType) -> Any:
    """Return what passes after the first add, for ln of the passes made.

    Pass j adds ``2^(-(j-1) / tau) ln(k / (j-1))``, k the passes made but at most j.
    """
    if hasattr(log_passes, "dims") or hasattr(tau, "dims"):  # names cost more than numbers
        shape: Any = 0.0 * log_passes + 0.0 * tau
        made, life = ((v + 0.0 * shape).transpose(*shape.dims).values for v in (log_passes, tau))
        return shape.copy(data=_repeats(made, life, xp))

    def in_pass(j: Any) -> Any:
        low = xp.log(j - 1)
        made = xp.minimum(xp.maximum(log_passes, low), xp.log(j)) - low
        return xp.exp(-(j - 1) * np.log(2.0) / tau) * made

    passes = np.arange(2.0, PASSES + 1)
    if xp is np:
        return sum(in_pass(j) for j in passes)
    import jax  # and here a loop would take minutes to compile

    return jax.vmap(in_pass)(xp.asarray(passes)).sum(axis=0)
