"""Learning rate against width in the standard and the maximal-update parametrization."""

import time

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from benchmarks.report import Report

CREDIBLE = (0.05, 0.95)
NAMES = {"sp": "standard", "mup": "maximal-update"}
TOLERANCES = (0.001, 0.01)  # nats
HELD_OUT = 2  # widths


def run() -> Report:
    """Say gamma and whether it is nothing, then predict the widest two widths from the others."""
    report = Report("lr_width", "Learning rate against width (sweeps of mup-mlp)")
    try:
        runs = bs.load_dataset("mup-mlp")
    except BayesScalingError as error:
        report.gate("data set mup-mlp", "", str(error).splitlines()[0], ok=False)
        return report
    widths = np.unique(runs["width"])
    for name, title in NAMES.items():
        table = runs[runs["parametrization"] == name].reset_index(drop=True)
        model = bs.load_model(f"lr-width-{name}")
        bs.fit(model, table, seed=1)
        start = time.perf_counter()
        fit = bs.fit(model, table)
        seconds = time.perf_counter() - start
        report.gate(f"{title}: warm fit", "1 s", f"{seconds:.2f} s, {fit.attrs['method']}",
                    seconds < 1)  # fmt: skip
        report.gate(
            "  to be trusted", "", str(bs.check(fit).status), bs.check(fit).status != "FAIL"
        )
        found = {t: bs.transfer(fit, widths[0], widths[-1], tolerance=t) for t in TOLERANCES}
        gamma = -found[TOLERANCES[0]]["rise"].values.ravel()
        low, high = np.quantile(gamma, CREDIBLE)
        positive = float((gamma > 0).mean())
        shown = f"{np.median(gamma):.3f} ({low:.3f}, {high:.3f}), P(> 0) {positive:.4f}"
        if name == "sp":
            report.gate("  gamma, not 0 with probability over 0.99", "0.5 to 1", shown,
                        max(positive, 1 - positive) > 0.99)  # fmt: skip
        else:
            report.show("  gamma", "0", shown)
        for tolerance, plan in found.items():
            chance, rope = plan.attrs["transfers"], float(plan["rope"].median())
            report.show(
                f"  P(|gamma| < ROPE {rope:.3f}), {tolerance} nats lost", "", f"{chance:.3f}"
            )
            chance = plan.attrs["harmless"]
            report.show(
                f"  P(old rate loses under {tolerance} nats at the widest)", "", f"{chance:.3f}"
            )
        _held_out(report, model, table, widths)
    return report


def _held_out(
    report: Report, model: bs.ScalingModel, table: pd.DataFrame, widths: np.ndarray
) -> None:
    narrow = table[table["width"].isin(widths[:-HELD_OUT])].reset_index(drop=True)
    fit = bs.fit(model, narrow)
    plan = bs.recommend(fit, {"width": widths[-HELD_OUT:].astype(float)})
    gamma = -fit["posterior"]["rise_lr_width"].values.ravel()
    low, high = np.quantile(gamma, CREDIBLE)
    report.show(f"  gamma of the narrower {len(widths) - HELD_OUT}", "",
                f"{np.median(gamma):.3f} ({low:.3f}, {high:.3f})")  # fmt: skip
    for i, width in enumerate(widths[-HELD_OUT:]):
        sweep = table[table["width"] == width].reset_index(drop=True)
        own = bs.fit(bs.ScalingModel(bs.Tuning("lr", scale="linear"), model.observation), sweep)
        seen = bs.sweep_optima(own)
        best = seen["best"].quantile([0.05, 0.5, 0.95]).values
        low, high = np.quantile(plan["lr_opt"][..., i], CREDIBLE)
        shown = f"{np.median(plan['lr_opt'][..., i]):.4f} ({low:.4f}, {high:.4f})"
        anchor, ok = f"{best[1]:.4f} ({best[0]:.4f}, {best[2]:.4f})", low < best[1] < high
        if seen["outside"].all():  # its runs say on which side of them the best is, and no more
            below = best[1] < float(seen["low"].min())
            end = float(seen["low"].min() if below else seen["high"].max())
            anchor = f"{'below' if below else 'above'} its grid's {end:.4f}"
            ok = low < end if below else high > end
        report.gate(f"  best rate at width {width:.0f}, its runs left out", anchor, shown, bool(ok))
