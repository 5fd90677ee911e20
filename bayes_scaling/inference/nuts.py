"""NUTS, preconditioned: NumPyro's sampler in coordinates where the posterior is nearly round."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import numpyro

from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.laplace import log_density_at
from bayes_scaling.inference.optimum import Optimum
from bayes_scaling.inference.proposal import scale_of
from bayes_scaling.inference.target import Target

# At .9 one valley of isoFLOPs in ten has divergences, at .95 few do, for a tenth more. Where there
# are some, as in the posteriors of few runs, chains are run anew in shorter steps.
TARGET_ACCEPT = (0.95, 0.99, 0.998)
LONG = 200  # steps a transition: chains that take more are not run anew, which can take hours
STRIDE = 100  # transitions per call: one program for any number of draws, and steps to show


@dataclass(frozen=True)
class Chains:
    """Draws of a Markov chain.

    Parameters
    ----------
    z : (chain, draw, d) array
        Unconstrained.
    stats : dict of str to (chain, draw) array
        ArviZ's names: `diverging`, `energy`, `lp`, `acceptance_rate`, `n_steps`, `tree_depth`.
    target_accept : float
        The rate of acceptance that steps were shortened for.
    """

    z: np.ndarray
    stats: dict[str, np.ndarray]
    target_accept: float


def _kernel(target: Target, data: Any, centre: Any, chol: Any, accept: Any) -> Any:
    return numpyro.infer.NUTS(
        potential_fn=lambda w: target.potential(centre + chol @ w, data),
        dense_mass=True,
        target_accept_prob=accept,
    )


# NumPyro's kernel in a loop of our own: its MCMC compiles the loop anew for every chain and fit.
@partial(jax.jit, static_argnums=(0, 1))
def _start(target: Target, warmup: int, keys: Any, starts: Any, data: Any, *about: Any) -> Any:
    kernel = _kernel(target, data, *about)
    return jax.lax.map(lambda ks: kernel.init(ks[0], warmup, ks[1], (), {}), (keys, starts))


@partial(jax.jit, static_argnums=(0, 1))
def _advance(target: Target, warmup: int, states: Any, data: Any, *about: Any) -> Any:
    kernel = _kernel(target, data, *about)

    def step(state: Any, _: None) -> Any:
        s = kernel.sample(state, (), {})
        return s, (s.z, s.diverging, s.energy, s.potential_energy, s.accept_prob, s.num_steps)

    def chain(state: Any) -> Any:
        # Builds the kernel's adaptation schedule; what it computes is not used, so never run.
        kernel.init(state.rng_key, warmup, state.z, (), {})
        return jax.lax.scan(step, state, None, length=STRIDE)

    return jax.lax.map(chain, states)


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
        Show a progress bar with the time left.

    Returns
    -------
    Chains

    Notes
    -----
    Chains start from a t with 7 degrees of freedom and twice the Laplace scale: dispersed, as
    R-hat needs, and inside the typical set's reach. If transitions diverge they are run again with
    a higher target of acceptance, twice at most, unless a transition takes over 200 steps as it is;
    the run with the fewest is returned.
    """
    tried: list[Chains] = []
    for accept in TARGET_ACCEPT:
        tried.append(_run(target, data, optimum, (draws, warmup, chains), seed, accept, progress))
        stats = tried[-1].stats
        if not stats["diverging"].any() or stats["n_steps"].mean() > LONG:
            break
    return min(tried, key=lambda run: run.stats["diverging"].sum())


def _run(
    target: Target,
    data: Any,
    optimum: Optimum,
    counts: tuple[int, int, int],
    seed: int,
    accept: float,
    progress: bool,
) -> Chains:
    draws, warmup, chains = counts
    rng = np.random.default_rng(seed)
    chol = scale_of(optimum.hessian)
    start = 2 * rng.normal(size=(chains, target.size)) / np.sqrt(rng.chisquare(7, (chains, 1)) / 7)
    for _ in range(20):  # a start of zero density would hang its chain: pull it in
        bad = ~np.isfinite(log_density_at(target, optimum.z + start @ chol.T, data))
        start[bad] /= 2
    keys = jax.random.split(jax.random.key(seed), chains)
    about = (optimum.z, chol, accept)
    states = _start(target, warmup, keys, start, data, *about)
    kept = []
    strides: Any = range(-(-(warmup + draws) // STRIDE))
    if progress:
        from rich.progress import track

        strides = track(strides, f"NUTS, {chains} chains", transient=True)
    for _ in strides:
        states, found = _advance(target, warmup, states, data, *about)
        kept.append(jax.device_get(found))
    w, diverging, energy, potential, accepted, steps = (
        np.concatenate(v, axis=1)[:, warmup : warmup + draws] for v in zip(*kept, strict=True)
    )
    stats = {
        "diverging": diverging,
        "energy": energy,
        "lp": -potential,
        "acceptance_rate": accepted,
        "n_steps": steps,
        "tree_depth": np.ceil(np.log2(steps + 1)).astype(int),
    }
    return Chains(optimum.z + w @ chol.T, stats, accept)
