"""The squared norm of a batch's gradient against batch size: the gradient noise scale."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.laws._protocol import LAWS, Inputs, Reference, Theta, namespace, sizes
from bayes_scaling.laws.batch import BATCH, bent
from bayes_scaling.param import Param, Prior


@LAWS.register("noise_scale")
@dataclass(frozen=True)
class NoiseScale:
    """Squared gradient norm of one batch, ``E|g_B|^2 = |G|^2 (1 + B_simple / B)``.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        The batch size B0; the geometric mean of the training table unless given.

    Notes
    -----
    ``B_simple = tr(Sigma) / |G|^2``, with Sigma the covariance of one token's gradient: the batch
    whose gradient is as much noise as signal. Parameters are ``g0 = |G|^2 (1 + b_simple)``, the
    mean at B0, and ``b_simple``, in batches B0. The textbook estimate divides one noisy difference
    by another, ``(B_big |g_big|^2 - B_small |g_small|^2) / (B_big - B_small)`` below, and is
    biased and sometimes negative; here nothing is divided. Batches on both sides of B_simple say
    what it is; all far above say only that it is small, all far below that it is large.

    Each row is one norm of one batch, with the observation model `Gamma`. Rows are taken to be
    independent: of the gradients that are averaged into a large one, keep their mean as one row, or
    use other steps for the small batches.

    References
    ----------
    McCandlish et al. 2018, arXiv:1812.06162, section 2.2 and appendix A.

    Examples
    --------
    >>> from bayes_scaling.laws import NoiseScale
    >>> law = NoiseScale(reference=(("batch_size_tokens", 1e5),))
    >>> theta = law.from_paper({"G_sq": 2.0, "B_simple": 1e6})
    >>> [round(float(law(theta, {"batch_size_tokens": b})), 6) for b in (1e5, 1e6, 1e9)]
    [22.0, 4.0, 2.002]
    """

    reference: Reference | None = None

    name: ClassVar[str] = "noise_scale"
    outcome: ClassVar[str] = "grad_norm_sq"
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "G_sq": ("1", "squared norm of the gradient without noise"),
        "B_simple": ("tokens", "gradient noise scale"),
    }
    decreasing: ClassVar[tuple[str, ...]] = (BATCH,)
    scatter: ClassVar[Prior] = Prior.of("HalfNormal", scale=0.5)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (BATCH,)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        # The mean over a table is that of its smallest batches, and may be far above the level.
        level = Prior.of("LogNormal", median=1.0, sigma=2.0, times="mean_loss")
        batch = Prior.of("LogNormal", median=1.0, sigma=2.5)
        return (
            Param("g0", level, "1", "mean squared gradient norm at the reference batch",
                  (1e-4, 1e2), "intercept"),
            Param("b_simple", batch, "1", "gradient noise scale, in batches B0",
                  (0.01, 100.0), "intercept"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the mean squared norm at ``x["batch_size_tokens"]``, tokens."""
        xp = namespace(theta, x)
        ratio = self.log_b_simple(theta) - xp.log(x[BATCH])
        return self.signal(theta) * bent(ratio, 1.0, xp)

    def log_b_simple(self, theta: Theta) -> Any:
        """Return ln B_simple, tokens."""
        xp = namespace(theta)
        return xp.log(theta["b_simple"]) + xp.log(sizes(self)[BATCH])

    def signal(self, theta: Theta) -> Any:
        """Return |G|^2, of the gradient without noise."""
        xp = namespace(theta)
        return theta["g0"] / bent(xp.log(theta["b_simple"]), 1.0, xp)

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return |G|^2 and B_simple in tokens; tr(Sigma) is their product."""
        b_simple = namespace(theta).exp(self.log_b_simple(theta))
        return {"G_sq": self.signal(theta), "B_simple": b_simple}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from the paper's."""
        b_simple = paper["B_simple"] / sizes(self)[BATCH]
        log = namespace(paper).log(b_simple)
        return {"g0": paper["G_sq"] * bent(log, 1.0, namespace(paper)), "b_simple": b_simple}
