"""What this machine could do at best: bytes copied, and terms of the density, per second.

``python -m benchmarks.speed.limits`` answers in a process of its own.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks.speed.worker import Answer, answer_lines, timed

REPEATS = 5
COPIED = 2**28  # bytes: more than any cache
ROWS, DRAWS = 4096, 256  # a block of the density that stays in the cache


def measure(_: Answer) -> Answer:
    """Measure both, with one thread and with one per core; the faster counts.

    Returns
    -------
    dict
        `bytes_per_second`, read and written by a copy; `seconds_per_term`, of ln p(row | draw) of
        the additive law with Student-t scatter in float64, in its cheapest form: 2 exp, 2 log.
    """
    return {
        "bytes_per_second": _best(_copy) * 2 * COPIED,
        "seconds_per_term": 1 / (_best(_density) * ROWS * DRAWS),
        "cores": os.cpu_count(),
    }


def _best(make: Callable[[], Callable[[], Any]]) -> float:
    """Return calls per second: the best of several repeats on one thread and on all cores."""
    best = 0.0
    for threads in sorted({1, os.cpu_count() or 1}):
        calls = [make() for _ in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(1 + REPEATS):
                seconds, _done = timed(lambda c=calls, p=pool: list(p.map(lambda f: f(), c)))
                best = max(best, threads / seconds)
    return best


def _copy() -> Callable[[], Any]:
    source = np.ones(COPIED // 8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source)


def _density() -> Callable[[], Any]:
    import jax
    import jax.numpy as jnp

    def of_draw(t: Any, n: Any, d: Any, y: Any) -> Any:
        mean = t[0] + jnp.exp(t[1] - t[3] * n) + jnp.exp(t[2] - t[4] * d)
        return jnp.sum(jnp.log(t[6] + ((y - jnp.log(mean)) / t[5]) ** 2))

    rng = np.random.default_rng(0)
    centre = np.array([1.8, -1.0, -1.0, 0.35, 0.37, 0.004, 3.0])
    theta = centre * np.exp(0.01 * rng.normal(size=(DRAWS, 7)))
    n, d, y = rng.normal(size=(3, ROWS))
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(of_draw, in_axes=(0, None, None, None)))
        compiled = run.lower(theta, n, d, y).compile()
        given = [jax.device_put(v) for v in (theta, n, d, y)]
    return lambda: jax.block_until_ready(compiled(*given))


if __name__ == "__main__":
    answer_lines(measure)
