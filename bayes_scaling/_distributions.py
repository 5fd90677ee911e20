"""Distributions of the scatter that NumPyro lacks, or takes too long over."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, log_ndtr
from numpyro.distributions import Distribution, constraints
from numpyro.distributions.util import promote_shapes, validate_sample

from bayes_scaling.laws._gamma import log_gamma_ratio

FAR = 50.0  # scale units from which the series of ln Phi(-t) is exact in float64
HALF_LOG_2PI = 0.9189385332046727
LOG_LN2 = -0.36651292058166435  # ln ln 2
NEVER = 80.0  # ln of a number of events that are never all waited for, within a float32
HALF_LOG_PI = 0.5723649429247001
LEAST = 1e-12  # of a probability, and of what is left of it
SHIFT = 12  # from there on five terms of Stirling's series are exact in float64


def log_gamma_step(x: Any) -> Any:
    """Return ``ln Gamma(x + 1/2) - ln Gamma(x)`` for x > 0, to 1e-13.

    Notes
    -----
    Upwards recurrence, then the asymptotic series (Tricomi and Erdelyi 1951,
    doi:10.2140/pjm.1951.1.133). Its derivatives are those of a rational function and a logarithm:
    differences of lgamma cost a polygamma each, in every row and in every program.
    """
    x = jnp.asarray(x)
    steps = x[..., None] + jnp.arange(SHIFT, dtype=x.dtype)
    below = jnp.sum(jnp.log(steps) - jnp.log(steps + 0.5), axis=-1)
    w = 1 / (x + SHIFT)
    series = (-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432)
    total = 0.0
    for term in reversed(series):
        total = total * w * w + term
    return below - 0.5 * jnp.log(w) + w * total


def log_gamma(x: Any) -> Any:
    """Return ``ln Gamma(x)`` for x > 0, to 1e-13 of it or of one.

    Upwards recurrence, then Stirling's series, for the reason of `log_gamma_step`.
    """
    x = jnp.asarray(x)
    below = jnp.sum(jnp.log(x[..., None] + jnp.arange(SHIFT, dtype=x.dtype)), axis=-1)
    high = x + SHIFT
    w = 1 / high
    total = 0.0
    for term in (1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12):
        total = total * w * w + term
    return (high - 0.5) * jnp.log(high) - high + HALF_LOG_2PI + w * total - below


class StudentT(Distribution):
    """``loc + scale * t`` with t of `df` degrees of freedom; what only `df` tells is done once.

    Parameters
    ----------
    df, loc, scale : arrays that broadcast
        Degrees of freedom, centre and scale.
    """

    arg_constraints = {  # noqa: RUF012 (NumPyro reads a plain dict)
        "df": constraints.positive,
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support: Any = constraints.real
    reparametrized_params = ["df", "loc", "scale"]  # noqa: RUF012

    def __init__(self, df: Any, loc: Any, scale: Any, *, validate_args: Any = None) -> None:
        shaped: Any = promote_shapes(df, loc, scale)
        self.df, self.loc, self.scale = shaped
        shape = jax.lax.broadcast_shapes(jnp.shape(df), jnp.shape(loc), jnp.shape(scale))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density."""
        z = (value - self.loc) / self.scale
        alone = log_gamma_step(0.5 * self.df) - 0.5 * jnp.log(self.df) - HALF_LOG_PI
        tail = 0.5 * (self.df + 1) * jnp.log1p(z * z / self.df)
        return alone - jnp.log(self.scale) - tail

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw."""
        shape = sample_shape + self.batch_shape
        return self.loc + self.scale * jax.random.t(key, self.df, shape)


class OrFailed(Distribution):
    """An outcome that some runs fail to have: ``P(failed)``, or else the density of the outcome.

    Parameters
    ----------
    outcome : Distribution
        Of the runs that do not fail.
    logit : array
        Of the probability to fail.
    failed : array
        1 where the run failed, 0 where it has an outcome; broadcasts with `logit`.
    """

    arg_constraints = {"logit": constraints.real}  # noqa: RUF012 (NumPyro reads a plain dict)
    support: Any = constraints.positive
    reparametrized_params = ["logit"]  # noqa: RUF012

    def __init__(self, outcome: Any, logit: Any, failed: Any, *, validate_args: Any = None) -> None:
        self.outcome = outcome
        shaped: Any = promote_shapes(logit, failed)
        self.logit, self.failed = shaped
        shape = jax.lax.broadcast_shapes(
            jnp.shape(logit), jnp.shape(failed), tuple(outcome.batch_shape)
        )
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log probability of a failure, or the log density of an outcome."""
        ran = jax.nn.log_sigmoid(-self.logit) + self.outcome.log_prob(value)
        return self.failed * jax.nn.log_sigmoid(self.logit) + (1 - self.failed) * ran

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw outcomes, as if none failed."""
        return self.outcome.sample(key, sample_shape)


class Chosen(Distribution):
    """One of several distributions, element by element.

    Parameters
    ----------
    which : array
        Number of the one that holds, from 0.
    parts : sequence of Distribution
    """

    arg_constraints = {}  # noqa: RUF012 (NumPyro reads a plain dict)
    support: Any = constraints.positive

    def __init__(self, which: Any, parts: Any, *, validate_args: Any = None) -> None:
        self.which, self.parts = which, tuple(parts)
        shapes = [tuple(p.batch_shape) for p in self.parts]
        shape = jax.lax.broadcast_shapes(jnp.shape(which), *shapes)
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density of the one that holds."""
        return self._pick([p.log_prob(value) for p in self.parts])

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw from the one that holds."""
        shape = sample_shape + self.batch_shape
        drawn = [p.expand(self.batch_shape).sample(key, sample_shape) for p in self.parts]
        return jnp.broadcast_to(self._pick(drawn), shape)

    def _pick(self, values: list[Any]) -> Any:
        out = values[0]
        for k, value in enumerate(values[1:], 1):
            out = jnp.where(jnp.asarray(self.which) == k, value, out)
        return out


class CensoredNormal(Distribution):
    """A normal of which some values are known only as lower bounds.

    Parameters
    ----------
    loc, scale : arrays that broadcast
    censored : array
        1 where the value is a lower bound, 0 where it was seen.
    """

    arg_constraints = {  # noqa: RUF012 (NumPyro reads a plain dict)
        "loc": constraints.real,
        "scale": constraints.positive,
    }
    support: Any = constraints.real
    reparametrized_params = ["loc", "scale"]  # noqa: RUF012

    def __init__(self, loc: Any, scale: Any, censored: Any, *, validate_args: Any = None) -> None:
        shaped: Any = promote_shapes(loc, scale, censored)
        self.loc, self.scale, self.censored = shaped
        shape = jax.lax.broadcast_shapes(jnp.shape(loc), jnp.shape(scale), jnp.shape(censored))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density, or of a lower bound the log of the probability above it."""
        z = (value - self.loc) / self.scale
        seen = -0.5 * z * z - jnp.log(self.scale) - HALF_LOG_2PI
        return jnp.where(self.censored > 0, log_ndtr(-z), seen)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw what would have been seen."""
        shape = sample_shape + self.batch_shape
        return self.loc + self.scale * jax.random.normal(key, shape)


class Solved(Distribution):
    """The share of attempts at a problem that succeed, chances differing between problems.

    Parameters
    ----------
    attempts, samples : arrays
        How many attempts, and samples of each; of more than one sample a single attempt.
    u, v : arrays
        Of the Beta distribution of chances.
    never : array
        Share of problems that have none.
    """

    arg_constraints = {}  # noqa: RUF012 (NumPyro reads a plain dict)
    support: Any = constraints.unit_interval

    def __init__(
        self, attempts: Any, samples: Any, u: Any, v: Any, never: Any, *, validate_args: Any = None
    ) -> None:
        self.attempts, self.samples, self.u, self.v, self.never = attempts, samples, u, v, never
        shapes = [jnp.shape(a) for a in (attempts, samples, u, v, never)]
        super().__init__(batch_shape=jax.lax.broadcast_shapes(*shapes), validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log probability of the count that is this share of the attempts."""
        n, u, v = jnp.asarray(self.attempts), self.u, self.v
        solved, together = jnp.round(value * n), jnp.asarray(self.samples) > 1
        # An attempt of k samples fails where k attempts of one sample succeed in none.
        hits = jnp.where(together, 0.0, solved)
        tries = jnp.where(together, self.samples, n)
        ways = gammaln(tries + 1) - gammaln(hits + 1) - gammaln(tries - hits + 1)
        x, a = (
            jnp.stack(jnp.broadcast_arrays(*parts, jnp.zeros(self.batch_shape))[:3])
            for parts in ((u, v, u + v), (hits, tries - hits, tries))
        )
        of_u, of_v, of_both = log_gamma_ratio(x, a, jnp)
        found = ways + of_u + of_v - of_both
        once = together & (solved > 0)
        found = jnp.where(once, jnp.log(-jnp.expm1(jnp.where(once, found, -1.0))), found)
        never = jnp.asarray(self.never, found.dtype)
        found = found + jnp.log1p(-never)
        return jnp.where(solved > 0, found, jnp.logaddexp(found, jnp.log(never)))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw shares, a new problem for every number."""
        shape = sample_shape + self.batch_shape
        of_p, of_zero, of_count = jax.random.split(key, 3)
        p = jax.random.beta(of_p, self.u, self.v, shape)
        chance = -jnp.expm1(self.samples * jnp.log1p(-p))
        chance = chance * (jax.random.uniform(of_zero, shape) >= jnp.asarray(self.never))
        return jax.random.binomial(of_count, jnp.asarray(self.attempts), chance) / self.attempts


class Record(Distribution):
    """Running maxima of releases that form a Poisson process in date and ln y.

    Parameters
    ----------
    log_mu : array
        ln of the median state of the art at the row's date.
    jump, slope : arrays
        Mean of ln of a record over the one before; what `log_mu` gains in a year.
    step, best, first, record, rest, now : arrays, optional
        Of rows of a history: what `log_mu` gained since the row before, ln of the record until
        then, whether the row is the first, whether it is a record, what `log_mu` gains until nobody
        watches, and ln of the record from this row on. Without them, the state of the art at a
        date.
    """

    arg_constraints = {}  # noqa: RUF012 (NumPyro reads a plain dict)
    support: Any = constraints.positive

    def __init__(
        self, log_mu: Any, jump: Any, slope: Any, *history: Any, validate_args: Any = None
    ) -> None:
        self.log_mu, self.jump, self.slope, self.history = log_mu, jump, slope, history
        shape = jax.lax.broadcast_shapes(jnp.shape(log_mu), jnp.shape(jump), jnp.shape(slope))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density, of a record per year, and of no record the log probability.

        The first row of a history is given: what came before it is not known.
        """
        y = jnp.log(value)
        log_e = LOG_LN2 - (y - self.log_mu) / self.jump
        if not self.history:
            return log_e - jnp.exp(jnp.minimum(log_e, NEVER)) - jnp.log(self.jump) - y
        step, best, first, record, rest, now = self.history
        quiet = self._waited(best, self.log_mu - step, step)
        came = log_e + jnp.log(self.slope) - 2 * jnp.log(self.jump) - y
        since = self._waited(now, self.log_mu, rest)
        return jnp.where(first, 0.0, jnp.where(record, came, 0.0) - quiet) - since

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw the state of the art at every date by itself."""
        shape = sample_shape + self.batch_shape
        waited = jax.random.exponential(key, shape)
        return jnp.exp(self.log_mu - self.jump * (jnp.log(waited) - LOG_LN2))

    def _waited(self, y: Any, log_mu: Any, step: Any) -> Any:
        """Return how many releases above exp(y) come while `log_mu` gains `step`, on average.

        The gain itself, and not two values of `log_mu`, which may differ by less than they round.
        Where numbers would overflow they go straight on: kept flat, no wait would be likely there.
        """
        gain = step / self.jump
        start = LOG_LN2 + (log_mu - y) / self.jump
        most = jnp.maximum(NEVER - start, 0.0)
        over = gain > most  # chosen, not subtracted: exp(NEVER) would cancel in the derivative
        room = jnp.where(over, most, gain)
        start = jnp.minimum(start, NEVER)
        little = jnp.exp(start) * jnp.expm1(jnp.minimum(room, 1.0))
        more = jnp.where(room < 1, little, jnp.exp(start + room) - jnp.exp(start))
        return more + jnp.exp(NEVER) * jnp.where(over, gain - most, 0.0)


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


class BinomialShare(Distribution):
    """A share of so many questions, each right with one probability; its density is the count's.

    Parameters
    ----------
    questions, share : arrays that broadcast
        How many, and the probability of a right answer.
    """

    arg_constraints = {  # noqa: RUF012 (NumPyro reads a plain dict)
        "questions": constraints.positive,
        "share": constraints.unit_interval,
    }
    support: Any = constraints.unit_interval

    def __init__(self, questions: Any, share: Any, *, validate_args: Any = None) -> None:
        shaped: Any = promote_shapes(questions, jnp.clip(share, LEAST, 1 - LEAST))
        self.questions, self.share = shaped
        shape = jax.lax.broadcast_shapes(jnp.shape(questions), jnp.shape(share))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log probability of the count."""
        right, wrong = value * self.questions, (1 - value) * self.questions
        ways = _log_ways(right, wrong)
        return ways + right * jnp.log(self.share) + wrong * jnp.log1p(-self.share)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw."""
        shape = sample_shape + self.batch_shape
        return jax.random.binomial(key, self.questions, self.share, shape) / self.questions


class BetaBinomialShare(Distribution):
    """A share of so many questions by one whose own probability scatters as a Beta.

    Parameters
    ----------
    questions, share, spread : arrays that broadcast
        ``p ~ Beta(share / spread^2, (1 - share) / spread^2)``.
    """

    arg_constraints = {  # noqa: RUF012 (NumPyro reads a plain dict)
        "questions": constraints.positive,
        "share": constraints.unit_interval,
        "spread": constraints.positive,
    }
    support: Any = constraints.unit_interval

    def __init__(
        self, questions: Any, share: Any, spread: Any, *, validate_args: Any = None
    ) -> None:
        shaped: Any = promote_shapes(questions, jnp.clip(share, LEAST, 1 - LEAST), spread)
        self.questions, self.share, self.spread = shaped
        shape = jax.lax.broadcast_shapes(*(jnp.shape(v) for v in (questions, share, spread)))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log probability of the count."""
        right, wrong = value * self.questions, (1 - value) * self.questions
        firm = 1 / jnp.maximum(self.spread**2, LEAST)
        a, b = self.share * firm, (1 - self.share) * firm
        return (
            _log_ways(right, wrong)
            + _rise(a, right)
            + _rise(b, wrong)
            - _rise(firm, self.questions)
        )

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw."""
        shape = sample_shape + self.batch_shape
        own, count = jax.random.split(key)
        firm = 1 / self.spread**2
        p = jax.random.beta(own, self.share * firm, (1 - self.share) * firm, shape)
        return jax.random.binomial(count, self.questions, p, shape) / self.questions


def _log_ways(right: Any, wrong: Any) -> Any:
    return log_gamma(right + wrong + 1) - log_gamma(right + 1) - log_gamma(wrong + 1)


def _rise(x: Any, count: Any) -> Any:
    """Return ``ln Gamma(x + count) - ln Gamma(x)``."""
    return log_gamma(x + count) - log_gamma(x)


class FoldedShare(Distribution):
    """A distribution about a share, what lies beyond 0 and 1 folded back: y from -y and 2 - y.

    Parameters
    ----------
    about : Distribution
        Of the real line, with next to nothing beyond -1 and 2.
    """

    arg_constraints = {}  # noqa: RUF012 (NumPyro reads a plain dict)
    support: Any = constraints.unit_interval

    def __init__(self, about: Any, *, validate_args: Any = None) -> None:
        self.about = about
        super().__init__(batch_shape=tuple(about.batch_shape), validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density."""
        here = self.about.log_prob(value)
        back = (self.about.log_prob(-value), self.about.log_prob(2 - value))
        return here + jnp.log1p(sum(jnp.exp(v - here) for v in back))

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw."""
        drawn = self.about.sample(key, sample_shape)
        return jnp.clip(1 - jnp.abs(1 - jnp.abs(drawn)), 0.0, 1.0)


class Beside(Distribution):
    """An outcome, beside something else that was measured with it.

    Parameters
    ----------
    outcome : Distribution
        Of the outcome, given the other.
    other : array
        Log density of the other, where it was measured.
    """

    arg_constraints = {"other": constraints.real}  # noqa: RUF012 (NumPyro reads a plain dict)
    support: Any = constraints.real

    def __init__(self, outcome: Any, other: Any, *, validate_args: Any = None) -> None:
        self.outcome, self.other = outcome, other
        shape = jax.lax.broadcast_shapes(jnp.shape(other), tuple(outcome.batch_shape))
        super().__init__(batch_shape=shape, validate_args=validate_args)

    @validate_sample
    def log_prob(self, value: Any) -> Any:
        """Return the log density of both."""
        return self.outcome.log_prob(value) + self.other

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draw the outcome."""
        return self.outcome.sample(key, sample_shape)
