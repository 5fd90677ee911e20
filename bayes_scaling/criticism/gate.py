"""The gate before a large run: whether validation runs landed where the fit said they would."""

import hashlib
import json
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import k0, logsumexp, ndtri

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.numbers import one_number, row_labels, values_of
from bayes_scaling.data.record import RECORD
from bayes_scaling.errors import Problem, SpecError
from bayes_scaling.inference import psis
from bayes_scaling.inference._x64 import in_float64
from bayes_scaling.inference.fit import fit as fit_model
from bayes_scaling.laws import HasSweeps
from bayes_scaling.model import ScalingModel
from bayes_scaling.predict import flops_reference, predict
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of, tree
from bayes_scaling.trust import (
    K_HAT,
    UntrustedFitWarning,
    diagnose,
    verdicts_of,
    warn_if_untrusted,
)

Runs = Mapping[str, Any] | pd.DataFrame
Status = Literal["NOTE", "PASS", "WARN", "STOP"]

ORDER: tuple[Status, ...] = ("NOTE", "PASS", "WARN", "STOP")
WIDTH = 96
# Outside its 90 % interval a run of a right law falls one time in ten: worth a second run, not
# worth stopping for. One in a hundred is rarer than a recipe that was changed unnoticed.
WARN, STOP = 0.10, 0.01
EVEN = 0.5  # chance of the target below which missing it is the likelier outcome: no gamble then
TAU = 0.003  # HalfNormal scale of the law's error, sd of ln loss per e-fold of compute beyond
REACH = (1e-3, 30.0)  # slopes integrated over, in TAU; beyond, the prior holds e^-30
NODES = 100  # per sign, 10 to the e-fold: steps of half a per cent of the loss per decade at 4 %
CELLS = 2**21  # densities evaluated at once
ONE_SD = 0.6827  # the central share of a Gaussian within one sd


class Finding(NamedTuple):
    """One thing a check found: its name, how it came out, what was found, what to do."""

    name: str
    status: Status
    found: str
    do: str


@dataclass(frozen=True)
class Gate:
    """How validation runs came out beside their prediction, and the posterior that knows them.

    Parameters
    ----------
    runs : DataFrame
        One row per run: its sizes, `loss`, the predicted `median`, `low` and `high` (90 %), `pit`,
        `surprise`, `z`, and `beyond`, decades of compute past the data.
    p : float
        Predictive p of all of them together.
    bayes_factor : float
        Evidence that the law errs beyond the data, over that it does not; 1 says nothing.
    drift : tuple of float
        If it errs, by how much: 5, 50 and 95 % quantiles of the share of the loss per decade.
    before, after : float
        P(loss of the plan <= target) without and with the validation runs; NaN without a target.
    findings : tuple of Finding
        Each with `name`, `status` ("PASS", "WARN", "STOP", or "NOTE", which is no judgement),
        `found` and `do`.
    fit : xarray.DataTree
        The posterior with the validation runs included.
    """

    runs: pd.DataFrame
    p: float
    bayes_factor: float
    drift: tuple[float, float, float]
    before: float
    after: float
    findings: tuple[Finding, ...]
    fit: xr.DataTree

    @property
    def status(self) -> Status:
        """The worst finding."""
        return worst(self.findings)

    def to_frame(self) -> pd.DataFrame:
        """Return the runs beside their prediction as a table."""
        return self.runs.copy()

    def __str__(self) -> str:
        """Write the page a person reads: a line per run, one per finding, what to do."""
        lines = [f"gate: {self.status}"]
        for name, r in zip(row_labels(self.runs).at(np.arange(len(self.runs))), self.runs.to_dict(
            "records"), strict=True):  # fmt: skip
            lines.append(
                f"  {name}: loss {r['loss']:.4g}, predicted {r['median']:.4g} [{r['low']:.4g}, "
                f"{r['high']:.4g}], pit {r['pit']:.3f}, surprise {r['surprise']:.3g}, "
                f"z {r['z']:+.1f}" + (f", {r['beyond']:.1f} decades beyond" * (r["beyond"] > 0))
            )
        return "\n".join(lines + page(self.findings))

    __repr__ = __str__


def worst(findings: Sequence[Finding]) -> Status:
    """Return the worst status; a note is no fault."""
    return ORDER[max([1, *(ORDER.index(f.status) for f in findings)])]


def page(findings: Sequence[Finding]) -> list[str]:
    """Write findings as lines, with what to do below those that want something done."""
    lines = []
    for f in findings:
        head, rest = f"  {f.status:5} ", " " * 8
        lines += textwrap.wrap(
            f"{f.name}: {f.found}", WIDTH, initial_indent=head, subsequent_indent=rest
        )
        if f.do:
            lines += textwrap.wrap(
                f.do, WIDTH, initial_indent=rest + "-> ", subsequent_indent=rest + "   "
            )
    return lines


def gate(
    fit: xr.DataTree,
    runs: Runs,
    *,
    target: float | None = None,
    plan: Mapping[str, Any] | None = None,
    probability: float = 0.9,
    group: str | None = None,
    refit: bool = True,
    seed: int = 0,
) -> Gate:
    """Judge a fit by runs it has not seen, before a larger run is paid for.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law of loss.
    runs : mapping or DataFrame
        The validation runs: the law's inputs, raw counts, and `loss`, nat/token. Train them on the
        way to the plan, at three to thirty times the compute of the largest run fitted.
    target : float, nat/token, optional
        The loss that the plan is to reach.
    plan : mapping, optional
        The law's inputs of the run to be decided on: ``{"params": 70e9, "tokens": 1.4e12}``.
    probability : float
        With which the plan must reach the target.
    group : str, optional
        Which group of a pooled model the runs and the plan belong to.
    refit : bool, default True
        Whether the model is fitted again where the fit carries its runs. Otherwise, and of
        published posteriors, the draws are weighted by the likelihood of the validation runs.
    seed : int
        Of the scatter of new runs, and of the new fit.

    Returns
    -------
    Gate
        `status` is "PASS", "WARN" or "STOP"; `runs`, `p`, `bayes_factor`, `drift`, `before`,
        `after`, `findings`, and `fit`, the posterior with the runs included.

    Raises
    ------
    SpecError
        With every problem at once: missing inputs, sizes that are not positive, a run without a
        loss or marked as diverged, one that the fit has seen, a plan without a target.
    FitFileError
        Not a fit, or it does not have that group.

    Notes
    -----
    A run is predicted as ``predict(fit, runs).loss_run``: the law's posterior and the scatter of a
    run, the law taken as exact. `pit` is the share of that below the measured loss, `surprise`
    ``2 min(pit, 1 - pit)``, and `z` the distance of the logarithms from the median in halves of the
    central 68.3 % interval, which tails leave alone and which is the sd of a Gaussian.

    Runs share the law's error, so that their pits move together. The joint p is that of
    ``T = q' K^-1 q``, q the normal scores of the pits and K the correlation of the same scores over
    the predictive draws; p is the share of draws with a T as large. Scores keep the distance finite
    where the scatter has tails, replicates calibrate it whatever the shape, and of one run T orders
    outcomes as its surprise does: p is then the surprise itself. PASS from p = 0.10 on, STOP below
    0.01; a right law fails to PASS one time in ten. Measured with the Chinchilla posterior at ten
    times the compute of its largest run (one sd 0.6 %): 9 % of right laws, and of breaks of 1, 2
    and 4 % of the loss 43, 92 and 99.8 % do not PASS.

    The evidence for an error of the law multiplies the loss by ``e^(b g)``, g e-folds of compute
    beyond the data: one slope b for all runs, ``b ~ Normal(0, tau)``, ``tau ~ HalfNormal(0.003)``
    (0.02 to 1.5 % at a decade), so that b has the density ``K0(|b| / s) / (pi s)``. The Bayes
    factor is integrated over b and the draws. Runs inside the data say nothing: it is then 1.

    A weighted posterior keeps the numbers that its priors took from the table (the least loss, the
    mean), which a new fit takes from the longer one. Its k-hat tells whether the old draws
    reach where the runs point; above 0.7 the posterior is marked as not to be trusted.

    References
    ----------
    Gelman, Meng and Stern 1996 (predictive p); Vehtari et al. 2024 (weights), JMLR 25(72).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> run = {"params": 30e9, "tokens": 6e11, "loss": 2.02}
    >>> came = bs.gate(fit, run, target=2.0, plan={"params": 70e9, "tokens": 1.4e12})
    >>> came.status, bool(came.after > came.before > 0.9)
    ('PASS', True)
    """
    trust = warn_if_untrusted(fit)
    model = model_of(fit)
    table, at = _checked(fit, model, runs, target, plan, probability, group)
    there = _predicted(fit, table, group, seed)
    new = there.loss_run.transpose(*SAMPLES, "point").values.reshape(-1, len(table))
    shown = _beside(table, new, there)
    p = joint_p(new, shown["loss"].to_numpy())
    inside = _log_likelihood(fit, model, there, shown["loss"].to_numpy(), group)
    bayes_factor, drift = law_error(inside, np.log(10) * there.beyond.values)
    if refit and carries_runs(fit):
        updated = _fit_again(fit, model, _extended(fit, model, table, there, group), seed)
    else:
        updated = _reweighted(fit, model, inside(np.zeros((1, len(table))))[0], there, shown, seed)
    before, after = np.nan, np.nan
    if at is not None and target is not None:
        before, after = (_chance(f, at, target, group, seed) for f in (fit, updated))
    findings = [_landed(p, shown), _evidence(bayes_factor, drift, shown), _update(updated, target)]
    if trust != "trusted":
        findings.append(Finding("fit", "WARN", trust, "run check(fit) and do what it says first"))
    if target is not None:
        findings.append(_reach(before, after, float(target), probability))
    return Gate(shown, p, bayes_factor, drift, before, after, tuple(findings), updated)


def joint_p(new: np.ndarray, seen: np.ndarray) -> float:
    """Return the predictive p of several runs together; of one run it is its surprise.

    Parameters
    ----------
    new : (draw, run) array
        Predictive draws.
    seen : (run,) array
        What was measured.
    """
    draws = len(new)
    score = ndtri((np.argsort(np.argsort(new, axis=0), axis=0) + 0.5) / draws)
    w, v = np.linalg.eigh(np.atleast_2d(np.corrcoef(score, rowvar=False)))
    white = v / np.sqrt(np.maximum(w, 1e-9))
    far = np.sum((score @ white) ** 2, axis=1)
    came = np.sum((ndtri(pit_of(new, seen)) @ white) ** 2)
    return float((np.sum(far >= came) + 1) / (draws + 1))


def pit_of(new: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the mid-rank of every measured loss among its predictive draws, inside (0, 1)."""
    below = np.sum(new < seen, axis=0) + 0.5 * np.sum(new == seen, axis=0)
    return (below + 0.5) / (len(new) + 1)


def law_error(
    log_likelihood: Any, growth: np.ndarray, tau: float = TAU
) -> tuple[float, tuple[float, float, float]]:
    """Return the evidence that a law errs beyond its data, and by how much if it does.

    Parameters
    ----------
    log_likelihood : callable
        Of (node, run) shifts of the predicted ln loss: the (node, draw) log likelihood.
    growth : (run,) array
        e-folds of compute beyond the data.
    tau : float
        Scale of the HalfNormal prior of the slope's sd.

    Returns
    -------
    bayes_factor : float
    drift : tuple of float
        5, 50 and 95 % quantiles of the error, share of the loss per decade.
    """
    growth = np.where(np.isfinite(growth), growth, 0.0)
    log = np.linspace(np.log(REACH[0]), np.log(REACH[1]), NODES)
    half = k0(np.exp(log)) / np.pi * np.exp(log) * (log[1] - log[0])
    weight = np.concatenate([half[::-1], [1 - 2 * half.sum()], half])  # the rest of it is at zero
    slope = tau * np.concatenate([-np.exp(log[::-1]), [0.0], np.exp(log)])
    if not growth.any():  # no run lies beyond: posterior and prior are one
        log_mean = np.zeros(len(slope))
    else:
        log_mean = logsumexp(log_likelihood(slope[:, None] * growth), axis=1)
    log_mean = np.asarray(log_mean)
    log_mass = np.log(weight) + log_mean
    with np.errstate(over="ignore"):  # evidence without bounds is infinite
        bayes_factor = float(np.exp(logsumexp(log_mass) - log_mean[NODES]))
    share = np.cumsum(np.exp(log_mass - logsumexp(log_mass)))
    at = slope[np.minimum(np.searchsorted(share, [0.05, 0.5, 0.95]), len(slope) - 1)]
    low, mid, high = map(float, np.expm1(at * np.log(10)))
    return bayes_factor, (low, mid, high)


def _log_likelihood(
    fit: xr.DataTree, model: ScalingModel, there: Any, seen: Any, group: Any
) -> Any:
    """Return the log likelihood of the runs as a function of shifts of their ln loss."""
    theta = {k: v.values.reshape(-1, 1) for k, v in theta_of(fit, group).items()}
    x = {c: there[c].values for c in model.inputs if c in there.coords}
    if "flops" in model.observation.inputs:
        x["flops_ref"] = flops_reference(fit)
    mu = np.asarray(model.law(theta, x))
    mu = np.broadcast_to(mu, (len(mu), len(seen)))

    @in_float64
    def inside(shift: np.ndarray) -> np.ndarray:
        at_once = max(1, CELLS // mu.size)
        parts = np.split(shift, range(at_once, len(shift), at_once))
        return np.concatenate([_densities(model.observation, theta, x, mu, p, seen) for p in parts])

    return inside


@partial(jax.jit, static_argnums=0)
def _densities(observation: Any, theta: Any, x: Any, mu: Any, shift: Any, seen: Any) -> Any:
    moved = mu * jax.numpy.exp(shift[:, None, :])
    return observation.distribution(moved, theta, x).log_prob(seen).sum(axis=-1)


def _beside(table: pd.DataFrame, new: np.ndarray, there: xr.Dataset) -> pd.DataFrame:
    """Put the runs beside their prediction."""
    seen = table["loss"].to_numpy()
    low, left, mid, right, high = np.quantile(
        new, [0.05, 0.5 - ONE_SD / 2, 0.5, 0.5 + ONE_SD / 2, 0.95], axis=0, method="inverted_cdf"
    )
    pit = pit_of(new, seen)
    z = (np.log(seen) - np.log(mid)) / (0.5 * (np.log(right) - np.log(left)))
    said = {"median": mid, "low": low, "high": high, "pit": pit, "z": z}
    said |= {"surprise": 2 * np.minimum(pit, 1 - pit), "beyond": there.beyond.values}
    return table.assign(**said)


def _predicted(fit: xr.DataTree, at: Any, group: str | None, seed: int) -> xr.Dataset:
    with warnings.catch_warnings():  # whether the fit is trusted is among the findings
        warnings.simplefilter("ignore", UntrustedFitWarning)
        return predict(fit, at, group=group, seed=seed)


def _chance(fit: xr.DataTree, at: Any, target: float, group: str | None, seed: int) -> float:
    return float((_predicted(fit, at, group, seed).loss_run <= target).mean())


def _extended(
    fit: xr.DataTree, model: ScalingModel, table: pd.DataFrame, there: xr.Dataset, group: Any
) -> pd.DataFrame:
    """Return the fit's own runs and the new ones as one table, ready to be fitted."""
    data = fit["constant_data"].to_dataset()
    old = pd.DataFrame({str(k): v.values for k, v in data.data_vars.items()}, data.run.values)
    old["loss"] = fit["observed_data"]["loss"].values
    new = table.assign(**{c: there[c].values for c in ("flops",) if c in there.coords})
    if model.pooling:
        new = new.assign(**{model.pooling.column: str(group)})
    labels: Any = [f"gate {i}" for i in new.index]
    if pd.api.types.is_integer_dtype(old.index):
        labels = int(old.index.to_numpy().max()) + 1 + np.arange(len(new))
    new.index = pd.Index(labels)
    both = [c for c in old if c in new]  # a size that the new runs lack is one the law never read
    out = pd.concat([old[both], new[both]]).assign(use=True, flag="")
    out.attrs[RECORD] = json.loads(fit.attrs.get("table", "{}"))
    return out


def _fit_again(fit: xr.DataTree, model: ScalingModel, runs: pd.DataFrame, seed: int) -> xr.DataTree:
    """Fit as the first time: by the same engine, with as many draws."""
    attrs, sizes = fit.attrs, fit["posterior"].sizes
    how: dict[str, Any] = {"seed": seed, "force": bool(json.loads(attrs.get("refusals", "[]")))}
    how |= {"method": attrs["method"], "draws": sizes["chain"] * sizes["draw"]}
    if attrs["method"] == "nuts":
        how |= {"warmup": int(attrs.get("warmup", 500))}
        how |= {"chains": sizes["chain"], "draws": sizes["draw"]}
    return fit_model(model, runs, **how)


def _reweighted(
    fit: xr.DataTree, model: ScalingModel, log_like: np.ndarray, there: Any, shown: Any, seed: int
) -> xr.DataTree:
    """Return the posterior with the runs included, of the draws that there are."""
    posterior = fit["posterior"].to_dataset()
    log_weight, k_hat = psis.smooth(log_like)
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    pick = psis.resample(log_weight, len(log_weight), np.random.default_rng([seed, 5]))
    which = {
        d: xr.DataArray(i.reshape(chains, draws), dims=SAMPLES)
        for d, i in zip(SAMPLES, np.divmod(pick, draws), strict=True)
    }
    index = {d: posterior[d].values for d in SAMPLES}
    picked = posterior.isel(which).drop_vars(SAMPLES, errors="ignore").assign_coords(index)
    picked = picked.map(lambda v: v.transpose(*SAMPLES, ...))
    drop = ("model", "recorded", "seconds")
    kept = {str(k): np.asarray(v).item() for k, v in fit.attrs.items() if k not in drop}
    effective = psis.effective(log_weight)
    made = {"method": "laplace", "k_hat": k_hat, "effective": effective}
    do = "fit these runs together with those of the fit: its draws do not reach where they point"
    judged = [v for v in verdicts_of(fit) if v.status == "FAIL"]
    judged += [
        v if v.status == "PASS" else v._replace(do=do)
        for v in diagnose(picked, xr.Dataset(), made)
        if v.name != "modes"  # of the first fit's search, which this is none
    ]
    good = "k-hat is good" if k_hat < K_HAT else f"k-hat {k_hat:.2f} is not below {K_HAT}"
    kept |= {
        "method": "reweighted",
        "method_reason": f"draws weighted by the validation runs ({len(shown)}): {good}",
        "k_hat": k_hat,
        "effective": effective,
        "sampling": json.dumps([list(v) for v in judged]),
        "seed": seed,
        "rows": int(kept.get("rows", 0)) + len(shown),
        "best_loss": min(
            float(kept.get("best_loss", np.inf)), float(values_of(shown, "loss").min())
        ),
    }
    largest = json.loads(str(kept.get("largest", "{}")))
    reached = {k: max(v, float(there[k].max())) for k, v in largest.items() if k in there.coords}
    mark = f"{kept.get('fingerprint')}{shown[['loss', 'pit']].to_json()}"
    kept |= {
        "largest": json.dumps(largest | reached),
        "fingerprint": hashlib.sha256(mark.encode()).hexdigest()[:16],
    }
    return tree({"posterior": picked}, model, **kept)


def _landed(p: float, shown: pd.DataFrame) -> Finding:
    status = "PASS" if p > WARN else "WARN" if p >= STOP else "STOP"
    what = "the run is" if len(shown) == 1 else f"the {len(shown)} runs are together"
    how = {
        "PASS": "where the fit said",
        "WARN": "further off than 9 in 10 of a right law",
        "STOP": "further off than 99 in 100 of a right law",
    }[status]
    z = float(values_of(shown, "z").mean())
    side = "" if status == "PASS" else f", {'worse' if z > 0 else 'better'} than predicted"
    do = {
        "PASS": "",
        "WARN": "train another run on the way to the plan before paying for it, and gate both; "
        "see whether anything in the recipe differs from the runs fitted",
        "STOP": "do not commit on this fit: look for what changed between the runs fitted and "
        "these (data, tokenizer, schedule, evaluation); if nothing did, the law fails there: try "
        "another with all runs, and validate again",
    }[status]
    return Finding("landing", status, f"joint p {_p(p)}: {what} {how}{side}", do)


def _evidence(bayes_factor: float, drift: Sequence[float], shown: pd.DataFrame) -> Finding:
    if not np.any(values_of(shown, "beyond") > 0):
        found = "no run lies beyond the data: they say nothing of how the law goes on there"
        return Finding("law error", "NOTE", found, "")
    low, mid, high = (f"{100 * d:+.1f}" for d in drift)
    found = (
        f"Bayes factor {bayes_factor:.3g} for an error of the law beyond the data; if there is "
        f"one, {mid} % [{low}, {high}] of the loss per decade"
    )
    return Finding("law error", "NOTE", found, "")


def _update(updated: xr.DataTree, target: float | None) -> Finding:
    bad = [v for v in verdicts_of(updated) if v.status == "FAIL"]
    how = f"{updated.attrs['method']}, {updated.attrs['method_reason']}"
    if not bad:
        return Finding("update", "NOTE", f"posterior with these runs: {how}", "")
    # Without a target the update decides nothing here, and its own warning goes with it.
    found = f"posterior with these runs is not to be trusted: {bad[0].found} ({how})"
    return Finding("update", "NOTE" if target is None else "WARN", found, bad[0].do)


def _reach(before: float, after: float, target: float, probability: float) -> Finding:
    enough = after >= probability
    status = "PASS" if enough else "WARN" if after >= EVEN else "STOP"
    found = (
        f"P(loss of the plan <= {target:g}) is {after:.2f} with these runs, {before:.2f} without; "
        f"{probability:g} is asked for"
    )
    do = "" if enough else "plan with more compute (compute_to_reach of `fit`), or ease the target"
    return Finding("target", status, found, do)


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _checked(
    fit: xr.DataTree, model: ScalingModel, runs: Any, target: Any, plan: Any, p: Any, group: Any
) -> tuple[pd.DataFrame, dict[str, float] | None]:
    """Return the validation runs as a table and the plan as numbers, or say all that is wrong."""
    wrong: list[str] = []
    law: Any = model.law
    name = law.name
    if law.outcome != "loss" or isinstance(law, HasSweeps):
        msg = f"gate judges laws of loss against size; {name!r} is none: compare by `predict`"
        raise SpecError(msg)
    if model.pooling and group is None:
        wrong.append(f"the model pools by {model.pooling.column}: say whose these are, group=...")
    reads = [c for c in dict.fromkeys((*law.inputs, *model.observation.inputs)) if c != "flops"]
    reads += ["flops"] * ("flops" in law.inputs)
    table, found = read_sizes(runs, (*reads, "loss"), "runs", ("flops", "params", "tokens"))
    if not found and carries_runs(fit):
        found = _seen(fit, table, law.inputs)
    wrong += found
    at = None
    if (plan is None) != (target is None):
        has, lacks = ("plan", "target") if target is None else ("target", "plan")
        wrong.append(f"{lacks}: not given, and a {has} is of no use without: give both or neither")
    if plan is not None:
        points, found = read_sizes(plan, reads, "plan", ("flops", "params", "tokens"))
        if not found and len(points) != 1:
            found = [f"plan: {len(points)} runs; the gate is for one, ask for each of them"]
        wrong += found
        at = None if found else {str(k): float(v) for k, v in points.iloc[0].items()}
    for value, what in (
        (target, "target: a loss in nats per token, such as 1.98"),
        (p, "probability: between 0 and 1, such as 0.9"),
    ):
        try:
            if value is not None and one_number(value, what) >= 1 and value is p:
                wrong.append(f"{what}; found {value!r}")
        except SpecError as error:
            wrong.append(str(error))
    refuse("gate", wrong)
    return table, at


def refuse(what: str, wrong: Sequence[str]) -> None:
    """Raise SpecError with every problem, if there is one."""
    if wrong:
        lines = "\n".join(f"  {i}. {w}" for i, w in enumerate(wrong, 1))
        msg = f"{what}: {len(wrong)} problem{'s' if len(wrong) > 1 else ''}\n{lines}"
        raise SpecError(msg)


def read_sizes(
    given: Any,
    wanted: Sequence[str],
    what: str,
    more: Sequence[str] = (),
    *,
    zero: Sequence[str] = (),
) -> tuple[pd.DataFrame, list[str]]:
    """Read positive columns of a mapping or a table, and say all that is wrong with them.

    Parameters
    ----------
    given : mapping or DataFrame
    wanted : sequence of str
        Columns that must be there.
    what : str
        What it is, for messages.
    more : sequence of str
        Columns that are read too where they are there.
    zero : sequence of str
        Columns that may be zero, and as small as they like.

    Returns
    -------
    table : DataFrame
        The columns as float64, under the index (and with the column `run`) of `given`.
    problems : list of str
    """
    if not isinstance(given, Mapping | pd.DataFrame):
        return pd.DataFrame(), [f"{what}: a mapping or a DataFrame is wanted; found {given!r}"]
    try:
        frame = pd.DataFrame(given) if isinstance(given, pd.DataFrame) else _frame(given)
    except ValueError:
        sizes = ", ".join(f"{k} {np.size(v)}" for k, v in given.items())
        return pd.DataFrame(), [f"{what}: columns of different lengths ({sizes}); give one length"]
    if not len(frame):
        return pd.DataFrame(), [f"{what}: no run in it; give one at least"]
    labels, problems = row_labels(frame), []
    out = pd.DataFrame({"run": frame["run"]} if "run" in frame else {}, index=frame.index)
    for name in dict.fromkeys((*wanted, *more)):
        loss = name.startswith("loss")
        if name not in frame:
            if name in wanted:
                do = "give it, in nats per token" if loss else "give it, a raw count (70e9)"
                problems.append(Problem(name, (), "missing", do))
            continue
        values = np.asarray(pd.to_numeric(pd.Series(frame[name]), errors="coerce"), np.float64)
        low = values >= 0 if name in zero else values > 0
        if (bad := ~(np.isfinite(values) & low)).any():
            shown = ", ".join(dict.fromkeys(repr(v) for v in frame[name].to_numpy()[bad].tolist()))
            do = "a positive and finite number is wanted, a raw count (70e9)"
            if loss:
                do = "a run that diverged or is not finished has no loss to compare: leave it out"
            problems.append(Problem(name, labels.where(bad), f"found {shown[:80]}", do))
        elif name not in zero and not loss and values.max() < _least(name):
            found = f"the largest value is {values.max():.3g}, too small for {COLUMNS[name].unit}"
            problems.append(Problem(name, (), found, "give raw counts (70e9, not 70)"))
        out[name] = values
    for name, odd, do in (("diverged", True, "leave it out"), ("use", False, "see its `flag`")):
        if name in frame and (bad := frame[name].to_numpy(bool) == odd).any():
            found = "marked as diverged" if odd else "set aside, not to be used"
            problems.append(Problem(name, labels.where(bad), found, do))
    return out, [f"{what}, {problem}" for problem in problems]


def _frame(given: Mapping[str, Any]) -> pd.DataFrame:
    values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v)) for v in given.values()))
    return pd.DataFrame(dict(zip(given, values, strict=True)))


def _least(name: str) -> float:
    plausible = COLUMNS[name].plausible if name in COLUMNS else None
    return plausible[0] if plausible else 0.0


def _seen(fit: xr.DataTree, table: pd.DataFrame, inputs: Sequence[str]) -> list[str]:
    """Say which runs the fit was fitted to: its prediction of those is no test."""
    data = fit["constant_data"].to_dataset()
    old: dict[str, Any] = {c: data[c].values for c in inputs}
    old["loss"] = fit["observed_data"].to_dataset()["loss"].values
    same = np.all([np.isclose(table[c].to_numpy()[:, None], v, 1e-9, 0) for c, v in old.items()], 0)
    if not (known := same.any(axis=1)).any():
        return []
    do = "a gate needs runs that the fit has not seen: leave them out, or fit without them"
    problem = Problem(None, row_labels(table).where(known), "runs that the fit was fitted to", do)
    return [f"runs, {problem}"]
