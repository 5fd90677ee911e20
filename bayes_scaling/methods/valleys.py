"""A minimum for every budget, with the law's own valleys and a line that they scatter about."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.data.coverage import TOLERANCE
from bayes_scaling.decision import allocate
from bayes_scaling.errors import FitError
from bayes_scaling.inference.fit import fit
from bayes_scaling.inference.sampling import Method
from bayes_scaling.laws import IsoFlop
from bayes_scaling.methods.budgets import Budget, Runs, budgets_of, runs_of
from bayes_scaling.model import Mode, Pooling, ScalingModel
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted

LEAST = 3  # budgets: two make a line, and a third shows how minima scatter about it
INFORMED = 0.1  # contraction below which a budget's minimum is that of the line
PER_BUDGET: tuple[tuple[str, Mode], ...] = (
    ("n_opt", "partial"),
    ("E", "shared"),
    ("l0", "shared"),
    ("curvature", "shared"),
)


def valleys(
    runs: Any,
    *,
    tolerance: float = TOLERANCE,
    method: Method = "nuts",
    draws: int | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Find the optimal size at every budget at once: isoFLOP curves as a hierarchy.

    Parameters
    ----------
    runs : DataFrame
        A run table with several sizes at each of three or more budgets; runs of budgets with
        fewer sizes are left out, and counted.
    tolerance : float, default 0.02
        Runs whose compute differs by no more than this share are of one budget.
    method, draws, seed
        As of `fit`; the posterior of a hierarchy is no t's shape, hence NUTS, some 20 seconds.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        `params_opt` and `loss_opt`, the bottom of each valley; `params_line`, where the frontier
        alone would have it; over (budget) `inside`, the probability that the minimum lies within
        the sizes trained, `contraction` of ``ln(params_opt / params_line)`` against how minima
        scatter, and `prior_only`: the runs of this budget do not say where its minimum is, and
        the line does. Over (chain, draw) `a`, and `scatter`, the sd of ln N* about the line.
        Attribute `left_out` counts runs, `trust` says whether the fit is to be trusted.

    Raises
    ------
    TableError
        A column is missing or has gaps.
    FitError
        Fewer than three budgets with three sizes each.

    Notes
    -----
    Valleys have the law's own shape, ``L = L*(C) + kappa(C) h(ln N / N_i)`` as in the law
    `isoflop`, with alpha and beta shared and L* and kappa power laws;
    ``ln N_i ~ Normal(log_g + a ln C_i, scatter)``. No parabola is asked for.

    References
    ----------
    Hoffmann et al. 2022, arXiv:2203.15556, section 3.2.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> found = bs.valleys(runs, method="laplace", draws=500)
    >>> bool(0.4 < found.a.median() < 0.6), bool(found.prior_only.any())
    (True, False)
    """
    table = runs_of(runs)
    budgets = budgets_of(table, tolerance)
    if len(budgets) < LEAST:
        msg = (
            f"{len(budgets)} budgets have runs of three sizes or more (within {tolerance:.0%} of "
            f"compute); a hierarchy needs {LEAST}: fit the law `isoflop` or a joint law"
        )
        raise FitError(msg)
    labels = [f"{b.flops:.4g}" for b in budgets]
    model = ScalingModel(IsoFlop(), pooling=Pooling("budget", PER_BUDGET))
    made = fit(model, _frame(table, budgets, labels), method=method, draws=draws, seed=seed)
    flops = np.array([b.flops for b in budgets])
    own = [allocate(made, b.flops, group=label) for b, label in zip(budgets, labels, strict=True)]
    size, loss = (np.concatenate([p[v].values for p in own], axis=-1)
                  for v in ("params_opt", "loss_opt"))  # fmt: skip
    line = allocate(made, flops)["params_opt"].values
    ends = [(n.min(), n.max()) for n in (table.params[b.rows] for b in budgets)]
    low, high = np.array(ends).T
    inside = ((size > low) & (size < high)).mean(axis=(0, 1))
    posterior = made["posterior"].to_dataset()
    scatter = posterior["n_opt_sd"]
    contraction = 1 - np.log(size / line).var(axis=(0, 1)) / np.mean(scatter.values**2)
    each = (*SAMPLES, "budget")
    out = xr.Dataset(
        {
            "params_opt": (each, size, {"units": "params"}),
            "params_line": (each, line, {"units": "params"}),
            "loss_opt": (each, loss, {"units": "nat/token"}),
            "inside": ("budget", inside),
            "contraction": ("budget", contraction),
            "prior_only": ("budget", (inside < 0.5) | (contraction < INFORMED)),
            "a": posterior["a"],
            "scatter": scatter,
        },
        coords={"budget": ("budget", flops, {"units": "FLOP"})},
    )
    left = len(table.params) - sum(len(b.rows) for b in budgets)
    return out.assign_attrs(left_out=left, trust=warn_if_untrusted(made))


def _frame(table: Runs, budgets: list[Budget], labels: list[str]) -> pd.DataFrame:
    rows = np.concatenate([b.rows for b in budgets])
    whole = pd.DataFrame(table._asdict()).iloc[rows].reset_index(drop=True)
    sizes = [len(b.rows) for b in budgets]
    return whole.assign(budget=np.repeat(labels, sizes), use=True, flag="")
