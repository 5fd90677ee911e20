"""P2. The probe posterior: NUTS agrees with an independent sampler of the same model."""

import numpy as np

import bayes_scaling as bs
from benchmarks.report import Report
from benchmarks.tables import chinchilla

# Random-walk Metropolis, 60,000 steps, weak priors: mean and 95 % interval of a.
PROBE = {
    "240": (0.511, 0.490, 0.533),
    "245": (0.514, 0.493, 0.536),
    "217": (0.541, 0.521, 0.560),
    "222": (0.541, 0.522, 0.561),
}
HET = {"240": 0.524, "245": 0.522, "217": 0.543, "222": None}


def run() -> Report:
    """Measure P2."""
    report = Report("P2", "NUTS against an independent random-walk sampler")
    for rows, table in chinchilla().items():
        if rows not in PROBE:
            continue
        worst_mean = worst_end = 0.0
        mean, low, high = PROBE[rows]
        for seed in (0, 1, 2):
            fit = bs.fit(bs.ScalingModel(), table, method="nuts", draws=2000, seed=seed)
            a = fit["posterior"]["a"].values.ravel()
            ends = np.quantile(a, [0.025, 0.975])
            worst_mean = max(worst_mean, abs(a.mean() - mean))
            worst_end = max(worst_end, *np.abs(ends - [low, high]))
        shown = f"{a.mean():.4f} [{ends[0]:.4f}, {ends[1]:.4f}]"
        report.gate(f"a({rows}): mean within .003", f"{mean} [{low}, {high}]",
                    f"{shown}, worst off by {worst_mean:.4f}", worst_mean <= 0.003)  # fmt: skip
        report.gate(f"a({rows}): ends within .005", "", f"worst off by {worst_end:.4f}",
                    worst_end <= 0.005)  # fmt: skip
        nu, sigma = (float(fit["posterior"][v].median()) for v in ("nu", "sigma"))
        report.show(f"nu, sigma ({rows})", "2.8, .004" if rows == "240" else "",
                    f"{nu:.2f}, {sigma:.4f}")  # fmt: skip
        if HET[rows] is not None:
            het = bs.ScalingModel(observation=bs.StudentT(noise="compute"))
            other = float(bs.fit(het, table)["posterior"]["a"].mean())
            report.show(f"a({rows}), scatter varying with compute", HET[rows], f"{other:.4f}")
    return report
