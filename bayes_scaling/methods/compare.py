"""All three approaches on one table, side by side, and why they differ."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.coverage import TOLERANCE
from bayes_scaling.decision import allocate
from bayes_scaling.decision.allocate import PER_TOKEN
from bayes_scaling.errors import BayesScalingError, SpecError
from bayes_scaling.inference.fit import fit
from bayes_scaling.laws import Chinchilla, IsoFlop
from bayes_scaling.laws.isoflop import size_on_line
from bayes_scaling.methods.budgets import budgets_of, runs_of
from bayes_scaling.methods.envelope import approach1
from bayes_scaling.methods.parabola import ParabolaBiasWarning, approach2, parabola_bias
from bayes_scaling.model import ScalingModel
from bayes_scaling.trust import UntrustedFitWarning

PROBS = (0.05, 0.5, 0.95)
RESAMPLED = 200  # tables of runs drawn with replacement, within budgets for the second approach


def three_ways(
    runs: Any, target: float, *, tolerance: float = TOLERANCE, seed: int = 0
) -> pd.DataFrame:
    """Estimate the optimal size by every approach, with what is known against each.

    Parameters
    ----------
    runs : DataFrame
        A run table.
    target : float, FLOP
        Where N* and D* are wanted, C = 6 N D.
    tolerance : float, default 0.02
        Runs whose compute differs by no more than this share are of one budget.
    seed : int
        Of resampling and draws.

    Returns
    -------
    pandas.DataFrame
        A row per method: "1 envelope", "2 parabolas" (intervals from resampled runs), "2 valleys"
        (the law `isoflop`) and "3 joint law" (posteriors). Columns `a`, `params`, `tokens` with
        5, 50 and 95 % under each, and `remark`: the reason it may differ, or why there is none.

    Raises
    ------
    TableError
        The table lacks a column.
    SpecError
        The target is not positive.
    FitError
        No usable run.

    Notes
    -----
    The first two estimate one table's line and then look 100 or 1,000 times further along it. Their
    tokens are what is left of the budget.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> table = bs.three_ways(bs.load_dataset("simulated-chinchilla"), 5.76e23)
    >>> table.index.tolist()
    ['1 envelope', '2 parabolas', '2 valleys', '3 joint law']
    >>> bool(table.loc["3 joint law", ("a", 0.05)] < 0.5126 < table.loc["3 joint law", ("a", 0.95)])
    True
    """
    if not 0 < target < np.inf:
        msg = f"target: positive FLOP, such as 1e24; found {target!r}"
        raise SpecError(msg)
    usable = runs_of(runs)
    frame = pd.DataFrame(usable._asdict()).assign(use=True, flag="")
    rng = np.random.default_rng(seed)
    budgets = budgets_of(usable, tolerance)
    joint: dict[str, xr.DataTree] = {}
    second = partial(approach2, tolerance=tolerance)

    def any_rows() -> np.ndarray:
        return rng.choice(len(frame), len(frame))

    def within_budgets() -> np.ndarray:
        return np.concatenate([rng.choice(b.rows, len(b.rows)) for b in budgets])

    def posterior(law: Any) -> tuple[dict[str, np.ndarray], str]:
        made = fit(ScalingModel(law=law), runs, seed=seed, progress=False)
        joint[law.name] = made
        plan = allocate(made, target)
        out = {"a": made["posterior"]["a"].values, "params": plan.params_opt.values}
        trust = plan.attrs["trust"]
        return out, "" if trust == "trusted" else f"not to be trusted: {trust}"

    def envelope() -> tuple[dict[str, np.ndarray], str]:
        hull = approach1(frame)
        lines, lost = _resampled(approach1, frame, any_rows)
        luck = f"low by luck, about {float(hull.luck):.1f} sd of the scatter"
        return _along(lines, target), "; ".join([luck, f"{hull.sizes['flops']} runs", *lost])

    def parabolas() -> tuple[dict[str, np.ndarray], str]:
        outside = int((~second(frame).inside).sum())
        lines, lost = _resampled(second, frame, within_budgets)
        said = [f"{outside} minima outside their grids"] if outside else []
        said += lost
        if "chinchilla" in joint:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", (ParabolaBiasWarning, UntrustedFitWarning))
                bias = parabola_bias(joint["chinchilla"], frame, target, tolerance=tolerance)
                said.append(bias.attrs["verdict"])
        return _along(lines, target), "; ".join(said)

    ways: dict[str, Callable[[], tuple[dict[str, np.ndarray], str]]] = {
        "3 joint law": lambda: posterior(Chinchilla()),
        "2 valleys": lambda: posterior(IsoFlop()),
        "2 parabolas": parabolas,
        "1 envelope": envelope,
    }
    rows = {}
    for name, way in ways.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UntrustedFitWarning)
                found, remark = way()
        except BayesScalingError as error:
            found, remark = {}, f"none: {' '.join(str(error).split())}"
        rows[name] = _row(found, target, remark)
    return pd.DataFrame(rows).T.sort_index().infer_objects()


def _resampled(
    method: Callable[[Any], xr.Dataset], frame: pd.DataFrame, draw: Callable[[], np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """Return (a, log_g) of a method on resampled runs, (resample, 2), and a word on failures."""
    out = []
    for _ in range(RESAMPLED):
        again = frame.iloc[draw()].reset_index(drop=True)
        try:
            got = method(again)
        except BayesScalingError:
            continue
        out.append((float(got.a), float(got.log_g)))
    lines = np.array(out).reshape(-1, 2)
    lines = lines[np.isfinite(lines).all(axis=1)]
    lost = RESAMPLED - len(lines)
    return lines, [f"no line in {lost} of {RESAMPLED} resamples"] if lost else []


def _along(lines: np.ndarray, target: float) -> dict[str, np.ndarray]:
    a, log_g = lines.T
    return {"a": a, "params": size_on_line(a, log_g, target)}


def _row(found: dict[str, np.ndarray], target: float, remark: str) -> dict[tuple[str, Any], Any]:
    values = dict(found)
    if "params" in values:
        values["tokens"] = target / PER_TOKEN / values["params"]
    row: dict[tuple[str, Any], Any] = {}
    for name in ("a", "params", "tokens"):
        draws = np.ravel(values.get(name, [np.nan]))
        if not len(draws):
            draws = np.array([np.nan])
        row |= {(name, p): float(np.quantile(draws, p)) for p in PROBS}
    return {**row, ("remark", ""): remark}
