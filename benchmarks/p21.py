"""P21. Routed models: Clark et al.'s law per router, over routers, and ahead of its runs.

The published law has no floor, though its runs all see equally many tokens; what the runs below
5e8 parameters say of a floor is shown beside what each law then makes of the larger ones. Gated
ahead is `Routed`, whose priors of what lies ahead were chosen on tables without experts.
"""

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import loo

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from benchmarks.report import Report

ROUTERS = {  # least squares on the same runs: a, b, c, d, E_start, E_max
    "S-Base": (-0.0830, -0.1180, 0.0099, 1.1136, 2.08, 239.0),
    "RL-R": (-0.0827, -0.1234, 0.0112, 1.1070, 1.72, 470.0),
    "Hash": (-0.0874, -0.1384, 0.0126, 1.1595, 4.27, 427.0),
}
NAMES = ("a", "b", "c", "d", "E_start", "E_max")
NEEDED = ("params", "experts", "loss")
OVER_ROUTERS = bs.Pooling(  # a dense model has no router: what is said of it is shared
    "router_type",
    (("a0", "shared"), ("alpha", "shared"), ("fade", "partial"), ("gain", "partial"),
     ("span", "partial"), ("start", "partial")),
)  # fmt: skip
LARGE = 5e8  # params, held out from here
SEEDS = (0, 1, 2)
FAR = 1e12
MOST, FEWEST, SHRUNK = 0.042, 24, 0.75
SAMPLES = ("chain", "draw")


def tables() -> dict[str, pd.DataFrame]:
    """Return the runs of the published fits: dense ones under "Dense", and those of each router."""
    runs = bs.load_dataset("routing_moe", raw=True)
    kept = runs["is_final"].astype(bool) & (runs["routing_frequency"] == 0.5)
    kept &= (runs["experts_per_token"] == 1) & (runs["seed"] == 42) & (runs["flop_increase"] == 1)
    runs = runs[kept].assign(params=runs["params_dense"])
    return {str(k): t[[*NEEDED, "router_type"]] for k, t in runs.groupby("router_type")}


def read(*parts: pd.DataFrame) -> pd.DataFrame:
    """Join runs into one table."""
    return bs.read_runs(pd.concat(parts, ignore_index=True), require=NEEDED)


def run() -> Report:
    """Measure P21."""
    report = Report("P21", "Routed models: the published law, over routers, and held-out sizes")
    try:
        parts = tables()
    except BayesScalingError as error:
        report.gate("data set routing_moe", "", str(error).splitlines()[0], ok=False)
        return report
    whole = {k: read(parts["Dense"], parts[k]) for k in ROUTERS}
    alone = {k: _published(report, k, t) for k, t in whole.items()}
    _pooled(report, parts, alone)
    _ahead(report, whole)
    _cut_off(report, whole, alone)
    return report


def _published(report: Report, router: str, runs: pd.DataFrame) -> xr.DataTree:
    fit = bs.fit(bs.ScalingModel(bs.ClarkMoE()), runs, seed=0)
    draws = fit["posterior"].to_dataset()
    for name, anchor in zip(NAMES, ROUTERS[router], strict=True):
        low, middle, high = np.quantile(draws[name], [0.025, 0.5, 0.975])
        shown = f"{middle:.4g} ({low:.4g}, {high:.4g})"
        report.gate(f"{router}, {len(runs)} runs: {name} inside 95 %", f"{anchor:g}", shown,
                    bool(low < anchor < high))  # fmt: skip
    return fit


def _pooled(report: Report, parts: dict[str, pd.DataFrame], alone: dict[str, xr.DataTree]) -> None:
    once = parts["Dense"].assign(router_type=next(iter(ROUTERS)))
    runs = read(once, *(parts[k] for k in ROUTERS))
    fit = bs.fit(bs.ScalingModel(bs.ClarkMoE(), pooling=OVER_ROUTERS), runs, seed=0, method="nuts")
    each = fit["posterior"]["fade_group"]
    shares = []
    for router, one in alone.items():
        sds = float(each.sel(router_type=router).std()), float(one["posterior"]["fade"].std())
        shares.append(sds[0] / sds[1])
        report.show(f"over routers: sd of c, {router}", f"{sds[1]:.5f} alone", f"{sds[0]:.5f}")
    report.gate("over routers: sd of c over that alone, mean (at most .75)", "",
                f"{np.mean(shares):.2f}", bool(np.mean(shares) <= SHRUNK))  # fmt: skip
    status = bs.check(fit).status
    report.gate("over routers: check", "", f"{status}, {fit.attrs['seconds']} s", status != "FAIL")


def _ahead(report: Report, whole: dict[str, pd.DataFrame]) -> None:
    laws = {"published": bs.ClarkMoE(), "with a floor": bs.ClarkMoE(floor=True),
            "routed": bs.Routed()}  # fmt: skip
    inside = dict.fromkeys(SEEDS, 0)
    for router, runs in whole.items():
        small = runs[runs["params"] < LARGE].reset_index(drop=True)
        large = runs[(runs["params"] >= LARGE) & (runs["experts"] > 1)]
        fits = {name: bs.fit(bs.ScalingModel(law), small, seed=0) for name, law in laws.items()}
        scored = {
            k: np.ravel(loo(fits[k], pointwise=True).elpd_i) for k in ("published", "with a floor")
        }
        gained = scored["with a floor"] - scored["published"]
        error = gained.std() * np.sqrt(len(gained))
        report.show(f"{router}: elpd of a floor over none, {len(small)} runs below 5e8", "",
                    f"{gained.sum():.1f} +- {error:.1f}")  # fmt: skip
        for name, law in laws.items():
            seeds = SEEDS if name == "routed" else SEEDS[:1]
            scores = [_score(fits[name] if s == 0 else bs.fit(bs.ScalingModel(law), small, seed=s),
                             large) for s in seeds]  # fmt: skip
            rmse, hits = max(s[0] for s in scores), min(s[1] for s in scores)
            shown = f"{rmse:.4f}; {hits} of {len(large)}, {scores[0][2]:.3f} wide"
            what = f"{router}: RMSE, inside 95 %, {len(large)} runs ahead, {name}"
            if name != "routed":
                report.show(what, ".043-.0435" if name == "published" else "", shown)
                continue
            report.gate(f"{what} (RMSE .042)", "", shown, rmse <= MOST)
            for seed, score in zip(seeds, scores, strict=True):
                inside[seed] += score[1]
    hits = min(inside.values())
    report.gate("routed: inside 95 %, all routers, worst of 3 seeds (24 of 27)", "", hits,
                hits >= FEWEST)  # fmt: skip


def _score(fit: xr.DataTree, seen: pd.DataFrame) -> tuple[float, int, float]:
    draws = bs.predict(fit, seen[["params", "experts"]])["loss_run"].values.reshape(-1, len(seen))
    loss = seen["loss"].to_numpy(float)
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    rmse = float(np.sqrt(np.mean((middle - loss) ** 2)))
    return rmse, int(((loss >= low) & (loss <= high)).sum()), float(np.mean(high - low))


def _cut_off(report: Report, whole: dict[str, pd.DataFrame], alone: dict[str, xr.DataTree]) -> None:
    for router, runs in whole.items():
        routed = bs.fit(bs.ScalingModel(bs.Routed()), runs, seed=0)
        for name, fit in (("published", alone[router]), ("routed", routed)):
            found = bs.routing(fit, params=FAR, experts=64)
            low, middle, high = found["cut_off_quantile"].values.ravel()
            decades = float(np.log10(high / low))
            helps = float(found["helps"].squeeze())
            shown = f"{middle:.2g} ({low:.2g}, {high:.2g}), {decades:.2f} decades; "
            shown += (
                f"helps at 1e12: {helps:.3f}; none: {float(found['cut_off_none'].squeeze()):.2f}"
            )
            what = f"{router}: cut-off, 90 %, {name}"
            if name == "published":
                a = ROUTERS[router]
                report.show(what, f"{10 ** (-a[1] / a[2]):.2g}", shown)
            else:
                report.gate(f"{what} (wider than a decade)", "", shown, decades > 1)
