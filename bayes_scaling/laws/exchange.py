"""Accuracy against model size and samples at inference: what the one buys of the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bayes_scaling.laws._protocol import (
    LAWS,
    Inputs,
    Reference,
    Theta,
    namespace,
    relative,
    sizes,
)
from bayes_scaling.laws.sampling import SAMPLES
from bayes_scaling.laws.tasks import rising
from bayes_scaling.param import Param, Prior

GAIN = Prior.of("LogNormal", median=0.3, sigma=0.7)
ACC_APART, GAIN_APART = 1.0, 0.5  # of easy and hard bins: in logits, and as a share of a gain


@LAWS.register("test_time")
@dataclass(frozen=True)
class TestTime:
    """Accuracy of k samples at a difficulty, ``logit acc = theta + lam ln(N / N0) + mu ln k``.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        The size N0; the geometric mean of the training table unless given. Of `samples` it is of no
        use: they are counted from one.

    Notes
    -----
    k (`samples`) counts the samples, or the revisions, that an answer is chosen from. Parameters
    are ``acc``, the share of right answers at N0 with one sample (theta is its logit), ``lam`` and
    ``mu``. A row is a size and a k at one bin of difficulty: its `accuracy`, or `solved`, of the
    `questions` of the bin. Bins are groups, ``Pooling("difficulty")``: level and gains of each are
    drawn together. Make them by another estimate than the one that is fitted, such as half of the
    samples; bins made of the answers themselves look easier, or harder, than they are.

    Sizes and samples have to be crossed. With one sample there is no term in k. The law rises
    without end; measured accuracy levels off where nothing tells right answers from wrong ones,
    past some hundreds of samples, and revisions that go on for long can do harm.

    References
    ----------
    Snell et al. 2024, Scaling LLM Test-Time Compute Optimally, arXiv:2408.03314; Jones 2021,
    Scaling Scaling Laws with Board Games, arXiv:2104.03113.

    Examples
    --------
    >>> from bayes_scaling.laws import TestTime
    >>> law = TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> theta = {"acc": 0.3, "lam": 0.6, "mu": 0.3}
    >>> [round(float(law(theta, {"params": n, "samples": k})), 3) for n, k in ((1e9, 16), (4e9, 1))]
    [0.496, 0.496]
    """

    __test__: ClassVar[bool] = False  # nothing for pytest to collect

    reference: Reference | None = None

    name: ClassVar[str] = "test_time"
    outcome: ClassVar[str] = "accuracy"
    usual: ClassVar[Mapping[str, Any]] = {"name": "beta_binomial"}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {SAMPLES: (1.0, float("inf"))}
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_N": ("1", "ln of the size whose single sample answers half of the questions"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("params", SAMPLES)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        return (
            Param("acc", Prior.of("Beta", a=1, b=1), "1",
                  "accuracy at the reference size with one sample", (0.05, 0.8), "intercept",
                  apart=ACC_APART),
            # Gains are "intercepts" to pooling: between difficulties it is they that move.
            Param("lam", GAIN, "1", "gain of the logit per e-fold of parameters", (0.1, 1.0),
                  "intercept", apart=GAIN_APART),
            Param("mu", GAIN, "1", "gain of the logit per e-fold of samples", (0.1, 1.0),
                  "intercept", apart=GAIN_APART),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the accuracy of models of ``x["params"]`` with ``x["samples"]`` samples."""
        xp = namespace(theta, x)
        size = theta["lam"] * relative(self, x, "params", xp)
        return rising(
            self._base(theta, xp) + size + theta["mu"] * xp.log(x[SAMPLES]), "logistic", xp
        )

    def log_samples(self, theta: Theta, accuracy: Any, params: Any) -> Any:
        """Return ln of the samples with which models of a size reach an accuracy; may be below 0.

        The law the other way round.
        """
        xp = namespace(theta, {"accuracy": accuracy, "params": params})
        size = theta["lam"] * relative(self, {"params": params}, "params", xp)
        wanted = xp.log(accuracy) - xp.log1p(-accuracy)
        return (wanted - self._base(theta, xp) - size) / theta["mu"]

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ln of the size whose single sample is right half of the time, lam and mu."""
        xp = namespace(theta)
        log_n = xp.log(sizes(self)["params"]) - self._base(theta, xp) / theta["lam"]
        return {"log_N": log_n, "lam": theta["lam"], "mu": theta["mu"]}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the accuracy at the reference size, lam and mu."""
        xp = namespace(paper)
        z = paper["lam"] * (xp.log(sizes(self)["params"]) - paper["log_N"])
        return {"acc": rising(z, "logistic", xp), "lam": paper["lam"], "mu": paper["mu"]}

    @staticmethod
    def _base(theta: Theta, xp: Any) -> Any:
        return xp.log(theta["acc"]) - xp.log1p(-theta["acc"])
