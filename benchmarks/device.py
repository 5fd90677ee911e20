"""Device. What one accelerator makes of it: ``python -m benchmarks device [rows] [fits]``.

The gradient of the log density over 10^7 rows, in bytes per second against a copy on the same
device; then 10,000 fits by `fit_many`. It runs on whatever device JAX has, a CPU included.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

import bayes_scaling as bs
from bayes_scaling.data.simulate import CHINCHILLA
from bayes_scaling.inference.rows import placed
from bayes_scaling.inference.target import target_of
from bayes_scaling.program import prepare
from benchmarks.report import Report

ROWS, FITS, TABLE = 10**7, 10_000, 240
LAW = bs.Chinchilla(reference=(("params", 1e9), ("tokens", 2e10)))


def run(arguments: list[str] | None = None) -> Report:
    """Measure both; `arguments` are other numbers of rows and fits."""
    given = [int(float(a)) for a in arguments or []]
    rows, fits = given + [ROWS, FITS][len(given) :]
    device = jax.devices()[0]
    title = f"{len(jax.devices())} x {device.device_kind} ({device.platform})"
    report = Report("Device", title)
    _gradient(report, rows)
    _fits(report, fits)
    return report


def table(rows: int, seed: int) -> pd.DataFrame:
    """Simulate runs of the additive law, sizes log-uniform, as `read_runs` would return them."""
    rng = np.random.default_rng(seed)
    params = np.exp(rng.uniform(np.log(5e7), np.log(1e10), rows))
    tokens = params * np.exp(rng.uniform(np.log(2), np.log(300), rows))
    x = {"params": params, "tokens": tokens}
    loss = LAW(LAW.from_paper(CHINCHILLA), x) * np.exp(0.005 * rng.standard_t(4, rows))
    return pd.DataFrame({**x, "loss": loss, "flops": 6 * params * tokens, "use": True, "flag": ""})


def _gradient(report: Report, rows: int) -> None:
    ready = prepare(bs.ScalingModel(), table(rows, 0))
    target = target_of(ready.program, ready.data)
    _, loose = ready.program.prior_draws(ready.data, np.random.default_rng(0), 1)
    with jax.enable_x64(True):
        z = target.ravel(loose)[0]
        data = placed(ready.data)
        slope = jax.jit(lambda z, data: jax.grad(target.potential)(z, data))
        seconds = _median(lambda: slope(z, data))
        block = jnp.ones(rows)
        copy = jax.jit(lambda v: v + 1.0)
        rate = 2 * 8 * rows / _median(lambda: copy(block))  # read once, written once
    columns = 4  # params, tokens, loss, weight
    achieved = columns * 8 * rows / seconds
    report.show("rows", f"{ROWS:,}", f"{rows:,}")
    report.show("gradient of the log density", "", f"{1e3 * seconds:.2f} ms")
    report.show("bytes that must move", "", f"{columns * 8 * rows / 1e6:,.0f} MB")
    report.show("bytes per second", f"copy {rate / 1e9:.1f} GB/s", f"{achieved / 1e9:.2f} GB/s")
    report.show("share of the limit", "", f"{achieved / rate:.1%}")


def _fits(report: Report, fits: int) -> None:
    tables = [table(TABLE, seed) for seed in range(fits)]
    bs.fit_many(bs.ScalingModel(), tables[:1], progress=False)  # compiles
    start = time.perf_counter()
    found = bs.fit_many(bs.ScalingModel(), tables)
    seconds = time.perf_counter() - start
    trusted = float((found.trust == "trusted").mean())
    report.show("fits by fit_many", f"{FITS:,}", f"{fits:,} of {TABLE} rows")
    report.show("time", "", f"{seconds:.1f} s, {1e3 * seconds / fits:.2f} ms a fit")
    report.show("trusted", "", f"{trusted:.1%}, largest k-hat {float(found.k_hat.max()):.2f}")


def _median(call: Callable[[], Any], times: int = 7) -> float:
    jax.block_until_ready(call())
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))
