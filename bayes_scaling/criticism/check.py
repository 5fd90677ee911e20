"""PASS, REVIEW or FAIL, and what to do: everything a person should know before using a fit."""

import json
import textwrap
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism.influence import influence_verdict
from bayes_scaling.criticism.predictive import predictive_verdicts
from bayes_scaling.criticism.sensitivity import prior_verdict
from bayes_scaling.data.verdicts import Verdict
from bayes_scaling.predict import beyond
from bayes_scaling.results import model_of
from bayes_scaling.trust import verdicts_of

WIDTH = 96
ORDER = ("PASS", "SKIP", "REVIEW", "FAIL")
LEARNED = 0.1  # contraction below which a parameter's posterior is its prior
FLOOR_SD = 0.25  # of the loss left to remove at the best run: its 95 % interval is as wide as that
FAR = 1.0  # decades of compute beyond which the law, not the noise, is the likeliest error
CAUCHY = 1.5  # degrees of freedom below which the scatter has neither variance nor a likely cause


@dataclass(frozen=True)
class Check:
    """What was checked, how it came out, and what to do.

    Parameters
    ----------
    verdicts : tuple of Verdict
        Each with `name`, `status` ("PASS", "REVIEW", "FAIL", or "SKIP" where the fit does not
        carry what it needs), `found` and `do`.
    """

    verdicts: tuple[Verdict, ...]

    @property
    def status(self) -> str:
        """The worst verdict; a skipped check is no fault."""
        worst = max((ORDER.index(v.status) for v in self.verdicts), default=0)
        return "PASS" if ORDER[worst] == "SKIP" else ORDER[worst]

    def to_frame(self) -> pd.DataFrame:
        """Return the verdicts as a table."""
        return pd.DataFrame(self.verdicts, columns=list(Verdict._fields))

    def __str__(self) -> str:
        """Write the page a person reads."""
        lines = [f"check: {self.status}"]
        for v in self.verdicts:
            lines += _wrap(f"{v.name}: {v.found}", f"  {v.status:6} ", " " * 9)
            if v.status in ("REVIEW", "FAIL") and v.do:
                lines += _wrap(v.do, " " * 9 + "-> ", " " * 12)
        return "\n".join(lines)

    __repr__ = __str__


def check(fit: xr.DataTree, *, budget: float | None = None) -> Check:
    """Check a fit: its sampling, its agreement with the data, and what the data taught it.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    budget : float, FLOP, optional
        The compute it is to be used at: adds how far beyond the data that is.

    Returns
    -------
    Check

    Notes
    -----
    Sampling: k-hat < 0.7 and 400 effective proposals; of NUTS, R-hat < 1.01, bulk and tail ESS >
    400, no divergences, E-BFMI > 0.3.
    Data: posterior predictive p of four statistics, of five where rows share a run, each flagged
    below 0.005 (so a true model is flagged once in 40 at most), Pareto k of leave-one-out, and
    whether the plan (at `budget`, else ten times the largest run) moves by one posterior sd without
    a run; see `influence`. Learning: contraction ``1 - var(posterior) / var(prior)`` of every
    parameter, whether the floor is identified, and whether the scatter has tails (median of nu
    below 1.5) that no measurement has: the law then fails for some of the runs, and the others
    decide. Prior: whether that plan moves with the weight of the priors, see `sensitivity`.

    References
    ----------
    Vehtari et al. 2021 (R-hat, doi:10.1214/20-BA1221); Vehtari et al. 2017 (Pareto k,
    doi:10.1007/s11222-016-9696-4); Gelman, Meng and Stern 1996 (posterior predictive p);
    Kallioinen et al. 2024 (prior), doi:10.1007/s11222-023-10366-5.

    Examples
    --------
    The additive law bends away from the Chinchilla points along tokens per parameter:

    >>> import bayes_scaling as bs
    >>> bs.check(bs.load_posterior("chinchilla")).status
    'REVIEW'
    """
    out = list(verdicts_of(fit))
    if fit.attrs.get("method") == "prior":
        out.append(Verdict("method", "REVIEW", "prior draws: nothing was fitted", "fit some runs"))
    out += [
        Verdict("table", "FAIL", reason, "add the runs that the table's summary asks for")
        for reason in json.loads(fit.attrs.get("refusals", "[]"))
    ]
    out += _table(fit) + predictive_verdicts(fit) + [influence_verdict(fit, budget)]
    out += _tails(fit) + _learning(fit) + prior_verdict(fit, budget)
    out = _recorded(fit, out)
    if budget is not None:
        out.append(_distance(fit, float(budget)))
    return Check(tuple(out))


def _wrap(text: str, first: str, rest: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)


def _recorded(fit: xr.DataTree, found: list[Verdict]) -> list[Verdict]:
    """Put in what was found when a published posterior still had its data."""
    record = [Verdict(*v) for v in json.loads(fit.attrs.get("recorded", "[]"))]
    checked = {v.name for v in found if v.status != "SKIP"}
    back = [v for v in record if v.name not in checked]
    names = {v.name for v in back}
    return [v for v in found if v.name not in names] + back


def _table(fit: xr.DataTree) -> list[Verdict]:
    unused = json.loads(fit.attrs.get("unused", "{}"))
    notes = json.loads(fit.attrs.get("table", "{}")).get("notes", [])
    out = [Verdict("table", "REVIEW", str(n), "see summary(runs)") for n in notes]
    if unused:
        first = "; ".join(f"run {k}: {v}" for k, v in list(unused.items())[:3])
        found = f"{len(unused)} runs were not used ({first})"
        do = "make sure that they should be left out"
        out.append(Verdict("unused runs", "REVIEW", found, do))
    return out


def _tails(fit: xr.DataTree) -> list[Verdict]:
    posterior = fit["posterior"].to_dataset()
    if "nu" not in posterior:
        return []
    low, mid, high = np.quantile(posterior["nu"].values, [0.025, 0.5, 0.975])
    found = f"nu {mid:.1f} [{low:.1f}, {high:.1f}]"
    do = (
        "the law fails for some runs, which the tails set aside: see plot_residuals; leave them "
        "out by a rule (nearer the optimum, fewer decades) or take another law"
    )
    return [Verdict("tails", "PASS" if mid > CAUCHY else "REVIEW", found, do)]


def _learning(fit: xr.DataTree) -> list[Verdict]:
    if "prior" not in fit.children:
        why = "not checked: the fit carries no prior draws"
        return [Verdict(name, "SKIP", why, "") for name in ("contraction", "floor")]
    model, out = model_of(fit), []
    prior, posterior = fit["prior"].to_dataset(), fit["posterior"].to_dataset()
    names = [p.name for p in model.params if p.name in prior and p.name in posterior]
    gain = {}
    for name in names:
        before, after = float(prior[name].var()), float(posterior[name].var())
        gain[name] = 1 - after / before if before > 0 else 1.0
    ahead = {p.name for p in model.params if p.role == "ahead"}  # nothing is to be learned of them
    expected = {"nu", "h", *ahead}
    idle = [f"{n} ({gain[n]:.0%})" for n in names if gain[n] < LEARNED and n not in expected]
    do = "its posterior is its prior: state that prior with care, or add runs that inform it"
    found = f"little learned about {', '.join(idle)}" if idle else "every parameter was informed"
    out.append(Verdict("contraction", "REVIEW" if idle else "PASS", found, do))
    if "E" in names:
        low, mid, high = np.quantile(posterior["E"].values, [0.025, 0.5, 0.975])
        pair = [np.ravel(posterior[v].values) for v in ("E", "alpha")]
        tie = float(np.corrcoef(pair)[0, 1])
        found = (
            f"E {mid:.3f} [{low:.3f}, {high:.3f}], contraction {gain['E']:.0%}, "
            f"correlation with alpha {tie:.2f}"
        )
        left = float(fit.attrs.get("best_loss", np.inf)) - mid
        known = float(posterior["E"].std()) < FLOOR_SD * left
        do = "the floor is not identified by these runs: use no answer that rests on it alone"
        out.append(Verdict("floor", "PASS" if known else "REVIEW", found, do))
    return out


def _distance(fit: xr.DataTree, budget: float) -> Verdict:
    decades = float(beyond(fit, {"flops": np.array([budget])})[0])
    if not np.isfinite(decades):
        return Verdict("extrapolation", "SKIP", "the fit does not say how far its data reach", "")
    found = f"{budget:.3g} FLOP lies {decades:.1f} decades beyond the largest run"
    do = "intervals there take the law as exact; train a run on the way and check it first"
    return Verdict("extrapolation", "REVIEW" if decades > FAR else "PASS", found, do)
