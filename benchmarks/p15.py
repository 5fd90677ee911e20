"""P15. Learning rate and batch size: seventeen grids at once, against the published Step Law."""

import time
from typing import Any

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from bayes_scaling.laws.rules import RULES
from bayes_scaling.results import model_of, theta_of
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
    bs.fit(model, runs, method="laplace", seed=1)
    report.show("first fit, compiling", "", f"{time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    fit = bs.fit(model, runs, method="laplace")
    report.show("warm fit", "", f"{time.perf_counter() - start:.1f} s")
    report.gate("k-hat", "< 0.7", f"{fit.attrs['k_hat']:.2f}", fit.attrs["k_hat"] < 0.7)
    law, posterior = model_of(fit).law, fit["posterior"].to_dataset()
    # The power laws' own constants, not those of the grids that scatter about them.
    powers = law.to_paper({p.name: posterior.get(p.name, 1.0) for p in law.params})
    numbers = dict(PUBLISHED)
    for name, column in (("log_lr", "lr_intercept"), ("log_batch", "bs_intercept")):
        low, high = boot[column].quantile(CREDIBLE)
        numbers[name] = (f"ln of the constant, {name[4:]}", float(boot[column].median()), low, high)
    narrower = 0
    for name, (what, middle, low, high) in numbers.items():
        mine = np.quantile(powers[name], CREDIBLE)
        narrower += mine[1] - mine[0] < high - low
        shown = f"{float(powers[name].mean()):.3f} ({mine[0]:.3f}, {mine[1]:.3f})"
        anchor = f"{middle:.3f} ({low:.3f}, {high:.3f})"
        report.gate(f"{what}: overlap", anchor, shown, bool(mine[0] < high and low < mine[1]))
    report.gate("narrower than theirs", "4 of 5", f"{narrower} of 5", narrower >= 4)
    _held_out(report, model, runs, fit)
    return report


def _held_out(report: Report, model: bs.ScalingModel, runs: pd.DataFrame, whole: Any) -> None:
    """Leave every grid out: what its loss is where the others, and where the paper, say to go.

    A recommended setting becomes the cell of the grid nearest to it in logs, ours as the paper's.
    """
    lost: dict[str, list[float]] = {}
    floor: list[np.ndarray] = []
    for sizes, grid in runs.groupby(SIZES):
        mine = (runs[SIZES] == list(sizes)).all(axis=1)
        others = runs[~mine].reset_index(drop=True)
        others.attrs = {}
        fit = bs.fit(model, others, method="laplace")
        at = dict(zip(SIZES, sizes, strict=True))
        tried = grid[grid["loss"].notna()]
        plan, rule = bs.recommend(fit, at), RULES["step-law"](at)
        cells = {
            "published": _nearest(tried, {k: float(rule[k]) for k in KNOBS}),
            "ours": _nearest(tried, {k: float(plan[k][0]) for k in KNOBS}),
            "least loss expected": _best(tried, fit, at, None),
            "grid not left out": _best(tried, whole, at, _name_of(whole, at)),
        }
        floor.append(_floor(tried, whole, at))
        loss = tried["loss"].to_numpy()
        for name, cell in cells.items():
            lost.setdefault(name, []).append(loss[cell] / loss.min() - 1)
    mean = {k: float(np.mean(v)) for k, v in lost.items()}
    theirs = f"{mean['published']:.4%}"
    for name in ("least loss expected", "grid not left out"):
        shown = f"{mean[name]:.4%} (worst {max(lost[name]):.2%})"
        report.show(f"regret of the cell, {name}", theirs, shown)
    low, middle, high = np.quantile(np.mean(floor, axis=0), [0.05, 0.5, 0.95])
    report.show("... of the truly best cell of every grid, in replicates of the grids", "",
                f"{middle:.4%} ({low:.4%}, {high:.4%})")  # fmt: skip
    shown = f"{mean['ours']:.4%} (worst {max(lost['ours']):.2%})"
    report.gate("grid left out, regret of the cell nearest to ours: at most 0.09 %", "0.0900%",
                shown, mean["ours"] <= CLAIM)  # fmt: skip
    report.gate("... and at most the published law's on the same grids", theirs, shown,
                mean["ours"] <= mean["published"])  # fmt: skip


def _nearest(tried: pd.DataFrame, setting: dict[str, float]) -> int:
    return int(np.argmin(sum(np.log(tried[k].to_numpy(float) / setting[k]) ** 2 for k in KNOBS)))


def _best(tried: pd.DataFrame, fit: Any, at: dict[str, float], group: str | None) -> int:
    """Return the cell of least expected loss."""
    return int(np.argmin(_excess(tried, _thinned(fit), at, group).mean(axis=0)))


def _floor(tried: pd.DataFrame, fit: Any, at: dict[str, float]) -> np.ndarray:
    """Return what the best of all cells would lose to the luckiest one, (draw,)."""
    thin, name, rng = _thinned(fit), _name_of(fit, at), np.random.default_rng(0)
    excess = _excess(tried, thin, at, name)
    theta = {k: v.values.reshape(-1, 1) for k, v in theta_of(thin, name).items()}
    loss = model_of(fit).observation.draw(rng, np.exp(excess), theta, {"excess": excess})
    best = np.take_along_axis(loss, excess.argmin(axis=1)[:, None], axis=1)[:, 0]
    return best / loss.min(axis=1) - 1


def _excess(tried: pd.DataFrame, fit: Any, at: dict[str, float], group: str | None) -> np.ndarray:
    """Return draws of what every cell loses, (draw, cell)."""
    cost = bs.setting_cost(fit, {k: tried[k].to_numpy(float) for k in KNOBS}, at, group=group)
    return cost["excess"].isel(point=0).values.reshape(-1, len(tried))


def _thinned(fit: Any) -> Any:
    thin = fit.copy()
    step = max(1, thin["posterior"].sizes["draw"] * thin["posterior"].sizes["chain"] // DRAWS)
    thin["posterior"] = thin["posterior"].to_dataset().isel(draw=slice(None, None, step))
    return thin


def _name_of(fit: Any, at: dict[str, float]) -> str:
    """Return what the fit calls the sweep at these sizes."""
    found = bs.sweep_optima(fit, "lr")
    here = np.all([np.isclose(found[k], v) for k, v in at.items()], axis=0)
    return str(found["sweep"].values[here][0])
