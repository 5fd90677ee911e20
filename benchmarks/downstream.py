"""Accuracy of the largest public models, from the compute of the others.

Table `downstream_obs` (Ruan et al. 2024), a law per task. Held out are the models of 3e23 FLOP and
more, the same cut for every task; fitted are those below it. Beside ours a logistic regression on
log compute, by maximum likelihood: its predictive is Binomial, or with a dispersion by Pearson's
statistic a beta-binomial of that variance.
"""

import time

import numpy as np
import pandas as pd
import scipy.stats as st
from scipy.optimize import minimize

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.model import model_for
from benchmarks.report import Report

CUT = 3e23  # FLOP
TASKS = {  # questions and the accuracy of guessing, which the table does not hold
    "mmlu": (14_042, 0.25),
    "arc_c": (1_172, 0.25),
    "hellaswag": (10_042, 0.25),
    "winograd": (1_267, 0.5),
    "truthfulqa": (817, None),
    "gsm8k": (1_319, 0.0),
    "xwinograd": (2_325, 0.5),
    "humaneval": (164, 0.0),
}
PROB = 0.9
WITHIN = (0.8, 1.0)  # coverage of all 90 % intervals together


def run() -> Report:
    """Fit every task below the cut, and score the models above it."""
    report = Report("downstream", "Accuracy of models of 3e23 FLOP and more, from smaller ones")
    try:
        table = bs.load_dataset("downstream_obs", raw=True)
    except BayesScalingError as error:
        report.gate("data set downstream_obs", "", str(error).splitlines()[0], ok=False)
        return report
    start, every = time.perf_counter(), []
    for task, (questions, chance) in TASKS.items():
        here = table[["flops", f"acc_{task}"]].set_axis(["flops", "accuracy"], axis=1).dropna()
        here = here.assign(questions=float(questions))
        small, large = here[here["flops"] < CUT], here[here["flops"] >= CUT]
        ours = _ours(chance, small, large)
        plain, loose = _baselines(small, large)
        every.append({"ours": ours, "regression": plain, "with dispersion": loose})
        shown = "; ".join(f"{k}: {_written(v)}" for k, v in every[-1].items())
        report.show(f"{task}: {len(small)} below, {len(large)} above", "", shown)
    total = {k: {s: np.concatenate([one[k][s] for one in every]) for s in every[0][k]}
             for k in every[0]}  # fmt: skip
    for name in ("regression", "with dispersion"):
        report.show(f"all tasks, {name}", "", _written(total[name]))
    mine, loose = total["ours"], total["with dispersion"]
    covered = float(mine["inside"].mean())
    ok = WITHIN[0] <= covered <= WITHIN[1]
    report.gate(f"all tasks, ours: {PROB:.0%} intervals hold", f"{WITHIN}", _written(mine), ok)
    gain = float(np.mean(mine["log"] - loose["log"]))
    report.gate("log score over the regression with dispersion", "> 0", f"{gain:+.2f}", gain > 0)
    less = float(np.mean(mine["brier"]) - np.mean(loose["brier"]))
    report.gate("squared error less the regression's", "< 0", f"{less:+.4f}", less < 0)
    report.show("seconds", "", f"{time.perf_counter() - start:.0f}")
    return report


def _ours(chance: float | None, small: pd.DataFrame, large: pd.DataFrame) -> dict[str, np.ndarray]:
    law = bs.SigmoidCompute(chance=chance)
    fit = bs.fit(model_for(law), bs.read_runs(small, require=("flops", "accuracy")))
    there = bs.predict(fit, large[["flops", "questions"]])
    spread = fit["posterior"]["spread"].values.reshape(-1, 1)
    mean = there["accuracy_mean"].values.reshape(len(spread), -1)
    return _scores(large, mean, spread)


def _baselines(small: pd.DataFrame, large: pd.DataFrame) -> list[dict[str, np.ndarray]]:
    """Score a logistic regression on log10 compute, with and without dispersion."""
    x, n = np.log10(small["flops"].to_numpy()), small["questions"].to_numpy()
    y, middle = small["accuracy"].to_numpy(), float(np.log10(small["flops"]).mean())

    def miss(b: np.ndarray) -> float:
        eta = b[0] + b[1] * (x - middle)
        return float(np.mean(np.logaddexp(0, eta) - y * eta))

    best = minimize(miss, np.zeros(2)).x

    def share(flops: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(best[0] + best[1] * (np.log10(flops) - middle))))

    fitted = share(small["flops"].to_numpy())
    variance = fitted * (1 - fitted)
    extra = np.maximum(np.mean(((y - fitted) ** 2 - variance / n) / variance) * len(x) /
                       (len(x) - 2), 1e-9)  # fmt: skip
    there = share(large["flops"].to_numpy())[None]
    spread = np.sqrt(extra / (1 - min(extra, 0.99)))
    return [_scores(large, there, np.array([[s]])) for s in (1e-6, spread)]


def _scores(large: pd.DataFrame, mean: np.ndarray, spread: np.ndarray) -> dict[str, np.ndarray]:
    """Return per model whether the interval holds it, log score and squared error."""
    rng = np.random.default_rng(0)
    n = large["questions"].to_numpy().astype(int)
    y = large["accuracy"].to_numpy()
    mean = np.clip(mean, 1e-9, 1 - 1e-9)
    firm = 1 / spread**2
    a, b = mean * firm, (1 - mean) * firm
    log = st.betabinom.logpmf(np.round(y * n), n, a, b)
    log = np.logaddexp.reduce(log, axis=0) - np.log(len(log))
    several = -(-4000 // len(mean))
    p = rng.beta(*(np.repeat(v, several, axis=0) for v in (a, b)))
    drawn = rng.binomial(n, p) / n
    low, high = np.quantile(drawn, [0.5 - PROB / 2, 0.5 + PROB / 2], axis=0)
    inside = (y >= low - 0.5 / n) & (y <= high + 0.5 / n)
    return {"inside": inside.astype(float), "log": log, "brier": (drawn.mean(axis=0) - y) ** 2}


def _written(scores: dict[str, np.ndarray]) -> str:
    return (
        f"{scores['inside'].mean():.0%} held, log score {scores['log'].mean():.2f}, "
        f"squared error {scores['brier'].mean():.4f}"
    )
