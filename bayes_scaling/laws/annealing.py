"""The loss along a run and at its end, under any learning-rate schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, relative, sizes
from bayes_scaling.laws.joint import FLOOR, SHARE
from bayes_scaling.param import Param, Prior

AREA, DROP = "lr_sum", "lr_drop"


@LAWS.register("annealing")
@dataclass(frozen=True)
class Annealing:
    """The learning-rate-annealing law, ``L = L0 + A S1^-alpha - C S2``.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        ``lr_sum`` and ``lr_drop`` of the reference run; unless given, the geometric mean and the
        largest of the training table.

    Notes
    -----
    S1 (`lr_sum`) is the area under the learning rate and S2 (`lr_drop`) the annealing area, both in
    steps at the peak rate, as `annealing_sums` computes them from a schedule. The law is written

        L = E + a0 (S1 / S1ref)^-alpha + c0 (1 - S2 / S2ref),

    so that ``c0 = C S2ref`` is what the deepest decay in the table takes off, and ``E = L0 - c0``
    the floor under it, which lies below every loss measured. The law may be read at every step of
    a run as well as at its end.

    Runs at a constant rate leave `c0` to its prior, and decays alone confuse it with `alpha`: both
    need one stretch at a constant rate and one decay. One table is one model, batch and peak rate.
    Points along runs miss the law together: ``Clustered(by="run", along="lr_sum")``.
    S2 is in proportion to how far the rate fell: far outside the decays seen that is a guess, and
    beyond ``S2 = S2ref (1 + E / c0)`` the loss would not be positive.

    References
    ----------
    Tissue et al. 2024, Scaling Law with Learning Rate Annealing, arXiv:2408.11029.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.Annealing(reference=(("lr_sum", 2e4), ("lr_drop", 950.0)))
    >>> theta = law.from_paper({"L0": 2.6, "A": 40.0, "alpha": 0.5, "C": 1e-4})
    >>> area, drop = bs.annealing_sums([1.0, 1.0, 0.0], steps=20_000)  # a decay over the last half
    >>> law(theta, {"lr_sum": area[1:], "lr_drop": drop[1:]}).round(3).tolist()
    [3.0, 2.837]
    """

    reference: Reference | None = None

    name: ClassVar[str] = "annealing"
    outcome: ClassVar[str] = "loss"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "L0": ("nat/token", "the floor without a decay"),
        "A": ("nat/token", "A in A / S1^alpha, S1 in steps at the peak rate"),
        "C": ("nat/token per step", "what a unit of the annealing area takes off"),
    }
    decreasing: ClassVar[tuple[str, ...]] = (AREA, DROP)
    from_zero: ClassVar[tuple[str, ...]] = (DROP,)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (AREA, DROP)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        alpha = Prior.of("LogNormal", median=0.5, sigma=0.4)
        drop = Prior.of("HalfNormal", scale=0.1, times="mean_loss")
        return (
            FLOOR,
            Param("a0", SHARE, "nat/token", "reducible loss at the reference area",
                  (0.05, 4.0), "intercept"),
            Param("alpha", alpha, "1", "exponent of the area under the rate", (0.2, 1.0), "slope"),
            Param("c0", drop, "nat/token", "what the reference decay takes off",
                  (0.01, 0.3), "intercept"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the loss, nat/token, at ``x["lr_sum"]`` and ``x["lr_drop"]``, steps."""
        xp = namespace(theta, x)
        reducible = theta["a0"] * xp.exp(-theta["alpha"] * relative(self, x, AREA, xp))
        return theta["E"] + reducible + theta["c0"] * (1 - x[DROP] / sizes(self)[DROP])

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return L0, ``A = a0 S1ref^alpha``, alpha and C, of sums in steps at the peak rate."""
        ref, alpha = sizes(self), theta["alpha"]
        bare = {"L0": theta["E"] + theta["c0"], "A": theta["a0"] * ref[AREA] ** alpha}
        return {**bare, "alpha": alpha, "C": theta["c0"] / ref[DROP]}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from the paper's."""
        ref, alpha = sizes(self), paper["alpha"]
        a0, c0 = paper["A"] * ref[AREA] ** -alpha, paper["C"] * ref[DROP]
        return {"E": paper["L0"] - c0, "a0": a0, "alpha": alpha, "c0": c0}
