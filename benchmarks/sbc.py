"""Simulation-based calibration of every registered law, and of one broken on purpose.

Truths are drawn from a law's own priors, tables simulated from them at the sizes of a small design,
and the law fitted to each: `bs.calibrate`. A law that is registered without a design is an error.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

import bayes_scaling as bs
from bayes_scaling.criticism._held_out import TRUSTED
from bayes_scaling.criticism.calibration import _uniformity
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import LAWS, Chinchilla, HasUpstream, MoESparsity, bind
from bayes_scaling.laws._protocol import namespace
from bayes_scaling.model import ScalingModel, model_for
from bayes_scaling.param import Param
from bayes_scaling.plots import _style as style

TABLES = 256
FALSE_ALARM = 0.01  # of a law that is right, in any of its quantities
NAMED = 4  # quantities in the title of a panel
WRONG = 0.9  # of beta, in the broken law
BROKEN = "broken on purpose"
SCHEDULES = (2e4, 4e4, 8e4)  # steps, each at a constant rate and with a decay

Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Design:
    """Where the runs of a law's tables lie.

    Parameters
    ----------
    about : str
        In words, for the page.
    inputs : callable
        Returns the columns that the law reads, raw counts.
    observation : Observation, optional
        What the law is meant to be fitted with, where that is not what `model_for` says.
    """

    about: str
    inputs: Callable[[], Inputs]
    observation: Any = None


def grid(**ends: tuple[float, float, int]) -> Inputs:
    """Return every combination of log-spaced values, as columns."""
    values = (np.geomspace(low, high, count) for low, high, count in ends.values())
    crossed = np.meshgrid(*values, indexing="ij")
    return {k: v.ravel() for k, v in zip(ends, crossed, strict=True)}


def isoflop() -> Inputs:
    """Return eight sizes on each of six budgets, 2 to 300 tokens per parameter."""
    cells = grid(flops=(6e18, 3e21, 6), ratio=(2.0, 300.0, 8))
    params = np.sqrt(cells["flops"] / flops_6nd(1.0, 1.0) / cells["ratio"])
    return {"params": params, "tokens": params * cells["ratio"]}


def repeats() -> Inputs:
    """Return every size on every number of unique tokens, for one epoch and for more."""
    return passes(params=(1e7, 1e9, 4), unique_tokens=(1e8, 1e11, 4), epochs=(1.0, 100.0, 6))


def passes(**ends: tuple[float, float, int]) -> Inputs:
    """Return every combination, with the tokens that so many epochs of unique ones are."""
    cells = dict(grid(**ends))
    return {**cells, "tokens": cells["unique_tokens"] * cells.pop("epochs")}


def schedules() -> Inputs:
    """Return eight points along each of three runs at a constant rate and three that decay."""
    sums = []
    for steps in SCHEDULES:
        for end in (1.0, 0.0):
            rates = np.interp(np.linspace(0, 1, 41), [0, 0.6, 1], [1, 1, end])
            sums.append([v[5::5] for v in bs.annealing_sums(rates, steps=steps)])
    area, drop = np.concatenate(sums, axis=1)
    return {"lr_sum": area, "lr_drop": drop}


def ladder() -> Inputs:
    """Return 48 budgets over five decades."""
    return grid(flops=(1e17, 1e22, 48))


def batches() -> Inputs:
    """Return 24 batch sizes over three decades."""
    return grid(batch_size_tokens=(2e4, 2e7, 24))


def routed_plane() -> Inputs:
    """Return three sizes at four ratios of tokens to them, and four numbers of experts of each."""
    cells = grid(params=(1e8, 4e9, 3), ratio=(3.0, 200.0, 4), experts=(1.0, 64.0, 4))
    return {"params": cells["params"], "tokens": cells["params"] * cells["ratio"],
            "experts": cells["experts"]}  # fmt: skip


def grained() -> Inputs:
    """Return three sizes at four ratios of tokens to them, and four granularities of each."""
    cells = grid(total_params=(4e9, 2e11, 3), ratio=(0.1, 6.0, 4), granularity=(1.0, 16.0, 4))
    return {**cells, "tokens": cells["total_params"] * cells.pop("ratio")}


def sparse() -> Inputs:
    """Return four sizes at four ratios of tokens to them, and four sparsities of each."""
    cells = grid(total_params=(1e8, 1e10, 4), ratio=(1.0, 100.0, 4), active=(0.05, 1.0, 4))
    tokens = cells["total_params"] * cells.pop("ratio")
    return {**cells, "tokens": tokens, "sparsity": 1 - cells.pop("active")}


def routers() -> Inputs:
    """Return six sizes of a dense model and of each of seven numbers of experts."""
    return grid(params=(1.5e7, 1.3e9, 6), experts=(1.0, 512.0, 8))


def mixtures() -> Inputs:
    """Return 32 mixtures of two domains."""
    share = np.linspace(0.0, 1.0, 32)
    return {"p1": share, "p2": 1 - share}


def mixtures_along() -> Inputs:
    """Return eight mixtures of two domains at each of four sizes and four numbers of tokens."""
    cells = grid(params=(1e7, 1e10, 4), tokens=(1e9, 1e12, 4), share=(1.0, np.e, 8))
    share = np.log(cells["share"]).round(6)  # evenly from 0 to 1
    return {"params": cells["params"], "tokens": cells["tokens"], "p1": share, "p2": 1 - share}


def asked(x: Inputs) -> Inputs:
    """Add a thousand questions of every model."""
    return {**x, "questions": np.full(len(next(iter(x.values()))), 1000.0)}


def releases() -> Inputs:
    """Return 24 dates over five years."""
    return {"date": np.linspace(2020.0, 2025.0, 24)}


def problems() -> Inputs:
    """Return 48 problems, 20 attempts at half of them and 200 at the others."""
    return {"samples": np.ones(48), "attempts": np.repeat([20.0, 200.0], 24)}


def crossed() -> Inputs:
    """Return 48 bins: six sizes at eight numbers of samples, two hundred questions each."""
    cells = grid(params=(1e8, 3e10, 6), samples=(1.0, 128.0, 8))
    return {**cells, "samples": cells["samples"].round(), "questions": np.full(48, 200.0)}


PLANE = "48 runs: 6 budgets of 6e18 to 3e21 FLOP, 8 sizes each, 2 to 300 tokens per parameter"
LADDER = "48 runs of 1e17 to 1e22 FLOP"
ROUTERS = "48 runs: 6 sizes of 1.5e7 to 1.3e9 active parameters, 1 to 512 experts"
ROUTED = "48 runs: 3 active sizes of 1e8 to 4e9, 3 to 200 tokens per parameter, 1 to 64 experts"
BATCHES = "24 batch sizes of 2e4 to 2e7 tokens"
DESIGNS = {
    "chinchilla": Design(PLANE, isoflop),
    "kaplan_nd": Design(PLANE, isoflop),
    "coupled": Design(PLANE, isoflop),
    "isoflop": Design(PLANE, isoflop),
    "data_constrained": Design(
        "96 runs: 4 sizes of 1e7 to 1e9 parameters, each on 1e8 to 1e11 unique tokens (4 numbers) "
        "for 1 to 100 epochs (6)",
        repeats,
    ),
    "filtering": Design(
        "32 runs: 4 sizes of a pool of 1e8 to 1e10 samples, 1 to 32 passes in 8 steps",
        lambda: passes(unique_tokens=(1e8, 1e10, 4), epochs=(1.0, 32.0, 8)),
    ),
    "asymptote": Design(
        "48 runs: 8 sizes of 1e7 to 1e9 parameters, 1 to 8 members in 6 steps",
        lambda: grid(params=(1e7, 1e9, 8), members=(1.0, 8.0, 6)),
    ),
    "kaplan_ns": Design(
        "48 runs: 6 sizes of 1e7 to 1e9 parameters at 8 numbers of steps, 1e3 to 3e5",
        lambda: grid(params=(1e7, 1e9, 6), steps=(1e3, 3e5, 8)),
    ),
    "power_law": Design(LADDER, ladder),
    "m4": Design(LADDER, ladder),
    "bnsl": Design(LADDER, ladder),
    "annealing": Design(
        "48 points, 8 along each of six runs of 2e4 to 8e4 steps; three decay, three do not",
        schedules,
    ),
    "clark_moe": Design(ROUTERS, routers),
    "routed": Design(ROUTERS, routers),
    "moe_joint": Design(ROUTED, routed_plane),
    "moe_granular": Design(
        "48 runs: 3 sizes of 4e9 to 2e11 parameters in all, 0.1 to 6 tokens per parameter, "
        "granularity 1 to 16",
        grained,
    ),
    "moe_sparsity": Design(
        "64 runs: 4 sizes of 1e8 to 1e10 parameters in all, 1 to 100 tokens per parameter, "
        "sparsity 0 to 0.95",
        sparse,
    ),
    "cbs": Design(BATCHES, batches),
    "mixing_exp": Design("32 mixtures of two domains, from one alone to the other", mixtures),
    "mixing_scale": Design(
        "128 runs: 8 mixtures of two domains, 4 sizes of 1e7 to 1e10, 1e9 to 1e12 tokens (4)",
        mixtures_along,
    ),
    "noise_scale": Design(BATCHES, batches, bs.Gamma()),
    "ladder": Design(f"{PLANE}; 1,000 questions each, and the loss", lambda: asked(isoflop())),
    "gadre_error": Design("24 losses of 2.4 to 5", lambda: {"loss": np.linspace(2.4, 5.0, 24)}),
    "sigmoid_compute": Design(f"{LADDER}; 1,000 questions each", lambda: asked(ladder())),
    "emergence": Design(f"{LADDER}; 1,000 questions each", lambda: asked(ladder())),
    "coverage": Design("48 problems, 20 attempts at half of them and 200 at the others", problems),
    "test_time": Design(
        "48 bins of 200 questions: 6 sizes of 1e8 to 3e10 parameters, 1 to 128 samples in 8 steps",
        crossed,
    ),
    "time_trend": Design(
        "24 releases of five years, scattered about the trend", releases, bs.StudentT()
    ),
    "tuning": Design(
        "24 learning rates of 1e-4 to 3e-2, one sweep", lambda: grid(lr=(1e-4, 3e-2, 24))
    ),
}
# A law with another scatter than the one it is meant to have, and one without its hardest term.
FURTHER = {
    "coupled, constant noise": ScalingModel(bs.Coupled()),
    "moe_sparsity, no term of its own": ScalingModel(MoESparsity(alone=False)),
}
HARD = ("coupled", "moe_sparsity", *FURTHER)  # measured again as `fit` does it, for hours
WITH_NUTS = ", NUTS"  # where importance sampling was not enough
DRAWS = 4000  # of these: as many as `fit` keeps


@dataclass(frozen=True)
class Broken(Chinchilla):
    """The additive law with its equation written twice, and once wrongly.

    Simulated, which NumPy does, it is right; fitted, which JAX does, its exponent in tokens is a
    tenth too small. `calibrate` has to notice.
    """

    def __call__(self, theta: Any, x: Any) -> Any:
        """Evaluate the loss, and under JAX a wrong one."""
        if namespace(theta, x) is not np:
            theta = {**theta, "beta": WRONG * theta["beta"]}
        return super().__call__(theta, x)


def case(name: str) -> tuple[ScalingModel, pd.DataFrame]:
    """Return the model of a registered law, and a table of its design.

    Raises
    ------
    SpecError
        A law without a design.
    """
    if name not in DESIGNS:
        msg = f"law {name!r} has no design, so nothing says that it is calibrated; add one to "
        raise SpecError(msg + "DESIGNS in benchmarks/sbc.py")
    design = DESIGNS[name]
    model = model_for(LAWS[name]())
    if design.observation is not None:
        model = ScalingModel(model.law, design.observation)
    return model, table(model.law, design.inputs())


def broken() -> tuple[ScalingModel, pd.DataFrame]:
    """Return the model that has to fail, and a table."""
    return ScalingModel(Broken()), case("chinchilla")[1]


def table(law: Any, x: Inputs) -> pd.DataFrame:
    """Return runs on the law in the middle of what is typical of it: priors are in their units."""
    law = bind(law, x)
    theta = {p.name: middle(p) for p in law.params}
    runs = pd.DataFrame({**x, law.outcome: law(theta, x)})
    if isinstance(law, HasUpstream):  # what is measured on the way
        runs = runs.assign(**law.latent(theta, x)).rename(columns={"upstream": "loss"})
    if "attempts" in x:  # shares of counts
        runs[law.outcome] = (runs[law.outcome] * x["attempts"]).round() / x["attempts"]
    if {"params", "tokens"} <= set(x):
        runs["flops"] = flops_6nd(x["params"], x["tokens"])
    counts = [c for c in runs if c in COLUMNS and COLUMNS[c].kind == "count"]
    known = [c for c in (*law.inputs, law.outcome) if c in COLUMNS]
    return bs.read_runs(runs.round(dict.fromkeys(counts, 0)), require=known)


def middle(param: Param) -> float:
    """Return the middle of what is typical of a parameter, in logs where it is positive."""
    low, high = param.typical
    return float(np.sqrt(low * high)) if low > 0 else (low + high) / 2


def measure(tables: int = TABLES) -> dict[str, xr.Dataset]:
    """Calibrate every registered law, those of `FURTHER`, hard ones with NUTS, then the broken one.

    The hard ones take some two hours of a core, all the others half an hour.
    """
    names = (*LAWS, *FURTHER, *(name + WITH_NUTS for name in HARD), BROKEN)
    return {name: measured(name, tables) for name in names}


def measured(name: str, tables: int) -> xr.Dataset:
    """Calibrate what a row of the page is about."""
    print(f"sbc: {name}", file=sys.stderr, flush=True)
    model, runs = case(law_of(name)) if name != BROKEN else broken()
    model = FURTHER.get(name.removesuffix(WITH_NUTS), model)
    if name.endswith(WITH_NUTS):
        how: Any = {"method": "auto", "draws": DRAWS, "false_alarm": FALSE_ALARM}
    else:
        how = {"false_alarm": FALSE_ALARM}
    return bs.calibrate(model, runs, tables, **how)


def law_of(name: str) -> str:
    """Return the registered law that a row of the page is about, whose design it has."""
    name = name.removesuffix(WITH_NUTS)
    return FURTHER[name].law.name if name in FURTHER else {BROKEN: "chinchilla"}.get(name, name)


def least(one: xr.Dataset, *, trusted: bool = False) -> float:
    """Return the least p of a law times its quantities, of all fits or of the trusted ones.

    Whether a fit is trusted depends on its table and not on its truth: given the table, the truth
    is a draw of the right posterior, so ranks among trusted fits have to be uniform as well.
    """
    p = one["p_value"].values
    if trusted:
        rank = one["rank"].values[one["trust"].values == TRUSTED]
        p = _uniformity(rank, FALSE_ALARM / rank.shape[1], np.random.default_rng(0))["p_value"][1]
    return min(1.0, float(p.min()) * len(p))


def flagged(one: xr.Dataset) -> int:
    """Count the fits of a law that are not to be trusted."""
    return int((one["trust"] != TRUSTED).sum())


def draw(ranks: Mapping[str, xr.Dataset]) -> Figure:
    """Draw how far the share of ranks below each level is from the level, a panel per law."""
    axes = style.panels(None, len(ranks), (2.9, 2.1), columns=4)
    for ax, (name, one) in zip(axes, ranks.items(), strict=True):
        level, failed = one["level"].values, one["quantity"].values[~one["passed"].values]
        ax.fill_between(level, one["lower"] - level, one["upper"] - level, color=style.PALE,
                        label="where all levels of a right quantity lie")  # fmt: skip
        for i, quantity in enumerate(one["quantity"].values):
            gap, wrong = one["ecdf"].values[i] - level, quantity in failed
            color, width = (style.VERMILLION, 1.5) if wrong else (style.BLUE, 0.8)
            what = "a quantity that fails" if wrong else "a quantity that passes"
            ax.plot(level, gap, color=color, linewidth=width, label=what)
        which = ", ".join(failed) if len(failed) <= NAMED else f"{len(failed)} quantities"
        verdict = f"fails in {which}" if len(failed) else "passes"
        ax.set_title(f"{name}\n{verdict}", loc="left", fontsize=9,
                     color=style.VERMILLION if len(failed) else style.INK)  # fmt: skip
        style.tidy(ax)
        limit = 1.15 * max(np.abs(one["ecdf"] - level).max(), (one["upper"] - level).max())
        ax.set_ylim(-limit, limit)
        ax.tick_params(labelsize=style.SMALL)
    figure = axes[0].figure
    for ax in axes[-4:]:
        ax.set_xlabel("level", fontsize=9)
    figure.supylabel("share of ranks below the level, less the level", fontsize=10)  # pyright: ignore
    style.legend(axes[::-1], True, 3)
    return figure  # pyright: ignore
