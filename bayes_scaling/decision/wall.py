"""The data wall: when the tokens that a plan asks for pass the tokens there are."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision import amounts
from bayes_scaling.decision.allocate import PER_TOKEN, _law_theta, allocate
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import best_split, splits
from bayes_scaling.param import Prior
from bayes_scaling.results import SAMPLES, model_of
from bayes_scaling.trust import warn_if_untrusted

# Effective public text, repeats and quality counted: order 300T, 90 % 100T to 1000T (Epoch AI).
STOCK = Prior.of("LogNormal", median=320e12, sigma=0.7)
STEPS = 60
LEAST, MOST = 1e10, 1e60  # FLOP searched


def data_wall(
    fit: xr.DataTree,
    budget: Any,
    stock: Any = STOCK,
    *,
    overtraining: float = 1.0,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Ask whether compute-optimal training passes the stock of text.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    budget : float or (budget,) array, FLOP
    stock : float, (float, float, float) or Prior, tokens
        What there is: a number, its 5, 50 and 95 % quantiles, or a distribution; Epoch AI's
        estimate of effective public text unless given, in which repeats and quality count already.
    overtraining : float, default 1
        Tokens of a plan over the compute-optimal ones.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of the stock.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget)
        `tokens`, what the plan asks for, and over (chain, draw) `stock`; over budget `exceeds`, the
        probability that the first is more, and `law_share`, the law's share of the variance of
        ln(tokens / stock), the rest being the stock's.

    Raises
    ------
    SpecError
        A number that is not positive.

    References
    ----------
    Villalobos et al. 2024, Will we run out of data?, arXiv:2211.04325.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> wall = bs.data_wall(bs.load_posterior("chinchilla"), [1e27, 1e30])
    >>> (wall.exceeds.values > 0.5).tolist()
    [False, True]
    """
    more = one_number(overtraining, "overtraining: a positive factor")
    plan = allocate(fit, budget, group=group)
    tokens = (more * plan.tokens_opt).assign_attrs(units="tokens")
    there = _stock(stock, tokens, seed)
    by_law, by_stock = (v.map_blocks(np.log).var(SAMPLES) for v in (tokens, there))
    return xr.Dataset(
        {"tokens": tokens, "stock": there, "exceeds": (tokens > there).mean(SAMPLES),
         "law_share": by_law / (by_law + by_stock)},
        attrs={"trust": plan.attrs["trust"]},
    )  # fmt: skip


def wall_year(
    fit: xr.DataTree,
    growth: Any,
    *,
    since: float,
    flops: float,
    stock: Any = STOCK,
    overtraining: float = 1.0,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Say in which year the largest runs pass the stock of text, if compute goes on growing.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law in `params` and `tokens`.
    growth : float, (float, float, float) or Prior
        Factor by which the compute of the largest run grows in a year: a number above 1, its 5, 50
        and 95 % quantiles, or a distribution.
    since : float, year
        When the largest run took `flops`.
    flops : float, FLOP
    stock, overtraining, group, seed
        As of `data_wall`.

    Returns
    -------
    xarray.Dataset over (chain, draw)
        `year`, inf in draws in which compute does not grow, and `flops`, the compute at which the
        plan asks for the stock.

    Raises
    ------
    SpecError
        A number that is not positive.

    Notes
    -----
    A scenario and no forecast: it is as good as the assumption that compute keeps growing so.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> year = bs.wall_year(fit, (3.0, 4.5, 6.0), since=2024.5, flops=4e25).year.median()
    >>> bool(2026 < year < 2034)
    True
    """
    trust = warn_if_untrusted(fit)
    since = one_number(since, "since: a year such as 2024.5")
    flops = one_number(flops, "flops: positive FLOP of the largest run then")
    more = one_number(overtraining, "overtraining: a positive factor")
    rate = amounts.amount(growth, "growth: a factor per year")
    if isinstance(rate, float) and rate <= 1:
        msg = f"growth: a factor per year, above 1; found {rate:g}"
        raise SpecError(msg)
    if not splits(model_of(fit).law):
        allocate(fit, flops)  # says what is wrong with the law
    sizes = {d: fit["posterior"].sizes[d] for d in SAMPLES}
    like = xr.DataArray(np.zeros(tuple(sizes.values())), dims=SAMPLES)
    there = _stock(stock, like, seed)
    low, high = like + np.log(LEAST), like + np.log(MOST)
    found = fit["posterior"].coords
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        short = _asked(fit, middle, group) * more < there
        low, high = xr.where(short, middle, low), xr.where(short, high, middle)
    crossing = np.exp(0.5 * (low + high))
    grows = like.copy(data=amounts.draw(rate, like.size, [seed, 5]).reshape(like.shape))
    with np.errstate(divide="ignore", invalid="ignore"):
        year = since + np.log(crossing / flops) / np.log(grows)
    year = year.where(grows > 1, np.inf)
    out = {"year": year.assign_attrs(units="year"), "flops": crossing.assign_attrs(units="FLOP")}
    return xr.Dataset(out, attrs={"trust": trust}).assign_coords(
        {d: c for d, c in found.items() if d in SAMPLES}
    )


def _asked(fit: xr.DataTree, log_flops: xr.DataArray, group: str | None) -> xr.DataArray:
    theta = _law_theta(fit, group)
    return best_split(model_of(fit).law, theta, np.exp(log_flops) / PER_TOKEN)[1]


def _stock(stock: Any, like: xr.DataArray, seed: int) -> xr.DataArray:
    given = amounts.amount(stock, "stock: tokens")
    over = like.isel({d: 0 for d in like.dims if d not in SAMPLES}, drop=True)
    drawn = amounts.draw(given, over.size, [seed, 4]).reshape(over.shape)
    return over.copy(data=drawn).assign_attrs(units="tokens")
