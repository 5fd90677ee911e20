"""What a user would do instead: point fits by least squares and Huber loss, and their bootstrap."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.scipy.optimize import minimize

from bayes_scaling.laws import Chinchilla, bind

STARTS = 18


def _columns(runs: pd.DataFrame) -> tuple[Any, Any, Any]:
    return tuple(np.log(runs[c].to_numpy(float)) for c in ("params", "tokens", "loss"))


def _objective(p: Any, reference: Any, n: Any, d: Any, y: Any, weight: Any, delta: Any) -> Any:
    theta = dict(zip(("E", "a0", "b0", "alpha", "beta"), jnp.exp(p), strict=True))
    law = Chinchilla(reference=(("params", reference[0]), ("tokens", reference[1])))
    gap = jnp.abs(jnp.log(law(theta, {"params": jnp.exp(n), "tokens": jnp.exp(d)})) - y)
    near = jnp.minimum(gap, delta)
    huber = near * (gap - 0.5 * near)
    return jnp.sum(weight * huber)


@jax.jit
def _search(start: Any, reference: Any, n: Any, d: Any, y: Any, weight: Any, delta: Any) -> Any:
    # The objective is tiny (1e-3 in all): scaled, so that the gradient test means something.
    scale = 1e4
    f = lambda p: scale * _objective(p, reference, n, d, y, weight, delta)  # noqa: E731
    first = minimize(f, start, method="BFGS", options={"maxiter": 300, "gtol": 1e-9})
    best = minimize(f, first.x, method="BFGS", options={"maxiter": 300, "gtol": 1e-9})
    return best.x, best.fun / scale


def fit_point(runs: pd.DataFrame, delta: float = 1e-3, seed: int = 0) -> dict[str, float]:
    """Fit the additive law by the sum of Huber losses on ln L, best of 18 starts.

    Parameters
    ----------
    runs : DataFrame
        A run table.
    delta : float
        Where the loss turns linear; inf is least squares on ln L.
    seed : int
        Of the starts.

    Returns
    -------
    dict of str to float
        E, A, B, alpha, beta, their split `a`, and the `objective`.
    """
    rng = np.random.default_rng(seed)
    with jax.enable_x64(True):
        n, d, y = _columns(runs)
        law = bind(Chinchilla(), {"params": np.exp(n), "tokens": np.exp(d)})
        reference = np.array([v for _, v in law.reference])
        starts = np.log([1.5, 0.4, 0.4, 0.35, 0.35]) + 0.5 * rng.normal(size=(STARTS, 5))
        search = jax.vmap(partial(_search, reference=reference, n=n, d=d, y=y,
                                  weight=np.ones(len(y)), delta=delta))  # fmt: skip
        x, f = (np.array(v) for v in search(starts))
    best = int(np.nanargmin(f))
    theta = dict(zip(("E", "a0", "b0", "alpha", "beta"), np.exp(x[best]), strict=True))
    paper = {k: float(v) for k, v in law.to_paper(theta).items()}
    return {**paper, "a": float(law.exponent(theta)), "objective": float(f[best])}


def bootstrap_split(runs: pd.DataFrame, draws: int = 1000, seed: int = 42) -> np.ndarray:
    """Bootstrap rows and refit the Huber point fit, each from the fit to all rows.

    Returns
    -------
    (draws,) array
        The exponent `a` of every refit that converged to a finite value.
    """
    rng = np.random.default_rng(seed)
    fitted = fit_point(runs)
    with jax.enable_x64(True):
        n, d, y = _columns(runs)
        law = bind(Chinchilla(), {"params": np.exp(n), "tokens": np.exp(d)})
        theta = law.from_paper(fitted)
        start = np.log([theta[k] for k in ("E", "a0", "b0", "alpha", "beta")])
        reference = np.array([v for _, v in law.reference])
        counts = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=draws).astype(float)
        search = jax.vmap(lambda w: _search(start, reference, n, d, y, w, 1e-3))
        x = np.array(search(counts)[0])
    alpha, beta = np.exp(x[:, 3]), np.exp(x[:, 4])
    a = beta / (alpha + beta)
    return a[np.isfinite(a)]
