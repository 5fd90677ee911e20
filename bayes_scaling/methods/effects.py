"""What every correction of a recipe does to the exponent, and to the size it would train."""

from collections.abc import Mapping
from itertools import pairwise
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.decision import allocate
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.isoflop import size_on_line
from bayes_scaling.methods.compare import PROBS
from bayes_scaling.results import SAMPLES

ANYWHERE = 1e20  # FLOP: a line is known by one of its points
NEGLIGIBLE = 0.02  # change of the exponent: a factor 1.3 in N* over six decades of compute


def effects(
    recipes: Mapping[str, Any], target: float | None = None, *, negligible: float = NEGLIGIBLE
) -> pd.DataFrame:
    """Tabulate a chain of recipes, each with one correction more than the one before.

    Parameters
    ----------
    recipes : mapping of str to DataTree or Dataset
        In order, what is known of each: a fit of a law in `params` and `tokens` whose frontier is
        a power law, or draws of `a` and `log_g` of ``N* = e^log_g C^a`` over (chain, draw), such
        as `frontier` returns. Draws are compared one by one, as many as the shortest has.
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
        Fewer than two recipes, one without `a` and `log_g`, or a `target` or `negligible` that is
        not positive.

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
    >>> round(float(table.loc["new", ("change", 0.5)]), 2), float(table.loc["new", ("matters", "")])
    (-0.2, 1.0)
    """
    _refuse(recipes, target, negligible)
    lines = {name: _line(known) for name, known in recipes.items()}
    few = min(len(a) for a, _ in lines.values())
    slopes = {name: a[:few] for name, (a, _) in lines.items()}
    names = list(slopes)
    whole = slopes[names[-1]] - slopes[names[0]]
    change = {names[0]: np.full(few, np.nan)}
    change |= {after: slopes[after] - slopes[before] for before, after in pairwise(names)}
    rows = {}
    for name, (a, log_g) in lines.items():
        values = {"a": a, "change": change[name], "share": change[name] / whole}
        if target is not None:
            values["params"] = size_on_line(a, log_g, target)
        row = {(k, p): float(np.quantile(v, p)) for k, v in values.items() for p in PROBS}
        far = float(np.mean(np.abs(change[name]) > negligible)) if name != names[0] else np.nan
        rows[name] = {**row, ("matters", ""): far}
    return pd.DataFrame(rows).T


def _line(known: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return draws of a and log_g."""
    if isinstance(known, xr.DataTree):
        slope = known["posterior"].to_dataset()["a"].values.ravel()
        size = allocate(known, ANYWHERE)["params_opt"].values.ravel()
        return slope, np.log(size) - slope * np.log(ANYWHERE)
    return known["a"].values.ravel(), known["log_g"].values.ravel()


def _refuse(recipes: Mapping[str, Any], target: Any, negligible: float) -> None:
    if not isinstance(recipes, Mapping):
        msg = f"effects: a mapping of name to fit or line; found {type(recipes).__name__}"
        raise SpecError(msg)
    bad = []
    if len(recipes) < 2:
        bad.append(f"at least two recipes are needed; found {len(recipes)}")
    for name, known in recipes.items():
        if isinstance(known, xr.DataTree):
            if "a" not in known["posterior"]:
                bad.append(f"{name!r}: the law of this fit has no exponent of the optimal size")
        elif not isinstance(known, xr.Dataset):
            bad.append(f"{name!r}: a fit, or draws of a and log_g; found {type(known).__name__}")
        elif missing := {"a", "log_g"} - set(known):
            bad.append(f"{name!r} has no {' and no '.join(sorted(missing))}")
        elif set(known["a"].dims) != set(SAMPLES):
            bad.append(f"{name!r} is over {known['a'].dims}, not over draws")
    if target is not None and not (isinstance(target, Real) and 0 < float(target) < np.inf):
        bad.append(f"target: positive FLOP, such as 1e24; found {target!r}")
    if not 0 < negligible < np.inf:
        bad.append(f"negligible: a positive number; found {negligible!r}")
    if bad:
        raise SpecError("effects: " + "; ".join(bad))
