"""A point fit by variable projection: for given exponents the additive law is linear.

E, A and B are solved for exactly, by non-negative least squares on the loss, so that the search
is over (alpha, beta) alone: a grid, then a simplex from its best point.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize, nnls

from benchmarks.speed.inputs import read_table
from benchmarks.speed.worker import Answer, serve, timed

GRID = np.linspace(0.05, 1.0, 48)


def fit_projected(params: np.ndarray, tokens: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """Fit ``E + A / N^alpha + B / D^beta`` by least squares on the loss.

    Parameters
    ----------
    params, tokens, loss : (run,) array

    Returns
    -------
    dict of str to float
        E, A, B, alpha, beta.
    """
    n0, d0 = (float(np.exp(np.log(v).mean())) for v in (params, tokens))
    n, d = np.log(params / n0), np.log(tokens / d0)

    def solved(exponents: np.ndarray) -> tuple[np.ndarray, float]:
        alpha, beta = exponents
        columns = np.stack([np.ones_like(n), np.exp(-alpha * n), np.exp(-beta * d)], axis=1)
        return nnls(columns, loss)

    start = _best_on_grid(n, d, loss)
    tight = {"xatol": 1e-7, "fatol": 1e-12}
    found = minimize(lambda e: solved(e)[1], start, method="Nelder-Mead", options=tight)
    alpha, beta = map(float, found.x)
    floor, a0, b0 = map(float, solved(found.x)[0])
    return {"E": floor, "A": a0 * n0**alpha, "B": b0 * d0**beta, "alpha": alpha, "beta": beta}


def _best_on_grid(n: np.ndarray, d: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Return the exponents of least squares on the grid, by its normal equations all at once."""
    u, v = np.exp(-np.outer(GRID, n)), np.exp(-np.outer(GRID, d))
    size, one = len(GRID), np.ones_like(n)
    gram = np.empty((size, size, 3, 3))
    right = np.empty((size, size, 3))
    gram[..., 0, 0], right[..., 0] = len(n), loss.sum()
    gram[..., 0, 1] = gram[..., 1, 0] = (u @ one)[:, None]
    gram[..., 0, 2] = gram[..., 2, 0] = (v @ one)[None, :]
    gram[..., 1, 1], gram[..., 2, 2] = (u * u).sum(1)[:, None], (v * v).sum(1)[None, :]
    gram[..., 1, 2] = gram[..., 2, 1] = u @ v.T
    right[..., 1], right[..., 2] = (u @ loss)[:, None], (v @ loss)[None, :]
    solution = np.linalg.solve(gram, right[..., None])[..., 0]
    explained = np.where((solution >= 0).all(-1), (solution * right).sum(-1), -np.inf)
    i, j = np.unravel_index(int(explained.argmax()), explained.shape)
    return np.array([GRID[i], GRID[j]])


class Projected:
    """The point fit: no uncertainty."""

    def __init__(self, folder: Path) -> None:
        self.table = read_table(folder)

    def warm(self) -> Answer:
        """Fit once."""
        return {"first": timed(lambda: self.fit(0))[0]}

    def fit(self, seed: int) -> Any:  # noqa: ARG002 - it draws nothing
        """Fit."""
        return fit_projected(**self.table)

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the coefficients."""
        return {k: np.asarray(v) for k, v in result.items()}

    def facts(self, result: Any) -> Answer:
        """Return the coefficients."""
        return {"point": result}


if __name__ == "__main__":
    serve(Projected)
