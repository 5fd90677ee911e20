"""P3. Held-out large runs of the Chinchilla digitisation."""

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.criticism._scores import crps
from benchmarks.report import Report
from benchmarks.tables import chinchilla

ANCHOR = {
    "217": "probe .0272, Huber .0282, SSL .0340",
    "222": "probe .0274, Huber .0381, SSL .0633",
}
SEEDS = (0, 1, 2)
SHOWN = ("coverage 50", "coverage 80", "coverage 95", "width 95", "log density", "crps")
DRAWS = 20_000  # of the additive law, whose gate is 0.3 % above the answer


COUPLED = bs.ScalingModel(bs.Coupled(), bs.StudentT(noise="compute"))
HITS, WIDTH, DENSITY = 21, 0.10, 1.67


def run() -> Report:
    """Measure P3 with the additive law, and with the coupled one, which allows for being wrong."""
    report = Report("P3", "Held-out runs at 1e21 FLOP and above, from those below")
    tables = chinchilla()
    _measured(report, "additive law", bs.ScalingModel(), tables, 0.0275, DRAWS)
    scores = _measured(report, "coupled law", COUPLED, tables, 0.016, None)
    for rows, each in scores.items():
        hits = round(each["coverage 95"] * len(tables["held out"]))
        report.gate(
            f"coupled law, {rows}: inside 95 % (at least 21 of 23)", "15", hits, hits >= HITS
        )
        report.gate(f"coupled law, {rows}: width (at most .10)", ".053-.071",
                    f"{each['width 95']:.3f}", each["width 95"] <= WIDTH)  # fmt: skip
        report.gate(f"coupled law, {rows}: log density (above 1.67)", "1.672",
                    f"{each['log density']:.2f}", each["log density"] > DENSITY)  # fmt: skip
    return report


def _measured(
    report: Report,
    name: str,
    model: bs.ScalingModel,
    tables: dict[str, pd.DataFrame],
    most: float,
    draws: int | None,
) -> dict[str, dict[str, float]]:
    test, rmse, first = tables["held out"], {}, {}
    for rows in ("217", "222"):
        fits = [bs.fit(model, tables[rows], seed=s, draws=draws) for s in SEEDS]
        scores = [score(f, test) for f in fits]
        rmse[rows], first[rows] = max(s["rmse"] for s in scores), scores[0]
        report.gate(f"{name}: RMSE trained on {rows}, worst of 3 seeds (at most {most})",
                    ANCHOR[rows], f"{rmse[rows]:.5f}", rmse[rows] <= most)  # fmt: skip
        for score_name in SHOWN:
            report.show(f"  {score_name}", "", f"{scores[0][score_name]:.3f}")
        attrs = fits[0].attrs
        report.show(
            "  engine, k-hat, seconds",
            "",
            f"{attrs['method']}, {attrs['k_hat']:.2f}, {attrs['seconds']}",
        )
    gap = abs(rmse["217"] - rmse["222"])
    report.gate(f"{name}: difference of RMSE (at most .002)", "Huber .0099, SSL .0293",
                f"{gap:.5f}", gap <= 0.002)  # fmt: skip
    return first


def score(fit, test: pd.DataFrame) -> dict[str, float]:
    """Score the posterior predictive of new runs against measured ones."""
    there = bs.predict(fit, test[["params", "tokens", "flops"]])
    draws = there["loss_run"].values.reshape(-1, len(test))
    seen = test["loss"].to_numpy(float)
    out = {"rmse": float(np.sqrt(np.mean((np.median(draws, axis=0) - seen) ** 2)))}
    for level in (50, 80, 90, 95):
        low, high = np.quantile(draws, [0.5 - level / 200, 0.5 + level / 200], axis=0)
        out[f"coverage {level}"] = float(np.mean((seen >= low) & (seen <= high)))
    out["width 95"] = float(np.mean(high - low))
    out["log density"] = float(np.mean(_log_density(draws, seen)))
    out["crps"] = float(np.mean(crps(draws, seen)))
    return out


def _log_density(draws: np.ndarray, seen: np.ndarray) -> list[float]:
    from scipy.stats import gaussian_kde

    return [float(gaussian_kde(d).logpdf(s)[0]) for d, s in zip(draws.T, seen, strict=True)]
