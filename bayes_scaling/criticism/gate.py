"""The gate before a large run: whether validation runs landed where the fit said they would."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._evidence import joint_p, law_error, log_likelihood_of, pit_of
from bayes_scaling.criticism._findings import Finding, Status, page, worst
from bayes_scaling.criticism._reading import read_sizes, refuse
from bayes_scaling.criticism._updated import extended, fit_again, reweighted
from bayes_scaling.data.numbers import one_number, row_labels, values_of
from bayes_scaling.errors import Problem, SpecError
from bayes_scaling.laws import Average, HasSweeps, from_zero
from bayes_scaling.model import ScalingModel
from bayes_scaling.predict import predict
from bayes_scaling.results import SAMPLES, carries_runs, model_of
from bayes_scaling.trust import UntrustedFitWarning, verdicts_of, warn_if_untrusted

Runs = Mapping[str, Any] | pd.DataFrame
# Outside its 90 % interval a run of a right law falls one time in ten: worth a second run, not
# worth stopping for. One in a hundred is rarer than a recipe that was changed unnoticed.
WARN, STOP = 0.10, 0.01
EVEN = 0.5  # chance of the target below which missing it is the likelier outcome: no gamble then
ONE_SD = 0.6827  # the central share of a Gaussian within one sd


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
        published posteriors and averages, the draws are weighted by the likelihood of these runs.
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
    inside = log_likelihood_of(fit, model, there, shown["loss"].to_numpy(), group)
    bayes_factor, drift = law_error(inside, np.log(10) * there.beyond.values)
    # Of an average the draws are weighted, and with them the laws: a program of it there is none.
    if refit and carries_runs(fit) and not isinstance(model.law, Average):
        updated = fit_again(fit, model, extended(fit, model, table, there, group), seed)
    else:
        updated = reweighted(fit, model, inside(np.zeros((1, len(table))))[0], there, shown, seed)
    before, after = np.nan, np.nan
    if at is not None and target is not None:
        before, after = (_chance(f, at, target, group, seed) for f in (fit, updated))
    findings = [_landed(p, shown), _evidence(bayes_factor, drift, shown), _update(updated, target)]
    if trust != "trusted":
        findings.append(Finding("fit", "WARN", trust, "run check(fit) and do what it says first"))
    if target is not None:
        findings.append(_reach(before, after, float(target), probability))
    return Gate(shown, p, bayes_factor, drift, before, after, tuple(findings), updated)


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
    more, zero = ("flops", "params", "tokens"), from_zero(law)
    table, found = read_sizes(runs, (*reads, "loss"), "runs", more, zero=zero, law=law)
    if not found and carries_runs(fit):
        found = _seen(fit, table, law.inputs)
    wrong += found
    at = None
    if (plan is None) != (target is None):
        has, lacks = ("plan", "target") if target is None else ("target", "plan")
        wrong.append(f"{lacks}: not given, and a {has} is of no use without: give both or neither")
    if plan is not None:
        points, found = read_sizes(plan, reads, "plan", more, zero=zero, law=law)
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
