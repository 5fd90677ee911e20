"""Many posteriors of one program: what a worker of `fit_many` does."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bayes_scaling.inference._cache import keep_compiled
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.laplace import NODES, SLACK, importance, look_many, optimise, rounds
from bayes_scaling.inference.optimum import SCREEN, Climb, Look, Optimum, climb_many, search
from bayes_scaling.inference.rows import placed
from bayes_scaling.inference.target import Target, starts_for, target_of

LEAST = 4000  # proposals per table
LOT = 256  # tables in one call of a compiled program, where many side by side are no slower


@dataclass(frozen=True)
class Batch:
    """Tables of one shape, to be fitted together; it can be sent to another process.

    Parameters
    ----------
    program : callable
        The NumPyro program they share.
    data : tuple of dict
        What it reads, per table: equal shapes.
    seeds : tuple of (int, int)
        Of each table.
    draws : int
        Per posterior.
    """

    program: Any
    data: tuple[dict[str, Any], ...]
    seeds: tuple[tuple[int, int], ...]
    draws: int


@dataclass(frozen=True)
class Posterior:
    """One posterior of a batch.

    Parameters
    ----------
    z : (draw, d) array
        Unconstrained draws.
    values : dict of str to (draw, ...) array
        Parameters on their own scale.
    optimum : Optimum
    k_hat, effective : float
    rounds : int
    """

    z: np.ndarray
    values: dict[str, np.ndarray]
    optimum: Optimum
    k_hat: float
    effective: float
    rounds: int


@in_float64
def fit_batch(batch: Batch) -> list[Posterior]:
    """Fit every table of a batch by importance sampling, in the order given.

    On a CPU, where one fit fills the cache, they are taken in turn, with the programs of a single
    one. Elsewhere every fit is a generator of requests, of which many are answered at once.
    """
    keep_compiled()
    target = target_of(batch.program, batch.data[0])
    if jax.default_backend() != "cpu":
        return _in_step(target, batch)
    each = zip(batch.data, batch.seeds, strict=True)
    return [_in_turn(target, data, seed, batch.draws) for data, seed in each]


def _in_turn(target: Target, data: Any, seed: tuple[int, int], draws: int) -> Posterior:
    everywhere = placed(data)
    optimum = optimise(target, data, everywhere, seed)
    got = importance(target, everywhere, optimum, draws, seed, least=LEAST)
    one = got.weighted
    about = (one.k_hat, one.effective, one.rounds)
    return Posterior(one.z, got.found["values"], optimum, *about)


def _in_step(target: Target, batch: Batch) -> list[Posterior]:
    """Drive fits together: requests of one kind are answered a lot at a time."""
    each = zip(batch.data, batch.seeds, strict=True)
    fits = [_fit(target, data, seed, batch.draws) for data, seed in each]
    answers = {Look: look_many, Climb: climb_many}
    waiting: dict[int, Look | Climb] = {i: next(fit) for i, fit in enumerate(fits)}
    done: dict[int, Posterior] = {}
    while waiting:
        kind, members = _largest(waiting)
        for part in (members[at : at + LOT] for at in range(0, len(members), LOT)):
            # Filled up with copies of the last member, so that every lot has one size.
            whole = [*part, *part[-1:] * (LOT - len(part))]
            stacked = (np.stack(v) for v in zip(*(waiting[i] for i in whole), strict=True))
            table = jax.tree.map(lambda *v: np.stack(v), *(batch.data[i] for i in whole))
            answer = answers[kind](target, kind(*stacked), table)
            for j, i in enumerate(part):
                try:
                    waiting[i] = fits[i].send(jax.tree.map(lambda v, j=j: v[j], answer))
                except StopIteration as end:
                    done[i] = end.value
                    del waiting[i]
    return [done[i] for i in range(len(fits))]


def _fit(target: Target, data: Any, seed: tuple[int, int], draws: int) -> Any:
    optimum = yield from _densities(search(starts_for(target, data, SCREEN, seed)), {})
    proposals, last = max(SLACK * draws, LEAST), {}
    rng = np.random.default_rng(seed)
    got = yield from _densities(rounds(optimum, proposals, draws, NODES, rng), last)
    values = {k: v[got.pick] for k, v in last["found"]["values"].items()}
    return Posterior(got.z, values, optimum, got.k_hat, got.effective, got.rounds)


def _densities(steps: Any, last: dict[str, Any]) -> Any:
    """Cut requests into blocks of one size, pass on the densities alone, and keep the rest."""
    try:
        request = next(steps)
        while True:
            if isinstance(request, Climb):
                request = steps.send((yield request))
                continue
            z, parts = request.z, []
            filled = np.concatenate([z, np.repeat(z[-1:], -len(z) % SCREEN, axis=0)])
            for block in np.split(filled, len(filled) // SCREEN):
                parts.append((yield Look(block)))
            log_density, last["found"] = jax.tree.map(lambda *v: np.concatenate(v), *parts)
            request = steps.send(log_density[: len(z)])
    except StopIteration as end:
        return end.value


def _largest(waiting: dict[int, Look | Climb]) -> tuple[Any, list[int]]:
    """Return the requests of one kind and size that most fits are waiting for."""
    kinds: dict[Any, list[int]] = {}
    for i, request in waiting.items():
        kinds.setdefault((type(request), request.z.shape), []).append(i)
    (kind, _), members = max(kinds.items(), key=lambda item: len(item[1]))
    return kind, members
