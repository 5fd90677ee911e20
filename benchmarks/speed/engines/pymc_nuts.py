"""PyMC's default: ``pm.sample()`` with its own NUTS, 4 chains of 1,000 + 1,000 on two cores."""

from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from benchmarks.speed.inputs import read_numbers, read_table
from benchmarks.speed.worker import Answer, serve, timed

SITES = ("E", "a0", "b0", "alpha", "beta", "sigma", "nu")


def model(folder: Path) -> pm.Model:
    """Write our default posterior in PyMC: the same law, priors and scatter of ln L."""
    table, numbers = read_table(folder), read_numbers(folder)
    prior, reference = numbers["prior"], numbers["reference"]
    n = np.log(table["params"] / reference["params"])
    d = np.log(table["tokens"] / reference["tokens"])

    def log_normal(name: str) -> Any:
        p = prior[name]
        median = p["median"] * p.get("scale_by", 1.0)
        return pm.LogNormal(name, mu=np.log(median), sigma=p["sigma"])

    with pm.Model() as built:
        share = pm.Beta("share", alpha=prior["E"]["a"], beta=prior["E"]["b"])
        floor = pm.Deterministic("E", prior["E"]["scale_by"] * share)
        a0, b0, alpha, beta = map(log_normal, ("a0", "b0", "alpha", "beta"))
        sigma = pm.HalfNormal("sigma", sigma=prior["sigma"]["scale"])
        tail = pm.Gamma("tail", alpha=prior["nu"]["shape"], beta=prior["nu"]["rate"])
        nu = pm.Deterministic("nu", prior["nu"]["shift_by"] + tail)
        reducible = pt.logaddexp(pt.log(a0) - alpha * n, pt.log(b0) - beta * d)
        mu = pt.logaddexp(pt.log(floor), reducible)
        pm.StudentT("log_loss", nu=nu, mu=mu, sigma=sigma, observed=np.log(table["loss"]))
    return built


def by_chain(posterior: Any) -> dict[str, np.ndarray]:
    """Return the (chain, draw) arrays of the seven parameters."""
    return {k: np.asarray(posterior[k].values) for k in SITES}


class PyMC:
    """``pm.sample`` as its tutorial calls it; every call compiles what is not in its cache."""

    def __init__(self, folder: Path) -> None:
        self.model = model(folder)

    def warm(self) -> Answer:
        """Fill the cache of compiled code with a run of a few draws."""
        run = {"draws": 10, "tune": 10, "random_seed": 0, "progressbar": False}
        return {"compile": timed(lambda: pm.sample(**run, model=self.model, cores=2))[0]}

    def fit(self, seed: int) -> Any:
        """Sample."""
        run = {"chains": 4, "cores": 2, "progressbar": False, "nuts_sampler": "pymc"}
        return pm.sample(1000, tune=1000, random_seed=seed, model=self.model, **run)

    def draws(self, result: Any) -> dict[str, np.ndarray]:
        """Return the draws of the seven parameters."""
        return by_chain(result.posterior)

    def facts(self, result: Any) -> Answer:
        """Return the number of divergent transitions."""
        return {"divergent": int(result.sample_stats["diverging"].sum())}


if __name__ == "__main__":
    serve(PyMC)
