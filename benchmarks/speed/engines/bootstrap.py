"""Row bootstrap of the Huber fit: 4,000 refits by SciPy's BFGS, each from the fit to all rows.

As Besiroglu et al. (2024, arXiv:2404.10102) did: the sum of Huber losses (delta 1e-3) on ln L in
log-sum-exp form. The gradient is given in closed form, which is faster than SciPy's differences.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from benchmarks.speed.inputs import read_table
from benchmarks.speed.worker import Answer, serve, timed

DELTA, REFITS = 1e-3, 4000
PUBLISHED = np.array([np.log(482.01), np.log(2085.43), np.log(1.8172), 0.3478, 0.3658])


def huber(p: np.ndarray, n: np.ndarray, d: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the sum of Huber losses and its gradient in (ln A, ln B, ln E, alpha, beta)."""
    terms = np.stack([p[0] - p[3] * n, p[1] - p[4] * d, np.full_like(y, p[2])])
    top = terms.max(axis=0)
    parts = np.exp(terms - top)
    total = parts.sum(axis=0)
    gap = top + np.log(total) - y
    size = np.abs(gap)
    loss = np.where(size < DELTA, 0.5 * gap**2, DELTA * (size - 0.5 * DELTA)).sum()
    share = parts / total * np.clip(gap, -DELTA, DELTA)
    by_term = share.sum(axis=1)
    return loss, np.array([*by_term, -share[0] @ n, -share[1] @ d])


def refit(start: np.ndarray, n: np.ndarray, d: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the optimum that BFGS finds from a start."""
    return minimize(huber, start, args=(n, d, y), jac=True, method="BFGS").x


class Bootstrap:
    """The 4,000 refits; its draws are refits of resampled rows, not of a posterior."""

    def __init__(self, folder: Path) -> None:
        table = read_table(folder)
        self.columns = [np.log(table[c]) for c in ("params", "tokens", "loss")]

    def warm(self) -> Answer:
        """Fit all rows, from the published optimum."""
        seconds, self.start = timed(lambda: refit(PUBLISHED, *self.columns))
        return {"point": seconds}

    def fit(self, seed: int) -> Any:
        """Resample the rows and refit, one process, one refit after the other."""
        rng, rows = np.random.default_rng(seed), len(self.columns[0])
        out = np.empty((REFITS, len(PUBLISHED)))
        for i in range(REFITS):
            pick = rng.integers(0, rows, rows)
            out[i] = refit(self.start, *(c[pick] for c in self.columns))
        return out

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the coefficients of the refits."""
        a, b, e, alpha, beta = result.T[:, None]
        return {"A": np.exp(a), "B": np.exp(b), "E": np.exp(e), "alpha": alpha, "beta": beta}

    def facts(self, result: Any) -> Answer:  # noqa: ARG002
        """Return nothing more."""
        return {}


if __name__ == "__main__":
    serve(Bootstrap)
