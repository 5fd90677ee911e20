"""Critical batch size against model size: sweeps of Zhang et al. at once, against their law."""

import time
from typing import Any

import numpy as np

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from benchmarks.report import Report

PUBLISHED = (93.20, 0.468)  # sequences of 512 tokens, of millions of parameters
SEQUENCE, SMALL = 512, 256  # tokens; sequences of the batch that they call linear
SIZES = (85e6, 151e6, 302e6, 604e6, 1.2e9)
LARGEST = 2533.41  # the authors' own value, sequences
OVERHEAD = 0.2  # over linear scaling from the small batch: their batch is 1.2 of it, and 0.2 B_crit
CREDIBLE = (0.025, 0.975)


def run() -> Report:
    """Read the critical batch size in the authors' units, then predict the largest model's."""
    report = Report("cbs", "Critical batch size against model size (Zhang et al. 2024)")
    try:
        runs = bs.load_dataset("cbs")
    except BayesScalingError as error:
        report.gate("data set cbs", "", str(error).splitlines()[0], ok=False)
        return report
    pooling = bs.Pooling("model", (("s0", "free"),))
    model = bs.ScalingModel(bs.CriticalBatch("params"), pooling=pooling)
    bs.fit(model, runs, seed=1)
    start = time.perf_counter()
    fit = bs.fit(model, runs)
    seconds = time.perf_counter() - start
    report.gate("warm fit", "1 s", f"{seconds:.2f} s, {fit.attrs['method']}", seconds < 1)
    report.gate("k-hat", "< 0.7", f"{fit.attrs['k_hat']:.2f}", fit.attrs["k_hat"] < 0.7)
    for size, got in zip(SIZES, _sequences(fit, SIZES, "b_crit"), strict=True):
        law = PUBLISHED[0] * (size / 1e6) ** PUBLISHED[1]
        report.gate(
            f"at {size / 1e6:.0f}M, sequences", f"{law:.0f}", _interval(got), _inside(got, law)
        )
    smaller = bs.fit(model, runs[runs["params"] < 1e9].reset_index(drop=True))
    got = _sequences(smaller, (SIZES[-1],), "b_crit_new")[0]
    report.gate("largest model, left out", f"{LARGEST:.0f}", _interval(got), _inside(got, LARGEST))
    return report


def _sequences(fit: Any, sizes: tuple[float, ...], name: str) -> np.ndarray:
    """Return draws of the critical batch size as the authors define it, (size, draw)."""
    found = bs.critical_batch(fit, {"params": np.array(sizes)})[name]
    draws = found.stack(sample=("chain", "draw")).transpose("point", "sample").values
    return (1 + OVERHEAD) * SMALL + OVERHEAD * draws / SEQUENCE


def _interval(draws: np.ndarray) -> str:
    low, high = np.quantile(draws, CREDIBLE)
    return f"{np.median(draws):.0f} ({low:.0f}, {high:.0f})"


def _inside(draws: np.ndarray, value: float) -> bool:
    low, high = np.quantile(draws, CREDIBLE)
    return bool(low < value < high)
