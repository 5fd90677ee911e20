"""Success against model size and samples at inference: what one buys in terms of the other."""

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
from bayes_scaling.param import Param, Prior

FAR = 60.0  # logit beyond which a float32 is 0 or 1
GAIN = Prior.of("LogNormal", median=0.3, sigma=0.7)


@LAWS.register("test_time")
@dataclass(frozen=True)
class TestTime:
    """Success at a difficulty, ``logit s = logit acc + lam ln(N / N0) + mu ln k``.

    Parameters
    ----------
    reference : tuple of (str, float), optional
        The size N0; the geometric mean of the training table unless given.

    Notes
    -----
    k (`samples`) counts the samples, or the revisions, that an answer is chosen from. Parameters
    are ``acc``, the share solved at N0 with one sample, ``lam``, ``mu`` and ``spread``, how alike
    the questions of a row are: counts scatter as a beta-binomial of that many. A row is a size and
    a k at one bin of difficulty, its `attempts` the questions of the bin. The bins are groups of a
    pooled model, ``Pooling("difficulty", (("acc", "free"),))``; make them by another estimate than
    the one that is fitted, such as half of the samples, or easy bins look easier than they are.

    Sizes and samples have to be crossed. The law rises without end; measured success levels off
    where nothing tells right answers from wrong ones, past some hundreds of samples.

    References
    ----------
    Snell et al. 2024, Scaling LLM Test-Time Compute Optimally, arXiv:2408.03314; Jones 2021,
    Scaling Scaling Laws with Board Games, arXiv:2104.03113.

    Examples
    --------
    >>> from bayes_scaling.laws import TestTime
    >>> law = TestTime(reference=(("params", 1e9), ("samples", 1.0)))
    >>> theta = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 50.0}
    >>> x = {"params": [1e9, 4e9], "samples": [16, 4]}  # 0.3 ln 16 = 0.6 ln 4
    >>> [round(float(law(theta, {k: v[i] for k, v in x.items()})), 3) for i in range(2)]
    [0.496, 0.598]
    """

    __test__: ClassVar[bool] = False  # nothing for pytest to collect

    reference: Reference | None = None

    name: ClassVar[str] = "test_time"
    outcome: ClassVar[str] = "coverage"
    seen_as: ClassVar[Mapping[str, str]] = {"name": "attempts", "of": "bin"}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {SAMPLES: (1.0, float("inf"))}
    latents: ClassVar[tuple[str, ...]] = ("u", "v", "never")
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log_N": ("1", "ln of the size at which one sample solves half of the questions"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return ("params", SAMPLES)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        acc, spread = Prior.of("Beta", a=1, b=1), Prior.of("LogNormal", median=50.0, sigma=1.0)
        return (
            Param("acc", acc, "1", "share solved at the reference size with one sample",
                  (0.05, 0.8), "intercept"),
            Param("lam", GAIN, "1", "gain of the logit per e-fold of parameters", (0.1, 1.0),
                  "intercept"),
            Param("mu", GAIN, "1", "gain of the logit per e-fold of samples", (0.1, 1.0),
                  "intercept"),
            Param("spread", spread, "1", "questions that the scatter of counts is like", (5, 500),
                  "noise"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the share solved by ``x["samples"]`` samples of models of ``x["params"]``."""
        xp = namespace(theta, x)
        return 1 / (1 + xp.exp(-self.logit(theta, x)))

    def logit(self, theta: Theta, x: Inputs) -> Any:
        """Return the logit of the share solved."""
        xp = namespace(theta, x)
        size = theta["lam"] * relative(self, x, "params", xp)
        z = self._base(theta, xp) + size + theta["mu"] * xp.log(x[SAMPLES])
        return xp.minimum(xp.maximum(z, -FAR), FAR)

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return u and v of the beta distribution of a row's chance, and no zeros, `never`."""
        xp, z = namespace(theta, x), self.logit(theta, x)
        u, v = (theta["spread"] / (1 + xp.exp(sign * z)) for sign in (-1, 1))
        return {"u": u, "v": v, "never": 0.0}

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return ln of the size at which one sample solves half, beside lam, mu and spread."""
        xp = namespace(theta)
        log_n = xp.log(sizes(self)["params"]) - self._base(theta, xp) / theta["lam"]
        return {"log_N": log_n, **{k: theta[k] for k in ("lam", "mu", "spread")}}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the share solved at the reference size."""
        xp = namespace(paper)
        z = paper["lam"] * (xp.log(sizes(self)["params"]) - paper["log_N"])
        return {"acc": 1 / (1 + xp.exp(-z)), **{k: paper[k] for k in ("lam", "mu", "spread")}}

    @staticmethod
    def _base(theta: Theta, xp: Any) -> Any:
        return xp.log(theta["acc"]) - xp.log1p(-theta["acc"])
