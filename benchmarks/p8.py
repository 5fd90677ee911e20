"""P8. What counting does: one law, read with and without the embeddings."""

import numpy as np

import bayes_scaling as bs
from bayes_scaling.data.simulate import CHINCHILLA
from benchmarks.report import Report

FAMILY = bs.Transformers()
SIZES = np.logspace(2.9, 9.2, 20)  # without embeddings
TOKENS = np.logspace(6, 25, 1000)
BUDGETS = {"non-embedding": (10**12.95, 10**20.7), "total": (1e14, 10**20.7)}
LAWS = {
    "Besiroglu": CHINCHILLA,
    "Hoffmann": {"E": 1.6934, "A": 406.4, "B": 410.7, "alpha": 0.3392, "beta": 0.2849},
}
ANCHORS = {
    ("Besiroglu", "non-embedding"): (0.7805, -0.0690, -0.1329),
    ("Hoffmann", "non-embedding"): (0.7388, -0.0659, -0.1200),
    ("Besiroglu", "total"): (0.5154, None, None),
    ("Hoffmann", "total"): (0.4577, None, None),
}


def run() -> Report:
    """Repeat the simulated study of Pearce and Song, and read a posterior the same two ways."""
    report = Report("P8", "Exponents of the optimal size under two counts")
    for (name, count), (exponent, of_loss, of_reducible) in ANCHORS.items():
        got = study(LAWS[name], count)
        what = f"{name}, {count}: exponent of N* (within .005)"
        report.gate(what, exponent, f"{got[0]:.4f}", abs(got[0] - exponent) < 0.005)
        if of_loss:
            anchor = f"{of_loss:.4f}, {of_reducible:.4f}"
            report.show("  slopes of ln L and ln(L - E)", anchor, f"{got[1]:.4f}, {got[2]:.4f}")
    budgets = np.logspace(12.95, 20.7, 100)
    seen = bs.recount(bs.load_posterior("chinchilla"), budgets, FAMILY)
    logs = np.log(seen.params_non_embedding.values.reshape(-1, len(budgets)))
    slope = np.polyfit(np.log(budgets), logs.T, 1)[0]
    low, middle, high = np.quantile(slope, [0.05, 0.5, 0.95])
    report.show("our posterior, non-embedding, a line", "", f"{middle:.3f} [{low:.3f}, {high:.3f}]")
    report.show(
        "  the posterior's probability that it exceeds 0.73", "", f"{(slope > 0.73).mean():.3f}"
    )
    return report


def study(paper: dict[str, float], count: str) -> tuple[float, float, float]:
    """Return slopes in ln C of ln N*, ln L* and ln(L* - E), on the study's grid of runs."""
    total = FAMILY.total(SIZES)
    counted = total if count == "total" else SIZES
    law = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    loss = law(law.from_paper(paper), {"params": total[:, None], "tokens": TOKENS})
    flops = 6 * counted[:, None] * TOKENS
    budgets = np.geomspace(*BUDGETS[count], 100)
    nearest = np.abs(flops[:, None, :] - budgets[:, None]).argmin(axis=2)  # size by budget
    there = np.take_along_axis(loss, nearest, axis=1)
    best = there.argmin(axis=0)
    lowest = there.min(axis=0)
    logs = (np.log(counted[best]), np.log(lowest), np.log(lowest - paper["E"]))
    slopes = [float(np.polyfit(np.log(budgets), y, 1)[0]) for y in logs]
    return slopes[0], slopes[1], slopes[2]
