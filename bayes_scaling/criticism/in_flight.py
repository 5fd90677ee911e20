"""A run under way, judged by its early losses: where it will end, and whether that is off plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._evidence import pit_of
from bayes_scaling.criticism._findings import Finding, Status, page, worst
from bayes_scaling.criticism._reading import read_sizes, refuse
from bayes_scaling.data.numbers import one_number, values_of
from bayes_scaling.errors import SpecError
from bayes_scaling.inference.sampling import counted, sample
from bayes_scaling.laws import PowerLaw
from bayes_scaling.param import Prior
from bayes_scaling.predict import predict
from bayes_scaling.results import dataset
from bayes_scaling.trust import K_HAT, warn_if_untrusted

POINTS = 100  # the curve is looked at in hundredths of the planned run: wiggles, not steps
NEAREST = 0.5  # hundredths: points logged on both sides of an edge count as that far apart
FEWEST = 8  # points after the warm-up below which five parameters are mostly prior
WINDOW = 10  # points, a tenth of the run, judged by those before them
WARMUP = 0.05  # share of the run left out: a power law does not hold there, whatever the warm-up
LEVEL = 0.99  # of the peak, down to which a learning rate counts as constant
ALARM = 0.8  # P(the run ends above the band) from which on somebody is woken up
# A tenth of large runs do not do what the small ones said, and then miss by some 10 %. Were the
# law's prediction the whole prior, a bad curve would be explained by a steep end yet to come.
OFF, MISS = 0.1, 0.1
VAGUE = 0.3  # sd of ln(loss at the end / loss seen last) where no law is asked
# Nine windows of a tenth after the warm-up: one false warning in 20 runs, however often one looks.
SURPRISING = 0.05 / 9
NORMAL_90 = 1.6449

LAW = PowerLaw(of="tokens", reference=(("tokens", 1.0),))  # sizes in shares of the planned run
# Share of the loss at the planned end that more steps would still remove, as of M4.
SHARE = Prior.of("Beta", a=1.5, b=6.0)
ALPHA = Prior.of("LogNormal", median=0.5, sigma=0.4)  # 0.27 to 0.76 left from 30 to 100 % of a run
SIGMA = Prior.of("HalfNormal", scale=0.02)
PHI = Prior.of("Beta", a=8.0, b=2.0)  # correlation of residuals a hundredth of the run apart


@dataclass(frozen=True)
class InFlight:
    """Where a run under way will end.

    Parameters
    ----------
    draws : xarray.Dataset over (chain, draw)
        `loss_end`, the curve's loss at the planned end, nat/token; `E` and `a0`, its part that
        stays and its part that more steps would remove; `alpha`, `sigma`, `phi`.
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
        Share of the planned run that is left out at its start.
    schedule : (n,) array, optional
        The learning rate planned for the whole run, at equal steps: whether it decays.
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
        or one that is past, a fit without a plan, too few points, a learning rate that decays
        where constant-rate losses are compared with a law of final ones.

    Notes
    -----
    ``L(s) = E + a0 s^-alpha`` of the existing law `PowerLaw`, s the share of the planned run, on
    the stretch where the learning rate is constant. ``a0 = share L(1)``, ``E = (1 - share) L(1)``,
    ``share ~ Beta(1.5, 6)``, ``alpha ~ LogNormal(ln 0.5, 0.4)``. Residuals of ln L, averaged over
    hundredths of the run, are a stationary AR(1): ``sigma ~ HalfNormal(0.02)``, and a correlation
    ``phi^g`` over g hundredths, ``phi ~ Beta(8, 2)``.

    L(1) is what the law of final losses ties: its prior is the Gaussian of ln L with the same 90 %
    interval as `predict`'s `loss_run`, with weight 0.9, and with weight 0.1 one of sd 0.1, a run
    that does not do what the law says. Without a fit it is vague, sd 0.3 about the last loss.

    The alarm is a posterior probability above 0.8. Under the model it is a martingale, so that of
    all runs that do not end above the band, at most a share ``q / (1 - q) / 4`` ever raises it,
    however often one looks; q = 0.09 is the prior's, which makes 2.5 %. Measured on 300 curves
    simulated on the Chinchilla plan with all but the end from the priors, five looks each at 20 to
    80 %: 4 raised it, 3 of them of the 11 that do end above the band. Of 120 runs that end 5 %
    high, with residuals of 0.4 %, 89 % raised it by 60 % of the run (36 % by 30); with residuals as
    wide as their prior 35 to 40 %. k-hat was above 0.7 in 1 to 5 % of looks, which raise nothing.

    `p` is two-sided, of the mean ln loss of the last tenth of the run under a posterior of what
    came before. Nine such windows fit into a run: below 0.05 / 9 it warns, once in 20 runs.

    A loss seen while the learning rate decays belongs to neither law: points from there on are left
    out. The end without a decay is above the end with one, so that a comparison with a fit of
    decayed runs is refused.

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
    at, log_loss, notes = _checked(curve, final, fit, plan, warmup, schedule)
    band: tuple[float, float] = (np.nan, np.nan)
    prior = {"mean": [float(log_loss[-1])] * 2, "sd": [VAGUE] * 2}
    if fit is not None and plan is not None:
        notes += [Finding("fit", "WARN", t, "") for t in [warn_if_untrusted(fit)] if t != "trusted"]
        run = np.log(predict(fit, plan, group=group, seed=seed).loss_run.values)
        low, high = (float(q) for q in np.quantile(run, [0.05, 0.95]))
        middle, band = 0.5 * (low + high), (float(np.exp(low)), float(np.exp(high)))
        prior = {"mean": [middle] * 2, "sd": [(high - low) / 2 / NORMAL_90, MISS]}
    got = _posterior(at, log_loss, prior, seed, draws)
    values = _ends(dataset(got.values))
    above = float((values["loss_end"] > band[1]).mean()) if fit is not None else np.nan
    p = _last_window(at, log_loss, prior, seed, draws)
    k_hat = float(got.attrs["k_hat"])
    findings = [*_judged(above, k_hat, band), *_surprised(p), *notes]
    return InFlight(values, float(at[-1]), band, above, p, k_hat, tuple(findings))


@dataclass(frozen=True)
class Curve:
    """The NumPyro program of a learning curve: the law, its priors, and AR(1) residuals."""

    identity: str = "learning curve"

    def __call__(self, data: Mapping[str, Any]) -> None:
        """Sample the parameters and observe the curve."""
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        parts = dist.Normal(jnp.asarray(data["mean"]), jnp.asarray(data["sd"]))
        mixing = dist.Categorical(jnp.asarray([1 - OFF, OFF]))
        log_end = numpyro.sample("log_end", dist.MixtureSameFamily(mixing, parts))
        share = numpyro.sample("share", _built(SHARE))
        alpha = numpyro.sample("alpha", _built(ALPHA))
        sigma, phi = numpyro.sample("sigma", _built(SIGMA)), numpyro.sample("phi", _built(PHI))
        residual = data["log_loss"] - jnp.log(
            LAW(_theta(log_end, share, alpha), {"tokens": data["at"]})
        )
        before = jnp.concatenate([jnp.zeros(1), residual[:-1]])
        rho = jnp.exp(data["gap"] * jnp.log(phi))
        lost = (1 - rho) * (1 + rho)  # of a residual's variance, from one point to the next
        fresh = (residual - rho * before) / sigma
        each = -0.5 * fresh**2 / lost - 0.5 * jnp.log(lost) - jnp.log(sigma)
        numpyro.factor("curve", jnp.sum(each * data["real"]))


def _built(prior: Prior) -> Any:
    from bayes_scaling.priors import distribution

    return distribution(prior, dict(prior.args))


def _theta(log_end: Any, share: Any, alpha: Any) -> dict[str, Any]:
    from bayes_scaling.laws._protocol import namespace

    end = namespace({"log_end": log_end}).exp(log_end)
    return {"E": end * (1 - share), "a0": end * share, "alpha": alpha}


def _posterior(at: np.ndarray, log_loss: np.ndarray, prior: Any, seed: int, draws: int) -> Any:
    """Sample the curve's parameters: importance sampling about the modes, of one padded shape."""
    fill = (0, POINTS - len(at))  # all curves share one compiled program
    # The first residual remembers nothing; no two are so near that they must be one.
    gap = np.maximum(np.diff(at * POINTS, prepend=-10.0 * POINTS), NEAREST)
    data = {
        "at": np.pad(at, fill, mode="edge"),
        "log_loss": np.pad(log_loss, fill, mode="edge"),
        "gap": np.pad(gap, fill, constant_values=POINTS),
        "real": np.pad(np.ones(len(at)), fill),
        **{k: np.asarray(v, float) for k, v in prior.items()},
    }
    return sample(Curve(), data, method="laplace", draws=draws, seed=seed)


def _ends(values: xr.Dataset) -> xr.Dataset:
    theta = _theta(values["log_end"], values["share"], values["alpha"])
    out = {"loss_end": theta["E"] + theta["a0"], **theta}
    out |= {k: values[k] for k in ("sigma", "phi")}
    said = {"units": "nat/token", "long_name": "loss at the planned end"}
    return xr.Dataset(out).assign(loss_end=out["loss_end"].assign_attrs(said))


def _last_window(at: np.ndarray, log_loss: np.ndarray, prior: Any, seed: int, draws: int) -> float:
    """Return how surprising the mean of the last tenth is to a posterior of what came before."""
    last = at > at[-1] - (WINDOW - 0.5) / POINTS
    first = int(np.argmax(last))
    if first < FEWEST or len(at) - first < WINDOW // 2:
        return np.nan
    got = _posterior(at[:first], log_loss[:first], prior, seed, draws)
    v = {k: np.ravel(value)[:, None] for k, value in got.values.items()}
    mean = np.log(LAW(_theta(v["log_end"], v["share"], v["alpha"]), {"tokens": at[first - 1 :]}))
    rng = np.random.default_rng([seed, 6])
    residual, path = log_loss[first - 1] - mean[:, :1], []
    for gap in np.maximum(np.diff(at[first - 1 :] * POINTS), NEAREST):
        rho = v["phi"] ** gap
        noise = rng.normal(size=residual.shape)
        residual = rho * residual + v["sigma"] * np.sqrt(1 - rho**2) * noise
        path.append(residual)
    new = (mean[:, 1:] + np.concatenate(path, axis=1)).mean(axis=1)
    return float(2 * np.minimum(pit := pit_of(new, log_loss[first:].mean()), 1 - pit))


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
    curve: Any, final: Any, fit: Any, plan: Any, warmup: Any, schedule: Any
) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """Return the curve in hundredths of the run, and what to say of it."""
    wrong: list[str] = []
    of = "steps" if not {"tokens"} & {*_names(curve)} and "steps" in _names(curve) else "tokens"
    table, found = read_sizes(curve, (of, "loss"), "curve", ("lr",), zero=(of, "lr"))
    wrong += found
    if isinstance(plan, Mapping) and any(np.size(v) != 1 for v in plan.values()):
        wrong.append("plan: one run is under way; give one number for each of its inputs")
    rates = pd.Series(np.ravel([] if schedule is None else schedule))
    later = np.asarray(pd.to_numeric(rates, errors="coerce"), float)
    if not (np.isfinite(later) & (later >= 0)).all():
        wrong.append(f"schedule: learning rates at equal steps are wanted; found {schedule!r}")
    if (fit is None) != (plan is None):
        has, lacks = ("fit", "plan") if plan is None else ("plan", "fit")
        wrong.append(f"{lacks}: not given, and a {has} is of no use without: give both or neither")
    if final is None and of == "tokens" and isinstance(plan, Mapping) and "tokens" in plan:
        final = plan["tokens"]
    try:
        end = one_number(final, f"final: the planned end of the run, {of}, such as 1.4e11")
        if of in table and end < values_of(table, of).max() * (1 - 1e-9):
            wrong.append(f"final: {end:.4g} {of}, and the curve goes to {table[of].max():.4g}")
    except SpecError as error:
        wrong.append(str(error))
        end = np.nan
    if not (isinstance(warmup, int | float) and 0 <= warmup < 1):
        wrong.append(f"warmup: a share of the run from 0 to below 1; found {warmup!r}")
    refuse("in_flight", wrong)
    share, log_loss = values_of(table, of) / end, np.log(values_of(table, "loss"))
    order = np.argsort(share, kind="stable")
    lr = values_of(table, "lr")[order] if "lr" in table else None
    share, log_loss = share[order], log_loss[order]
    keep, decays, notes = _constant(share, lr, later, warmup)
    at, mean = _hundredths(share[keep], log_loss[keep])
    if len(at) < FEWEST:
        when = f"come back at {(warmup + FEWEST / POINTS) * end:.3g} {of}, or log more often"
        if decays:
            when = "on a schedule that decays throughout no early loss tells the end by this law"
        wrong.append(
            f"curve: {len(at)} points, hundredths of the run, after the warm-up at a constant "
            f"learning rate, and {FEWEST} are needed; {when}"
        )
    if decays and fit is not None:
        wrong.append(
            "fit: the learning rate decays before the planned end, and the end at a constant rate "
            "is not what a law of final losses predicts: leave fit and plan out"
        )
    refuse("in_flight", wrong)
    return at, mean, notes


def _names(curve: Any) -> list[str]:
    return [str(c) for c in curve] if isinstance(curve, Mapping | pd.DataFrame) else []


def _constant(
    share: np.ndarray, lr: np.ndarray | None, later: np.ndarray, warmup: float
) -> tuple[np.ndarray, bool, list[Finding]]:
    """Return which points are at the constant rate, whether it decays, and what to say of it."""
    keep, notes = share > warmup, []
    decays = bool(len(later)) and bool(later[-1] < LEVEL * later.max())
    if lr is None:
        found = "not given: taken as constant up to here, and to the planned end"
        notes.append(Finding("learning rate", "NOTE", found, ""))
    elif keep.any():
        top = lr >= LEVEL * lr[keep].max()
        first = int(np.argmax(top & keep))
        falls = np.flatnonzero(~top[first:])
        last = first + int(falls[0]) if len(falls) else len(lr)
        keep &= (np.arange(len(lr)) >= first) & (np.arange(len(lr)) < last)
        decays |= last < len(lr)
    if decays:
        found = "it decays: points from there on are left out, and the end is that without a decay"
        notes.append(Finding("learning rate", "WARN", found, "take it for an upper bound"))
    return keep, decays, notes


def _hundredths(share: np.ndarray, log_loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average ln loss over hundredths of the planned run."""
    _, which = np.unique(np.ceil(share * POINTS - 1e-9), return_inverse=True)
    count = np.maximum(np.bincount(which), 1)
    if not len(share):
        return share, log_loss
    return np.bincount(which, share) / count, np.bincount(which, log_loss) / count
