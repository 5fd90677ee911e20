"""Scatter that rows share: checkpoints of one run, repeats of one configuration."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws._protocol import Inputs, Theta, namespace
from bayes_scaling.observations._protocol import CLUSTER, MEASURED, NO_CLUSTER, OBSERVATIONS
from bayes_scaling.observations._scatter import TAIL, Noise, Scale, Scatter
from bayes_scaling.param import Param, Prior

SHARED = Param(
    "shared",
    Prior.of("Beta", a=1.0, b=1.0),
    "1",
    "share of the scatter's variance that rows of one cluster have in common",
    (0.05, 0.95),
    "noise",
)
SPAN = Param(
    "span",
    Prior.of("LogNormal", median=1.0, sigma=1.0),
    "1",
    "distance, in ln of the column, over which what rows share falls to 1/e",
    (0.1, 5.0),
    "noise",
)


@OBSERVATIONS.register("clustered")
@dataclass(frozen=True)
class Clustered:
    """Heavy-tailed scatter, part of which the rows of one cluster share.

    ``r_i / sd_i = u_i + e_i`` with ``r`` the residual, Var(u) = `shared`, Var(e) = 1 - `shared`,
    and ``corr(u_i, u_j) = exp(-|ln(x_i / x_j)| / span)`` within a cluster, zero between clusters.

    Parameters
    ----------
    by : str, default "run"
        The column that names the cluster; "" for rows of equal law inputs, such as repeats of one
        configuration with other seeds.
    along : str, default "tokens"
        The column along which what rows share is forgotten, as between the checkpoints of a run;
        "" where it is not: an effect of the whole run.
    scale, noise
        As in `StudentT`.
    across : bool, default False
        Whether a cluster reaches across the groups of a pooled model, as in paired designs: recipes
        trained with the same seeds, data order or sizes, whose difference is then known better
        than either. Otherwise runs of two groups never share a cluster.

    Notes
    -----
    Twenty checkpoints of a run are not twenty runs. Read as such they leave intervals too short, by
    up to the root of their number.

    Rows are scored in turn, each given those of its cluster before it, by a Kalman filter of u:
    ``r_i / sd_i ~ StudentT(nu, m_i, sqrt(S_i))``. A residual e moves the filter by the usual gain
    times ``(nu + 1) / (nu + e^2 / S)``, so that one bad checkpoint is not held against the next
    (Harvey and Luati 2014, doi:10.1080/01621459.2014.887011). With many degrees of freedom the sum
    is the density of the joint normal. A run alone scatters as under `StudentT`; that is what is
    predicted of a new one.

    One run alone hardly says how much it scatters: what is remembered along it bends it, and the
    law's own curvature takes that up. Of 60 simulated runs of 24 checkpoints, their scatter
    remembered over two fifths of the run, 90 % intervals of the loss at three times the tokens held
    43, and 52 where the scatter was known. Fit several runs together, or give `sigma`, `shared` and
    `span` the priors that earlier runs of the kind suggest.

    The log likelihood of a row is given the rows before it. Rows are therefore left out by whole
    clusters: by `kfold`, `leave_future_out` and `backtest`, and not by `exact_loo`. Of a table so
    large that it is read in blocks, a cluster that two blocks share counts as two.

    The filter takes its rows in turn, so that a fit takes a second where scatter without clusters
    takes a tenth.

    Examples
    --------
    >>> from bayes_scaling import Clustered
    >>> [p.name for p in Clustered().params]
    ['sigma', 'nu', 'shared', 'span']
    >>> [p.name for p in Clustered(by="", along="").params]
    ['sigma', 'nu', 'shared']
    """

    by: str = "run"
    along: str = "tokens"
    scale: Scale = "log"
    noise: Noise = "constant"
    across: bool = False
    name: ClassVar[str] = "clustered"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns it reads of a run beside the law's; of clusters, see `by` and `along`."""
        return self._scatter.inputs

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters it adds."""
        return (*self._scatter.params, TAIL, SHARED) + (SPAN,) * bool(self.along)

    @property
    def _scatter(self) -> Scatter:
        return Scatter(self.scale, self.noise, known=False)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:
        """Return the distribution of every measured loss, given those before it in its cluster.

        Of rows that belong to none (`x` without clusters), the distribution of a run alone.
        """
        import jax
        import jax.numpy as jnp

        from bayes_scaling import _distributions as dist

        scatter, nu = self._scatter, theta["nu"]
        sd = scatter.sd(mu, theta, x)
        shift, left = 0.0, sd
        if CLUSTER in x:
            z = scatter.residual(x[MEASURED], mu) / sd
            order, keep = self._turns(theta, x)
            each = [jnp.broadcast_to(v, z.shape)[..., order] for v in (z, theta["shared"], nu)]
            each.append(jnp.broadcast_to(keep, z.shape))
            rows = [jnp.moveaxis(v, -1, 0) for v in each]

            def step(state: Any, row: Any) -> Any:
                found, shared, heavy, keep = row
                ahead = _expect(state, keep, shared)
                return _learn(ahead, found, heavy), (ahead[0], ahead[2])

            nothing = jnp.zeros_like(rows[0][0])
            _, (middle, spread) = jax.lax.scan(step, (nothing, nothing), rows)
            back = jnp.argsort(order)
            shift = sd * jnp.moveaxis(middle[back], 0, -1)
            left = sd * jnp.sqrt(jnp.moveaxis(spread[back], 0, -1))
        return scatter.about(
            mu, lambda loc: dist.StudentT(nu, loc + shift, left, validate_args=False)
        )

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured losses about `mu` with NumPy, those of a cluster together.

        Where `x` holds no clusters every loss is that of a run alone.
        """
        scatter, shape = self._scatter, np.shape(mu)
        z = rng.standard_t(np.broadcast_to(theta["nu"], shape))
        if CLUSTER in x:
            order, keep = self._turns(theta, x)
            each = (keep, theta["shared"], theta["nu"])
            keep, shared, nu = (np.broadcast_to(v, shape) for v in each)
            state = (np.zeros(shape[:-1]), np.zeros(shape[:-1]))
            for turn, row in enumerate(order):
                ahead = _expect(state, keep[..., turn], shared[..., row])
                z[..., row] = ahead[0] + np.sqrt(ahead[2]) * z[..., row]
                state = _learn(ahead, z[..., row], nu[..., row])
        return scatter.add(mu, scatter.sd(mu, theta, x) * z)

    def _turns(self, theta: Theta, x: Inputs) -> tuple[Any, Any]:
        """Return the order in which rows are scored, and what reaches each from the one before."""
        xp = namespace(theta, x)
        size = xp.log(x[self.along]) if self.along else xp.zeros_like(x[CLUSTER])
        order = xp.lexsort((size, x[CLUSTER]))
        code, size = x[CLUSTER][order], size[order]
        follows = (code[1:] == code[:-1]) & (code[1:] != NO_CLUSTER)
        gap = xp.where(follows, size[1:] - size[:-1], 0.0)
        kept = xp.ones_like(gap)
        if self.along:
            span = xp.asarray(theta["span"])
            span = span[..., order][..., 1:] if span.shape[-1:] == order.shape else span
            kept = xp.exp(-gap / span)
        kept = xp.where(follows, kept, 0.0)
        first = xp.zeros((*kept.shape[:-1], 1))
        return order, xp.concatenate([first, kept], axis=-1)


def _expect(state: Any, keep: Any, shared: Any) -> Any:
    """Return mean and variance of what the next row shares, and the variance of its residual."""
    var = keep**2 * state[1] + shared * (1 - keep**2)
    return keep * state[0], var, var + 1 - shared


def _learn(ahead: Any, residual: Any, nu: Any) -> Any:
    """Return mean and variance of what a row shares, once its residual is known."""
    mean, var, total = ahead
    miss, gain = residual - mean, var / total
    heed = (nu + 1) / (nu + miss**2 / total)
    return mean + gain * heed * miss, var * (1 - gain)
