"""Far beyond the data: intervals of loss and ln N* on six simulated worlds, fitted below 1e21."""

import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

import bayes_scaling as bs
from bayes_scaling import Chinchilla, Coupled, KaplanND, ScalingModel, StudentT, UntrustedFitWarning
from bayes_scaling.data.simulate import CHINCHILLA
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.results import model_of
from benchmarks.report import Report

STUDIES, DRAWS = 12, 2000  # of every world; of every fit
NOISE = (0.003, 0.01)  # of the loss, t with three degrees of freedom: in half of the studies each
BUDGETS = np.geomspace(6e18, 1e21, 6)
RATIOS = np.geomspace(2.0, 300.0, 8)  # tokens per parameter
FAR = (1e22, 1e23, 1e25)
LEVEL, BAR = 0.9, 0.85
REFERENCE = (("params", 1e9), ("tokens", 2e10))
LAW = Chinchilla(reference=REFERENCE)
BESIROGLU = LAW.from_paper(CHINCHILLA)  # arXiv:2404.10102
KAPLAN = {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}  # arXiv:2001.08361
COMPUTE = StudentT(noise="compute")
MODELS = {
    "additive": ScalingModel(),
    "coupled": ScalingModel(Coupled(), COMPUTE),
    "nested": ScalingModel(Chinchilla(nested=True), COMPUTE),
    "kaplan": ScalingModel(KaplanND(floor=True), COMPUTE),
}
AVERAGE = ("coupled", "nested", "kaplan")  # in equal parts

Surface = Callable[[Any, Any], Any]


class World(NamedTuple):
    """A truth: the loss at sizes, raw counts."""

    name: str
    loss: Surface


def worlds() -> list[World]:
    """Return the six truths: every one calls a law, at parameters or sizes that may move."""
    nested = Chinchilla(nested=True, reference=REFERENCE)
    kaplan = KaplanND(reference=REFERENCE)
    return [
        World("additive", _of(LAW, lambda _n, _d: BESIROGLU)),
        World("kaplan", _of(kaplan, lambda _n, _d: kaplan.from_paper(KAPLAN))),
        World("nested", _of(nested, lambda _n, _d: {**BESIROGLU, "q": 0.6})),
        World("broken", _broken),
        World("drifting", _of(LAW, _drifting)),
        World("farseer", _of(LAW, _coupled)),
    ]


def _of(law: Any, theta: Callable[[Any, Any], Any]) -> Surface:
    return lambda n, d: law(theta(n, d), {"params": n, "tokens": d})


def _broken(n: Any, d: Any) -> Any:
    """Let both exponents fall by a third where N passes 5e9 and D 1e11, within half a decade."""

    def bent(size: Any, at: float) -> Any:
        width = np.log(10) / 4
        return size * np.exp(-width / 3 * np.logaddexp(0.0, np.log(size / at) / width))

    return LAW(BESIROGLU, {"params": bent(n, 5e9), "tokens": bent(d, 1e11)})


def _drifting(n: Any, d: Any) -> Any:
    """Let both exponents fall by .005 for every decade of N D."""
    decades = np.log10(n * d / (1e9 * 2e10))
    return {**BESIROGLU, **{k: BESIROGLU[k] - 0.005 * decades for k in ("alpha", "beta")}}


def _coupled(n: Any, d: Any) -> Any:  # noqa: ARG001
    """Let the data's exponent grow by a tenth and its level fall by a tenth per decade of N."""
    decades = np.clip(np.log10(n / 1e9), -3, 5)
    return {**BESIROGLU, "b0": BESIROGLU["b0"] * 0.9**decades,
            "beta": BESIROGLU["beta"] * 1.1**decades}  # fmt: skip


def run() -> Report:
    """Measure coverage, and whether the coupled law falls everywhere under every draw."""
    warnings.simplefilter("ignore", UntrustedFitWarning)
    report = Report("far", "Simulated worlds, fitted below 1e21 FLOP: 90 % intervals far away")
    rows: list[dict[str, Any]] = []
    rising = 0
    for world in worlds():
        for study in range(STUDIES):
            found, up = measured(world, study)
            rows += found
            rising += up
        part = pd.DataFrame(rows)
        part = part[part["world"] == world.name]
        print(world.name, _shares(part).round(2).to_string(), sep="\n", file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    for name in (*MODELS, "average"):
        own = table[table["model"] == name]
        for flops in FAR:
            at = own[own["flops"] == flops]
            for what in ("loss", "ln N*"):
                share = float(at[what].mean())
                least = at.groupby("world")[what].mean()
                said = f"{share:.2f}; least {least.min():.2f} ({least.idxmin()})"
                line = f"{name}: {what} at {flops:.0e}"
                if name in ("coupled", "average") and flops > FAR[0]:
                    report.gate(f"{line} (.85)", "", said, share >= BAR)
                else:
                    report.show(line, "", said)
    report.gate("coupled: draws whose loss rises in N or D up to 1e26", "", rising, rising == 0)
    return report


def measured(world: World, study: int) -> tuple[list[dict[str, Any]], int]:
    """Fit one simulated table; say what every model's intervals hold, and how many draws rise."""
    rng = np.random.default_rng([study, sum(map(ord, world.name))])
    sizes = np.sqrt(BUDGETS[:, None] / PER_TOKEN / RATIOS).ravel()
    tokens = np.repeat(BUDGETS, len(RATIOS)) / PER_TOKEN / sizes
    scatter = NOISE[study % len(NOISE)] / np.sqrt(3) * rng.standard_t(3, len(sizes))
    loss = world.loss(sizes, tokens) * np.exp(scatter)
    runs = pd.DataFrame({"params": sizes, "tokens": tokens, "loss": loss})
    fits = {k: bs.fit(m, runs, seed=study, draws=DRAWS, force=True, method="laplace")
            for k, m in MODELS.items()}  # fmt: skip
    fits["average"] = bs.average({k: fits[k] for k in AVERAGE}, draws=DRAWS)
    out = []
    for name, fit in fits.items():
        plans = bs.allocate(fit, FAR)
        for i, flops in enumerate(FAR):
            size = _best(world, flops / PER_TOKEN)
            at = {"params": [size], "tokens": [flops / PER_TOKEN / size]}
            there = bs.predict(fit, at)["loss_mean"].values.ravel()
            true = float(world.loss(size, at["tokens"][0]))
            best = np.log(plans.params_opt.isel(budget=i).values.ravel())
            about = {"world": world.name, "model": name, "flops": flops}
            out.append({**about, "loss": _holds(there, true), "ln N*": _holds(best, np.log(size))})
    return out, _rising(fits["coupled"])


def _holds(draws: np.ndarray, truth: float) -> bool:
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return bool(low <= truth <= high)


def _best(world: World, product: float) -> float:
    """Return the best size at a product of both, by a fine search: to a thousandth."""
    grid = np.exp(np.arange(np.log(1e6), np.log(1e15), 1e-3))
    return float(grid[np.argmin(world.loss(grid, product / grid))])


def _rising(fit: xr.DataTree) -> int:
    """Count draws whose mean rises in N or in D anywhere from 1e7 and 1e8 up to 1e26 FLOP."""
    n, d = np.geomspace(1e7, 1e14, 60), np.geomspace(1e8, 1e16, 60)
    law = model_of(fit).law
    theta = {p.name: fit["posterior"][p.name].values.ravel()[::10, None, None] for p in law.params}
    loss = law(theta, {"params": n[:, None], "tokens": d})
    near = PER_TOKEN * n[:, None] * d <= 1e26
    in_n = (np.diff(loss, axis=1) > 1e-12) & near[1:]
    in_d = (np.diff(loss, axis=2) > 1e-12) & near[:, 1:]
    return int(np.sum(in_n.any(axis=(1, 2)) | in_d.any(axis=(1, 2))))


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot_table(
        index="model", columns="flops", values=["loss", "ln N*"], aggfunc="mean"
    )
