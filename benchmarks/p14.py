"""P14. Repeated tokens: Muennighoff et al.'s law, its rates and its largest runs."""

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from benchmarks.report import Report

REFERENCE = (("params", 1e9), ("tokens", 2e10), ("unique_tokens", 1e10))
C4 = {"E": np.exp(0.6254804), "A": np.exp(6.255414), "B": np.exp(7.3049974), "alpha": 0.3526596,
      "R_D": 15.387756, "R_N": 5.309743}  # fmt: skip
PUBLISHED = (
    ((6.34e9, 2.42e11, 2.5e10), 2.2256440889984477),
    ((8.67e9, 1.78e11, 2.5e10), 2.2269634075087867),
)
CELL = ["params", "unique_tokens"]
CREDIBLE = (0.025, 0.975)
LEAST_R2 = 0.79  # of a fit to all rows, on the largest


def run() -> Report:
    """Check the formula, fit the published rows, and predict the largest of them."""
    report = Report("P14", "What repeated tokens are worth, and the largest runs held out")
    law = bs.DataConstrained(tied=True, reference=REFERENCE)
    theta = law.from_paper(C4)
    for at, anchor in PUBLISHED:
        ours = float(law(theta, dict(zip(law.inputs, at, strict=True))))
        what = f"L({at[0]:.3g}, {at[1]:.3g}, U {at[2]:.2g})"
        report.gate(what, f"{anchor:.10f}", f"{ours:.10f}", abs(ours / anchor - 1) < 1e-9)
    try:
        table = bs.load_dataset("muennighoff")
    except BayesScalingError as error:
        report.gate("data set muennighoff", "", str(error).splitlines()[0], ok=False)
        return report
    rows = table[table["in_published_table"].to_numpy(bool)].sort_values([*CELL, "tokens"])
    kept = rows[rows["loss"] <= rows.groupby(CELL)["loss"].cummin()]
    _rates(report, rows, kept)
    for tied in (False, True):
        _held_out(report, kept, tied)
    return report


def _rates(report: Report, rows: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Fit the rates: by default on the runs that more epochs did not make worse."""
    model = bs.ScalingModel(bs.DataConstrained())
    fit = bs.fit(model, kept, seed=0)
    start = time.perf_counter()
    fit = bs.fit(model, kept, seed=0)
    warm = time.perf_counter() - start
    for name in ("R_D", "R_N"):
        shown, held = _interval(fit.posterior[name], C4[name])
        what = f"{name} of {len(kept)} runs that more epochs did not make worse"
        report.gate(what, f"{C4[name]:.3g}", shown, held)
    report.gate("the same fit once more, under a second", "", f"{warm:.2f} s", warm < 1)
    law, gaussian = bs.DataConstrained(), bs.Normal()
    others = {
        f"all {len(rows)} published runs": (rows, bs.ScalingModel(law)),
        "one exponent for both terms": (kept, bs.ScalingModel(bs.DataConstrained(tied=True))),
        "Gaussian scatter": (kept, bs.ScalingModel(law, gaussian)),
        f"Gaussian scatter, all {len(rows)} runs": (rows, bs.ScalingModel(law, gaussian)),
    }
    for what, (table, model) in others.items():
        other = bs.fit(model, table, seed=0)
        for name in ("R_D", "R_N"):
            report.show(f"  {name}, {what}", f"{C4[name]:.3g}", _interval(other.posterior[name])[0])
    held = _base_held()
    for what, table in ((f"all {len(rows)} runs", rows), (f"the {len(kept)}", kept)):
        fixed = bs.fit(held, table, seed=0)
        for name in ("R_D", "R_N"):
            shown = _interval(fixed.posterior[name])[0]
            report.show(f"  {name}, their A, B, E and alpha held, {what}", f"{C4[name]:.3g}", shown)
    law = held.law
    theirs = law(law.from_paper(C4), {c: kept[c].to_numpy(float) for c in law.inputs})
    off = np.median(np.abs(np.log(kept["loss"].to_numpy(float) / theirs)))
    report.show("  median miss of the published law on these runs", "", f"{100 * off:.1f} %")
    worth = bs.epochs(fit, unique=1e11, params=3e9, epochs=[4])
    four = float(worth.gained.mean())
    report.gate("what four epochs gain, of what fresh tokens would (mean)", ">= 0.95",
                f"{four:.3f}; a token is worth {float(worth.worth.mean()):.3f}, the last "
                f"{float(worth.marginal.mean()):.3f}", four >= 0.95)  # fmt: skip


def _base_held() -> bs.ScalingModel:
    """Return the model of their second stage: of the law of fresh tokens all is known."""
    law = bs.DataConstrained(tied=True, reference=REFERENCE)
    theta = law.from_paper(C4)
    held = {n: bs.Prior.of("Fixed", value=float(theta[n])) for n in ("E", "a0", "b0", "alpha")}
    return bs.ScalingModel(law, priors=held)


def _held_out(report: Report, kept: pd.DataFrame, tied: bool) -> None:
    """Fit the smaller runs and predict the largest two sizes and numbers of unique tokens."""
    most = [np.unique(kept[c])[-2] for c in ("unique_tokens", "params")]
    large = (kept["unique_tokens"] >= most[0]) | (kept["params"] >= most[1])
    small, test = kept[~large], kept[large]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.UntrustedFitWarning)
        fit = bs.fit(bs.ScalingModel(bs.DataConstrained(tied=tied)), small, seed=0)
        there = bs.predict(fit, test)
    median = there.loss_mean.median(("chain", "draw")).values
    low, high = there.loss_run.quantile(CREDIBLE, ("chain", "draw")).values
    y = test["loss"].to_numpy(float)
    r2 = 1 - np.sum((y - median) ** 2) / np.sum((y - y.mean()) ** 2)
    inside = int(((low <= y) & (y <= high)).sum())
    what = "one exponent" if tied else "two exponents"
    report.gate(f"R2 on the {len(test)} largest of {len(kept)}, {what}", f">= {LEAST_R2}",
                f"{r2:.3f}, mean error {100 * np.mean(np.abs(median / y - 1)):.2f} %",
                bool(r2 >= LEAST_R2))  # fmt: skip
    report.show("  95 % intervals that hold the loss", "", f"{inside} of {len(test)}")


def _interval(values: xr.DataArray, anchor: Any = np.nan) -> tuple[str, bool]:
    low, high = values.quantile(CREDIBLE).values
    shown = f"{float(values.median()):.3g} ({low:.3g}, {high:.3g})"
    return shown, bool(low <= anchor <= high)
