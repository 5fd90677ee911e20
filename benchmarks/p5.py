"""P5. The bias of parabolas through noise-free losses, and of valleys of the law's own shape."""

import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.decision.allocate import PER_TOKEN
from benchmarks.report import Report

SURFACES = {  # A, B, alpha, beta; E is 1.69
    "sym": (400.0, 400.0, 0.31, 0.31),
    "chin": (406.4, 410.7, 0.34, 0.28),
    "asym": (406.4, 410.7, 0.465, 0.155),
}
BUDGETS = np.logspace(17, 21, 5)
WIDTHS = (2, 4, 8, 16)
TARGET = 1e24
CENTRES = {
    "centred": np.ones(5),
    "3x offset": np.full(5, 3.0),
    "drift to 3x": np.geomspace(1, 3, 5),
}
PUBLISHED = {  # 100 (D / D* - 1) at 1e24
    ("sym", "centred"): (0, 0, 0, 0),
    ("sym", "3x offset"): (3.97, 3.47, 2.65, 1.51),
    ("sym", "drift to 3x"): (6.07, 5.17, 3.70, 1.69),
    ("chin", "centred"): (-0.33, -1.30, -2.90, -5.10),
    ("chin", "3x offset"): (7.11, 5.69, 3.38, 0.24),
    ("chin", "drift to 3x"): (11.61, 9.83, 6.94, 3.05),
    ("asym", "centred"): (-1.67, -6.50, -13.91, -23.12),
    ("asym", "3x offset"): (19.22, 14.41, 6.96, -2.42),
    ("asym", "drift to 3x"): (34.57, 30.04, 22.97, 14.00),
}
NOISE = 1e-5  # of ln L, assumed where there is none: far below what moves a minimum
MODEL = bs.ScalingModel(
    bs.IsoFlop("additive"), bs.Normal(), priors={"sigma": bs.Prior.of("Fixed", value=NOISE)}
)


def run() -> Report:
    """Compare both estimators of D* at 1e24 FLOP on all 36 grids."""
    report = Report("P5", "Error of D* at 1e24 FLOP, per cent, grids of 2, 4, 8, 16 times D*")
    grids = [(s, c, w) for s, c in PUBLISHED for w in WIDTHS]
    tables = [table(*g) for g in grids]
    fits = bs.fit_many(MODEL, tables)
    truth = {s: optimal_tokens(s, TARGET) for s in SURFACES}
    parabola, ours, warned = [], [], []
    for i, (surface, _, _) in enumerate(grids):
        found = bs.approach2(tables[i])
        line = np.exp(float(found.log_g_tokens) + float(found.b) * np.log(TARGET))
        parabola.append(100 * (line / truth[surface] - 1))
        plan = bs.allocate(bs.one_of(fits, i), TARGET)
        ours.append(100 * (float(plan.tokens_opt.median()) / truth[surface] - 1))
        warned.append(says_biased(bs.one_of(fits, i), tables[i]))
    for j, (key, published) in enumerate(PUBLISHED.items()):
        here = slice(4 * j, 4 * j + 4)
        close = np.allclose(parabola[here], published, atol=0.01)
        shown = ", ".join(f"{v:.2f}" for v in parabola[here])
        anchor = ", ".join(f"{v:.2f}" for v in published)
        report.gate(f"{' '.join(key)}: parabola (to 0.01)", anchor, shown, bool(close))
        exact = bool(np.all(np.abs(ours[here]) < 0.1))
        shown = ", ".join(f"{v:.4f}" for v in ours[here])
        report.gate("  valley of the law's shape (below 0.1)", "", shown, exact)
    should, did = np.abs(parabola) > 2, np.array(warned)
    what = "warns where parabolas are off by more than 2 % at 1e24 FLOP"
    report.gate(what, f"{should.sum()} grids", (should & did).sum(), bool(did[should].all()))
    report.show("  and elsewhere, being off by as much at a budget", "", (did & ~should).sum())
    return report


def table(surface: str, centre: str, width: float) -> pd.DataFrame:
    """Return 15 runs at each of five budgets, their tokens about a multiple of the best."""
    law, theta = law_of(surface)
    parts = []
    for budget, off in zip(BUDGETS, CENTRES[centre], strict=True):
        middle = optimal_tokens(surface, budget) * off
        tokens = np.geomspace(middle / width, middle * width, 15)
        params = budget / PER_TOKEN / tokens
        loss = law(theta, {"params": params, "tokens": tokens})
        parts.append(pd.DataFrame({"params": params, "tokens": tokens, "loss": loss}))
    return pd.concat(parts, ignore_index=True).assign(use=True, flag="")


def law_of(surface: str) -> tuple[bs.Chinchilla, dict[str, float]]:
    """Return the additive law of a surface, and its parameters."""
    law = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))
    names = dict(zip(("A", "B", "alpha", "beta"), SURFACES[surface], strict=True))
    return law, law.from_paper({"E": 1.69, **names})


def optimal_tokens(surface: str, flops: float) -> float:
    """Return the true D*."""
    law, theta = law_of(surface)
    return float(law.optimum(theta, flops / PER_TOKEN)[1])


def says_biased(fit, runs: pd.DataFrame) -> bool:
    """Tell whether the report on the parabola's bias warns."""
    import warnings

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", bs.ParabolaBiasWarning)
        bs.parabola_bias(fit, runs, TARGET)
    return any(issubclass(w.category, bs.ParabolaBiasWarning) for w in said)
