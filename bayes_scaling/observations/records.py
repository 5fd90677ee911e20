"""Records of a frontier: the likelihood of running maxima, so that picking them misleads nobody."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bayes_scaling.laws import Misfit
from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.observations._protocol import CLUSTER, MEASURED, OBSERVATIONS
from bayes_scaling.param import Param, Prior

LN2 = 0.6931471805599453
APART = 1e4  # in ln of an outcome: between the histories of two groups
JUMP = Param(
    "jump",
    Prior.of("LogNormal", median=0.5, sigma=0.8),
    "1",
    "mean of ln of a record over the one before",
    (0.1, 2.0),
    "noise",
)


@OBSERVATIONS.register("records")
@dataclass(frozen=True)
class Records:
    """Running maxima of releases, the law being the median of the state of the art at a date.

    Releases of at least y come at the rate ``(slope ln2 / jump) (y / y(t))^(-1 / jump)`` a year,
    each as if it did not know of the others; a row that exceeds all before it is a record. Rows
    that are none count as dates at which there was no record, and nothing else of them: a table of
    the records alone and one of all releases are fitted alike.

    Parameters
    ----------
    until : float, optional
        The date up to which the frontier was watched, if that is later than the last row: that
        nothing came since is evidence too. Without it the watch ended with the last row.

    Raises
    ------
    TableError
        When it is fitted: `until` lies before a row, or all rows are of one date.

    Notes
    -----
    Releases form a Poisson process in date and ln y whose intensity falls by e in `jump`, the tail
    of any distribution with an exponential one, and nearly that of a normal one. With
    ``e(t, y) = ln2 (y / y(t))^(-1 / jump)`` the state of the art is then a Gumbel variable about
    the trend, ``P(max < y) = exp(-e(t, y))``; records come at the rate slope / jump, and each
    exceeds the one before by a factor whose ln is exponential of mean `jump`. The log likelihood of
    a row is ``-(e(t_i, M) - e(t_(i-1), M))``, M being the record until then, with ``ln(slope
    e(t_i, y_i) / jump^2)`` where the row is a record: exact, and selection is in it. The first row
    is given and says nothing by itself: a table starts somewhere, often with what happened to be
    measured, which need not be where the frontier was. Densities of records are per year, so elpd
    compares with no other observation model.

    A line through points that were picked for being the best is drawn too sure of itself: they
    share what came before them. Errors of the outcomes themselves are not modelled; a record that
    is one by luck of its measurement raises all that follows.

    References
    ----------
    Arnold, Balakrishnan and Nagaraja 1998, Records; Resnick 1987, Extreme Values, Regular Variation
    and Point Processes, chapter 4 (extremal processes).

    Examples
    --------
    >>> from bayes_scaling.observations import Records
    >>> [p.name for p in Records().params]
    ['jump']
    """

    until: float | None = None
    name: ClassVar[str] = "records"
    latents: ClassVar[tuple[str, ...]] = ("slope", "log_mean")
    by: ClassVar[None] = None
    across: ClassVar[bool] = False
    along: ClassVar[str] = "date"
    inputs: ClassVar[tuple[str, ...]] = ()
    params: ClassVar[tuple[Param, ...]] = (JUMP,)

    def distribution(self, mu: Any, theta: Theta, x: Inputs) -> Any:  # noqa: ARG002
        """Return the distribution of every row, given those before it.

        Of rows without a history (`x` without clusters), of the state of the art at their dates.
        """
        import jax.numpy as jnp

        from bayes_scaling._distributions import Record

        log_mu, jump = x["log_mean"], theta["jump"]  # past all bounds, where records never end
        if CLUSTER not in x:
            return Record(log_mu, jump, x["slope"], validate_args=False)
        order, first, best, is_record = _history(x, jnp)
        back = jnp.argsort(order)
        date, shape = x[self.along][order], jnp.shape(x[MEASURED])
        slope = jnp.broadcast_to(x["slope"], shape)[order]
        step = slope * jnp.where(first, 0.0, date - jnp.roll(date, 1))
        rest = jnp.zeros_like(step)
        if self.until is not None:  # of the last row of every history
            rest = slope * jnp.where(jnp.roll(first, -1), self.until - date, 0.0)
        log_y = jnp.log(x[MEASURED])[order]
        now = jnp.where(is_record | first, log_y, best)
        parts = [v[back] for v in (step, best, first, is_record, rest, now)]
        return Record(log_mu, jump, x["slope"], *parts, validate_args=False)

    def draw(self, rng: np.random.Generator, mu: Any, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw the state of the art with NumPy; of rows of one history the later is no lower."""
        shape = np.shape(mu)
        log_mu = np.broadcast_to(x["log_mean"], shape)
        jump = np.broadcast_to(theta["jump"], shape)
        alone = log_mu - jump * np.log(rng.exponential(size=shape) / LN2)
        if CLUSTER not in x:
            return np.exp(alone)
        order = np.lexsort((x[self.along], x[CLUSTER]))
        code, out, best = x[CLUSTER][order], alone.copy(), None
        for turn, row in enumerate(order):
            if best is None or code[turn] != code[turn - 1]:
                best = alone[..., row]
                continue
            here, there = log_mu[..., order[turn - 1]], log_mu[..., row]
            with np.errstate(divide="ignore"):  # two rows of one date: nothing came between them
                share = np.log(-np.expm1(-(there - here) / jump[..., row]))
            best = np.maximum(best, alone[..., row] + jump[..., row] * share)
            out[..., row] = best
        return np.exp(out)

    def misfits(self, x: Inputs, y: np.ndarray) -> list[Misfit]:  # noqa: ARG002
        """Find tables of one date, and dates after which nobody watched."""
        dates, out = np.asarray(x[self.along], float), []
        if np.ptp(dates) == 0:
            found = "all rows are of one date, and nothing moved"
            out.append(Misfit(self.along, np.ones(len(dates), bool), found, "add other dates"))
        if self.until is not None and (bad := dates > self.until).any():
            found = f"{int(bad.sum())} rows are after until={self.until:g}"
            out.append(Misfit(self.along, bad, found, "leave them out, or give a later `until`"))
        return out


def _history(x: Inputs, xp: Any) -> tuple[Any, Any, Any, Any]:
    """Return rows in turn: the first of each history, the record before, and which exceed it."""
    order = xp.lexsort((x["date"], x[CLUSTER]))
    code = x[CLUSTER][order]
    first = xp.concatenate([xp.ones(1, bool), code[1:] != code[:-1]])
    lifted = xp.log(x[MEASURED])[order] + APART * code
    highest = _cummax(lifted, xp)
    before = xp.where(first, lifted, xp.roll(highest, 1))
    return order, first, before - APART * code, (lifted > before) & ~first


def _cummax(values: Any, xp: Any) -> Any:
    if xp is np:
        return np.maximum.accumulate(values)
    import jax

    return jax.lax.cummax(values)
