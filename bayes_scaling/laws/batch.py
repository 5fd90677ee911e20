"""Steps to a target loss against batch size: the trade-off whose elbow is the critical batch."""

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
from bayes_scaling.param import Param, Prior

BATCH = "batch_size_tokens"
FAR = 80.0  # ln(B_crit / B) beyond which steps would overflow a float32
Along = Literal["one", "params", "tokens", "target_loss"]
RISE = {
    "params": Prior.of("Normal", loc=0.3, scale=0.3),
    "tokens": Prior.of("Normal", loc=0.45, scale=0.2),
    "target_loss": Prior.of("LogNormal", median=0.21, sigma=0.4),
}


@LAWS.register("cbs")
@dataclass(frozen=True)
class CriticalBatch(Checked):
    """Optimizer steps to a target loss, ``S = S_min (1 + B_crit / B)``.

    Parameters
    ----------
    along : {"one", "params", "tokens", "target_loss"}, default "one"
        What the critical batch size is a power law of, over the sweeps of a table.
    reference : tuple of (str, float), optional
        The batch size B0, and the size, data or loss; the geometric means of the training table
        unless given.

    Notes
    -----
    Parameters are ``s0 = S_min (1 + b_crit)``, the steps at B0, and ``b_crit``, B_crit at the
    reference in batches B0; along `params` or `tokens` their exponent ``rise``, along
    `target_loss` ``alpha_B`` of ``B_crit ~ L^(-1 / alpha_B)``. A table of several sweeps has an
    `s0` of its own for each: ``Pooling("model", (("s0", "free"),))``, under which `b_crit` scatters
    about the power law. All batches far below B_crit say what B_crit S_min is and not B_crit; all
    far above, S_min.

    References
    ----------
    McCandlish et al. 2018, arXiv:1812.06162, section 2.3; Kaplan et al. 2020, arXiv:2001.08361,
    section 5.1; Zhang et al. 2024, arXiv:2410.21676.

    Examples
    --------
    >>> from bayes_scaling.laws import CriticalBatch
    >>> law = CriticalBatch(reference=(("batch_size_tokens", 1e6),))
    >>> theta = {"s0": 2e4, "b_crit": 1.0}
    >>> float(law(theta, {"batch_size_tokens": 1e6})), law.to_paper(theta)["S_min"]
    (20000.0, 10000.0)
    """

    along: Along = "one"
    reference: Reference | None = None

    name: ClassVar[str] = "cbs"
    outcome: ClassVar[str] = "steps"
    decreasing: ClassVar[tuple[str, ...]] = (BATCH,)
    scatter: ClassVar[Prior] = Prior.of("HalfNormal", scale=0.1)

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (BATCH,) if self.along == "one" else (BATCH, self.along)

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
        if self.along == "target_loss":
            out.append(Param("alpha_B", RISE[self.along], "1",
                             "B_crit grows as the loss falls, L^(-1 / alpha_B)", (0.1, 0.4),
                             "slope"))  # fmt: skip
        elif self.along != "one":
            out.append(Param("rise", RISE[self.along], "1",
                             f"exponent of the critical batch size in {self.along}", (-0.1, 0.8),
                             "slope"))  # fmt: skip
        return tuple(out)

    def log_b_crit(self, theta: Theta, x: Inputs) -> Any:
        """Return ln B_crit, tokens, at ``x[along]``."""
        xp = namespace(theta, x)
        log = xp.log(theta["b_crit"]) + xp.log(sizes(self)[BATCH])
        if self.along == "one":
            return log
        return log + self._power(theta) * relative(self, x, self.along, xp)

    def _power(self, theta: Theta) -> Any:
        """Return the power of `along` that B_crit grows as."""
        return -1 / theta["alpha_B"] if self.along == "target_loss" else theta["rise"]

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the steps at ``x["batch_size_tokens"]``, tokens."""
        xp = namespace(theta, x)
        ratio = self.log_b_crit(theta, x) - xp.log(x[BATCH])
        return self.least_steps(theta) * (1 + xp.exp(xp.minimum(ratio, FAR)))

    def least_steps(self, theta: Theta) -> Any:
        """Return S_min, the steps that no batch size goes below."""
        return theta["s0"] / (1 + theta["b_crit"])

    def batch_for(self, theta: Theta, x: Inputs, overhead: float) -> Any:
        """Return the batch size, tokens, that takes a share `overhead` of tokens over E_min."""
        return overhead * namespace(theta, x).exp(self.log_b_crit(theta, x))

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return S_min, and B_crit in tokens, or ``log_B`` and the exponent of ``B X^power``."""
        xp = namespace(theta)
        ref = sizes(self)
        out = {"S_min": self.least_steps(theta)}
        if self.along == "one":
            return {**out, "B_crit": theta["b_crit"] * ref[BATCH]}
        log = xp.log(theta["b_crit"]) + xp.log(ref[BATCH])
        log = log - self._power(theta) * xp.log(ref[self.along])
        moves = {p.name: theta[p.name] for p in self.params[2:]}
        return {**out, "log_B": log, **moves}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters at the reference from the paper's."""
        xp = namespace(paper)
        ref = sizes(self)
        if self.along == "one":
            b_crit = paper["B_crit"] / ref[BATCH]
        else:
            log = paper["log_B"] + self._power(paper) * xp.log(ref[self.along])
            b_crit = xp.exp(log - xp.log(ref[BATCH]))
        moves = {p.name: paper[p.name] for p in self.params[2:]}
        return {"s0": paper["S_min"] * (1 + b_crit), "b_crit": b_crit, **moves}
