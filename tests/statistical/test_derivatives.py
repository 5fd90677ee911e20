"""The derivatives that engines climb by are those of the density: of every law, by differences.

A wrong derivative leaves importance weights right, so that calibration does not see it; searches
then stop short of the peak, and chains stand still.
"""

from functools import partial

import jax
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.inference.target import starts_for, target_of
from bayes_scaling.laws import LAWS
from bayes_scaling.program import prepare
from benchmarks import sbc

POINTS = 6
STEP = 1e-5
WATCHED = {"date": [2020, 2021.2, 2022.1, 2023, 2024, 2024.2], "horizon": [1.0, 3, 7, 20, 50, 30]}
CASES = {
    "chinchilla": lambda: sbc.case("chinchilla"),
    "records": lambda: (
        bs.ScalingModel(bs.TimeTrend(), bs.Records(2026.0)),
        bs.read_runs(WATCHED, require=("date", "horizon")),
    ),
}


def gaps(model, runs):
    """Return, per prior draw, derivatives along a random direction, and the same by differences.

    Draws among the better half of the prior's: where the density is hopeless, nothing climbs.
    """
    ready = prepare(model, runs)
    target = target_of(ready.program, ready.data)
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        points = starts_for(target, ready.data, 64, 0)
        whole = partial(jax.vmap, in_axes=(0, None))
        program = jax.jit(whole(target.potential))

        def height(z):
            return np.asarray(program(z, ready.data))

        low = points[np.argsort(height(points))[: 32 : 32 // POINTS][:POINTS]]
        along = rng.normal(size=low.shape)
        slope = jax.jit(whole(jax.grad(target.potential)))
        analytic = np.sum(np.asarray(slope(low, ready.data)) * along, axis=1)
        # Richardson's: of two central differences what is left is of the fourth order.
        one, two = (
            (height(low + h * along) - height(low - h * along)) / (2 * h) for h in (STEP, 2 * STEP)
        )
        return analytic, (4 * one - two) / 3, height(low)


SLOW = {  # minutes of compiling
    k: pytest.param(lambda k=k: sbc.case(k), marks=pytest.mark.slow) for k in LAWS
}


@pytest.mark.parametrize("case", (every := SLOW | CASES).values(), ids=every)
def test_derivatives_are_those_of_the_density(case):
    """Differences err by what heights round to, over the step: an allowance of that and 1e-4."""
    analytic, numeric, heights = gaps(*case())
    assert np.all(np.isfinite(analytic))
    allowed = 1e-4 * np.abs(numeric) + 1e-14 * np.abs(heights) / STEP + 1e-6
    assert np.all(np.abs(analytic - numeric) < allowed), (analytic, numeric)
