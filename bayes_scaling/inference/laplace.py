"""The importance-sampled Laplace engine: a posterior in a fraction of a second, certified.

Draw from multivariate t's about the modes, weigh by the true density, smooth the weights, and look
at their tail. Where the tail says that the proposal was poor, follow the ridges along which the
density departs most from a Gaussian, put t's on them, and let that mixture learn the shape from
the weighted draws (adaptive importance sampling). The certificate is always that of draws which
the proposal has not seen.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import jax
import numpy as np

from bayes_scaling.inference import psis
from bayes_scaling.inference._kept import Kept
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.optimum import (
    SCREEN,
    STARTS,
    Climb,
    Look,
    Optimum,
    climb,
    modes_of,
    search,
)
from bayes_scaling.inference.proposal import Mixture, Whitened, about, spread_over
from bayes_scaling.inference.ridges import along_ridges
from bayes_scaling.inference.rows import Blocks, at_once, is_large, placed, sketch
from bayes_scaling.inference.target import Target, starts_for

GOOD_K = 0.7  # above it, importance weights are not to be trusted (Vehtari et al. 2024)
CALM_K = 0.5  # below it, another round cannot help much ...
CALM_SHARE = 0.25  # ... if so many of the proposals are effective
FINE_SHARE = 0.125  # ... or of so many, if another round was no better
SLACK = 2  # proposals per draw kept
LEAST = 8000  # proposals, however few draws are kept: a tail of fewer certifies little
ROUNDS = 10
NODES = 2 * STARTS  # put along the ridges
LEARN = 400  # effective draws that a refit should rest on; weights are tempered until it does
COMPONENTS = 8
FAR_SHARE = 0.01  # least of a point along the spreads, relative to the peak's
MINOR_MODE = 0.01  # of the best mode's mass: a mode with less is noted, not proposed from


T = TypeVar("T")


@dataclass(frozen=True)
class Weighted:
    """Draws from a proposal, resampled in proportion to the true density.

    Parameters
    ----------
    z : (draws, d) array
        Equally weighted draws; copies of one proposal are neighbours.
    pick : (draws,) array of int
        Which of the last proposals they are.
    log_density : (draws,) array
        Of the unconstrained target.
    k_hat : float
        Shape of the tail of the weights.
    effective : float
        Kish's effective number of the proposals.
    rounds : int
        Proposals tried.
    """

    z: np.ndarray
    pick: np.ndarray
    log_density: np.ndarray
    k_hat: float
    effective: float
    rounds: int


def rounds(
    optimum: Optimum,
    proposals: int,
    draws: int,
    nodes: int,
    rng: np.random.Generator,
    at: np.ndarray | None = None,
) -> Generator[Look | Climb, Any, Weighted]:
    """Sample a posterior by importance: yield requests, be sent their answers.

    Parameters
    ----------
    optimum : Optimum
        The modes the first proposal is put about, and their curvature.
    proposals, draws : int
        Per round, and to return.
    nodes : int
        Points put along the ridges; 0 for none.
    rng : numpy.random.Generator
    at : (p,) array of int, optional
        The coordinates that are proposed by t's; the others are standard normal.

    Returns
    -------
    Weighted
        Of the first proposal that is good enough, else of the best one tried.
    """
    major = optimum.log_mass > np.log(MINOR_MODE)
    major[0] = True
    mass = np.where(np.isfinite(optimum.log_mass), optimum.log_mass, 0.0)
    proposal: Mixture | Whitened
    if at is None:
        proposal = about(optimum.modes[major], optimum.hessians[major], mass[major])
    else:
        across = optimum.hessians[:, at[:, None], at[None]]
        inner = about(optimum.modes[:, at], across, mass, FAR_SHARE)
        proposal = Whitened(inner, at, len(optimum.z))
    tried: list[tuple[float, float, Mixture | Whitened]] = []
    for attempt in range(1, ROUNDS + 1):
        z = proposal.draw(rng, proposals)
        got, log_ratio = _weigh(proposal, z, (yield Look(z)), draws, rng, attempt)
        if got.k_hat < CALM_K and got.effective > CALM_SHARE * proposals:
            return got
        tried.append((got.k_hat, got.effective, proposal))
        best = max(tried, key=_merit)
        if _merit(best)[0] and best[1] > FINE_SHARE * proposals and best is not tried[-1]:
            break
        weight = _tempered(log_ratio)
        if attempt == 1 and nodes:
            proposal = yield from along_ridges(optimum, proposal, nodes)
        elif attempt == 2 and not nodes and at is None:
            proposal = spread_over(rng, z, weight, COMPONENTS).refit(z, weight)
        else:
            proposal = proposal.refit(z, weight)
    # The best of ten k-hats flatters: that proposal is drawn from anew, and certified on that.
    proposal = max(tried, key=_merit)[2]
    z = proposal.draw(rng, proposals)
    return _weigh(proposal, z, (yield Look(z)), draws, rng, attempt + 1)[0]


def _merit(tried: tuple[float, float, Any]) -> tuple[bool, float]:
    """Return what proposals are ranked by: how many are effective, where the tail allows for it."""
    k_hat, effective, _ = tried
    return (True, effective) if k_hat < CALM_K else (False, -k_hat)


def _weigh(
    proposal: Mixture | Whitened,
    z: np.ndarray,
    log_density: np.ndarray,
    draws: int,
    rng: np.random.Generator,
    attempt: int,
) -> tuple[Weighted, np.ndarray]:
    """Weigh proposals and resample; return also their log ratios."""
    log_density = np.where(np.isfinite(log_density), log_density, -np.inf)
    log_ratio = log_density - proposal.log_density(z)
    log_weight, k_hat = psis.smooth(log_ratio)
    pick = psis.resample(log_weight, draws, rng)
    effective = psis.effective(log_weight)
    return Weighted(z[pick], pick, log_density[pick], k_hat, effective, attempt), log_ratio


def _tempered(log_ratio: np.ndarray) -> np.ndarray:
    """Return weights, flattened by a power until enough draws count."""
    finite = log_ratio - log_ratio.max()
    power = 1.0
    for _ in range(30):
        weight = np.exp(power * finite)
        weight = weight / weight.sum()
        if 1 / np.sum(weight**2) > LEARN:
            break
        power *= 0.8
    return weight


@dataclass(frozen=True)
class Sampled:
    """What the engine found.

    Parameters
    ----------
    weighted : Weighted
    found : dict of dict of str to (draws, ...) array
        `values` and `log_prior` of the draws.
    """

    weighted: Weighted
    found: dict[str, dict[str, np.ndarray]]


def optimise(
    target: Target, data: Any, everywhere: Any, seed: Any = 0, starts: int = STARTS
) -> Optimum:
    """Find the peak of a density, and its other modes, from several draws of the prior.

    Parameters
    ----------
    target : Target
        The density.
    data : pytree of arrays
        What its program reads. A large table is searched on a sample of its rows; what is found
        there is then climbed to the end on all of them.
    everywhere : pytree of arrays
        The same, from `placed`.
    seed : int
        Of the starts.
    starts : int
        How many Newton searches run, side by side.

    Returns
    -------
    Optimum
    """
    steps = search(starts_for(target, data, SCREEN, seed), starts)
    if not is_large(data):
        return drive(steps, Engine(target, everywhere))
    near = drive(steps, Engine(target, placed(sketch(data, seed))))
    nothing = np.zeros(1)
    climbs = [Climb(z[None], 0 * z[None], nothing, nothing) for z in near.modes]
    found = [climb(target, request, everywhere) for request in climbs]
    return modes_of(*(np.concatenate(v) for v in zip(*found, strict=True)))


def importance(
    target: Target,
    data: Any,
    optimum: Optimum,
    draws: int = 4000,
    seed: Any = 0,
    at: np.ndarray | None = None,
    least: int = LEAST,
) -> Sampled:
    """Sample a posterior by importance from t's about its modes.

    Parameters
    ----------
    target, data
        The density and what its program reads, from `placed`.
    optimum : Optimum
        Where to centre the first proposal, and its curvature.
    draws : int
        Draws to return; twice as many are proposed, and `least` at least; of large tables as many,
        and half of `least` at least.
    seed : int or sequence of int
    at : (p,) array of int, optional
        As of `rounds`.
    least : int
        Proposals, however few draws are kept; 8,000 unless given.

    Returns
    -------
    Sampled
    """
    large = isinstance(data, Blocks)  # nearly Gaussian: few proposals are lost, and each is dear
    proposals = max(draws, least // SLACK) if large else max(draws * SLACK, least)
    rng, engine = np.random.default_rng(seed), Engine(target, data)
    nodes = 0 if large or at is not None else NODES
    got = drive(rounds(optimum, proposals, draws, nodes, rng, at), engine)
    return Sampled(got, jax.tree.map(lambda v: v[got.pick], engine.last))


class Engine:
    """Answers requests for one density, and keeps what it found last."""

    def __init__(self, target: Target, data: Any) -> None:
        self.target, self.data, self.last = target, data, {}

    def __call__(self, request: Look | Climb) -> Any:
        """Answer."""
        if isinstance(request, Climb):
            return climb(self.target, request, self.data)
        log_density, self.last = look(self.target, request.z, self.data)
        return log_density


def drive(steps: Generator[Look | Climb, Any, T], answer: Callable[[Look | Climb], Any]) -> T:
    """Run a generator of requests to its end."""
    try:
        request = next(steps)
        while True:
            request = steps.send(answer(request))
    except StopIteration as end:
        return end.value


@in_float64
def look(target: Target, z: np.ndarray, data: Any) -> tuple[np.ndarray, Any]:
    """Return the log density at points, (point, d), and the `values` and `log_prior` there."""
    rows = max((np.shape(v)[-1] for v in jax.tree.leaves(data) if np.ndim(v)), default=1)
    size = at_once(rows, derivatives=target.takes_derivatives)
    filled = np.concatenate([z, np.repeat(z[-1:], -len(z) % size, axis=0)])
    blocks = [filled[at : at + size] for at in range(0, len(filled), size)]
    parts = jax.device_get([_look(target, block, data) for block in blocks])
    return jax.tree.map(lambda *v: np.concatenate(v)[: len(z)], *parts)


def log_density_at(target: Target, z: np.ndarray, data: Any) -> np.ndarray:
    """Return the log density at points of R^d, (point, d) to (point,)."""
    return look(target, z, data)[0]


@in_float64
def look_many(target: Target, request: Look, data: Any) -> tuple[np.ndarray, Any]:
    """Return what `look` does for several tables side by side, on a leading dimension."""
    return jax.device_get(_look_many(target, request.z, data))


@Kept
def _look_many(target: Target, z: Any, data: Any) -> Any:
    return jax.vmap(partial(_points, target))(z, data)


@Kept
def _look(target: Target, z: Any, data: Any) -> Any:
    return _points(target, z, data)


def _points(target: Target, z: Any, data: Any) -> Any:
    return jax.vmap(lambda point: target.look(point, data))(z)


@in_float64
def log_likelihood(target: Target, z: np.ndarray, data: Any) -> dict[str, np.ndarray]:
    """Return the log likelihood of every row at points, by observed site."""
    return jax.device_get(_log_likelihood(target, z, data))


@Kept
def _log_likelihood(target: Target, z: Any, data: Any) -> Any:
    return jax.vmap(lambda point: target.evaluate(point, data)["log_likelihood"])(z)
