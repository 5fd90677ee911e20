"""`sample`: a posterior of any NumPyro program, by the engine that can be trusted with it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jax
import numpy as np

from bayes_scaling.errors import SpecError
from bayes_scaling.inference._cache import keep_compiled
from bayes_scaling.inference._seed import own_seed
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.laplace import (
    GOOD_K,
    MINOR_MODE,
    importance,
    log_likelihood,
    look,
    optimise,
)
from bayes_scaling.inference.nested import Held, is_nested, nest, shared_at
from bayes_scaling.inference.optimum import STARTS, Optimum
from bayes_scaling.inference.rows import at_once, is_table, placed
from bayes_scaling.inference.target import Target, target_of
from bayes_scaling.program import WEIGHTLESS

Method = Literal["auto", "laplace", "nuts"]
METHODS = ("auto", "laplace", "nuts")
BLOCKS = 4
FEW = 2  # runs per parameter below which k-hat is not enough of a certificate


@dataclass(frozen=True)
class Draws:
    """What an engine returns, whichever it was.

    Parameters
    ----------
    target, data
        The density sampled, and what its program read.
    z : (chain, draw, d) array
        Unconstrained draws.
    values, log_prior : dict of str to (chain, draw, ...) array
        Parameters on their own scale, and per site the log of its density.
    stats : dict of str to (chain, draw) array
        ArviZ's sample statistics.
    attrs : dict
        `method`, `method_reason`, `optimum_converged`, `modes`, and for importance sampling
        `k_hat`, `effective`, `rounds`.
    """

    target: Target
    data: Any
    z: np.ndarray
    values: dict[str, np.ndarray]
    log_prior: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    attrs: dict[str, Any]

    @cached_property
    def log_likelihood(self) -> dict[str, np.ndarray]:
        """Every observed site's log density, (chain, draw, ...): computed when asked for."""
        chains, draws, d = self.z.shape
        likelihood = Likelihood(self.target, self.data, self.z.reshape(-1, d))
        found = likelihood(0, chains * draws)
        return {k: v.reshape(chains, draws, *v.shape[1:]) for k, v in found.items()}


@dataclass(frozen=True)
class Likelihood:
    """The log likelihoods of a range of draws, by site.

    Parameters
    ----------
    target, data
        The density, and what its program reads.
    z : (sample, d) array
        Unconstrained draws.
    """

    target: Target
    data: Any
    z: np.ndarray

    def __call__(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Return the log densities under draws `start` to `stop`, (draw, ...) each."""
        rows = max((np.size(v) for v in jax.tree.leaves(self.data)), default=1)
        size = at_once(rows)
        parts = []
        for first in range(start, stop, size):
            some = self.z[first : min(first + size, stop)]
            filled = np.concatenate([some, np.repeat(some[-1:], size - len(some), axis=0)])
            found = log_likelihood(self.target, filled, self.data)
            parts.append({k: v[: len(some)] for k, v in found.items()})
        return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


@in_float64
def sample(
    program: Callable[..., None],
    data: Any,
    *,
    method: Method = "auto",
    draws: int | None = None,
    chains: int = 4,
    warmup: int = 500,
    seed: int = 0,
    progress: bool = False,
) -> Draws:
    """Sample the posterior of a NumPyro program of one argument.

    Parameters
    ----------
    program : callable
        ``program(data)``, a NumPyro model without discrete latent sites. A callable that hashes by
        value compiles once.
    data : pytree of arrays
        Its argument.
    method : {"auto", "laplace", "nuts"}
        "laplace" is importance sampling about the optimum; "nuts" NUTS started there; "auto" the
        first, unless its k-hat, its effective draws or very few runs say no, then the second.
    draws : int, optional
        In all for "laplace" (4,000), per chain for "nuts" (1,000).
    chains, warmup : int
        For NUTS.
    seed : int
        Equal seeds give equal draws of one table on one device, independent ones of two tables.
    progress : bool
        Show NUTS's progress bar.

    Returns
    -------
    Draws

    Raises
    ------
    SpecError
        An unknown method, or a count that is none.

    Examples
    --------
    >>> import numpyro, numpyro.distributions as dist, numpy as np
    >>> from bayes_scaling.inference import sample
    >>> def model(y):
    ...     mu = numpyro.sample("mu", dist.Normal(0.0, 10.0))
    ...     numpyro.sample("y", dist.Normal(mu, 1.0), obs=y)
    >>> draws = sample(model, np.array([0.5, 1.5, 1.0]))
    >>> draws.attrs["method"], bool(abs(draws.values["mu"].mean() - 1.0) < 0.05)
    ('laplace', True)
    """
    if method not in METHODS:
        msg = f"method {method!r} is unknown; choose one of: {', '.join(METHODS)}"
        raise SpecError(msg)
    counted(draws=draws, chains=chains, warmup=warmup)
    keep_compiled()
    data = jax.tree.map(np.asarray, data)
    seed = own_seed(seed, data)
    target = target_of(program, data)
    everywhere = placed(data)
    nested = is_nested(target, everywhere)
    if nested:
        held = Held(target.program, target.sites)
        optimum = optimise(held, data, everywhere, seed, STARTS // 2)
    else:
        optimum = optimise(target, data, everywhere, seed)
    attrs: dict[str, Any] = {
        "optimum_converged": int(optimum.converged),
        "modes": 1 + minor_modes(optimum),
        "few_runs": few_runs(data, target.size),
    }
    proposed, reads, peak, at = target, everywhere, optimum, None
    if nested:
        proposed, reads, peak, optimum = nest(target, everywhere, optimum)
        attrs["optimum_converged"] = int(optimum.converged)
        at = shared_at(target)
    reason = "asked for"
    if method != "nuts":
        sampled = importance(proposed, reads, peak, draws or 4000, seed, at)
        got = sampled.weighted
        attrs |= {"k_hat": got.k_hat, "effective": got.effective, "rounds": got.rounds}
        doubt = doubts(optimum, got.k_hat, got.effective, max(draws or 0, 4000), data)
        if method == "laplace" or not doubt:
            good = "k-hat is good" + (", one mode" if attrs["modes"] == 1 else "")
            attrs |= {"method": "laplace", "method_reason": doubt or good}
            # Draws keep the order of their proposals, so four blocks of them are four independent
            # importance samples: R-hat between the blocks means what it does between chains.
            blocks = BLOCKS if len(got.z) % BLOCKS == 0 else 1
            found: dict[str, Any] = dict(sampled.found)
            z = found.pop("point", got.z).reshape(blocks, -1, target.size)
            stats = _by_chain({"lp": got.log_density}, z)
            return Draws(target, data, z, **_by_chain(found, z), stats=stats, attrs=attrs)
        reason = f"importance sampling was not enough: {doubt}"
    from bayes_scaling.inference.nuts import sample_nuts

    run = sample_nuts(
        target,
        everywhere,
        optimum,
        draws=draws or 1000,
        warmup=warmup,
        chains=chains,
        seed=seed,
        progress=progress,
    )
    attrs |= {"method": "nuts", "method_reason": reason, "warmup": warmup}
    attrs["target_accept"] = run.target_accept
    _, found = look(target, run.z.reshape(-1, target.size), everywhere)
    return Draws(target, data, run.z, **_by_chain(found, run.z), stats=run.stats, attrs=attrs)


def counted(**counts: Any) -> None:
    """Raise SpecError unless every count is a whole number from 1 on; None stands for a default."""
    whole = {k: isinstance(v, int | np.integer) and v > 0 for k, v in counts.items()}
    bad = [k for k, v in counts.items() if v is not None and not whole[k]]
    if bad:
        found = ", ".join(f"{k} {counts[k]!r}" for k in bad)
        msg = f"{found}: give whole numbers, 1 or more"
        raise SpecError(msg)


def doubts(optimum: Optimum, k_hat: float, effective: float, draws: int, data: Any) -> str:
    """Return why an importance sample is not enough, or nothing."""
    if not k_hat < GOOD_K:
        return f"k-hat {k_hat:.2f} is not below {GOOD_K}"
    if effective < draws / 10:
        return f"{effective:.0f} effective of {draws} draws"
    if not optimum.converged and k_hat > GOOD_K / 2:
        return "the optimum was not found"
    if few_runs(data, len(optimum.z)):
        return f"fewer than {FEW} runs per parameter: k-hat sees only what was proposed"
    return ""


def few_runs(data: Any, size: int) -> int:
    """Return 1 for a table so short that its posterior is mostly prior, else 0.

    Such posteriors have corners that no proposal comes upon, and the weights of importance
    sampling cannot tell of what was never drawn.
    """
    return int(is_table(data) and np.sum(data["weight"] > WEIGHTLESS) < FEW * size)


def minor_modes(optimum: Optimum) -> int:
    """Count the modes beside the best one that hold a share of its mass worth naming."""
    return int(np.sum(optimum.log_mass[1:] > np.log(MINOR_MODE)))


def _by_chain(found: dict[str, Any], z: np.ndarray) -> dict[str, Any]:
    return jax.tree.map(lambda v: v.reshape(*z.shape[:2], *v.shape[1:]), found)
