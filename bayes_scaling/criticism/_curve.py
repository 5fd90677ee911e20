"""A learning curve as a program: the annealing law, its priors, and residuals that remember."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.special import expit

from bayes_scaling.criticism._evidence import pit_of
from bayes_scaling.inference.sampling import sample
from bayes_scaling.laws import Annealing
from bayes_scaling.laws._protocol import namespace
from bayes_scaling.param import Prior
from bayes_scaling.results import dataset

POINTS = 100  # the curve is looked at in hundredths of the planned run: wiggles, not steps
NEAREST = 0.5  # hundredths: points logged on both sides of an edge count as that far apart
FEWEST = 8  # points below which the parameters are mostly prior
WINDOW = 10  # points, a tenth of the run, judged by those before them
FAINT = 0.01  # of the draws: a part of the posterior that need not be certified

LAW = Annealing(reference=(("lr_sum", 1.0), ("lr_drop", 1.0)))  # in shares of the planned run's
# Share of the loss at the planned end that more steps would still remove, as of M4.
SHARE = Prior.of("Beta", a=1.5, b=6.0)
ALPHA = Prior.of("LogNormal", median=0.5, sigma=0.4)  # 0.27 to 0.76 left from 30 to 100 % of a run
DROP = Prior.of(
    "HalfNormal", scale=0.1
)  # what the deepest decay takes off, over the loss it ends at
SIGMA = Prior.of("HalfNormal", scale=0.02)
PHI = Prior.of("Beta", a=8.0, b=2.0)  # correlation of residuals a hundredth of the run apart


class Part(NamedTuple):
    """A Gaussian part of the prior of ln(loss at the planned end)."""

    weight: float
    mean: float
    sd: float

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Return its log density, up to a constant that all parts share."""
        return -0.5 * ((x - self.mean) / self.sd) ** 2 - np.log(self.sd)


COLUMNS = ("at", "log_loss", "area", "drop")


@dataclass(frozen=True)
class Points:
    """A curve in hundredths of the planned run, and what its learning rate did.

    Parameters
    ----------
    at : (n,) array
        Shares of the planned run.
    log_loss : (n,) array
        Mean ln loss of each hundredth, nat/token.
    area : (n,) array
        S1, the area under the rate, over that at the planned end.
    drop : (n,) array
        S2, the annealing area, over its largest; of a rate that is constant 1, as there is none
        yet to come.
    left : float
        What the planned end lacks of the largest S2, as a share: 0 unless the rate rises again.
    """

    at: np.ndarray
    log_loss: np.ndarray
    area: np.ndarray
    drop: np.ndarray
    left: float = 0.0

    def __getitem__(self, rows: slice) -> "Points":
        """Return some of the points."""
        columns = {k: getattr(self, k)[rows] for k in COLUMNS}
        return replace(self, **columns)

    def mean(self, v: Mapping[str, Any]) -> Any:
        """Return ln of the law at the points."""
        theta = theta_of(v, self.left)
        x = {"lr_sum": self.area, "lr_drop": self.drop}
        return namespace(theta, x).log(LAW(theta, x))


@dataclass(frozen=True)
class Curve:
    """The NumPyro program of a learning curve."""

    identity: str = "learning curve"

    def __call__(self, data: Mapping[str, Any]) -> None:
        """Sample the parameters and observe the curve."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        v = {"log_end": numpyro.sample("log_end", dist.Normal(data["mean"], data["sd"]))}
        priors = {"share": SHARE, "alpha": ALPHA, "delta": DROP, "sigma": SIGMA, "phi": PHI}
        v |= {name: numpyro.sample(name, _built(prior)) for name, prior in priors.items()}
        residual = data["log_loss"] - Points(**{k: data[k] for k in (*COLUMNS, "left")}).mean(v)
        before = jnp.concatenate([jnp.zeros(1), residual[:-1]])
        rho = jnp.exp(data["gap"] * jnp.log(v["phi"]))
        lost = (1 - rho) * (1 + rho)  # of a residual's variance, from one point to the next
        fresh = (residual - rho * before) / v["sigma"]
        each = -0.5 * fresh**2 / lost - 0.5 * jnp.log(lost) - jnp.log(v["sigma"])
        numpyro.factor("curve", jnp.sum(each * data["real"]))


def _built(prior: Prior) -> Any:
    from bayes_scaling.priors import distribution

    return distribution(prior, dict(prior.args))


def theta_of(v: Mapping[str, Any], left: Any) -> dict[str, Any]:
    """Return the law's parameters from the loss at the planned end and shares of it."""
    end = namespace(v).exp(v["log_end"])
    floor = 1 - v["share"] - v["delta"] * left
    return {
        "E": end * floor, "a0": end * v["share"], "alpha": v["alpha"], "c0": end * v["delta"]
    }  # fmt: skip


def posterior(
    points: Points, prior: Sequence[Part], seed: int, draws: int
) -> tuple[dict[str, np.ndarray], float]:
    """Sample the curve's parameters, under every part of the prior by itself.

    A spike in a slab is a posterior that no one proposal covers, nor would its k-hat say so. The
    parts differ in the prior of ln(loss at the end) alone, p and q, so that the ratio of their
    evidences is ``E_q[p / (p + q)] / E_p[q / (p + q)]``, of numbers between 0 and 1.

    Parameters
    ----------
    points : Points
    prior : sequence of one or two Part
    seed, draws : int

    Returns
    -------
    values : dict of str to (chain, draw) array
    k_hat : float
        The worst of the parts that hold a hundredth of the draws.
    """
    fill = (0, POINTS - len(points.at))  # all curves share one compiled program
    # The first residual remembers nothing; no two are so near that they must be one.
    gap = np.maximum(np.diff(points.at * POINTS, prepend=-10.0 * POINTS), NEAREST)
    data = {
        **{k: np.pad(getattr(points, k), fill, mode="edge") for k in COLUMNS},
        "left": points.left,
        "gap": np.pad(gap, fill, constant_values=POINTS),
        "real": np.pad(np.ones(len(points.at)), fill),
    }
    each = [
        sample(
            Curve(), {**data, "mean": p.mean, "sd": p.sd}, method="laplace", draws=draws, seed=seed
        )
        for p in prior
    ]
    found, k_hats = [v.values for v in each], [float(v.attrs["k_hat"]) for v in each]
    if len(prior) == 1:
        return found[0], k_hats[0]
    (p, q), ends = prior, [v["log_end"] for v in found]
    near = [expit(p.log_density(x) - q.log_density(x)) for x in ends]
    holds = p.weight * near[1].mean()
    holds /= holds + q.weight * (1 - near[0]).mean()
    count = round(float(holds) * ends[0].shape[1])
    rng = np.random.default_rng([seed, 7])
    some = np.split(rng.permutation(ends[0].shape[1]), [count])
    values = {
        k: np.concatenate([v[k][:, i] for v, i in zip(found, some, strict=True)], axis=1)
        for k in found[0]
    }
    shares = (holds, 1 - holds)
    return values, max(k for k, s in zip(k_hats, shares, strict=True) if s > FAINT)


def ends(found: Mapping[str, np.ndarray], points: Points, decays: bool) -> xr.Dataset:
    """Return the loss at the planned end and the law's parameters, by draw."""
    values = {str(k): v for k, v in dataset(dict(found)).items()}
    theta = theta_of(values, points.left)
    end = theta["E"] + theta["a0"] + theta["c0"] * points.left
    said = {"units": "nat/token", "long_name": "loss at the planned end"}
    theta["drop"] = theta.pop("c0") * (1 - points.left)
    theta |= {k: values[k] for k in ("sigma", "phi")}
    out = xr.Dataset({"loss_end": end.assign_attrs(said), **theta})
    return out if decays else out.drop_vars("drop")


def last_window(points: Points, prior: Sequence[Part], seed: int, draws: int) -> float:
    """Return how surprising the mean of the last tenth is to a posterior of what came before."""
    at = points.at
    last = at > at[-1] - (WINDOW - 0.5) / POINTS
    first = int(np.argmax(last))
    if first < FEWEST or len(at) - first < WINDOW // 2:
        return np.nan
    found, _ = posterior(points[:first], prior, seed, draws)
    v = {k: np.ravel(value)[:, None] for k, value in found.items()}
    mean = points[first - 1 :].mean(v)
    rng = np.random.default_rng([seed, 6])
    residual, path = points.log_loss[first - 1] - mean[:, :1], []
    for gap in np.maximum(np.diff(at[first - 1 :] * POINTS), NEAREST):
        rho = v["phi"] ** gap
        noise = rng.normal(size=residual.shape)
        residual = rho * residual + v["sigma"] * np.sqrt(1 - rho**2) * noise
        path.append(residual)
    new = (mean[:, 1:] + np.concatenate(path, axis=1)).mean(axis=1)
    pit = pit_of(new, points.log_loss[first:].mean())
    return float(2 * np.minimum(pit, 1 - pit))
