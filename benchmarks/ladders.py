"""Held-out budgets of every table that is a ladder, one half to choose on, one to confirm.

A ladder is cut below its largest budget, and below its two largest; models see the runs below, and
are scored on those above. The halves were drawn before anything was measured: Chinchilla, the
RefinedWeb settings of Porian et al. and Muennighoff et al. to choose on; their OpenWebText2
settings, Gadre et al., xLSTM and Step Law to confirm. Two versions of the coupled law were chosen
so, the second (whose floor may give way) after the first had been measured on both halves.
"""

import sys
import warnings
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling import Chinchilla, Coupled, ScalingModel, StudentT, UntrustedFitWarning
from bayes_scaling.criticism._baselines import baseline
from benchmarks.report import Report
from benchmarks.tables import chinchilla

SIZES = ["params", "tokens", "flops", "loss"]
FEWEST = 12
MODELS = {
    "additive": ScalingModel(Chinchilla()),
    "coupled": ScalingModel(Coupled(), StudentT(noise="compute")),
}
BASELINES = ("huber", "mse", "parabola")
DRAWS = 2000


class Ladder(NamedTuple):
    """Runs below a cut, and those above it."""

    name: str
    choose: bool
    below: pd.DataFrame
    above: pd.DataFrame


def ladders() -> list[Ladder]:
    """Return every ladder, cut."""
    out = []
    parts = chinchilla()
    for rows in ("217", "222"):
        out.append(Ladder(f"chinchilla {rows} +1", True, parts[rows], parts["held out"]))
        small = parts[rows][parts[rows]["flops"] < 3e20]
        out.append(Ladder(f"chinchilla {rows} +2", True, small, parts["held out"]))
    raw = {k: bs.load_dataset(k, raw=True) for k in
           ("porian_runs", "muennighoff", "gadre", "xlstm", "steplaw_dense")}  # fmt: skip
    for (setting, corpus), t in raw["porian_runs"].groupby(["experiment", "dataset"]):
        out += _cut(f"porian {setting} {corpus}", corpus == "RefinedWeb", t)
    t = raw["muennighoff"]
    t = t[(t["epochs"] <= 1.001) & t["in_published_table"].astype(bool)]
    out += _at("muennighoff", True, t.assign(flops=6 * t["params"] * t["tokens"]), [3e20])
    for corpus, t in raw["gadre"].groupby("train_dataset"):
        t, big = t.assign(loss=t["loss_c4_eval"]), t["params"] > 1e9
        out.append(Ladder(f"gadre {corpus}", False, _runs(t[~big]), _runs(t[big])))
    t = raw["xlstm"]
    for (arch, group), u in t[t["isoflop_budget"].notna()].groupby(["arch", "experiment_set"]):
        out += _cut(f"xlstm {arch} {group}", False, u.assign(flops=u["flops_6nd"]))
    t = raw["steplaw_dense"]
    t = t.loc[t.groupby(["params", "tokens"])["loss"].idxmin()]
    t = t.astype({"params": float, "tokens": float})  # whole numbers overflow at 9e18
    t = t.assign(flops=6 * t["params"] * t["tokens"])
    out += _at("steplaw best cells", False, t, [1.5e20])
    return [one for one in out if len(one.below) >= FEWEST and len(one.above)]


def run() -> Report:
    """Measure both halves."""
    warnings.simplefilter("ignore", UntrustedFitWarning)
    report = Report("Ladders", "Held-out budgets: the coupled law, the additive one, baselines")
    rows = [row for i, one in enumerate(ladders()) for row in scores(one, i)]
    table = pd.DataFrame(rows)
    with pd.option_context("display.width", 200, "display.max_rows", 500):
        shown = table.pivot(index="ladder", columns="model", values=["rmse", "covered", "width"])
        print(shown.round(3).to_string(), file=sys.stderr)
    for choose, half in ((True, "chosen on"), (False, "confirmed on")):
        part = table[table["choose"] == choose]
        by = {name: g.set_index("ladder") for name, g in part.groupby("model")}
        ours = by["coupled"]
        best = pd.concat([by[b]["rmse"] for b in BASELINES], axis=1).min(axis=1)
        share = float((ours["rmse"] <= best).mean())
        for name, g in by.items():
            report.show(f"{half}: {name}, geometric mean RMSE, nats", "", f"{_mean(g['rmse']):.4f}")
        covered = float(np.average(ours["covered"], weights=ours["runs"]))
        report.gate(f"{half}: 95 % intervals cover, pooled (.90 to .99)", "65-80 %",
                    f"{covered:.3f} of {ours['runs'].sum()}", 0.90 <= covered <= 0.99)  # fmt: skip
        large = ours[ours["runs"] >= FEWEST]["covered"]
        report.gate(f"{half}: least of ladders with 12 test runs or more (.75)", "",
                    f"{large.min():.2f} of {len(large)}", bool(large.min() >= 0.75))  # fmt: skip
        report.gate(f"{half}: RMSE no worse than the best baseline's (two thirds)", "",
                    f"{share:.2f} of {len(ours)}", share >= 2 / 3)  # fmt: skip
        ratio = _mean(ours["width"] / by["huber"]["width"])
        report.gate(f"{half}: width over the bootstrap's, geometric mean (2)", "",
                    f"{ratio:.2f}", ratio <= 2)  # fmt: skip
    return report


def scores(one: Ladder, seed: int) -> list[dict[str, Any]]:
    """Score every model and baseline on one ladder."""
    seen, out = one.above["loss"].to_numpy(float), []
    about = {"ladder": one.name, "choose": one.choose, "runs": len(seen)}
    for name, model in MODELS.items():
        fit = bs.fit(model, one.below, seed=seed, draws=4000, force=True)
        there = bs.predict(fit, one.above[["params", "tokens", "flops"]])
        draws = there["loss_run"].values.reshape(-1, len(seen))
        out.append(about | {"model": name, **_scored(draws, seen)})
        print(out[-1], fit.attrs["method"], fit.attrs["k_hat"], file=sys.stderr, flush=True)
    both = pd.concat([one.below, one.above], ignore_index=True)
    below, above = np.arange(len(one.below)), np.arange(len(one.below), len(both))
    rng = np.random.default_rng([seed, 9])
    for name in BASELINES:
        draws = baseline(name, both, below, above, DRAWS, rng).draws
        if len(draws):
            out.append(about | {"model": name, **_scored(draws, seen)})
    return out


def _scored(draws: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    return {
        "rmse": float(np.sqrt(np.mean((middle - seen) ** 2))),
        "covered": float(np.mean((seen >= low) & (seen <= high))),
        "width": float(np.mean(high - low)),
    }


def _mean(values: pd.Series) -> float:
    return float(np.exp(np.log(values).mean()))


def _runs(table: pd.DataFrame) -> pd.DataFrame:
    return table[SIZES].dropna().astype(float).reset_index(drop=True)


def _at(name: str, choose: bool, table: pd.DataFrame, edges: list[float]) -> list[Ladder]:
    """Cut a table at every edge."""
    t = _runs(table)
    parts = [(t[t["flops"] < edge], t[t["flops"] >= edge]) for edge in edges]
    return [Ladder(f"{name} +{i + 1}", choose, *part) for i, part in enumerate(parts)]


def _cut(name: str, choose: bool, table: pd.DataFrame) -> list[Ladder]:
    """Cut a table of budgets below the largest, and below the two largest."""
    logs = np.sort(np.log(_runs(table)["flops"]))
    gaps = np.flatnonzero(np.diff(logs) > 0.25)[::-1][:2]
    return _at(name, choose, table, [float(np.exp(logs[g : g + 2].mean())) for g in gaps])
