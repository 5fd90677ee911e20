"""Accuracy. The default engine against long NUTS runs: every registered law, every data set."""

import warnings
from typing import Any

import numpy as np

import bayes_scaling as bs
from bayes_scaling._compat import diagnostics
from bayes_scaling.errors import BayesScalingError
from benchmarks.report import Report

DRAWS = 40_000  # by importance: ten fits' worth, so that what is left is bias and not noise
CHAINS, LONG = 4, 4000
QUANTILES = (0.05, 0.5, 0.95)
LIMIT = 0.1  # posterior sd
CONVERGED = 1.01


def run() -> Report:
    """Compare quantiles on every data set that has params, tokens and loss."""
    report = Report("Accuracy", "quantiles of the default engine against NUTS, in posterior sd")
    for name in bs.list_datasets()["name"]:
        try:
            runs = bs.load_dataset(name)
        except BayesScalingError as error:
            report.show(name, "", f"not loaded: {str(error).splitlines()[0][:60]}")
            continue
        if {"params", "tokens", "loss"} <= set(runs.columns):
            for law in bs.LAWS:
                _compare(report, name, runs, law)
    return report


def _compare(report: Report, name: str, runs: Any, law: str) -> None:
    model = bs.ScalingModel(law=bs.LAWS[law]())
    what = f"{law} on {name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quick = bs.fit(model, runs, method="laplace", draws=DRAWS, seed=0)
            usual = bs.fit(model, runs, seed=0)
            long = bs.fit(model, runs, method="nuts", draws=LONG, warmup=1000, seed=1)
    except BayesScalingError as error:
        report.show(what, "", f"refused: {str(error).splitlines()[0][:60]}")
        return
    names = [p.name for p in model.params]
    table = diagnostics(long["posterior"].to_dataset()[names])
    gaps = {v: _gap(quick["posterior"][v].values, long["posterior"][v].values) for v in names}
    worst = max(gaps, key=lambda v: gaps[v])
    # An end of a normal sampled n times over errs by 2.1 / sqrt(n) sd.
    noise = 2.1 / np.sqrt(float(table["ess_tail"].min()))
    reference = f"R-hat {table['r_hat'].max():.3f}, its own error {noise:.3f}"
    k, used = float(quick.attrs["k_hat"]), usual.attrs["method"]
    ours = f"{gaps[worst]:.3f} ({worst}), k-hat {k:.2f}, auto chose {used}"
    settled = float(table["r_hat"].max()) < CONVERGED and noise < LIMIT / 2
    if used == "laplace" and k < 0.7 and settled:
        report.gate(what, reference, ours, gaps[worst] < LIMIT)
    else:
        report.show(what, reference, ours)


def _gap(ours: np.ndarray, theirs: np.ndarray) -> float:
    gap = np.quantile(ours, QUANTILES) - np.quantile(theirs, QUANTILES)
    return float(np.abs(gap).max() / theirs.std())
