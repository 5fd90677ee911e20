"""P18. How often 95 % intervals hold the truth, on simulated studies whose truth is known.

The truth is fixed, at published coefficients, and so the question is frequentist: the prior is
right about no table in particular. Where the exponent drifts, no law of the package is right.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

import bayes_scaling as bs
from bayes_scaling.data.simulate import CHINCHILLA
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.laws import Chinchilla, bind
from bayes_scaling.laws._search import best_split
from bayes_scaling.model import ScalingModel, model_from_dict
from bayes_scaling.plots import _style as style

PARAMS, TOKENS = (5e7, 2e9), (1e9, 4e10)
FAR, NEAR = 100.0, 10.0  # times the compute of the largest run
LEVEL = 0.95
REPLICATES = 400
DRIFT = 0.005  # of alpha per decade of compute
FREEDOM = 3  # of the heavy tails, whose sd is the one stated
OUTLYING = 10.0  # noise sds that an outlier is above the law, in the mean of an exponential
NOTHING = 1e-300  # nats
LAW_PARAMS = ("E", "a0", "b0", "alpha", "beta")
OPTIMUM, LOSS, LOSS_NEAR, RUN, SPEEDUP = (
    "N* at 100x", "loss at 100x", "loss at 10x", "new run at 10x", "speed-up",
)  # fmt: skip
AHEAD = (OPTIMUM, LOSS_NEAR, LOSS, RUN)
TARGETS = (*LAW_PARAMS, OPTIMUM, LOSS, RUN, SPEEDUP)
MODELS = {
    "additive": ScalingModel(),
    "coupled": ScalingModel(bs.Coupled(), bs.StudentT(noise="compute")),
}

Tail = Literal["Gaussian", "t(3)"]


@dataclass(frozen=True)
class Cell:
    """One kind of study.

    Parameters
    ----------
    side : int
        Runs are ``side * side``: every size with every number of tokens.
    noise : float
        Standard deviation of the scatter, as a share of the loss.
    tail : {"Gaussian", "t(3)"}
    outliers : float
        Share of runs that fell short of the law, by an exponential of mean ten noise sds.
    drift : float
        By how much alpha rises per decade of compute, 0 in the middle of the design.
    """

    side: int
    noise: float
    tail: Tail = "Gaussian"
    outliers: float = 0.0
    drift: float = 0.0

    @property
    def well_specified(self) -> bool:
        """Whether the additive law and its scatter are right."""
        return self.tail == "Gaussian" and not self.outliers and not self.drift

    @property
    def x(self) -> dict[str, np.ndarray]:
        """The sizes of the runs."""
        sizes = (np.geomspace(*ends, self.side) for ends in (PARAMS, TOKENS))
        params, tokens = (v.ravel() for v in np.meshgrid(*sizes, indexing="ij"))
        return {"params": params, "tokens": tokens}

    @property
    def largest(self) -> float:
        """The compute of the largest run, as ``N * D``."""
        return PARAMS[1] * TOKENS[1]


SIDES, NOISES = (3, 4, 5, 7), (0.003, 0.01, 0.03)
ADDITIVE = [
    Cell(side, noise, tail, share)
    for tail in ("Gaussian", "t(3)")
    for share in (0.0, 0.05)
    for side in SIDES
    for noise in NOISES
]
RIGHT = [Cell(side, noise) for side in SIDES[-2:] for noise in NOISES[:2]]  # a fit takes seconds
DRIFTING = [replace(cell, drift=DRIFT) for cell in RIGHT]


@dataclass(frozen=True)
class World:
    """The truth of a cell: the additive law, with an exponent that may drift."""

    cell: Cell

    @property
    def law(self) -> Chinchilla:
        """The law, with the reference that fits of this design have."""
        return bind(Chinchilla(), self.cell.x)

    def theta(self, product: Any) -> dict[str, Any]:
        """Return the parameters of runs of compute ``N * D = product``."""
        theta = {k: float(v) for k, v in self.law.from_paper(CHINCHILLA).items()}
        middle = np.prod([v for k, v in dict(self.law.reference or ()).items()])
        return {**theta, "alpha": theta["alpha"] + self.cell.drift * np.log10(product / middle)}

    def best(self, times: float) -> dict[str, float]:
        """Return the best sizes at a multiple of the largest compute."""
        product = times * self.cell.largest
        params, tokens = self.law.optimum(self.theta(product), product)
        return {"params": float(params), "tokens": float(tokens), "flops": PER_TOKEN * product}

    def loss(self, x: dict[str, Any]) -> Any:
        """Return the loss without scatter."""
        return self.law(self.theta(x["params"] * x["tokens"]), x)

    def measured(self, rng: np.random.Generator, x: dict[str, Any], count: int) -> np.ndarray:
        """Return losses as measured, (count, run)."""
        cell = self.cell
        heavy = cell.tail == "t(3)"
        spread = np.sqrt(FREEDOM / (FREEDOM - 2)) if heavy else 1.0
        theta = {"sigma": cell.noise / spread, "nu": float(FREEDOM)}
        scatter = bs.StudentT() if heavy else bs.Normal()
        mean = np.broadcast_to(self.loss(x), (count, np.size(x["params"])))
        short = rng.exponential(OUTLYING * cell.noise, mean.shape)
        fell = rng.random(mean.shape) < cell.outliers
        return scatter.draw(rng, mean, theta, x) * np.exp(short * fell)


def measure(replicates: int = REPLICATES) -> pd.DataFrame:
    """Fit every cell and return one row per cell, model and target.

    Parameters
    ----------
    replicates : int
        Tables of a well-specified cell; of any other, and for the coupled law, a quarter of them.
        Equal cells have equal tables, whatever is fitted to them.
    """
    few = replicates // 4
    jobs = [("additive", c, replicates if c.well_specified else few) for c in ADDITIVE]
    jobs += [("coupled", cell, few) for cell in RIGHT]
    jobs += [(name, cell, few) for name in MODELS for cell in DRIFTING]
    rows = []
    for i, (name, cell, count) in enumerate(jobs):
        print(f"coverage: {i + 1} of {len(jobs)}, {name}, {cell}", file=sys.stderr, flush=True)
        rows += covered(name, cell, count)
    return pd.DataFrame(rows)


def covered(name: str, cell: Cell, count: int) -> Iterator[dict[str, Any]]:
    """Fit a model to tables of a cell; say of every target how often its interval held it."""
    world = World(cell)
    seed = [cell.side, int(1e4 * cell.noise), cell.tail == "t(3)", int(100 * cell.outliers), 18]
    rng, ahead = (np.random.default_rng([*seed, i]) for i in range(2))
    x = {**cell.x, "flops": PER_TOKEN * cell.x["params"] * cell.x["tokens"]}
    tables = [pd.DataFrame({**x, "loss": y}) for y in world.measured(rng, x, count)]
    near = world.best(NEAR)
    new = world.measured(ahead, near, count)[:, 0]
    fits = bs.fit_many(MODELS[name], tables, progress=False)
    theta, law = draws_of(fits)
    for target, (draws, truth) in targets(world, law, name, theta, new, x).items():
        low, middle, high = np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2], axis=1)
        held = (truth >= low) & (truth <= high)
        yield {
            "model": name, "side": cell.side, "noise": cell.noise, "tail": cell.tail,
            "outliers": cell.outliers, "drift": cell.drift, "target": target,
            "tables": len(held), "held": int(held.sum()), "below": int((truth < low).sum()),
            "bias": float(np.median(middle - truth)), "widths": high - low,
            "flagged": int((fits.trust != "trusted").sum()),
        }  # fmt: skip


def draws_of(fits: xr.Dataset) -> tuple[dict[str, np.ndarray], Any]:
    """Return every parameter's draws, (fit, draw), and the law: of one design, so one for all."""
    model = model_from_dict(json.loads(fits.model.values[0]))
    theta = {p.name: fits[p.name].values.reshape(fits.sizes["fit"], -1) for p in model.params}
    return theta, model.law


def targets(
    world: World, law: Any, name: str, theta: dict[str, Any], new: np.ndarray, x: dict[str, Any]
) -> dict[str, tuple[np.ndarray, Any]]:
    """Return draws, (fit, draw), and the truth of everything that is to be covered."""
    cell, out = world.cell, {}
    if name == "additive" and not cell.drift:
        true = world.theta(1.0)
        out |= {k: (theta[k], true[k]) for k in LAW_PARAMS}
    far, near = world.best(FAR), world.best(NEAR)
    params, _ = best_split(law, theta, FAR * cell.largest)
    out[OPTIMUM] = np.log(params), np.log(far["params"])
    out[LOSS] = law(theta, far), world.loss(far)
    mean = law(theta, near)
    out[LOSS_NEAR] = mean, world.loss(near)
    rng = np.random.default_rng([18, 2])
    there = {**near, "flops_ref": np.exp(np.mean(np.log(x["flops"])))}
    out[RUN] = MODELS[name].observation.draw(rng, mean, theta, there), new
    if name == "additive" and not cell.drift:
        out[SPEEDUP] = log_speedup(law, theta, cell.largest), 0.0
    return out


def log_speedup(law: Any, theta: dict[str, Any], product: float) -> np.ndarray:
    """Return ln of how much less compute the second of two fits needs to the first's best loss.

    Fits are taken in pairs. Along the optimum the reducible loss is a power of compute; where the
    floor of the second lies above the first's loss it never gets there: thousands below zero.
    """
    pairs = len(theta["E"]) // 2 * 2
    first, second = ({k: v[i:pairs:2] for k, v in theta.items()} for i in range(2))

    def reducible(of: dict[str, Any], at: float) -> Any:
        params, tokens = law.optimum(of, at)
        return law(of, {"params": params, "tokens": tokens}) - law.irreducible(of)

    wanted = reducible(first, product) + law.irreducible(first) - law.irreducible(second)
    here, ahead = (reducible(second, at) for at in (product, FAR * product))
    steep = np.log(here / ahead) / np.log(FAR)
    return np.log(np.maximum(wanted, NOTHING) / here) / steep


def draw_right(found: pd.DataFrame) -> Figure:
    """Draw the coverage of the additive law, a panel per kind of scatter."""
    rows = found[(found["model"] == "additive") & (found["drift"] == 0)]
    kinds = list(dict.fromkeys(zip(rows["tail"], rows["outliers"], strict=True)))
    axes = style.panels(None, len(kinds), (6.0, 3.2), columns=2)
    for ax, (tail, share) in zip(axes, kinds, strict=True):
        some = rows[(rows["tail"] == tail) & (rows["outliers"] == share)]
        plain = tail == "Gaussian" and not share
        title = f"{tail} scatter" + (f", {share:.0%} outliers" if share else "")
        _panel(ax, some, TARGETS, (0.93, 0.97) if plain else (0.90, 1.0), title)
    style.legend(axes, True, 4)
    return axes[0].figure  # pyright: ignore


def draw_drift(found: pd.DataFrame) -> Figure:
    """Draw the coverage where the exponent drifts, a panel per model."""
    rows = found[found["drift"] != 0]
    axes = style.panels(None, rows["model"].nunique(), (3.7, 3.4))
    names = {"coupled": "coupled law, noise by compute", "additive": "additive law"}
    for ax, (name, some) in zip(axes, rows.groupby("model", sort=False), strict=True):
        _panel(ax, some, AHEAD, (0.85, 1.0), names.get(str(name), str(name)))
    lowest = min(ax.get_ylim()[0] for ax in axes)
    for ax in axes:
        ax.set_ylim(bottom=lowest)
    style.legend(axes, True, 4)
    return axes[0].figure  # pyright: ignore


def _panel(
    ax: Axes, rows: pd.DataFrame, shown: tuple[str, ...], bar: tuple[float, float], title: str
) -> None:
    """Draw the share of intervals that hold the truth, by target, number of runs and noise."""
    ax.axhspan(*bar, color=style.PALE, zorder=0, label="where it has to be")
    ax.axhline(LEVEL, color=style.GREY, linewidth=0.8, zorder=1, label="as stated, 95 %")
    sides, noises = sorted(set(rows["side"])), sorted(set(rows["noise"]))
    for (side, noise), some in rows.groupby(["side", "noise"]):
        i, j = SIDES.index(side), noises.index(noise)
        one = some.set_index("target").loc[list(shown)]
        at = np.arange(len(shown)) + 0.16 * (sides.index(side) - (len(sides) - 1) / 2)
        at = at + 0.04 * (j - 1)
        ax.plot(at, one["held"] / one["tables"], "os^"[j], color=style.COLORS[i], markersize=3.6,
                markeredgewidth=0, label=f"{side**2} runs, noise {noise:g}")  # fmt: skip
    ax.set_xticks(range(len(shown)), [name.replace(" at ", "\nat ") for name in shown])
    ax.tick_params(labelsize=style.SMALL)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, 0))
    ax.set_ylim(min(0.85, 0.97 * float((rows["held"] / rows["tables"]).min())), 1.008)
    ax.set_title(title, loc="left", fontsize=10)
    style.tidy(ax)
