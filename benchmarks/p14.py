"""P14. Repeated tokens: Muennighoff et al.'s law, its rates and its largest runs.

The law cannot rise, and the loss of many of these runs rose with more epochs: no scatter is right.
Student-t lets such runs go as outliers, Gaussian scatter makes them count. The rates are judged
under the one that the card `muennighoff` has; those of the other, and how well either predicts
cells that it has not seen, are shown beside them.

The published R2 of a fit to all rows is a mean over ten laws, on 21 of 182 runs that cost most.
Which those are is not said; here they are the 21 of most tokens. The two largest sizes and numbers
of unique tokens are shown as well, with what the law reaches at best there: fitted to them.
"""

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
FRESH = {"unique_tokens": 4e11}
CELL = ["params", "unique_tokens"]
CREDIBLE = (0.025, 0.975)
LEAST_R2 = 0.79  # of fits to all rows, on those of most tokens
LARGEST = 21
FOLDS = 5
BANDS = (("one epoch", 0.0, 1.01), ("up to 10", 1.01, 10.0), ("10 to 60", 10.0, 60.0),
         ("more than 60", 60.0, np.inf))  # fmt: skip


def run() -> Report:
    """Check the formula, fit the published rows, and predict the largest of them."""
    report = Report("P14", "What repeated tokens are worth, and the largest runs held out")
    law = _tied()
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
    _cells(report, rows)
    for tied in (False, True):
        _held_out(report, kept, tied)
    return report


def _rates(report: Report, rows: pd.DataFrame, kept: pd.DataFrame) -> None:
    """Fit the rates to all published runs, and in other ways."""
    law, gaussian = bs.DataConstrained(), bs.Normal()
    model = bs.ScalingModel(law, gaussian)
    fit = bs.fit(model, rows, seed=0)
    start = time.perf_counter()
    fit = bs.fit(model, rows, seed=0)
    warm = time.perf_counter() - start
    for name in ("R_D", "R_N"):
        shown, held = _interval(fit.posterior[name], C4[name])
        report.gate(f"{name} of {len(rows)} runs, Gaussian scatter", f"{C4[name]:.3g}", shown, held)
    report.gate("the same fit once more, under a second", "", f"{warm:.2f} s", warm < 1)
    fewer = f"the {len(kept)} that more epochs did not make worse"
    others = {
        f"Gaussian scatter, {fewer}": (kept, model),
        f"Student-t, all {len(rows)}": (rows, bs.ScalingModel(law)),
        f"Student-t, {fewer}": (kept, bs.ScalingModel(law)),
        "... and one exponent for both terms": (kept, bs.ScalingModel(_tied())),
    }
    for what, (table, other) in others.items():
        found = bs.fit(other, table, seed=0)
        for name in ("R_D", "R_N"):
            report.show(f"  {name}, {what}", f"{C4[name]:.3g}", _interval(found.posterior[name])[0])
    held = _base_held()
    for what, table in ((f"all {len(rows)} runs", rows), (f"the {len(kept)}", kept)):
        fixed = bs.fit(held, table, seed=0)
        for name in ("R_D", "R_N"):
            shown = _interval(fixed.posterior[name])[0]
            report.show(f"  {name}, their A, B, E and alpha held, {what}", f"{C4[name]:.3g}", shown)
    off = np.median(np.abs(np.log(kept["loss"].to_numpy(float) / _published(kept))))
    report.show("  median miss of the published law on these runs", "", f"{100 * off:.1f} %")
    at = {"params": 3e9, "tokens": 1e11, "unique_tokens": 1e11}
    theta, four_times = _tied().from_paper(C4), {"tokens": 4e11}
    once, repeated, fresh = (
        float(_tied()(theta, x)) for x in (at, at | four_times, at | four_times | FRESH)
    )
    report.show("  what four epochs gain under the published law, 3e9 parameters, 1e11 tokens", "",
                f"{(once - repeated) / (once - fresh):.3f}")  # fmt: skip
    default = bs.fit(bs.ScalingModel(law), kept, seed=0)
    for what, one in (("Gaussian scatter", fit), ("Student-t", default)):
        worth = bs.epochs(one, unique=1e11, params=3e9, epochs=[4])
        four = float(worth.gained.mean())
        report.gate(f"what four epochs gain, of what fresh tokens would (mean), {what}", ">= 0.95",
                    f"{four:.3f}; a token is worth {float(worth.worth.mean()):.3f}, the last "
                    f"{float(worth.marginal.mean()):.3f}", four >= 0.95)  # fmt: skip


def _cells(report: Report, rows: pd.DataFrame) -> None:
    """Leave sizes and numbers of unique tokens out together, a fifth of them at a time."""
    cell = rows.groupby(CELL).ngroup().to_numpy()
    fold = (np.random.default_rng(0).permutation(cell.max() + 1) % FOLDS)[cell]
    y, epochs = (rows[c].to_numpy(float) for c in ("loss", "epochs"))
    for what, scatter in (("Gaussian", bs.Normal()), ("Student-t", bs.StudentT())):
        median, inside = np.empty(len(rows)), np.empty(len(rows), bool)
        for k in range(FOLDS):
            out = fold == k
            median[out], inside[out] = _predicted(bs.DataConstrained(), scatter, rows, out)
        off = np.abs(np.log(median / y))
        for band, low, high in BANDS:
            at = (epochs > low) & (epochs <= high)
            shown = f"median miss {100 * np.median(off[at]):.1f} %, rms "
            shown += f"{100 * np.sqrt(np.mean(off[at] ** 2)):.0f} %, {int(inside[at].sum())} inside"
            report.show(f"  cells left out, {band}, {int(at.sum())} runs, {what}", "", shown)


def _predicted(law: Any, scatter: Any, table: pd.DataFrame, out: np.ndarray) -> tuple[Any, Any]:
    """Fit the other rows: medians of those left out, and which of them a 95 % interval holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bs.UntrustedFitWarning)
        there = bs.predict(bs.fit(bs.ScalingModel(law, scatter), table[~out], seed=0), table[out])
    median = there.loss_mean.median(("chain", "draw")).values
    low, high = there.loss_run.quantile(CREDIBLE, ("chain", "draw")).values
    y = table.loc[out, "loss"].to_numpy(float)
    return median, (low <= y) & (y <= high)


def _tied() -> bs.DataConstrained:
    return bs.DataConstrained(tied=True, reference=REFERENCE)


def _published(table: pd.DataFrame) -> np.ndarray:
    """Evaluate the published law on a table's runs."""
    law = _tied()
    return law(law.from_paper(C4), {c: table[c].to_numpy(float) for c in law.inputs})


def _base_held() -> bs.ScalingModel:
    """Return the model of their second stage: of the law of fresh tokens all is known."""
    law = _tied()
    theta = law.from_paper(C4)
    held = {n: bs.Prior.of("Fixed", value=float(theta[n])) for n in ("E", "a0", "b0", "alpha")}
    return bs.ScalingModel(law, priors=held)


def _held_out(report: Report, kept: pd.DataFrame, tied: bool) -> None:
    """Fit the smaller runs and predict those of most tokens, then those largest in any way."""
    most = np.sort(kept["tokens"])[-LARGEST]
    unique, params = (np.unique(kept[c])[-2] for c in ("unique_tokens", "params"))
    splits = {
        "of most tokens": (kept["tokens"] >= most).to_numpy(),
        "of most parameters or unique tokens": (
            (kept["unique_tokens"] >= unique) | (kept["params"] >= params)
        ).to_numpy(),
    }
    law = bs.DataConstrained(tied=tied)
    which = "one exponent" if tied else "two exponents"
    for what, out in splits.items():
        y = kept.loc[out, "loss"].to_numpy(float)
        for scatter in (bs.StudentT(), bs.Normal()):
            median, inside = _predicted(law, scatter, kept, out)
            r2 = _r2(y, median)
            shown = f"{r2:.3f}, mean error {100 * np.mean(np.abs(median / y - 1)):.1f} %, "
            shown += f"{int(inside.sum())} inside"
            label = f"R2 on the {len(y)} of {len(kept)} {what}, {which}, {type(scatter).__name__}"
            if what == "of most tokens":
                report.gate(label, f">= {LEAST_R2}", shown, bool(r2 >= LEAST_R2))
            else:
                report.show(f"  {label}", "", shown)
        if not tied:
            report.show(f"  ... of the published law {what}", "",
                        f"{_r2(y, _published(kept[out])):.3f}")  # fmt: skip
        seen = bs.predict(bs.fit(bs.ScalingModel(law, bs.Normal()), kept, seed=0), kept[out])
        best = _r2(y, seen.loss_mean.median(("chain", "draw")).values)
        report.show(f"  ... of a fit that saw them (Gaussian), {which}", "", f"{best:.3f}")


def _r2(y: np.ndarray, predicted: np.ndarray) -> float:
    return float(1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))


def _interval(values: xr.DataArray, anchor: Any = np.nan) -> tuple[str, bool]:
    low, high = values.quantile(CREDIBLE).values
    shown = f"{float(values.median()):.3g} ({low:.3g}, {high:.3g})"
    return shown, bool(low <= anchor <= high)
