"""A run under way, judged by its early losses: where it will end, and whether that is off plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._curve import (
    FEWEST,
    POINTS,
    Part,
    Points,
    ends,
    last_window,
    posterior,
)
from bayes_scaling.criticism._findings import Finding, Status, page, worst
from bayes_scaling.criticism._reading import read_sizes, refuse
from bayes_scaling.data.annealing import annealing_sums
from bayes_scaling.data.numbers import one_number, values_of
from bayes_scaling.errors import SpecError
from bayes_scaling.inference.sampling import counted
from bayes_scaling.predict import predict
from bayes_scaling.trust import K_HAT, warn_if_untrusted

WARMUP = 0.05  # share of the run left out: a power law does not hold there, whatever the warm-up
LEVEL = 0.99  # of the peak, down to which a learning rate counts as constant
FINE = 100 * POINTS  # pieces of a schedule: none of its corners is cut by more
UNLIKE, STRAY = 0.05, 3  # of the peak; and in how many hundredths, where a corner may be smoothed
UNSEEN = 0.1  # of the decay, below which the curve has nothing to say of what it takes off
ALARM = 0.8  # P(the run ends above the band) from which on somebody is woken up
# A tenth of large runs do not do what the small ones said, and then miss by some 10 %. Were the
# law's prediction the whole prior, a bad curve would be explained by a steep end yet to come.
OFF, MISS = 0.1, 0.1
VAGUE = 0.3  # sd of ln(loss at the end / loss seen last) where no law is asked
# Nine windows of a tenth after the warm-up: one false warning in 20 runs, however often one looks.
SURPRISING = 0.05 / 9
NORMAL_90 = 1.6449


@dataclass(frozen=True)
class InFlight:
    """Where a run under way will end.

    Parameters
    ----------
    draws : xarray.Dataset over (chain, draw)
        `loss_end`, the curve's loss at the planned end, nat/token; `E` and `a0`, its part that
        stays and its part that more steps would remove; `drop`, what the decay takes off, where one
        is planned; `alpha`, `sigma`, `phi`.
    seen : float
        How much of the planned run the curve covers, 0 to 1.
    band : tuple of float
        The plan's 90 % interval, nat/token; NaN without a fit.
    above : float
        P(the run ends above the band); NaN without a fit.
    p : float
        Predictive p of the last tenth of the run, given what came before; NaN for want of points.
    k_hat : float
        Certificate of the draws: from 0.7 on they are not to be trusted.
    findings : tuple of Finding
        Each with `name`, `status` ("PASS", "WARN", "STOP" or "NOTE"), `found` and `do`.
    """

    draws: xr.Dataset
    seen: float
    band: tuple[float, float]
    above: float
    p: float
    k_hat: float
    findings: tuple[Finding, ...]

    @property
    def alarm(self) -> bool:
        """Whether the run will end above the plan's band with a probability above 0.8."""
        return self.trusted and self.above > ALARM

    @property
    def trusted(self) -> bool:
        """Whether the draws are good enough to act on."""
        return self.k_hat < K_HAT

    @property
    def status(self) -> Status:
        """The worst finding."""
        return worst(self.findings)

    def to_frame(self) -> pd.DataFrame:
        """Return the findings as a table."""
        return pd.DataFrame(self.findings, columns=list(Finding._fields))

    def __str__(self) -> str:
        """Write the page a person reads."""
        low, mid, high = np.quantile(self.draws["loss_end"].values, [0.05, 0.5, 0.95])
        ends = f"ends at {mid:.4g} [{low:.4g}, {high:.4g}], {self.seen:.0%} of it seen"
        return "\n".join([f"in flight: {self.status}", f"  the run {ends}", *page(self.findings)])

    __repr__ = __str__


def in_flight(
    curve: Mapping[str, Any] | pd.DataFrame,
    *,
    final: float | None = None,
    fit: xr.DataTree | None = None,
    plan: Mapping[str, Any] | None = None,
    group: str | None = None,
    warmup: float = WARMUP,
    schedule: Sequence[float] | np.ndarray | None = None,
    steps: float | None = None,
    seed: int = 0,
    draws: int = 2000,
) -> InFlight:
    """Predict the end of a run from its losses so far, and say whether it is off plan.

    Parameters
    ----------
    curve : mapping or DataFrame
        `tokens` (or `steps`) seen, `loss`, nat/token, smoothed or not, and optionally `lr`, the
        learning rate. The loss must be of the same measure as those that `fit` was fitted to.
    final : float, tokens or steps
        The planned end; that of the plan if not given.
    fit : xarray.DataTree, optional
        A fit of a law of final losses, whose prediction at `plan` is the prior of the end.
    plan : mapping, optional
        The law's inputs of this run at its end, such as ``{"params": 7e9, "tokens": 1.4e11}``.
    group : str, optional
        Which group of a pooled model the run belongs to.
    warmup : float
        Share of the planned run that is left out at its start; with a schedule that decays, so is
        what comes before its peak.
    schedule : (n,) array, optional
        The learning rate planned for the whole run, at equal distances from the first step to the
        last, in any unit; constant unless given. With one that decays, points are used throughout.
    steps : float, optimizer steps, optional
        Of the whole planned run: how soon a decay is felt is a matter of steps. Needed with a
        schedule that decays, unless the curve is in steps.
    seed : int
    draws : int
        Draws of the posterior.

    Returns
    -------
    InFlight
        `draws`, `band`, `above`, `alarm`, `p`, `k_hat`, `status`, `findings`.

    Raises
    ------
    SpecError
        With every problem at once: missing columns, values that are not positive, no planned end
        or one that is past, a fit without a plan, too few points, a schedule that decays without
        steps or is not what the curve's `lr` says (by 5 % of the peak in more than three
        hundredths), a learning rate that decays unplanned beside a law of final losses.

    Notes
    -----
    ``L = E + a0 s1^-alpha + c0 (1 - s2)``, the law `Annealing`: s1 is the area under the learning
    rate over that of the planned run, s2 the annealing area over its largest. At a constant rate
    the last term is gone and s1 is the share of the run. With L(1) the loss at the planned end,
    ``a0 = share L(1)``, ``c0 = delta L(1)``, and E is the rest; ``share ~ Beta(1.5, 6)``,
    ``alpha ~ LogNormal(ln 0.5, 0.4)``, ``delta ~ HalfNormal(0.1)``. Residuals of ln L, averaged
    over hundredths of the run, are a stationary AR(1): ``sigma ~ HalfNormal(0.02)``, and a
    correlation ``phi^g`` over g hundredths, ``phi ~ Beta(8, 2)``.

    L(1) is what the law of final losses ties: its prior is the Gaussian of ln L with the same 90 %
    interval as `predict`'s `loss_run`, with weight 0.9, and with weight 0.1 one of sd 0.1, a run
    that does not do what the law says. Without a fit it is vague, sd 0.3 about the last loss.

    Before a decay begins a curve says nothing of what it will take off: that is left to the prior
    of delta and to the fit, so that a level 5 % too high may as well be a deeper drop to come. A
    cosine is a decay from early on, a short one at the end tells late; `Annealing` fitted to an
    earlier run of the same recipe through its decay tells what to expect. Where the rate is seen to
    decay and no schedule says so, points from there on are left out, and the end without a decay,
    which is above the end with one, is not compared with a fit.

    The alarm is a posterior probability above 0.8. Under the model it is a martingale, so that of
    all runs that do not end above the band, at most a share ``q / (1 - q) / 4`` ever raises it,
    however often one looks; q = 0.09 is the prior's, which makes 2.5 %. Measured on curves
    simulated on the Chinchilla plan, ends from its prediction and all else from the priors, 35,000
    steps: how many of 200 raised it (of the 14 that do end above the band), looked at 5 times at 20
    to 80 % of the run, and how many of 100 that end 5 % high with residuals of 0.4 % had done so.

    =================================  ==========  =======  =======  =======  =======
    schedule                           on plan     by 40 %  by 60 %  by 80 %  by 90 %
    =================================  ==========  =======  =======  =======  =======
    constant                           5 (4)       61       90       99       99
    cosine to a tenth                  2 (1)       7        59       97       99
    linear to zero from 80 % on        0 (0)       0        0        0        78
    =================================  ==========  =======  =======  =======  =======

    The last, looked at three times more up to 95 %, had raised 2 (2). With residuals as wide as
    their prior, of 60 that end 5 % high 17, 12 and 1 had raised it by 60 % of the run, 28, 25 and 1
    by 80. k-hat was above 0.7 in 1 to 5 % of looks, which raise nothing.

    `p` is two-sided, of the mean ln loss of the last tenth of the run under a posterior of what
    came before. Nine such windows fit into a run: below 0.05 / 9 it warns, once in 20 runs.

    References
    ----------
    Tissue et al. 2024, Scaling Law with Learning Rate Annealing, arXiv:2408.11029.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> tokens = np.linspace(1e9, 4e10, 80)
    >>> loss = 2.1 + 0.25 * (tokens / 1e11) ** -0.5 + 0.004 * np.sin(np.arange(80))
    >>> ahead = bs.in_flight({"tokens": tokens, "loss": loss}, final=1e11)
    >>> bool(abs(ahead.draws.loss_end.median() - 2.35) < 0.05), ahead.status
    (True, 'PASS')
    """
    counted(draws=draws)
    points, decays, notes = _checked(curve, final, fit, plan, warmup, schedule, steps)
    band: tuple[float, float] = (np.nan, np.nan)
    prior = [Part(1.0, float(points.log_loss[-1]), VAGUE)]
    if fit is not None and plan is not None:
        notes += [Finding("fit", "WARN", t, "") for t in [warn_if_untrusted(fit)] if t != "trusted"]
        run = np.log(predict(fit, plan, group=group, seed=seed).loss_run.values)
        low, high = (float(q) for q in np.quantile(run, [0.05, 0.95]))
        middle, band = 0.5 * (low + high), (float(np.exp(low)), float(np.exp(high)))
        prior = [Part(1 - OFF, middle, (high - low) / 2 / NORMAL_90), Part(OFF, middle, MISS)]
    found, k_hat = posterior(points, prior, seed, draws)
    values = ends(found, points, decays)
    above = float((values["loss_end"] > band[1]).mean()) if fit is not None else np.nan
    p = last_window(points, prior, seed, draws)
    findings = [*_judged(above, k_hat, band), *_surprised(p), *notes]
    return InFlight(values, float(points.at[-1]), band, above, p, k_hat, tuple(findings))


def _judged(above: float, k_hat: float, band: tuple[float, float]) -> list[Finding]:
    out = []
    if not k_hat < K_HAT:
        do = "look at the curve: a jump, a repeated stretch or a restart is no power law"
        out.append(Finding("k-hat", "WARN", f"k-hat {k_hat:.2f}: the draws are not trusted", do))
    if np.isnan(above):
        return out
    status = "PASS" if above <= 0.5 else "WARN" if above <= ALARM or out else "STOP"
    found = f"P(the run ends above {band[1]:.4g}) is {above:.2f}; the plan's 90 % interval is "
    do = {
        "PASS": "",
        "WARN": "look again a tenth of the run later; check data and learning rate now",
        "STOP": "stop or pause: find what differs from the runs that the law was fitted to (data, "
        "learning rate, batch, numerics) before the rest of the run is paid for",
    }[status]
    return [*out, Finding("end", status, f"{found}[{band[0]:.4g}, {band[1]:.4g}]", do)]


def _surprised(p: float) -> list[Finding]:
    if np.isnan(p):
        found = "too few points before the last tenth of the run to say what it should have been"
        return [Finding("last tenth", "NOTE", found, "")]
    odd = p < SURPRISING
    found = f"predictive p {p:.3f} given what came before, below {SURPRISING:.4f} once in 20 runs"
    do = "something changed there: data, learning rate, hardware, or the loss itself" * odd
    return [Finding("last tenth", "WARN" if odd else "PASS", found, do)]


def _checked(
    curve: Any, final: Any, fit: Any, plan: Any, warmup: Any, schedule: Any, steps: Any
) -> tuple[Points, bool, list[Finding]]:
    """Return the curve in hundredths of the run, whether it decays by plan, and what to say."""
    wrong: list[str] = []
    of = "steps" if not {"tokens"} & {*_names(curve)} and "steps" in _names(curve) else "tokens"
    table, found = read_sizes(curve, (of, "loss"), "curve", ("lr",), zero=(of, "lr"))
    wrong += found
    if isinstance(plan, Mapping) and any(np.size(v) != 1 for v in plan.values()):
        wrong.append("plan: one run is under way; give one number for each of its inputs")
    if (fit is None) != (plan is None):
        has, lacks = ("fit", "plan") if plan is None else ("plan", "fit")
        wrong.append(f"{lacks}: not given, and a {has} is of no use without: give both or neither")
    if final is None and of == "tokens" and isinstance(plan, Mapping) and "tokens" in plan:
        final = plan["tokens"]
    end = _number(final, f"final: the planned end of the run, {of}, such as 1.4e11", wrong)
    if of in table and end < values_of(table, of).max() * (1 - 1e-9):
        wrong.append(f"final: {end:.4g} {of}, and the curve goes to {table[of].max():.4g}")
    rates = _rates(schedule, wrong)
    decays = bool(rates[-1] < LEVEL * rates.max())
    total = end
    if steps is not None or (decays and of != "steps"):
        what = f"steps: optimizer steps of the whole run, more than {POINTS}, which a schedule that"
        total = _number(steps, f"{what} decays cannot do without", wrong, above=POINTS)
    if not (isinstance(warmup, int | float) and 0 <= warmup < 1):
        wrong.append(f"warmup: a share of the run from 0 to below 1; found {warmup!r}")
    refuse("in_flight", wrong)
    share, log_loss = values_of(table, of) / end, np.log(values_of(table, "loss"))
    order = np.argsort(share, kind="stable")
    share, log_loss = share[order], log_loss[order]
    keep = share > warmup
    begins, fell, notes = warmup, False, []
    lr = values_of(table, "lr")[order] if "lr" in table else None
    if lr is not None and schedule is not None and (odd := _unlike(share, lr, rates, keep)):
        wrong.append(odd)
    if decays:
        begins = max(warmup, np.argmax(rates >= LEVEL * rates.max()) / (len(rates) - 1))
        keep &= share >= begins
    elif lr is not None:
        keep, fell, notes = _constant(lr, keep)
    elif schedule is None:
        found = "not given: taken as constant up to here, and to the planned end"
        notes.append(Finding("learning rate", "NOTE", found, ""))
    at, mean = _hundredths(share[keep], log_loss[keep])
    if len(at) < FEWEST:
        when = f"come back at {(begins + FEWEST / POINTS) * end:.3g} {of}, or log more often"
        if fell:
            when = "on a schedule that decays throughout it takes `schedule` and `steps` to tell"
        wrong.append(
            f"curve: {len(at)} points, hundredths of the run, after the warm-up"
            f"{'' if decays else ' at a constant learning rate'}, and {FEWEST} are needed; {when}"
        )
    if fell and fit is not None:
        wrong.append(
            "fit: the learning rate decays before the planned end, and the end at a constant rate "
            "is not what a law of final losses predicts: give `schedule` and `steps`, or leave fit "
            "and plan out"
        )
    refuse("in_flight", wrong)
    if not decays:
        return Points(at, mean, at, np.ones(len(at))), False, notes
    points = _annealed(at, mean, rates, total)
    if points.drop[-1] < UNSEEN:
        found = "planned, and hardly seen: what it takes off is its prior's, 0 to 20 % of the loss"
        notes.append(Finding("decay", "NOTE", found, ""))
    return points, True, notes


def _names(curve: Any) -> list[str]:
    return [str(c) for c in curve] if isinstance(curve, Mapping | pd.DataFrame) else []


def _number(value: Any, what: str, wrong: list[str], above: float = 0.0) -> float:
    try:
        return one_number(value, what, above)
    except SpecError as error:
        wrong.append(str(error))
        return np.nan


def _rates(schedule: Any, wrong: list[str]) -> np.ndarray:
    """Return the planned learning rates, a constant one where none are given."""
    given = pd.Series(np.ravel([1.0] if schedule is None else schedule))
    rates = np.asarray(pd.to_numeric(given, errors="coerce"), float)
    if len(rates) and (np.isfinite(rates) & (rates >= 0)).all() and rates.max() > 0:
        return rates
    wrong.append(f"schedule: learning rates at equal steps are wanted; found {schedule!r}")
    return np.ones(1)


def _unlike(share: np.ndarray, lr: np.ndarray, rates: np.ndarray, keep: np.ndarray) -> str:
    """Say where the learning rates seen are not those of the schedule, each over its largest."""
    at, seen = _hundredths(share[keep], lr[keep])
    if not len(at):
        return ""
    meant = np.interp(at, np.linspace(0, 1, len(rates)), rates)
    seen, meant = (v / max(v.max(), 1e-300) for v in (seen, meant))
    off = np.flatnonzero(np.abs(seen - meant) > UNLIKE)
    if len(off) <= STRAY:
        return ""
    first = off[0]
    return (
        f"schedule: it is not what the curve's column lr says, at {at[first]:.0%} of the run "
        f"{meant[first]:.2f} and {seen[first]:.2f} of the peak: give the schedule that is run"
    )


def _constant(lr: np.ndarray, keep: np.ndarray) -> tuple[np.ndarray, bool, list[Finding]]:
    """Return which points are at the constant rate, whether it fell, and what to say of it."""
    if not keep.any():
        return keep, False, []
    top = lr >= LEVEL * lr[keep].max()
    first = int(np.argmax(top & keep))
    falls = np.flatnonzero(~top[first:])
    last = first + int(falls[0]) if len(falls) else len(lr)
    keep = keep & (np.arange(len(lr)) >= first) & (np.arange(len(lr)) < last)
    if last == len(lr):
        return keep, False, []
    found = "it decays: points from there on are left out, and the end is that without a decay"
    do = "give `schedule` and `steps`, or take it for an upper bound"
    return keep, True, [Finding("learning rate", "WARN", found, do)]


def _annealed(at: np.ndarray, mean: np.ndarray, rates: np.ndarray, steps: float) -> Points:
    """Return the points with the sums of their schedule, as shares of its own."""
    even = np.linspace(0, 1, min(FINE, int(steps)))
    fine = np.interp(even, np.linspace(0, 1, len(rates)), rates)
    area, drop = annealing_sums(fine, steps)
    area, drop = area / area[-1], drop / drop.max()
    s1, s2 = (np.interp(at, even, v) for v in (area, drop))
    return Points(at, mean, s1, s2, 1 - float(drop[-1]))


def _hundredths(share: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average what was seen over hundredths of the planned run."""
    _, which = np.unique(np.ceil(share * POINTS - 1e-9), return_inverse=True)
    count = np.maximum(np.bincount(which), 1)
    if not len(share):
        return share, values
    return np.bincount(which, share) / count, np.bincount(which, values) / count
