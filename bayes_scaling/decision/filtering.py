"""How hard to filter: pools of data by quality, merged from the best down, against samples seen."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._writing import size
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Filtering
from bayes_scaling.laws.repetition import UNIQUE
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

SURE = 0.5  # probability at which a looser filter is the better bet


def best_pool(fit: xr.DataTree, tokens: Any, unique: float) -> xr.Dataset:
    """Compare filters that keep the best pool, the best two, and so on, at samples to be seen.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of `Filtering` whose groups are pools with `b` of their own.
    tokens : float or (tokens,) array
        Samples that will be trained on, repeats counted.
    unique : float
        Samples in one pool, the same in all.

    Returns
    -------
    xarray.Dataset over (chain, draw, keep, tokens)
        `loss`; `excess`, its distance from the best filter of the draw. Over (keep, tokens)
        `p_best` and `regret`, the mean excess; over (tokens) `choice`, the filter of least expected
        loss; over (chain, draw, keep) `switch`, the fewest of `tokens` at which a filter beats the
        one that keeps a pool less, inf where it never does. Coordinate `pools` says what is kept.
        Attribute `verdict`.

    Raises
    ------
    SpecError
        Another law, no groups, or a number that is not positive.

    Notes
    -----
    Pools are ranked by the median of their quality b. Merged pools have half-lives as many times
    longer: a sample comes round that much later.

    References
    ----------
    Goyal et al. 2024, arXiv:2404.07177, section 4.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> law = bs.Filtering(reference=(("tokens", 1e9), ("unique_tokens", 1e9)))
    >>> size, passes = np.repeat([1e8, 1e9], 6), np.tile([1.0, 2, 4, 8, 16, 32], 2)
    >>> x = {"tokens": size * passes, "unique_tokens": size}
    >>> pools = {"best": (0.22, 1.0), "good": (0.20, 8.0), "rest": (0.10, 10.0)}
    >>> loss = [law({"E": 0.2, "a0": 0.6, "b": b, "tau": tau}, x) for b, tau in pools.values()]
    >>> runs = {k: np.tile(v, 3) for k, v in x.items()} | {
    ...     "pool": np.repeat(list(pools), 12),
    ...     "loss": np.exp(0.003 * np.random.default_rng(0).normal(size=36)) * np.ravel(loss)}
    >>> each = (("b", "free"), ("tau", "free"), ("a0", "shared"), ("E", "shared"))
    >>> model = bs.ScalingModel(bs.Filtering(), bs.Normal(), pooling=bs.Pooling("pool", each))
    >>> found = bs.best_pool(bs.fit(model, runs), [6e8, 6e10], unique=1e9)
    >>> found.pools.sel(keep=found.choice).values.tolist()
    ['best', 'best + good']
    """
    trust = warn_if_untrusted(fit)
    model = model_of(fit)
    if not isinstance(model.law, Filtering) or model.pooling is None:
        msg = (
            "pools are groups of a fit of Filtering(): Pooling('pool', (('b', 'free'), "
            "('tau', 'free'), ('a0', 'shared'), ('E', 'shared')))"
        )
        raise SpecError(msg)
    seen = positive(tokens, "tokens must be positive samples, one number or a list")
    one = one_number(unique, "unique: positive samples of one pool (1e9)")
    names = fit["posterior"].to_dataset()[model.pooling.column].values.astype(str).tolist()
    drawn = {g: theta_of(fit, g) for g in names}
    names.sort(key=lambda g: -float(drawn[g]["b"].median()))
    keep = np.arange(1, len(names) + 1)
    x = xr.DataArray(seen, dims="tokens", coords={"tokens": seen})
    each = [
        model.law.merged([drawn[g] for g in names[:k]], {"tokens": x, UNIQUE: one * k})
        for k in keep.tolist()
    ]
    loss = xr.concat(each, dim="keep").assign_coords(keep=keep)
    best = loss.min("keep")
    out = xr.Dataset({"loss": loss, "excess": loss - best})
    out["p_best"] = (loss == best).mean(SAMPLES)
    out["regret"] = out.excess.mean(SAMPLES)
    out["choice"] = out.keep[out.regret.argmin("keep")]
    looser = loss < loss.shift(keep=1)
    out["switch"] = x.where(looser).min("tokens").fillna(np.inf)
    pools = [" + ".join(names[:k]) for k in keep.tolist()]
    out = out.assign_coords(pools=("keep", pools)).transpose(*SAMPLES, "keep", "tokens")
    out["loss"].attrs["units"] = "nat/token" if model.law.outcome == "loss" else "1"
    out.attrs = {"trust": trust, "unique": one, "verdict": _verdict(out)}
    return out


def _verdict(out: xr.Dataset) -> str:
    chosen = out.choice.values
    said = []
    for i in [0, *(np.flatnonzero(np.diff(chosen)) + 1).tolist()]:
        here = out.isel(tokens=i).sel(keep=chosen[i])
        said.append(
            f"from {size(float(out.tokens[i]))} samples keep {here.pools.item()} "
            f"(best with {float(here.p_best):.0%})"
        )
    return "; ".join(said)
