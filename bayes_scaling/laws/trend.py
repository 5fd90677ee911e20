"""How fast a frontier moves: capability or compute against date."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from bayes_scaling.laws._protocol import LAWS, Checked, Inputs, Reference, Theta, namespace, sizes
from bayes_scaling.param import Param, Prior

DATE = "date"
EPOCH = 2020.0  # the year that the paper's own level is stated at
LN2 = 0.6931471805599453
FAR = 80.0  # ln of an outcome beyond which a float32 would overflow
Outcome = Literal["horizon", "flops"]
UNITS = {"horizon": "minutes", "flops": "FLOP"}


@LAWS.register("time_trend")
@dataclass(frozen=True)
class TimeTrend(Checked):
    """The state of the art against date, ``y(t) = level 2^((t - t0) / doubling)``.

    Parameters
    ----------
    of : {"horizon", "flops"}, default "horizon"
        What grows: the length of tasks that are done half of the time, minutes, or the compute of
        the largest runs, FLOP.
    reference : tuple of (str, float), optional
        The date t0, a year such as 2024.5; the mean of the table's unless given.

    Notes
    -----
    Parameters are ``level``, the outcome at t0, and ``doubling``, years. Meant for `Records`, the
    likelihood of running maxima: ``level`` is then the median of the state of the art, and whether
    runs below it were left out of the table makes no difference. With `StudentT` it is the middle
    of all runs, which must not have been picked for being the best of their time.

    A few record points tell a slope and nothing more: no break of it, and no reason to go on.

    References
    ----------
    Kwa et al. 2025, Measuring AI Ability to Complete Long Tasks, arXiv:2503.14499.

    Examples
    --------
    >>> from bayes_scaling.laws import TimeTrend
    >>> law = TimeTrend(reference=(("date", 2024.0),))
    >>> round(float(law({"level": 10.0, "doubling": 0.5}, {"date": 2025.0})), 6)
    40.0
    """

    of: Outcome = "horizon"
    reference: Reference | None = None

    name: ClassVar[str] = "time_trend"
    usual: ClassVar[str] = "records"
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {DATE: (1950.0, 2100.0)}
    steady: ClassVar[tuple[str, ...]] = (DATE,)  # years differ by less than sizes have to
    latents: ClassVar[tuple[str, ...]] = ("slope", "log_mean")
    scatter: ClassVar[Prior] = Prior.of("HalfNormal", scale=1.0)
    derived: ClassVar[Mapping[str, tuple[str, str]]] = {
        "log2_2020": ("1", "log2 of the outcome at the start of 2020, in its unit"),
    }

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the law reads."""
        return (DATE,)

    @property
    def outcome(self) -> str:
        """What the law predicts."""
        return self.of

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters."""
        # The mean is of amounts that double: the largest few make it, and the middle is below it.
        level = Prior.of("LogNormal", median=0.3, sigma=2.0, times="mean_loss")
        doubling = Prior.of("LogNormal", median=0.6, sigma=0.5)
        typical = (1.0, 1e3) if self.of == "horizon" else (1e22, 1e26)
        return (
            Param("level", level, UNITS[self.of], "outcome at the reference date", typical,
                  "intercept"),
            Param("doubling", doubling, "year", "time in which it doubles", (0.2, 2.0), "slope"),
        )  # fmt: skip

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the outcome at ``x["date"]``, a year such as 2024.5."""
        xp = namespace(theta, x)
        return xp.exp(xp.minimum(xp.maximum(self.log(theta, x), -FAR), FAR))

    def log(self, theta: Theta, x: Inputs) -> Any:
        """Return ln of the outcome, however far it is."""
        xp = namespace(theta, x)
        return xp.log(theta["level"]) + LN2 * (x[DATE] - self._start) / theta["doubling"]

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return `slope`, what ln of the outcome gains in a year, and `log_mean`, that ln."""
        return {"slope": LN2 / theta["doubling"], "log_mean": self.log(theta, x)}

    def date_of(self, theta: Theta, value: Any) -> Any:
        """Return the year in which the trend is at `value`."""
        xp = namespace(theta, {"value": value})
        doublings = (xp.log(value) - xp.log(theta["level"])) / LN2
        return self._start + theta["doubling"] * doublings

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Return log2 of the outcome at the start of 2020, and the doubling time."""
        xp, ahead = namespace(theta), EPOCH - self._start
        log2 = xp.log(theta["level"]) / LN2 + ahead / theta["doubling"]
        return {"log2_2020": log2, "doubling": theta["doubling"]}

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Return the level at the reference date."""
        xp, ahead = namespace(paper), EPOCH - self._start
        log = LN2 * (paper["log2_2020"] - ahead / paper["doubling"])
        return {"level": xp.exp(log), "doubling": paper["doubling"]}

    @property
    def _start(self) -> Any:
        law: Any = self  # whose outcome is a choice, and of other laws is not
        return sizes(law)[DATE]
