"""How runs of a tuning sweep scatter, and where they fail."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import Inputs, Theta, namespace
from bayes_scaling.observations._protocol import OBSERVATIONS
from bayes_scaling.observations._scatter import TAIL, Scale, Scatter
from bayes_scaling.param import Param, Prior

# Away from zero: a bowl whose bottom is put exactly on one run of every sweep has any density.
REPEATED = Param(
    "sigma",
    Prior.of("LogNormal", median=0.003, sigma=0.5),
    "1",
    "scatter of repeated runs at the best setting, as a share of the loss",
    (0.001, 0.01),
    "noise",
)
REPEATED_NATS = replace(
    REPEATED,
    prior=Prior.of("LogNormal", median=0.003, sigma=0.5, times="mean_loss"),
    unit="nat/token",
    meaning="scatter of repeated runs at the best setting",
    typical=(0.003, 0.03),
)
WARP = Param(
    "warp",
    Prior.of("HalfNormal", scale=0.3),
    "1",
    "error of a bowl's shape, as a share of the excess over its bottom",
    (0.02, 0.5),
    "noise",
)
MARGIN = Param(
    "margin",
    Prior.of("LogNormal", median=1.4, sigma=0.4),
    "1",
    "ln of the knob at which half of the runs diverge, over its best",
    (0.7, 3.0),
    "noise",
)
CLIFF = Param(
    "cliff",
    Prior.of("LogNormal", median=0.2, sigma=0.7),
    "1",
    "in how much of ln(knob) the share of diverging runs rises, e-fold of the odds",
    (0.05, 0.6),
    "noise",
)

NEVER = 700.0  # ln of the odds beyond which a probability would overflow


@OBSERVATIONS.register("sweep")
@dataclass(frozen=True)
class Sweep:
    """Scatter of a tuning sweep: least at the best setting, more with every miss; failures count.

    ``ln L ~ StudentT(nu, ln mu, s)`` with ``s^2 = sigma^2 + (warp * excess)^2``: the shape of a
    bowl is right near its bottom and wrong, by a share `warp`, of what lies above. Runs far from
    the optimum then say little of where it is, and none needs to be left out.

    Parameters
    ----------
    scale : {"log", "linear"}, default "log"
        Whether `sigma` and the excess are shares of the loss, or nats, as the law's scale.
    divergence : bool, default False
        Whether runs that diverged (column `diverged`) count, through
        ``P(diverged) = 1 / (1 + e^(-(overshoot - margin) / cliff))`` of the first knob's
        `overshoot`, ``ln(knob / its best)``: where runs fail says where the best is. What loss they
        ended at is not looked at.

    Notes
    -----
    Leaving diverged runs out takes the steep side of a sweep away and moves its optimum.
    """

    scale: Scale = "log"
    divergence: bool = False
    name: ClassVar[str] = "sweep"
    latents: ClassVar[tuple[str, ...]] = ("excess", "overshoot")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads beside the law's."""
        return ("diverged",) * self.divergence

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        sigma = REPEATED if self.scale == "log" else REPEATED_NATS
        return (sigma, WARP, TAIL) + (MARGIN, CLIFF) * self.divergence

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of the measured loss about `mu`."""
        import jax.numpy as jnp

        from bayes_scaling import _distributions as dist

        scatter = Scatter(self.scale, "constant", known=False)
        sd = jnp.sqrt(theta["sigma"] ** 2 + (theta["warp"] * x["excess"]) ** 2)
        loss = scatter.about(mu, lambda m: dist.StudentT(theta["nu"], m, sd, validate_args=False))
        if not self.divergence:
            return loss
        logit = self.log_odds(theta, x["overshoot"])
        return dist.OrFailed(loss, logit, x["diverged"], validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw losses of runs that do not diverge about `mu` with NumPy."""
        sd = np.sqrt(theta["sigma"] ** 2 + (theta["warp"] * x["excess"]) ** 2)
        z = rng.standard_t(np.broadcast_to(theta["nu"], np.shape(mu)))
        return Scatter(self.scale, "constant", known=False).add(mu, sd * z)

    def log_odds(self, theta: Theta, overshoot: Any) -> Any:
        """Return ln of the odds that a run diverges, at an `overshoot` in ln."""
        return (overshoot - theta["margin"]) / theta["cliff"]

    def failure(self, theta: Theta, overshoot: Any) -> Any:
        """Return the probability that a run diverges, at an `overshoot` in ln."""
        xp = namespace(theta, {"overshoot": overshoot})
        return 1 / (1 + xp.exp(xp.minimum(-self.log_odds(theta, overshoot), NEVER)))
