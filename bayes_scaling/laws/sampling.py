"""What more samples at inference buy: the share of problems that one of k samples solves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.laws._gamma import log_gamma_ratio
from bayes_scaling.laws._protocol import LAWS, Checked, Inputs, Reference, Theta, namespace
from bayes_scaling.param import Param, Prior

SAMPLES = "samples"
NEVER = Param("unsolvable", Prior.of("Beta", a=1, b=4), "1",
              "share of problems that no number of samples solves", (0.0, 0.5))  # fmt: skip


@LAWS.register("coverage")
@dataclass(frozen=True)
class Coverage(Checked):
    """Coverage by repeated sampling, ``coverage(k) = 1 - B(u, v + k) / B(u, v)``.

    Every problem has a chance p of its own that a sample solves it, p ~ Beta(u, v) over problems;
    k samples solve it with probability ``1 - (1 - p)^k``.

    Parameters
    ----------
    zeros : bool, default False
        Whether a share of the problems, `unsolvable`, is solved by no number of samples. The law is
        then ``(1 - unsolvable)`` times the above, and levels off.
    reference : tuple of (str, float), optional
        Of no use to this law, which divides by nothing.

    Notes
    -----
    Parameters are ``pass1 = u / (u + v)``, the share that one sample solves (of the solvable
    problems), and ``spread = u + v``: few problems of middling chance where it is small, all much
    alike where it is large. For many samples the share left is
    ``Gamma(u + v) / Gamma(v) k^-u``: the exponent of the power law is u, which is how thick the
    distribution of p is near zero. Problems solved in none of n attempts say what u is; beyond
    ``k = n`` the law extrapolates that tail, and a point mass at zero cannot be told from a thin
    one: fit it both with and without `zeros`.

    Coverage is accuracy only where something tells a right answer from a wrong one.

    References
    ----------
    Brown et al. 2024, Large Language Monkeys, arXiv:2407.21787; Schaeffer et al. 2025, How Do Large
    Language Monkeys Get Their Power (Laws)?, arXiv:2502.17578.

    Examples
    --------
    >>> from bayes_scaling.laws import Coverage
    >>> law = Coverage()
    >>> theta = law.from_paper({"u": 0.3, "v": 2.0})
    >>> [round(float(law(theta, {"samples": k})), 4) for k in (1, 10, 100, 1000)]
    [0.1304, 0.4415, 0.7084, 0.8532]
    """

    zeros: bool = False
    reference: Reference | None = None

    name: ClassVar[str] = "coverage"
    outcome: ClassVar[str] = "coverage"
    usual: ClassVar[str] = "attempts"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {SAMPLES: (1.0, float("inf"))}
    steady: ClassVar[tuple[str, ...]] = (SAMPLES,)
    latents: ClassVar[tuple[str, ...]] = ("u", "v", "never")
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "u": ("1", "exponent with which the share unsolved falls with samples"),
        "v": ("1", "second shape of the Beta distribution of chances"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (SAMPLES,)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        of = " of the solvable problems" if self.zeros else " of problems"
        return (
            Param("pass1", Prior.of("Beta", a=1, b=2), "1", f"share{of} that one sample solves",
                  (0.01, 0.7), "intercept"),
            Param("spread", Prior.of("LogNormal", median=1.0, sigma=1.0), "1",
                  "u + v: how alike problems are in how hard they are", (0.2, 5.0)),
        ) + (NEVER,) * self.zeros  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the share of problems that one of ``x["samples"]`` samples solves."""
        xp = namespace(theta, x)
        return -(1 - self._never(theta)) * xp.expm1(self.log_failure(theta, x))

    def log_failure(self, theta: Theta, x: Inputs) -> Any:
        """Return ln of the share that no sample solves, of the solvable problems."""
        xp, p = namespace(theta, x), self.to_paper(theta)
        u, v = p["u"], p["v"]
        return log_gamma_ratio(v, u, xp) - log_gamma_ratio(v + x[SAMPLES], u, xp)

    def limit(self, theta: Theta) -> Any:
        """Return the coverage of samples without end."""
        return 1.0 - self._never(theta) + 0.0 * theta["pass1"]

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:  # noqa: ARG002
        """Return u, v and the share of unsolvable problems, `never`."""
        p = self.to_paper(theta)
        return {"u": p["u"], "v": p["v"], "never": self._never(theta)}

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return u and v of ``p ~ Beta(u, v)``, and `unsolvable` where the law has it."""
        out = {"u": theta["pass1"] * theta["spread"], "v": (1 - theta["pass1"]) * theta["spread"]}
        return out | ({"unsolvable": theta["unsolvable"]} if self.zeros else {})

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return pass1 and spread from u and v."""
        total = paper["u"] + paper["v"]
        out = {"pass1": paper["u"] / total, "spread": total}
        return out | ({"unsolvable": paper["unsolvable"]} if self.zeros else {})

    def _never(self, theta: Theta) -> Any:
        return theta["unsolvable"] if self.zeros else 0.0
