"""P9. Five corrections from 0.84 to 0.50: Porian et al.'s optima, their errors' scale learned."""

import time
from itertools import pairwise

import numpy as np

import bayes_scaling as bs
from bayes_scaling.errors import BayesScalingError
from benchmarks.report import Report

CHAIN = ("kaplan_reproduction", "head_included", "warmup_corrected", "cosine_decay_matched",
         "tuned_no_decay")  # fmt: skip
PUBLISHED = {  # exponent, their 95 % interval
    "RefinedWeb": [(0.8353, 0.824, 0.846), (0.7065, 0.691, 0.717), (0.6020, 0.591, 0.617),
                   (0.5715, 0.560, 0.589), (0.4969, 0.491, 0.505)],
    "OpenWebText2": [(0.8635, 0.819, 0.897), (0.6985, 0.664, 0.724), (0.6032, 0.570, 0.629),
                     (0.5743, 0.542, 0.606), (0.5185, 0.493, 0.541)],
}  # fmt: skip
CREDIBLE = (0.025, 0.975)


def run() -> Report:
    """Fit the ten lines, and tabulate what every correction does."""
    report = Report("P9", "Exponents of the optimal size, from Kaplan's recipe to a tuned one")
    try:
        optima = bs.load_dataset("porian_optima")
    except BayesScalingError as error:
        report.gate("data set porian_optima", "", str(error).splitlines()[0], ok=False)
        return report
    optima = optima[optima["params_opt"].notna()]  # four budgets have no optimum inside their sizes
    start = time.perf_counter()
    for corpus, published in PUBLISHED.items():
        lines = {}
        for setting, (anchor, low, high) in zip(CHAIN, published, strict=True):
            here = optima[(optima["experiment"] == setting) & (optima["dataset"] == corpus)]
            columns = ("flops", "params_opt", "log_params_opt_std")
            lines[setting] = bs.frontier(*(here[c].to_numpy(float) for c in columns))
            a = lines[setting].a.values.ravel()
            bounds = np.quantile(a, CREDIBLE)
            ok = abs(a.mean() - anchor) < 0.01 and bounds[0] < high and low < bounds[1]
            shown = f"{a.mean():.4f} ({bounds[0]:.3f}, {bounds[1]:.3f}), errors x "
            shown += f"{float(lines[setting].scale.median()):.2f}"
            report.gate(f"{corpus}, {setting}", f"{anchor:.4f} ({low}, {high})", shown, bool(ok))
        for before, after in pairwise(CHAIN):
            change = (lines[after].a - lines[before].a).values.ravel()
            bounds = np.quantile(change, CREDIBLE)
            shown = f"{change.mean():+.3f} ({bounds[0]:+.3f}, {bounds[1]:+.3f})"
            if (corpus, after) == ("RefinedWeb", "tuned_no_decay"):
                report.gate(f"  effect of {after}, not 0", "", shown, bool(bounds[1] < 0))
            else:
                report.show(f"  effect of {after}", "", shown)
        if corpus == "RefinedWeb":
            low, high = np.quantile(lines["tuned_no_decay"].a, CREDIBLE)
            report.gate("  the tuned exponent may be 0.50", "", f"({low:.4f}, {high:.4f})",
                        bool(low < 0.5 < high))  # fmt: skip
    seconds = time.perf_counter() - start
    report.gate("all ten (under 2 minutes)", "28 min", f"{seconds:.2f} s", seconds < 120)
    return report
