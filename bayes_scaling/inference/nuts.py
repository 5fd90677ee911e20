"""NUTS, preconditioned: NumPyro's sampler in coordinates where the posterior is nearly round."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist

from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.laplace import log_density_at, scale_of
from bayes_scaling.inference.optimum import Optimum
from bayes_scaling.inference.target import Target

TARGET_ACCEPT = 0.9


@dataclass(frozen=True)
class Chains:
    """Draws of a Markov chain.

    Parameters
    ----------
    z : (chain, draw, d) array
        Unconstrained.
    stats : dict of str to (chain, draw) array
        ArviZ's names: `diverging`, `energy`, `lp`, `acceptance_rate`, `n_steps`, `tree_depth`.
    """

    z: np.ndarray
    stats: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Whitened:
    """The target as a NumPyro model of one round variable."""

    target: Target

    def __call__(self, data: Any, centre: Any, chol: Any) -> None:
        real = dist.constraints.independent(dist.constraints.real, 1)
        w = numpyro.sample("w", dist.ImproperUniform(real, (), event_shape=(self.target.size,)))
        with numpyro.handlers.block():  # its sites are not ours
            potential = self.target.potential(centre + chol @ w, data)
        numpyro.factor("target", -potential)


@functools.lru_cache(maxsize=32)
def _sampler(target: Target, draws: int, warmup: int, chains: int, progress: bool) -> Any:
    """Return NumPyro's sampler; kept, since it is the object that holds what was compiled."""
    kernel = numpyro.infer.NUTS(
        _Whitened(target), dense_mass=True, target_accept_prob=TARGET_ACCEPT
    )
    return numpyro.infer.MCMC(
        kernel,
        num_warmup=warmup,
        num_samples=draws,
        num_chains=chains,
        chain_method="sequential",
        progress_bar=progress,
        jit_model_args=True,
    )


@in_float64
def sample_nuts(
    target: Target,
    data: Any,
    optimum: Optimum,
    *,
    draws: int = 1000,
    warmup: int = 500,
    chains: int = 4,
    seed: int = 0,
    progress: bool = False,
) -> Chains:
    """Sample a density with NUTS from dispersed starts about its optimum.

    Parameters
    ----------
    target, data
        The density and what its program reads.
    optimum : Optimum
        Its peak and curvature: the coordinates, and where chains start.
    draws, warmup, chains : int
        Per chain.
    seed : int
    progress : bool
        Show NumPyro's progress bar.

    Returns
    -------
    Chains

    Notes
    -----
    Chains start from a t with 7 degrees of freedom and twice the Laplace scale: dispersed, as
    R-hat needs, and inside the typical set's reach.
    """
    rng = np.random.default_rng(seed)
    chol = scale_of(optimum.hessian)
    start = 2 * rng.normal(size=(chains, target.size)) / np.sqrt(rng.chisquare(7, (chains, 1)) / 7)
    for _ in range(20):  # a start of zero density would hang its chain: pull it in
        bad = ~np.isfinite(log_density_at(target, optimum.z + start @ chol.T, data))
        start[bad] /= 2
    mcmc = _sampler(target, draws, warmup, chains, progress)
    fields = ("diverging", "energy", "potential_energy", "accept_prob", "num_steps")
    mcmc.run(
        jax.random.key(seed),
        data,
        optimum.z,
        chol,
        init_params={"w": start} if chains > 1 else {"w": start[0]},
        extra_fields=fields,
    )
    w = np.array(mcmc.get_samples(group_by_chain=True)["w"])
    extra = {k: np.array(v) for k, v in mcmc.get_extra_fields(group_by_chain=True).items()}
    stats = {
        "diverging": extra["diverging"],
        "energy": extra["energy"],
        "lp": -extra["potential_energy"],
        "acceptance_rate": extra["accept_prob"],
        "n_steps": extra["num_steps"],
        "tree_depth": np.ceil(np.log2(extra["num_steps"] + 1)).astype(int),
    }
    return Chains(optimum.z + w @ chol.T, stats)
