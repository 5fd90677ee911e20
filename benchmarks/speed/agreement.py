"""Whether samplers describe one posterior: quantiles, in posterior standard deviations."""

from collections.abc import Sequence

import numpy as np

QUANTILES = (0.05, 0.5, 0.95)
COMPARED = ("E", "alpha", "beta", "sigma", "nu")  # and a = beta / (alpha + beta)
Draws = dict[str, np.ndarray]


def smallest_ess(draws: Draws) -> float:
    """Return the smallest bulk effective sample size of (chain, draw) arrays."""
    from arviz_stats.base import array_stats

    return min(
        float(array_stats.ess(v, chain_axis=0, draw_axis=1, method="bulk")) for v in draws.values()
    )


def distances(fits: Sequence[Draws], reference: Draws) -> dict[str, float]:
    """Return per quantity the largest distance of a 5, 50 or 95 % quantile to the reference.

    Parameters
    ----------
    fits : sequence of draws
        Of one engine; they are pooled, so that what is left is bias and not Monte Carlo error.
    reference : draws
        Of a long run.

    Returns
    -------
    dict of str to float
        In standard deviations of the reference.
    """
    theirs = _quantities(reference)
    ours = [_quantities(f) for f in fits]
    out = {}
    for name, values in theirs.items():
        pooled = np.concatenate([o[name] for o in ours])
        gap = np.quantile(pooled, QUANTILES) - np.quantile(values, QUANTILES)
        out[name] = float(np.abs(gap).max() / values.std())
    return out


def _quantities(draws: Draws) -> Draws:
    out = {k: np.ravel(draws[k]) for k in COMPARED}
    return {**out, "a": out["beta"] / (out["alpha"] + out["beta"])}
