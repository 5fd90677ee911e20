"""Decisions on simulated studies whose truth is known: what a choice wastes, and what runs teach.

The truths are published surfaces, so that no rule of thumb is right by construction; a study is 36
runs between 1e18 and 3e20 FLOP at 3 to 300 tokens per parameter, with the scatter of the digitised
Chinchilla points; the decision is at 1e23 FLOP.
"""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.data.accounting import flops_6nd, tokens_from_flops
from bayes_scaling.data.simulate import heavy_tailed
from bayes_scaling.decision._problem import Problem
from bayes_scaling.inference.point import fit_point
from benchmarks.report import Report

STUDIES, RUNS = 500, 36
FLOPS, RATIOS = (1e18, 3e20), (3.0, 300.0)
BUDGET, TARGET_FLOPS = 1e23, 1e22
SEQUENTIAL, FEW = 120, 10  # studies of the choice of runs, and runs that they begin with
SPEND = 3e20
LAW = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))


def tied(eta: float, a: float, b: float, floor: float) -> dict[str, float]:
    """Return the surface of Gadre et al.'s ``E + (a M^eta + b M^-eta) C^-eta``."""
    less = 6.0**-eta
    return {"E": floor, "A": a * less, "B": b * less, "alpha": 2 * eta, "beta": 2 * eta}


SURFACES = {
    name: dict(zip(("E", "A", "B", "alpha", "beta"), numbers, strict=True))
    for name, numbers in {
        "Hoffmann et al. 2022": (1.6934, 406.40, 410.72, 0.33917, 0.28491),
        "Besiroglu et al. 2024": (1.8172, 482.01, 2085.43, 0.3478, 0.3658),
        "Muennighoff et al. 2023": (1.8691, 520.83, 1487.7, 0.35266, 0.35266),
        "Open-Athena 2026": (0.6047, 59.1, 155.1, 0.3100, 0.3136),
    }.items()
} | {
    "Gadre et al. 2024, C4": tied(0.121, 141.0, 190.0, 1.51),
    "Gadre et al. 2024, RedPajama": tied(0.136, 212.0, 367.0, 1.84),
    "Gadre et al. 2024, RefinedWeb": tied(0.127, 157.0, 246.0, 1.73),
}


def run() -> Report:
    """Decide for 500 studies, and choose runs for 120."""
    report = Report("decisions", "Choices on simulated studies whose truth is known")
    names = list(SURFACES)
    truths = [SURFACES[names[i % len(names)]] for i in range(STUDIES)]
    studies = [study(truth, seed) for seed, truth in enumerate(truths)]
    fits = bs.fit_many(bs.ScalingModel(), studies, draws=2000, seed=1)
    trusted = fits.trust.values == "trusted"
    report.show("studies, fits that are trusted", STUDIES, int(trusted.sum()))
    waste, met = choices(report, fits, truths, studies, trusted)
    ours = waste["least expected waste"]
    for name in ("plug-in least squares", "20:1"):
        lead = waste[name] - ours
        error = float(lead.std() / np.sqrt(len(lead)))
        report.gate(f"{name} wastes more, on average (share of 1e23 FLOP)", "> 0",
                    f"{lead.mean():+.5f} +- {error:.5f}", bool(lead.mean() > 0))  # fmt: skip
    report.gate("a target asked for with p = 0.9 is met, %", "87 to 93",
                f"{100 * met.mean():.1f} of {len(met)}", 0.87 <= met.mean() <= 0.93)  # fmt: skip
    sequential(report)
    timed(report)
    return report


def timed(report: Report) -> None:
    """Time the largest decision, 4,000 draws by 20 budgets under every item, and 200 candidates."""
    fit = bs.load_posterior("chinchilla")
    h100 = bs.Hardware(989e12, 0.4, dollars_per_hour=2.0, devices=1e4)
    items = [
        bs.ComputeBudget(np.geomspace(1e22, 1e26, 20)), bs.ServingDemand((1e11, 1e12, 1e13)),
        bs.DataWall((5e12, 1.5e13, 5e13)), bs.SizeLimits(largest=1e13), bs.ServingMemory(64e12),
        bs.StepLimit(4e6, steps=1e9), bs.Deadline(1e6), h100,
    ]  # fmt: skip
    seconds = best_of(lambda: bs.decide(fit, *items))
    report.gate("4,000 draws, 20 budgets, every item, warm (s)", "< 2", f"{seconds:.2f}",
                seconds < 2)  # fmt: skip
    n, r = (v.ravel() for v in np.meshgrid(np.geomspace(1e8, 1e11, 20), np.geomspace(2, 200, 10)))
    could = {"params": n, "tokens": n * r}
    seconds = best_of(lambda: bs.next_runs(fit, bs.ComputeBudget(1e25), candidates=could))
    report.gate("200 candidates ranked, a set of three chosen (s)", "< 20", f"{seconds:.1f}",
                seconds < 20)  # fmt: skip


def best_of(call: Callable[[], object], times: int = 3) -> float:
    """Return the least seconds of some calls."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return min(took)


def study(truth: dict[str, float], seed: int, runs: int = RUNS) -> pd.DataFrame:
    """Return one study's runs."""
    rng = np.random.default_rng([seed, 0])
    flops = np.exp(rng.uniform(*np.log(FLOPS), size=runs))
    ratio = np.exp(rng.uniform(*np.log(RATIOS), size=runs))
    params = np.sqrt(flops / flops_6nd(1.0, ratio))
    at = {"params": params, "tokens": ratio * params}
    return bs.simulate(LAW, LAW.from_paper(truth), at, seed=[seed, 1])


def problem_of(truth: dict[str, float]) -> Problem:
    """Return the truth as something that plans can be judged by."""
    theta = {k: np.full((1, 1, 1), v) for k, v in LAW.from_paper(truth).items()}
    return Problem(LAW, theta)


def wasted(truth: dict[str, float], params: float, budget: float = BUDGET) -> float:
    """Return the share of a budget that a size wastes in truth."""
    problem = problem_of(truth)
    loss = problem.loss(params, tokens_from_flops(budget, params))
    return 1 - float(problem.least_cost(loss).item()) / budget


def choices(report: Report, fits, truths, studies, trusted) -> tuple[dict, np.ndarray]:
    """Let every way choose a size, and meet a target that the truth can."""
    found: dict[str, list[float]] = {}
    met = []
    rng = np.random.default_rng(2)
    for i in np.flatnonzero(trusted):
        truth, fit = truths[i], bs.one_of(fits, int(i))
        plan = bs.plan_of(bs.decide(fit, bs.ComputeBudget(BUDGET), rules={}))
        median = float(bs.allocate(fit, BUDGET).params_opt.median())
        point = fit_point(studies[i], delta=np.inf)
        plug = LAW.optimum(LAW.from_paper(point), BUDGET / flops_6nd(1.0, 1.0))[0]
        sizes = {
            "least expected waste": float(plan.params[0]),
            "median of N*": median,
            "plug-in least squares": float(plug),
            "20:1": float(np.sqrt(BUDGET / flops_6nd(1.0, 20.0))),
        }
        for name, size in sizes.items():
            found.setdefault(name, []).append(wasted(truth, size))
        problem = problem_of(truth)
        best = problem.best(np.full((1, 1, 1), TARGET_FLOPS))
        target = float(problem.loss(*best).item())
        safe = bs.plan_of(bs.decide(fit, bs.LossTarget(target, probability=0.9), rules={}))
        law = problem.loss(float(safe.params[0]), float(safe.tokens[0]))
        met.append(float(heavy_tailed(rng, law).item()) <= target)
    out = {k: np.array(v) for k, v in found.items()}
    for name, share in out.items():
        worst = np.quantile(share, 0.95)
        report.show(f"{name}: mean waste, 95 % below, largest", "",
                    f"{share.mean():.4%}, {worst:.3%}, {share.max():.2%}")  # fmt: skip
    return out, np.array(met)


def sequential(report: Report) -> None:
    """Spend 3e20 FLOP on runs chosen in five ways, and decide."""
    names = list(SURFACES)
    grid = [(n, r * n) for c in (1e19, 3e19, 1e20, 3e20) for r in (2.0, 6.0, 20.0, 60.0, 200.0)
            for n in [np.sqrt(c / flops_6nd(1.0, r))]]  # fmt: skip
    could = pd.DataFrame(grid, columns=["params", "tokens"])
    cost = flops_6nd(could["params"].to_numpy(), could["tokens"].to_numpy())
    truths = [SURFACES[names[i % len(names)]] for i in range(SEQUENTIAL)]
    begun = [study(t, 10_000 + i, FEW) for i, t in enumerate(truths)]
    first = bs.fit_many(bs.ScalingModel(), begun, draws=2000, seed=3)
    ways: dict[str, list[pd.DataFrame]] = {}
    for i in range(SEQUENTIAL):
        fit = bs.one_of(first, i)
        rng = np.random.default_rng([i, 9])
        asked = bs.next_runs(fit, bs.ComputeBudget(BUDGET), candidates=could, most=8, spend=SPEND,
                             price=1e-9, seed=i)  # fmt: skip
        variance = np.argsort(-asked.variance_drop.values / cost)
        picks = {
            "regret": filled(list(asked["pick"].values), np.argsort(asked["rank"].values), cost),
            "random": filled([], rng.permutation(len(cost)), cost),
            "cheapest first": filled([], np.argsort(cost, kind="stable"), cost),
            "variance of N*": filled([], variance, cost),
        }
        for name, chosen in picks.items():
            at = {k: could[k].to_numpy()[chosen] for k in ("params", "tokens")}
            more = bs.simulate(LAW, LAW.from_paper(truths[i]), at, seed=[i, 8])
            ways.setdefault(name, []).append(joined(begun[i], more))
    share = {"nothing more": decided(begun, truths)}
    share |= {name: decided(tables, truths) for name, tables in ways.items()}
    for name, values in share.items():
        report.show(f"runs by {name}: mean waste of the decision", "", f"{np.nanmean(values):.4%}")
    for name in ("random", "cheapest first", "variance of N*"):
        lead = share[name] - share["regret"]
        lead = lead[np.isfinite(lead)]
        error = float(lead.std() / np.sqrt(len(lead)))
        report.gate(f"runs by {name} leave more waste than runs by regret", "> 0",
                    f"{lead.mean():+.5f} +- {error:.5f}", bool(lead.mean() > 0))  # fmt: skip


def filled(picks: list[int], order: np.ndarray, cost: np.ndarray) -> list[int]:
    """Take what is picked, then go on in order as long as there is something to spend."""
    out, left = list(picks), SPEND * (1 + 1e-9) - cost[picks].sum()
    for i in order:
        if i not in out and cost[i] <= left:
            out.append(int(i))
            left -= cost[i]
    return out


def joined(begun: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    """Return both tables as one."""
    columns = ["params", "tokens", "loss"]
    return bs.read_runs(pd.concat([begun[columns], more[columns]], ignore_index=True), flops="6ND")


def decided(tables: list[pd.DataFrame], truths: list[dict]) -> np.ndarray:
    """Return what the decision after these tables wastes in truth."""
    fits = bs.fit_many(bs.ScalingModel(), tables, draws=2000, seed=4)
    out = []
    for i, truth in enumerate(truths):
        plan = bs.plan_of(bs.decide(bs.one_of(fits, int(i)),
                                    bs.ComputeBudget(BUDGET), rules={}))  # fmt: skip
        out.append(wasted(truth, float(plan.params[0])))
    return np.array(out)
