"""What every correction of a recipe does to the exponent, and to the size it would train."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.errors import SpecError
from bayes_scaling.methods.compare import PROBS
from bayes_scaling.results import SAMPLES

NEGLIGIBLE = 0.02  # change of the exponent: a factor 1.3 in N* over six decades of compute


def effects(
    lines: Mapping[str, xr.Dataset], target: float | None = None, *, negligible: float = NEGLIGIBLE
) -> pd.DataFrame:
    """Tabulate a chain of recipes, each with one correction more than the one before.

    Parameters
    ----------
    lines : mapping of str to xarray.Dataset over (chain, draw)
        For every recipe, in order, draws of `a` and `log_g` of its ``N* = e^log_g C^a``, such as
        `frontier` returns.
    target : float, FLOP, optional
        Where N* is wanted.
    negligible : float, default 0.02
        A change of the exponent no larger than this does not matter.

    Returns
    -------
    pandas.DataFrame
        A row per recipe. Columns ``(name, prob)`` with 5, 50 and 95 %: `a`; `change`, its
        difference from the recipe before; `share`, that change over the change from the first
        recipe to the last; and `params`, N* at `target`. Columns `matters`, the probability that
        the change exceeds `negligible` in size.

    Raises
    ------
    SpecError
        Fewer than two recipes, draws that do not match, or a `target` or `negligible` that is not
        positive.

    Notes
    -----
    Corrections are counted in the order in which they were made; in another order each might do
    more or less. Shares of a gap that may be zero have no mean, hence medians throughout.

    References
    ----------
    Porian et al. 2024, Resolving Discrepancies in Compute-Optimal Scaling, arXiv:2406.19146.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> flops = np.geomspace(1e17, 1e20, 7)
    >>> jitter = np.exp([0.01, 0, -0.01, 0, 0.01, -0.01, 0])
    >>> lines = {s: bs.frontier(flops, flops**a * jitter) for s, a in (("old", 0.7), ("new", 0.5))}
    >>> table = bs.effects(lines, target=1e22)
    >>> round(table.loc["new", ("change", 0.5)], 2), table.loc["new", ("matters", "")]
    (-0.2, 1.0)
    """
    _refuse(lines, target, negligible)
    a = {k: line["a"].values.ravel() for k, line in lines.items()}
    names = list(a)
    whole = a[names[-1]] - a[names[0]]
    change = {names[0]: np.full_like(whole, np.nan)}
    change |= {after: a[after] - a[before] for before, after in pairwise(names)}
    rows = {}
    for name, line in lines.items():
        values = {"a": a[name], "change": change[name], "share": change[name] / whole}
        if target is not None:
            values["params"] = np.exp(line["log_g"].values.ravel() + a[name] * np.log(target))
        row = {(k, p): float(np.quantile(v, p)) for k, v in values.items() for p in PROBS}
        far = float(np.mean(np.abs(change[name]) > negligible)) if name != names[0] else np.nan
        rows[name] = {**row, ("matters", ""): far}
    return pd.DataFrame(rows).T


def _refuse(lines: Mapping[str, xr.Dataset], target: Any, negligible: float) -> None:
    bad = []
    if len(lines) < 2:
        bad.append(f"at least two recipes are needed; found {len(lines)}")
    for name, line in lines.items():
        if missing := {"a", "log_g"} - set(line):
            bad.append(f"{name!r} has no {' and no '.join(sorted(missing))}")
        elif set(line["a"].dims) != set(SAMPLES):
            bad.append(f"{name!r} is over {line['a'].dims}, not over draws")
    shapes = {k: line["a"].shape for k, line in lines.items() if "a" in line}
    if len(set(shapes.values())) > 1:
        bad.append(f"numbers of draws differ: {shapes}")
    if target is not None and not 0 < target < np.inf:
        bad.append(f"target: positive FLOP, such as 1e24; found {target!r}")
    if not 0 < negligible < np.inf:
        bad.append(f"negligible: a positive number; found {negligible!r}")
    if bad:
        raise SpecError("effects: " + "; ".join(bad))
