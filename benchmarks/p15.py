"""P15. Learning rate and batch size: seventeen grids at once, against the published Step Law."""

import time

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.laws.rules import RULES
from benchmarks.report import Report

PUBLISHED = {  # of 1,000 bootstrap fits: median, and 95 % interval
    "rise_lr_params": ("exponent of lr in N", -0.7129, -0.774, -0.655),
    "rise_lr_tokens": ("exponent of lr in D", 0.3075, 0.271, 0.345),
    "rise_batch_tokens": ("exponent of batch in D", 0.5709, 0.534, 0.606),
}
CREDIBLE = (0.025, 0.975)
CLAIM = 0.0009  # of the loss
DRAWS = 500  # of the expected loss of a grid's cells
SIZES = ["params", "tokens"]
KNOBS = ["lr", "batch_size_tokens"]


def run() -> Report:
    """Fit all grids; then leave every grid out and set its learning rate and batch size."""
    report = Report("P15", "Learning rate and batch size (Step Law's grids)")
    try:
        runs, boot = bs.load_dataset("steplaw_dense"), bs.load_dataset("steplaw_bootstrap")
    except BayesScalingError as error:
        report.gate("data sets of Step Law", "", str(error).splitlines()[0], ok=False)
        return report
    model = bs.load_model("steplaw-dense")
    start = time.perf_counter()
    posterior = bs.fit(model, runs, method="laplace")["posterior"]
    report.show("first fit, compiling", "", f"{time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    fit = bs.fit(model, runs, method="laplace", seed=1)
    report.show("warm fit", "", f"{time.perf_counter() - start:.1f} s")
    report.gate("k-hat", "< 0.7", f"{fit.attrs['k_hat']:.2f}", fit.attrs["k_hat"] < 0.7)
    numbers = dict(PUBLISHED)
    for name, column in (("log_lr", "lr_intercept"), ("log_batch", "bs_intercept")):
        low, high = boot[column].quantile(CREDIBLE)
        numbers[name] = (f"ln of the constant, {name[4:]}", float(boot[column].median()), low, high)
    narrower = 0
    for name, (what, middle, low, high) in numbers.items():
        mine = np.quantile(posterior[name], CREDIBLE)
        narrower += mine[1] - mine[0] < high - low
        shown = f"{float(posterior[name].mean()):.3f} ({mine[0]:.3f}, {mine[1]:.3f})"
        anchor = f"{middle:.3f} ({low:.3f}, {high:.3f})"
        report.gate(f"{what}: overlap", anchor, shown, bool(mine[0] < high and low < mine[1]))
    report.gate("narrower than theirs", "4 of 5", f"{narrower} of 5", narrower >= 4)
    _held_out(report, model, runs)
    return report


def _held_out(report: Report, model: bs.ScalingModel, runs: pd.DataFrame) -> None:
    """Leave every grid out: what its loss is where the others, and where the paper, say to go."""
    lost: dict[str, list[float]] = {"expected": [], "nearest": [], "published": []}
    for sizes, grid in runs.groupby(SIZES):
        mine = (runs[SIZES] == list(sizes)).all(axis=1)
        others = runs[~mine].reset_index(drop=True)
        others.attrs = {}
        fit = bs.fit(model, others, method="laplace")
        at = dict(zip(SIZES, sizes, strict=True))
        plan = bs.recommend(fit, at)
        thin = fit.copy()
        step = max(1, thin["posterior"].sizes["draw"] * thin["posterior"].sizes["chain"] // DRAWS)
        thin["posterior"] = thin["posterior"].to_dataset().isel(draw=slice(None, None, step))
        tried = grid[grid["loss"].notna()]
        cost = bs.setting_cost(thin, {k: tried[k].to_numpy(float) for k in KNOBS}, at)
        loss = tried["loss"].to_numpy()
        mean = cost["excess"].mean(("chain", "draw")).values.ravel()
        risk = cost["diverge"].mean(("chain", "draw")).values.ravel()
        best = int(np.argmin(mean + risk))  # a run that is lost costs all of its loss
        lost["expected"].append(loss[best] / loss.min() - 1)
        ours = {k: float(plan[k][0]) for k in KNOBS}
        theirs = {k: float(v) for k, v in RULES["step-law"](at).items()}
        for name, setting in (("nearest", ours), ("published", theirs)):
            gap = sum(np.log(tried[k].to_numpy(float) / setting[k]) ** 2 for k in KNOBS)
            lost[name].append(loss[int(np.argmin(gap))] / loss.min() - 1)
    mean = {k: float(np.mean(v)) for k, v in lost.items()}
    theirs = f"{mean['published']:.3%}"
    report.show("grid left out, loss at the cell nearest to ours", theirs, f"{mean['nearest']:.3%}")
    shown = f"{mean['expected']:.3%} (worst {max(lost['expected']):.2%})"
    report.gate("grid left out, cell of least expected loss: at most 0.09 %", "0.090%", shown,
                mean["expected"] <= CLAIM)  # fmt: skip
    report.gate("... and at most the published law's on the same grids", theirs, shown,
                mean["expected"] <= mean["published"])  # fmt: skip
