"""Tables cut into blocks and spread over devices have the density they had in one piece."""

import importlib
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import bayes_scaling as bs
from bayes_scaling.inference import rows
from bayes_scaling.inference.target import target_of
from bayes_scaling.program import prepare

laplace = importlib.import_module("bayes_scaling.inference.laplace")
BLOCK = 64  # for the tests: 96 padded rows then make two blocks, the second half empty


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(rows, "BLOCK", BLOCK)
    monkeypatch.setattr(rows, "LARGE", BLOCK)
    monkeypatch.setattr(rows, "SKETCH", 80)


@pytest.fixture(scope="module")
def ready(ladder):
    return prepare(bs.ScalingModel(), bs.read_runs(ladder(0).head(90)))


def points(ready, count=20):
    target = target_of(ready.program, ready.data)
    best = laplace.optimise(target, ready.data, rows.placed(ready.data))
    rng = np.random.default_rng(0)
    return target, best.z + 0.05 * rng.normal(size=(count, target.size))


@pytest.mark.slow
def test_blocks_have_the_density_gradient_and_curvature_of_the_whole(ready, small_blocks):
    target, z = points(ready)
    with jax.enable_x64(True):
        cut = rows.placed(ready.data)
        assert isinstance(cut, rows.Blocks)
        assert cut.rows["y"].shape == (2, BLOCK)
        whole = jax.tree.map(np.asarray, ready.data)
        slope = jax.grad(target.potential)

        def bend(point, data):  # along one direction: a whole Hessian takes a minute to compile
            return jax.jvp(lambda at: slope(at, data), (point,), (z[1] - z[0],))[1]

        for function in (target.potential, slope, bend):
            once = jax.jit(function)
            for point in z[:3]:
                got, expected = once(point, cut), once(point, whole)
                np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    found, parts = laplace.look(target, z, cut)
    expected, same = laplace.look(target, z, ready.data)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(parts["values"]["E"], same["values"]["E"], rtol=1e-12)


def test_parting_and_joining_is_the_identity(ready):
    again = rows.joined(*rows.parted(ready.data))
    assert jax.tree.structure(again) == jax.tree.structure(ready.data)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(ready.data), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_sketch_weighs_as_much_as_the_table_and_has_no_padding(ready, small_blocks):
    few = rows.sketch(ready.data, seed=0)
    assert few["weight"].sum() == pytest.approx(90)
    assert len(few["y"]) == 80
    assert set(few["y"]) <= set(ready.data["y"][:90])


@pytest.mark.slow
def test_a_large_table_is_fitted_as_a_small_one(ladder, small_blocks, monkeypatch):
    """The same posterior by blocks and in one piece.

    Both have over 1,500 effective draws: an end errs by 2.1 / sqrt(1500) = 0.054 sd, the difference
    by 0.077, and 0.35 is 4.5 of that: once in 10^4 for the 21 numbers.
    """
    cut = bs.fit(bs.ScalingModel(), ladder(0), method="laplace", seed=0)
    monkeypatch.setattr(rows, "LARGE", 10**9)
    whole = bs.fit(bs.ScalingModel(), ladder(0), method="laplace", seed=1)
    assert cut.attrs["k_hat"] < 0.7
    for name in ("E", "a0", "b0", "alpha", "beta", "sigma", "nu"):
        a, b = (f.posterior[name].values for f in (cut, whole))
        gap = np.quantile(a, [0.05, 0.5, 0.95]) - np.quantile(b, [0.05, 0.5, 0.95])
        assert np.all(np.abs(gap) < 0.35 * b.std()), name


SHARDED = """
import importlib, jax, numpy as np, bayes_scaling as bs
from bayes_scaling.inference import rows
from bayes_scaling.inference.target import target_of
from bayes_scaling.program import prepare
from tests.conftest import simulate_ladder
laplace = importlib.import_module("bayes_scaling.inference.laplace")
ready = prepare(bs.ScalingModel(), bs.read_runs(simulate_ladder(0)))
target = target_of(ready.program, ready.data)
z = np.random.default_rng(0).normal(size=(5, target.size)) * 0.1 - 1
plain = laplace.look(target, z, ready.data)[0]
rows.LARGE, rows.BLOCK = 16, 16
with jax.enable_x64(True):
    cut = rows.placed(ready.data)
assert len(cut.rows["y"].sharding.device_set) == 4, cut.rows["y"].sharding
assert len(cut.rows["y"].addressable_shards[0].data[0]) == 16
np.testing.assert_allclose(laplace.look(target, z, cut)[0], plain, rtol=1e-10)
print("the same")
"""


def test_rows_are_spread_over_devices():
    """Four host devices each hold a quarter of every block; the density is the same."""
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    env["BAYES_SCALING_COMPILATION_CACHE"] = "off"
    done = subprocess.run([sys.executable, "-c", SHARDED], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "the same", done.stderr[-2000:]
