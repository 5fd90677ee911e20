"""A NumPyro program as a density over R^d: what every engine works on."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.inference.rows import Blocks, joined

Site = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Target:
    """The unconstrained log density of a NumPyro program.

    Parameters
    ----------
    program : callable
        A NumPyro model of one argument, `data`, hashable by value.
    sites : tuple of (str, shape)
        Its latent sites in order, with their unconstrained shapes.
    """

    program: Callable[[Any], None]
    sites: tuple[Site, ...]

    takes_derivatives: ClassVar[bool] = False  # whether its density takes derivatives

    @property
    def size(self) -> int:
        """The dimension d."""
        return sum(_size(shape) for _, shape in self.sites)

    def unravel(self, z: Any) -> dict[str, Any]:
        """Cut a point of R^d into the sites' unconstrained values."""
        out, at = {}, 0
        for name, shape in self.sites:
            out[name] = z[at : at + _size(shape)].reshape(shape)
            at += _size(shape)
        return out

    def potential(self, z: Any, data: Any) -> Any:
        """Return minus the log density of z, Jacobian included; `Blocks` are summed in turn."""
        if not isinstance(data, Blocks):
            from numpyro.infer.util import potential_energy

            return potential_energy(self.program, (data,), {}, self.unravel(z))
        prior = self.potential(z, data.bare)

        @jax.checkpoint  # derivatives recompute a block rather than remember all of them
        def add(total: Any, rows: Any) -> tuple[Any, None]:
            return total + self.potential(z, joined(rows, data.rest)) - prior, None

        return jax.lax.scan(add, prior, data.rows)[0]

    def bend(self, slope: Callable[[Any], tuple[Any, Any]], z: Any) -> tuple[Any, Any]:
        """Return the Jacobian at z of the gradient that `slope` gives beside something else."""
        return jax.jacfwd(slope, has_aux=True)(z)

    def look(self, z: Any, data: Any) -> tuple[Any, dict[str, dict[str, Any]]]:
        """Return the log density of z and what z stands for, as `evaluate` without likelihoods."""
        found = self.evaluate(z, data.bare if isinstance(data, Blocks) else data)
        del found["log_likelihood"]
        return -self.potential(z, data), found

    def evaluate(self, z: Any, data: Any) -> dict[str, dict[str, Any]]:
        """Return what a draw stands for: `values`, and per site its `log_prior`, `log_likelihood`.

        `values` holds the latent sites on their own scale, and the deterministic ones.
        """
        from numpyro import handlers
        from numpyro.distributions import biject_to

        loose = self.unravel(z)

        def fill(site: Mapping[str, Any]) -> Any:
            if site["name"] in loose:
                return biject_to(site["fn"].support)(loose[site["name"]])
            return None

        model = handlers.substitute(handlers.seed(self.program, 0), substitute_fn=fill)
        out: dict[str, dict[str, Any]] = {"values": {}, "log_prior": {}, "log_likelihood": {}}
        for name, site in handlers.trace(model).get_trace(data).items():
            if name in loose:
                out["values"][name] = site["value"]
                out["log_prior"][name] = jnp.sum(site["fn"].log_prob(site["value"]))
            elif site["type"] == "deterministic":
                out["values"][name] = site["value"]
            elif site["type"] == "sample" and site["is_observed"]:
                out["log_likelihood"][name] = site["fn"].log_prob(site["value"])
        return out

    def ravel(self, loose: Mapping[str, Any]) -> np.ndarray:
        """Join the sites' unconstrained values, with a leading draw dimension, into (draw, d)."""
        parts = [np.asarray(loose[name]) for name, _ in self.sites]
        return np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1)


def starts_for(target: Target, data: Any, count: int, seed: Any) -> np.ndarray:
    """Return points to start from: prior draws where the program can give them with NumPy.

    A NumPyro model that cannot starts from ``Uniform(-2, 2)``, as NumPyro itself does. What every
    group has of its own starts in the middle: draws of many would all be far off in some.
    """
    rng = np.random.default_rng(seed)
    draws = getattr(target.program, "prior_draws", None)
    if draws is None:
        return rng.uniform(-2, 2, size=(count, target.size))
    loose = dict(draws(data, rng, count)[1])
    for name in getattr(target.program, "local", ()):
        loose[name] = np.broadcast_to(np.median(loose[name], axis=0), loose[name].shape)
    return target.ravel(loose)


def target_of(program: Callable[[Any], None], data: Any) -> Target:
    """Find a program's latent sites, without computing anything; known programs are remembered."""
    if hasattr(program, "sites"):
        return Target(program, program.sites(data))  # pyright: ignore[reportFunctionMemberAccess]
    leaves, structure = jax.tree.flatten(data)
    shapes = tuple((np.shape(v), np.result_type(v)) for v in leaves)
    return _target(program, structure, shapes)


@functools.lru_cache(maxsize=256)
def _target(program: Callable[[Any], None], structure: Any, leaves: Any) -> Target:
    names: list[str] = []
    data = structure.unflatten([jax.ShapeDtypeStruct(*leaf) for leaf in leaves])

    def shapes(key: Any, data: Any) -> list[Any]:
        names[:], values = _unconstrained(program, key, data)
        return values

    found = jax.eval_shape(shapes, jax.random.key(0), data)
    return Target(program, tuple((n, v.shape) for n, v in zip(names, found, strict=True)))


def _unconstrained(program: Any, key: Any, data: Any) -> tuple[list[str], list[Any]]:
    from numpyro import handlers
    from numpyro.distributions import biject_to

    trace = handlers.trace(handlers.seed(program, key)).get_trace(data)
    latent = {
        name: biject_to(site["fn"].support).inv(site["value"])
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"] and site["fn"].support is not None
    }
    return list(latent), list(latent.values())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
