"""A line through optima that somebody else has estimated, the trust in their errors learned."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.errors import SpecError
from bayes_scaling.inference._seed import own_seed
from bayes_scaling.inference.sampling import counted

LEAST = 4  # optima: two for the line, and two to see how they scatter about it


def frontier(
    flops: Any, optimum: Any, relative_sd: Any = 1.0, *, draws: int = 4000, seed: int = 0
) -> xr.Dataset:
    """Sample the posterior of a power law through estimated optima.

    Parameters
    ----------
    flops : (budget,) array, FLOP
    optimum : (budget,) array
        The optimal size (or tokens) at each budget.
    relative_sd : float or (budget,) array
        Standard errors of ``ln optimum``, as far as they are known: their ratios count, and what
        they have to be multiplied by is learned.
    draws : int
        In four equal chains.
    seed : int
        Equal seeds give equal draws for one table, independent ones for two.

    Returns
    -------
    xarray.Dataset over (chain, draw)
        `a` and `log_g` of ``optimum = e^log_g C^a``, and `scale`, by what the standard errors have
        to be multiplied; above 1 they were too small.

    Raises
    ------
    SpecError
        Lengths differ, fewer than four budgets or two different ones, or a number is not positive;
        no draws.

    Notes
    -----
    ``ln optimum_i ~ Normal(log_g + a ln C_i, (scale sd_i)^2)``, flat in the line and in ln scale.
    The posterior is exact: about the weighted least-squares line, with ``n - 2`` degrees of
    freedom. Optima of one table of runs are better fitted with the runs themselves, by the law
    `isoflop`.

    The line is any power law's: of the best learning rates of several widths, given in the place of
    optima and budgets, `a` is the exponent, which is nothing where the rate transfers. With the
    runs of the sweeps at hand, `Tuning` says the same from all of them.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> flops = np.geomspace(1e17, 1e20, 7)
    >>> line = bs.frontier(flops, 0.1 * flops**0.5 * np.exp([0.1, 0, -0.1, 0, 0.1, -0.1, 0]))
    >>> bool(abs(line.a.mean() - 0.5) < 0.03)
    True
    """
    counted(draws=draws)
    given = [np.asarray(v, float) for v in (flops, optimum, relative_sd)]
    shapes = {v.shape for v in given if v.ndim}
    x, y, sd = np.broadcast_arrays(*given) if len(shapes) == 1 else [np.empty((0, 0))] * 3
    fine = all(np.all(np.isfinite(v) & (v > 0)) for v in (x, y, sd))
    if x.ndim != 1 or not fine or len(np.unique(x)) < 2 or len(x) < LEAST:
        msg = (
            f"frontier needs at least {LEAST} optima at two budgets or more, and positive numbers; "
            f"found flops of shape {np.shape(flops)}, optima of shape {np.shape(optimum)}"
        )
        raise SpecError(msg)
    weight = 1 / sd
    middle = np.average(np.log(x), weights=weight**2)
    design = np.stack([np.ones_like(x), np.log(x) - middle], axis=1)
    line, *_ = np.linalg.lstsq(design * weight[:, None], np.log(y) * weight, rcond=None)
    left = (np.log(y) - design @ line) * weight
    rng = np.random.default_rng(own_seed(seed, y))
    free = len(x) - 2
    scale = np.sqrt(np.sum(left**2) / rng.chisquare(free, size=(4, -(-draws // 4))))
    # Level and slope are independent about the weighted centre.
    spread = 1 / np.sqrt(np.sum((design * weight[:, None]) ** 2, axis=0))
    level, slope = (
        m + s * scale * rng.normal(size=scale.shape) for m, s in zip(line, spread, strict=True)
    )
    named = {"a": slope, "log_g": level - slope * middle, "scale": scale}
    return xr.Dataset({k: (("chain", "draw"), v) for k, v in named.items()})
