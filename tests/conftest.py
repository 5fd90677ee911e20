"""What several test files share: a simulated ladder, one fit of it, and a distance to a density."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import xarray as xr

# Besiroglu et al. 2024, arXiv:2404.10102: a law that real runs follow.
TRUTH = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
ROWS = 96  # one row count for all fits of the suite, so that they share their compiled programs


def simulate_ladder(
    seed: int, rows: int = ROWS, sigma: float = 0.005, nu: float = 4.0, **paper: float
) -> pd.DataFrame:
    """Simulate `rows` runs of the additive law: isoFLOP budgets times 12 ratios of tokens to size.

    The law is restated here on purpose: a simulator that called the code under test could not
    disagree with it.
    """
    truth = {**TRUTH, **paper}
    budgets = np.geomspace(6e18, 3e21, -(-rows // 12))
    ratios = np.geomspace(2.0, 300.0, 12)
    flops, ratio = (v.ravel()[:rows] for v in np.meshgrid(budgets, ratios, indexing="ij"))
    params = np.sqrt(flops / 6 / ratio)
    tokens = params * ratio
    loss = truth["E"] + truth["A"] * params ** -truth["alpha"]
    loss += truth["B"] * tokens ** -truth["beta"]
    rng = np.random.default_rng(seed)
    loss *= np.exp(sigma * rng.standard_t(nu, rows))
    return pd.DataFrame({"params": params, "tokens": tokens, "loss": loss})


def distance_to_density(
    sample: np.ndarray, grid: np.ndarray, density: np.ndarray
) -> tuple[float, float]:
    """Return Kolmogorov's distance of a sample to a density on a grid, and the density's mass.

    The cdf is integrated by trapezes, so the grid has to be fine where the density is.
    """
    pieces = 0.5 * (density[1:] + density[:-1]) * np.diff(grid)
    cdf = np.concatenate([[0.0], np.cumsum(pieces)])
    at = np.interp(np.sort(sample), grid, cdf)
    steps = np.arange(len(sample) + 1) / len(sample)
    gap = max(np.abs(at - steps[1:]).max(), np.abs(at - steps[:-1]).max())
    return float(gap), float(cdf[-1])


@pytest.fixture(scope="session")
def ladder() -> Callable[..., pd.DataFrame]:
    return simulate_ladder


@pytest.fixture(scope="session")
def truth() -> dict[str, float]:
    return dict(TRUTH)


@pytest.fixture(scope="session")
def distance() -> Callable[..., tuple[float, float]]:
    return distance_to_density


@pytest.fixture(scope="session")
def fitted() -> xr.DataTree:
    """Fit the default model to one ladder: fits are frozen data, so that tests may share one."""
    import bayes_scaling as bs

    return bs.fit(bs.ScalingModel(), simulate_ladder(0), method="laplace", seed=0)
