"""NumPyro's default NUTS on our own program: 4 chains of 1,000 + 1,000, one device per chain."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpyro

import bayes_scaling as bs
from bayes_scaling.program import prepare
from benchmarks.speed.inputs import DATASET
from benchmarks.speed.worker import Answer, serve, timed

CHAINS = 4


class NumPyro:
    """MCMC built once, run again for every fit: the second run compiles nothing."""

    def __init__(self, _: Path) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        ready = prepare(bs.ScalingModel(), bs.load_dataset(DATASET))
        rows, padded = len(ready.runs), len(ready.data["y"])
        own = jax.tree.map(  # the rows alone: padding would be work that nobody asked for
            lambda v: v[:rows] if np.shape(v)[:1] == (padded,) else v, ready.data
        )
        kernel = numpyro.infer.NUTS(partial(ready.program, own))
        self.mcmc = numpyro.infer.MCMC(
            kernel, num_warmup=1000, num_samples=1000, num_chains=CHAINS, progress_bar=False
        )

    def warm(self) -> Answer:
        """Run once with compilation."""
        return {"first": timed(lambda: self.fit(0))[0]}

    def fit(self, seed: int) -> Any:
        """Run the four chains."""
        import jax

        self.mcmc.run(jax.random.key(seed))
        return jax.block_until_ready(self.mcmc.get_samples(group_by_chain=True))

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the draws of the seven parameters."""
        return {k: np.asarray(v) for k, v in result.items()}

    def facts(self, result: Any) -> Answer:  # noqa: ARG002
        """Return nothing more."""
        return {}


if __name__ == "__main__":
    numpyro.set_host_device_count(CHAINS)
    serve(NumPyro)
