"""Many tables with one call, and many budgets with another.

``python -m benchmarks.speed.many`` answers ``{"fits": [1, 10, 100, 1000]}`` and ``{"plans": 20}``.
"""

import numpy as np

import bayes_scaling as bs
from benchmarks.speed.tables import study
from benchmarks.speed.worker import Answer, answer_lines, timed

ROWS, DRAWS, BUDGETS = 240, 1000, 100


def measure(asked: Answer) -> Answer:
    """Time `fit_many` on simulated studies, or `allocate` on the fit of one.

    Returns
    -------
    dict
        For fits, `first` (seconds of the first size, with compilation) and `points`, one per size;
        for plans, `seconds`.
    """
    if "plans" in asked:
        return {"seconds": plans(int(asked["plans"]))}
    model, sizes = bs.ScalingModel(), [int(s) for s in asked["fits"]]
    tables = [study(ROWS, seed) for seed in range(max(sizes))]
    first, _ = timed(lambda: bs.fit_many(model, tables[: sizes[0]], draws=DRAWS, seed=0))
    points = []
    for size in sizes:
        seconds, found = timed(lambda n=size: bs.fit_many(model, tables[:n], draws=DRAWS, seed=1))
        points.append({"fits": size, "seconds": seconds, "returned": int(found.sizes["fit"])})
    return {"first": first, "points": points}


def plans(repeats: int) -> list[float]:
    """Time the plans of 100 budgets from 4,000 draws, after one that is not counted."""
    fit = bs.fit(bs.ScalingModel(), study(ROWS))
    budgets = np.geomspace(1e19, 1e25, BUDGETS)
    return [timed(lambda: bs.allocate(fit, budgets))[0] for _ in range(repeats + 1)][1:]


if __name__ == "__main__":
    answer_lines(measure)
