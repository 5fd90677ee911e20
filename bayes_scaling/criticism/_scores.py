"""Scores of predictive draws against what was measured, run by run and by distance ahead."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.stats as st
import xarray as xr

from bayes_scaling.criticism._baselines import Ahead
from bayes_scaling.criticism._evidence import pit_of

PROBS = (0.5, 0.8, 0.9, 0.95)
BINS = (0.0, 0.25, 0.5, 1.0, 2.0, np.inf)  # decades ahead
LEVELS = 10  # of the histogram of PIT values
ALARM = 0.05  # how often a right model is called too narrow or too wide, over all its bins
FEWEST = 5  # runs in a bin from which its coverage is judged
LEAST, MOST = 1e-300, 1e300  # draws of tails near Cauchy's may be zero or infinite
MEANS = ("crps", "log_score")
RUNWISE = ("predicted", "error", "pit", "crps", "log_score", "inside", "width")
WIDE = ("inside", "width")  # of these there is one per interval


def crps(draws: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of draws, in their unit; lower is better.

    Parameters
    ----------
    draws : (draw, run) array
    seen : (run,) array

    Notes
    -----
    ``mean |x - y| - sum_{s,t} |x_s - x_t| / (2 S (S - 1))``: without bias for any number of draws
    (Gneiting and Raftery 2007, doi:10.1198/016214506000001437; Ferro 2014).

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.criticism._scores import crps
    >>> crps(np.array([[0.0], [2.0]]), np.array([1.0]))
    array([0.])
    """
    count = len(draws)
    rank = (2 * np.arange(1, count + 1) - count - 1)[:, None] / (count * (count - 1))
    spread = np.sum(rank * np.sort(draws, axis=0), axis=0)
    return np.mean(np.abs(draws - seen), axis=0) - spread


def scores(draws: np.ndarray, seen: np.ndarray, log: bool) -> dict[str, np.ndarray]:
    """Score (draw, run) predictions of measured runs; `inside` and `width` are (run, prob)."""
    middle = np.median(draws, axis=0)
    pit = pit_of(draws, seen)
    ends = [np.quantile(draws, [0.5 - p / 2, 0.5 + p / 2], axis=0) for p in PROBS]
    if log:
        draws, seen_by = np.log(np.clip(draws, LEAST, MOST)), np.log(seen)
    else:
        seen_by = seen
    return {
        "predicted": middle,
        "error": middle - seen,
        "pit": pit,
        "crps": crps(draws, seen_by),
        "inside": within(pit),
        "width": np.stack([high - low for low, high in ends], axis=-1),
    }


def within(pit: np.ndarray) -> np.ndarray:
    """Return whether PIT values lie in the central intervals, with a dimension `prob` added."""
    return (np.abs(pit - 0.5)[..., None] <= np.array(PROBS) / 2).astype(float)


def replicated(draws: np.ndarray, where: Sequence[np.ndarray]) -> np.ndarray:
    """Count how many runs would lie inside their intervals if a draw were what is measured.

    Runs of one draw share its parameters, so the counts scatter as much as the runs of one fit do.

    Parameters
    ----------
    draws : (draw, run) array
    where : sequence of (run,) arrays of bool
        The bins.

    Returns
    -------
    (bin, draw, prob) array
    """
    pit = (np.argsort(np.argsort(draws, axis=0), axis=0) + 0.5) / len(draws)
    held = within(pit)
    return np.stack([held[:, w].sum(axis=1) for w in where])


def bin_of(ahead: np.ndarray) -> np.ndarray:
    """Return the bin of a distance ahead, decades; -1 where there is none."""
    found = np.searchsorted(BINS, ahead, side="left") - 1
    return np.where(np.isnan(ahead), -1, np.maximum(found, 0))


def bin_names() -> list[str]:
    """Name the bins, in decades."""
    pairs = pairwise(BINS)
    return [f"{a:g} to {b:g}" if np.isfinite(b) else f"over {a:g}" for a, b in pairs]


def summarised(
    each: Mapping[str, np.ndarray], measured: np.ndarray, which: np.ndarray, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """Sum up one model's scores by bin.

    Parameters
    ----------
    each : mapping of str to (cut, run, ...) array
        From `scores`, NaN where a run was not predicted.
    measured : (run,) array
    which : (cut, run) array of int
        The bin of every run ahead of every cut.
    counts : (bin, draw, prob) array
        From `replicated`, summed over cuts.
    """
    names = bin_names()
    known = np.isfinite(each["predicted"])
    rows = [known & (which == b) for b in range(len(names))]
    runs = np.array([r.sum() for r in rows])

    def mean(values: np.ndarray) -> np.ndarray:
        empty = np.full(values.shape[2:], np.nan)
        return np.array([values[r].mean(axis=0) if r.any() else empty for r in rows])

    covered = np.array([each["inside"][r].sum(axis=0) for r in rows])
    low, high = binomial(covered, runs[:, None])
    below, above = (np.array([[_share(f(c[:, p], k[p])) for p in range(len(PROBS))]
                    for c, k in zip(counts, covered, strict=True)])
                    for f in (np.less_equal, np.greater_equal))  # fmt: skip
    own = np.quantile(counts, [0.025, 0.975], axis=1) / np.maximum(runs, 1)[:, None]
    edges = np.linspace(0, 1, LEVELS + 1)
    return {
        "runs": runs,
        "rmse": np.sqrt(mean(each["error"] ** 2)),
        "mre": mean(np.abs(each["error"] / measured)),
        **{f"mean_{k}": mean(each[k]) for k in MEANS},
        "coverage": mean(each["inside"]),
        "mean_width": mean(each["width"]),
        "covered_low": low,
        "covered_high": high,
        "own_low": np.where(runs[:, None] > 0, own[0], np.nan),
        "own_high": np.where(runs[:, None] > 0, own[1], np.nan),
        "p_narrow": np.where(runs[:, None] > 0, below, np.nan),
        "p_wide": np.where(runs[:, None] > 0, above, np.nan),
        "pit_histogram": np.array([np.histogram(each["pit"][r], edges)[0] for r in rows]),
    }


def _share(which: np.ndarray) -> float:
    return float((np.sum(which) + 1) / (len(which) + 1))


def binomial(inside: Any, runs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % interval of a share, NaN of none."""
    z, n = float(st.norm.isf(0.025)), np.where(np.asarray(runs) > 0, runs, np.nan)
    middle = (inside + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * np.sqrt(inside * (1 - inside / n) + z**2 / 4)
    return middle - half, middle + half


def verdict_of(by: Mapping[str, np.ndarray], reach: float) -> str:
    """Say of one model whether its intervals hold at the distances there are."""
    runs, names = by["runs"], bin_names()
    judged = np.flatnonzero(runs >= FEWEST)
    if not len(judged):
        return f"{int(runs.sum())} runs ahead: too few to judge the intervals by"
    edge = ALARM / (2 * len(judged))
    for kind, prob, name in (("narrow", 0.95, "p_narrow"), ("wide", 0.5, "p_wide")):
        at = PROBS.index(prob)
        p = by[name][judged, at]
        if p.min() < edge:
            worst = judged[np.lexsort((-runs[judged], p))[0]]
            said = _covered(prob, float(by["coverage"][worst, at]), int(runs[worst]))
            chance, own = (_range(by[f"{v}_low"][worst, at], by[f"{v}_high"][worst, at])
                           for v in ("covered", "own"))  # fmt: skip
            return (
                f"{said} {names[worst]} decades ahead (binomial {chance}; if they were right, "
                f"{own}): intervals are too {kind}"
            )
    at, total = PROBS.index(0.95), int(runs.sum())
    inside = float(np.nansum(by["coverage"][:, at] * runs))
    low, high = binomial(inside, total)
    said = f"{_covered(0.95, inside / total, total)} up to {reach:.1f} decades ahead"
    so = "they hold" if high >= 0.95 else "fewer, though runs that share a fit may miss together"
    return f"{said} (binomial {_range(low, high)}): {so}"


def _covered(prob: float, share: float, runs: int) -> str:
    return f"nominal {100 * prob:.0f} % intervals covered {100 * share:.0f} % of {runs} runs"


def _range(low: Any, high: Any) -> str:
    return f"{100 * float(low):.0f} to {100 * float(high):.0f} %"


def joined(
    found: Mapping[str, Sequence[Ahead]],
    seen: np.ndarray,
    above: Sequence[np.ndarray],
    distance: np.ndarray,
    log: bool,
) -> xr.Dataset:
    """Score every model above every cut, and sum up by distance.

    Parameters
    ----------
    found : mapping of str to sequence of Ahead
        Per model, what it predicts above each cut.
    seen : (run,) array
    above : sequence of arrays of int
        Positions of the runs above each cut.
    distance : (cut, run) array
        Decades ahead, NaN of runs that were fitted.
    log : bool
        Whether CRPS is of the logarithm.
    """
    which, bins, reach = bin_of(distance), bin_names(), float(np.nanmax(distance))
    each: dict[str, list[Any]] = {}
    by: dict[str, list[Any]] = {}
    for predictions in found.values():
        mine = {k: np.full((*distance.shape, len(PROBS))[: 3 if k in WIDE else 2], np.nan)
                for k in RUNWISE}  # fmt: skip
        counts = np.zeros((len(bins), 1, len(PROBS)))
        for at, (ahead, rows) in enumerate(zip(predictions, above, strict=True)):
            if len(ahead.draws):
                got = scores(ahead.draws, seen[rows], log) | {"log_score": ahead.log_score}
                for name, values in got.items():
                    mine[name][at, rows] = values
                here = [which[at, rows] == b for b in range(len(bins))]
                counts = counts + replicated(ahead.draws, here)
        summed: dict[str, Any] = summarised(mine, seen, which, counts)
        none = f"no prediction: {predictions[-1].trust}"
        summed["verdict"] = verdict_of(summed, reach) if summed["runs"].any() else none
        summed |= {k: [getattr(a, k) for a in predictions] for k in ("trust", "k_hat")}
        for store, values in ((each, mine), (by, summed)):
            for k, v in values.items():
                store.setdefault(k, []).append(v)
    dims: dict[str, Any] = {
        k: ("model", "cut", "run", *(["prob"] if k in WIDE else [])) for k in each
    }
    for k, v in by.items():
        last = ["level"] if k == "pit_histogram" else ["prob"] * (np.ndim(v) - 2)
        dims[k] = ("model", "ahead", *last)
    dims |= {"verdict": ("model",), "trust": ("model", "cut"), "k_hat": ("model", "cut")}
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    return xr.Dataset(
        {k: (dims[k], np.array(v)) for k, v in (each | by).items()},
        {"model": list(found), "ahead": bins, "prob": list(PROBS), "level": levels,
         "distance": (("cut", "run"), distance)},
    )  # fmt: skip
