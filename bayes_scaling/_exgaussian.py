"""The exponentially modified Gaussian as a NumPyro distribution (NumPyro has none)."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import promote_shapes, validate_sample

FAR = 50.0  # scale units from which the series of ln Phi(-t) is exact in float64
HALF_LOG_2PI = 0.9189385332046727


class ExGaussian(Distribution):
    """``loc + Normal(0, scale) + Exponential(debt)``, `debt` its mean.

    Parameters
    ----------
    loc, scale, debt : arrays that broadcast
        Centre and sd of the Gaussian part, mean of the exponential part.
    """

    arg_constraints = {  # noqa: RUF012 (NumPyro reads a plain dict)
        "loc": constraints.real,
        "scale": constraints.positive,
        "debt": constraints.positive,
    }
    support: Any = constraints.real
    reparametrized_params = ["loc", "scale", "debt"]  # noqa: RUF012

    def __init__(self, loc: Any, scale: Any, debt: Any, *, validate_args: Any = None) -> None:
        shaped: Any = promote_shapes(loc, scale, debt)
        self.loc, self.scale, self.debt = shaped
        shape = jax.lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale), jnp.shape(debt))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density, stable for any ratio of the two spreads."""
        z, r = (value - self.loc) / self.scale, self.scale / self.debt
        t = r - z
        # Two forms of one density. The first loses digits where r is large (little debt), the
        # second where z is (little Gaussian scatter).
        far = t > FAR
        near_t, far_t = jnp.where(far, 0.0, t), jnp.where(far, t, FAR)
        near = 0.5 * r * r - r * z + log_ndtr(-near_t)
        u = 1 / (far_t * far_t)
        mills = jnp.log1p(u * (-1 + u * (3 + u * (-15 + u * 105)))) - jnp.log(far_t)
        return jnp.where(far, mills - HALF_LOG_2PI - 0.5 * z * z, near) - jnp.log(self.debt)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw."""
        shape = sample_shape + self.batch_shape
        normal, exponential = jax.random.split(key)
        gauss = self.loc + self.scale * jax.random.normal(normal, shape)
        return gauss + self.debt * jax.random.exponential(exponential, shape)
