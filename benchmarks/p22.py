"""P22. Llama against xLSTM: do the slopes differ, where do they cross, what is saved, and how sure.

Slopes are free where their difference is tested: a hierarchy that draws them together is right for
the estimate, and would make a test of equality depend on its prior. They are partially pooled where
exponents and speed-ups are estimated.

Of paired designs, where runs of two recipes share a seed and the order of their data, runs of a
pair are a cluster that reaches across recipes: what the pair shares cancels in the difference.
"""

import time

import numpy as np
import pandas as pd
import xarray as xr

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.inference.many import Refit, refit
from benchmarks.report import Report

PUBLISHED = {"llama": (0.575, 0.424), "xlstm": (0.547, 0.417)}  # exponents of N* and D*, ctx 8192
CREDIBLE, BOUNDS = (0.025, 0.975), (0.05, 0.5, 0.95)
DRAWS = ("chain", "draw")
AT = (1e19, 1e20, 1e21, 1e22, 1e23)
COST = {"llama": 1.30, "xlstm": 0.91}  # FLOP of the table per 6ND, geometric means
PAIRS, RUNS, NOISE = 400, 32, 0.005
TABLES, RECIPES, SIZES, SD = 200, 4, 24, 0.05
PAIRED, TOGETHER = 100, 0.8  # tables, and the share of the scatter's variance that pairs share
FEWEST = 83  # of 100: an interval that is right covers fewer once in 100
LEVELS = (0.9, 0.8)  # of the reducible loss at 1e19 FLOP
FALSE, COVERED = (0.03, 0.07), 0.86  # of 0.90; intervals of one table share its floor
SEED = 22


def run() -> Report:
    """Compare the two architectures of the card, then test and estimate on simulated recipes."""
    report = Report("P22", "Architectures: slopes, crossing, speed-up, and simulated recipes")
    try:
        fit = bs.load_posterior("xlstm")
    except BayesScalingError as error:
        report.gate("card xlstm", "", str(error).splitlines()[0], ok=False)
        return report
    compared(report, fit)
    alarms(report)
    exponents(report)
    paired(report)
    return report


def compared(report: Report, fit: xr.DataTree) -> None:
    """Report what the card's posterior says of the two, at 6ND and at the table's FLOP."""
    posterior = fit["posterior"].to_dataset()
    for name, (size, data) in PUBLISHED.items():
        a = np.quantile(posterior["a"].sel(arch=name), BOUNDS)
        shown = f"{a[1]:.3f} ({a[0]:.3f}, {a[2]:.3f})"
        report.show(f"{name}: exponent of N*, joint law, 6ND", f"{size}; of D* {data}", shown)
    for cost in ("6ND", COST):
        what = "6ND" if cost == "6ND" else "the table's FLOP"
        found = bs.speedup(fit, "llama", AT, cost=cost)
        one = found.sel(group="xlstm")
        steeper = float(one.steeper)
        report.gate(f"P(xlstm steeper), {what}", "", f"{steeper:.3f}", 0 <= steeper <= 1)
        cross = one.crossover.quantile(BOUNDS, DRAWS, method="inverted_cdf").values
        shown = ", ".join(f"{v:.2g}" for v in cross)
        report.gate(f"crossing compute, {what}", "", f"5, 50, 95 %: {shown}",
                    not np.isnan(cross).any())  # fmt: skip
        for at in found["at"].values:
            q = one.speedup.sel(at=at).quantile(BOUNDS, DRAWS, method="inverted_cdf").values
            report.gate(f"speed-up at {at:.0e}, {what}", "",
                        f"{q[1]:.2f} ({q[0]:.2f}, {q[2]:.2f})", bool((q > 0).all()))  # fmt: skip


def pair(seed: int, slopes: tuple[float, float] = (0.15, 0.15)) -> pd.DataFrame:
    """Simulate two recipes of one floor at 32 budgets each; heavy-tailed noise of half a per cent.

    The law is restated here: a simulator that called the code under test could not disagree.
    """
    rng = np.random.default_rng([SEED, seed])
    c = np.geomspace(1e17, 1e21, RUNS)
    parts = []
    for name, level, slope in zip("ab", LEVELS, slopes, strict=True):
        loss = (1.8 + level * (c / 1e19) ** -slope) * np.exp(NOISE * rng.standard_t(5, RUNS))
        parts.append(pd.DataFrame({"flops": c, "loss": loss, "recipe": name}))
    return bs.read_runs(pd.concat(parts, ignore_index=True), require=("flops", "loss"))


def differs(one: Refit) -> bool:
    """Say whether the 95 % interval of the slopes' difference leaves out zero."""
    slope = one.values["alpha_group"].reshape(-1, 2)
    low, high = np.quantile(slope[:, 1] - slope[:, 0], CREDIBLE)
    return bool(low > 0 or high < 0)


def alarms(report: Report) -> None:
    """Count how often slopes that are equal are said to differ, and slopes that differ."""
    start = time.perf_counter()
    modes = (("E", "shared"), ("a0", "free"), ("alpha", "free"))
    model = bs.ScalingModel(bs.PowerLaw("flops"), pooling=bs.Pooling("recipe", modes))
    found = refit(model, [pair(i) for i in range(PAIRS)], draws=1000, seed=SEED)
    rate = float(np.mean([differs(r) for r in found]))
    report.gate(f"equal slopes said to differ, {PAIRS} pairs, free", "3-7 %", f"{rate:.1%}",
                FALSE[0] <= rate <= FALSE[1])  # fmt: skip
    some = range(PAIRS, PAIRS + PAIRS // 8)
    found = refit(model, [pair(i, (0.15, 0.165)) for i in some], draws=1000, seed=SEED)
    rate = float(np.mean([differs(r) for r in found]))
    report.show("  slopes that differ by 10 % said to", "", f"{rate:.0%} of {len(some)}")
    report.show("  seconds", "", f"{time.perf_counter() - start:.0f}")


def recipes(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Simulate four recipes of one floor whose exponents scatter by 5 %; return a of each too."""
    rng = np.random.default_rng([SEED, 1, seed])
    budgets, ratios = np.geomspace(1e18, 1e21, 4), np.geomspace(3.0, 200.0, SIZES // 4)
    c, ratio = (v.ravel() for v in np.meshgrid(budgets, ratios, indexing="ij"))
    params = np.sqrt(c / 6 / ratio)
    tokens = params * ratio
    parts, exponents = [], []
    for g in range(RECIPES):
        alpha, beta = 0.34 * np.exp(SD * rng.normal()), 0.37 * np.exp(SD * rng.normal())
        a0, b0 = 0.35 * np.exp(0.1 * rng.normal()), 0.35 * np.exp(0.1 * rng.normal())
        loss = 1.8 + a0 * (params / 5e8) ** -alpha + b0 * (tokens / 1e10) ** -beta
        loss = loss * np.exp(NOISE * rng.standard_t(5, SIZES))
        runs = {"params": params, "tokens": tokens, "loss": loss, "recipe": f"r{g}"}
        parts.append(pd.DataFrame(runs))
        exponents.append(beta / (alpha + beta))
    return bs.read_runs(pd.concat(parts, ignore_index=True)), np.array(exponents)


def exponents(report: Report) -> None:
    """Compare intervals of `a`: recipes pooled, and every recipe fitted alone."""
    start = time.perf_counter()
    modes = (("E", "shared"), ("a0", "free"), ("b0", "free"), ("alpha", "partial"),
             ("beta", "partial"))  # fmt: skip
    pooled = bs.ScalingModel(pooling=bs.Pooling("recipe", modes))
    made = [recipes(i) for i in range(TABLES)]
    truth = np.array([a for _, a in made])
    draws = []
    for one in refit(pooled, [runs for runs, _ in made], draws=1000, seed=SEED):
        alpha, beta = (one.values[f"{k}_group"].reshape(-1, RECIPES) for k in ("alpha", "beta"))
        draws.append(beta / (alpha + beta))
    together = intervals(np.array(draws), truth)
    alone = [part for runs, _ in made for _, part in runs.groupby("recipe")]
    apart = bs.fit_many(bs.ScalingModel(), alone, draws=1000, seed=SEED, progress=False)
    a = apart["a"].values.reshape(TABLES, RECIPES, -1)
    separate = intervals(np.moveaxis(a, 1, 2), truth)
    report.show("90 % intervals of a, each recipe alone", "", said(separate))
    report.gate("  pooled: covers, no less than 0.86", "0.90", said(together),
                together[0] >= COVERED)  # fmt: skip
    ratio = together[1] / separate[1]
    report.gate("  width, pooled over alone, below 1", "", f"{ratio:.2f}", bool(ratio < 1))
    report.show("  seconds", "", f"{time.perf_counter() - start:.0f}")


def seeds_shared(seed: int) -> pd.DataFrame:
    """Simulate two recipes of one slope whose runs are pairs: most of their scatter is shared."""
    rng = np.random.default_rng([SEED, 2, seed])
    c, common = np.geomspace(1e17, 1e21, RUNS), rng.normal(size=RUNS)
    parts = []
    for name, level in zip("ab", LEVELS, strict=True):
        own = rng.normal(size=RUNS)
        scatter = NOISE * (np.sqrt(TOGETHER) * common + np.sqrt(1 - TOGETHER) * own)
        loss = (1.8 + level * (c / 1e19) ** -0.15) * np.exp(scatter)
        one = {"flops": c, "loss": loss, "recipe": name, "pair": [f"p{i}" for i in range(RUNS)]}
        parts.append(pd.DataFrame(one))
    return bs.read_runs(pd.concat(parts, ignore_index=True), require=("flops", "loss"))


def paired(report: Report) -> None:
    """Compare intervals of the ratio of two recipes' intercepts, pairs read as such and not."""
    start = time.perf_counter()
    modes = (("E", "shared"), ("a0", "free"), ("alpha", "shared"))
    tables, truth = [seeds_shared(i) for i in range(PAIRED)], np.log(LEVELS[1] / LEVELS[0])
    found = {}
    pairs = bs.Clustered("pair", along="", across=True)
    for name, scatter in (("runs alone", bs.StudentT()), ("pairs", pairs)):
        model = bs.ScalingModel(bs.PowerLaw("flops"), scatter, pooling=bs.Pooling("recipe", modes))
        fits = refit(model, tables, draws=1000, seed=SEED)
        level = np.array([r.values["a0_group"].reshape(-1, 2) for r in fits])
        found[name] = intervals(np.log(level[..., 1:] / level[..., :1]), np.array([[truth]]))
    report.show("paired runs read as runs alone: 90 % intervals of ln(a0 ratio)", "0.90",
                said(found["runs alone"]))  # fmt: skip
    covered = found["pairs"][0]
    report.gate(f"  as pairs: covers, {FEWEST} or more of {PAIRED}", "0.90", said(found["pairs"]),
                covered * PAIRED >= FEWEST)  # fmt: skip
    ratio = found["pairs"][1] / found["runs alone"][1]
    report.gate("  width, as pairs over as runs alone, below 1", "", f"{ratio:.2f}", ratio < 1)
    report.show("  seconds", "", f"{time.perf_counter() - start:.0f}")


def intervals(draws: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Return the coverage and mean width of 90 % intervals; draws are (table, draw, recipe)."""
    low, high = np.quantile(draws, [0.05, 0.95], axis=1)
    return float(((low < truth) & (truth < high)).mean()), float((high - low).mean())


def said(found: tuple[float, float]) -> str:
    """Write coverage and width."""
    return f"cover {found[0]:.3f}, mean width {found[1]:.3f}"
