"""`sample`: a posterior of any NumPyro program, by the engine that can be trusted with it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from bayes_scaling.errors import SpecError
from bayes_scaling.inference._cache import keep_compiled
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.laplace import GOOD_K, evaluate, importance
from bayes_scaling.inference.nuts import sample_nuts
from bayes_scaling.inference.optimum import Optimum, optimise
from bayes_scaling.inference.target import Target, target_of

Method = Literal["auto", "laplace", "nuts"]
METHODS = ("auto", "laplace", "nuts")
BLOCKS = 4
MINOR_MODE = np.log(0.01)  # a second mode with less than 1 % of the mass is noted, not chased


@dataclass(frozen=True)
class Draws:
    """What an engine returns, whichever it was.

    Parameters
    ----------
    values, log_prior, log_likelihood : dict of str to (chain, draw, ...) array
        Parameters on their own scale, and per site the logs of its densities.
    stats : dict of str to (chain, draw) array
        ArviZ's sample statistics.
    attrs : dict
        `method`, `method_reason`, `optimum_converged`, `modes`, and for importance sampling
        `k_hat`, `effective`, `rounds`.
    """

    values: dict[str, np.ndarray]
    log_prior: dict[str, np.ndarray]
    log_likelihood: dict[str, np.ndarray]
    stats: dict[str, np.ndarray]
    attrs: dict[str, Any]


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
        first, unless its k-hat, its effective draws or a second mode say no, then the second.
    draws : int, optional
        In all for "laplace" (4,000), per chain for "nuts" (1,000).
    chains, warmup : int
        For NUTS.
    seed : int
        Equal seeds give equal draws on one device.
    progress : bool
        Show NUTS's progress bar.

    Returns
    -------
    Draws

    Raises
    ------
    SpecError
        An unknown method.

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
    keep_compiled()
    data = jax.tree.map(np.asarray, data)
    target = target_of(program, data)
    optimum = optimise(target, data, seed)
    second = optimum.log_mass[1:].max(initial=-np.inf)
    attrs: dict[str, Any] = {
        "optimum_converged": int(optimum.converged),
        "modes": int(1 + np.sum(optimum.log_mass[1:] > MINOR_MODE)),
    }
    reason = "asked for"
    if method != "nuts":
        got = importance(target, data, optimum, draws or 4000, seed)
        attrs |= {"k_hat": got.k_hat, "effective": got.effective, "rounds": got.rounds}
        doubt = _doubt(optimum, second, got.k_hat, got.effective, max(draws or 0, 4000))
        if method == "laplace" or not doubt:
            attrs |= {"method": "laplace", "method_reason": doubt or "k-hat is good, one mode"}
            # Draws keep the order of their proposals, so four blocks of them are four independent
            # importance samples: R-hat between the blocks means what it does between chains.
            blocks = BLOCKS if len(got.z) % BLOCKS == 0 else 1
            z = got.z.reshape(blocks, -1, target.size)
            return _finish(target, data, z, {"lp": got.log_density.reshape(blocks, -1)}, attrs)
        reason = f"importance sampling was not enough: {doubt}"
    run = sample_nuts(
        target,
        data,
        optimum,
        draws=draws or 1000,
        warmup=warmup,
        chains=chains,
        seed=seed,
        progress=progress,
    )
    attrs |= {"method": "nuts", "method_reason": reason, "warmup": warmup}
    return _finish(target, data, run.z, run.stats, attrs)


def _doubt(optimum: Optimum, second: float, k_hat: float, effective: float, draws: int) -> str:
    if not k_hat < GOOD_K:
        return f"k-hat {k_hat:.2f} is not below {GOOD_K}"
    if effective < draws / 10:
        return f"{effective:.0f} effective of {draws} draws"
    if second > MINOR_MODE:
        return f"a second mode holds {np.exp(second):.1%} of the best one's mass"
    if not optimum.converged and k_hat > GOOD_K / 2:
        return "the optimum was not found"
    return ""


def _finish(
    target: Target, data: Any, z: np.ndarray, stats: dict[str, np.ndarray], attrs: dict[str, Any]
) -> Draws:
    chains, draws = z.shape[:2]
    found = evaluate(target, z.reshape(chains * draws, -1), data)
    found = jax.tree.map(lambda v: v.reshape(chains, draws, *v.shape[1:]), found)
    return Draws(found["values"], found["log_prior"], found["log_likelihood"], stats, attrs)
