"""When a frontier passes a threshold, if it goes on as it went."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import TimeTrend
from bayes_scaling.laws.trend import DATE
from bayes_scaling.observations import Records
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

LN2 = np.log(2.0)


def threshold_date(
    fit: xr.DataTree, value: Any, *, group: str | None = None, seed: int = 0
) -> xr.Dataset:
    """Say when the state of the art passes a value, draw by draw, if the trend goes on.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `time_trend`.
    value : float or (target,) array
        Thresholds, in the outcome's unit: minutes, or FLOP.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of when records come.

    Returns
    -------
    xarray.Dataset over (chain, draw, target)
        `trend`, the year in which the law is at the value. Of a fit of `Records` that carries its
        runs also `date`, the year of the first record above it, after the last row: records come
        by chance, and today's may lie above the trend or below. A value that was passed within the
        table has the date of its first row above. Over (chain, draw) `doubling`, years. Attribute
        `verdict`: a sentence.

    Raises
    ------
    SpecError
        Another law, or a value that is not positive.

    Notes
    -----
    With M the record at the last row t and ``e(t, y)`` as in `Records`, the first record above y
    comes at the s with ``e(s, y) - e(t, y) ~ Exponential(1)``. A scenario and no forecast: nothing
    in a few records says that the trend goes on.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> table = {"date": [2020, 2021.2, 2022.1, 2023, 2024, 2024.2],
    ...          "horizon": [1, 3, 7, 20, 50, 30]}
    >>> fit = bs.fit(bs.ScalingModel(bs.TimeTrend(), bs.Records()), table, seed=0)
    >>> found = bs.threshold_date(fit, [20, 960])
    >>> found.date.median(("chain", "draw")).round(0).values[0].item()
    2023.0
    """
    trust = warn_if_untrusted(fit)
    model = model_of(fit)
    law, of = law_of(fit), model.law.outcome
    values = positive(value, f"value: positive {of}, one or a list of them")
    target = xr.DataArray(values, dims="target", coords={"target": values})
    theta = theta_of(fit, group)
    trend = law.date_of(theta, target).transpose(*SAMPLES, "target")
    out = xr.Dataset({"trend": trend.assign_attrs(units="year")}, attrs={"trust": trust})
    out["doubling"] = theta["doubling"].assign_attrs(units="year")
    if isinstance(model.observation, Records) and carries_runs(fit):
        out["date"] = _first(fit, model, theta, target, group, seed).assign_attrs(units="year")
    said, which = [], out["date"] if "date" in out else out["trend"]
    low, middle, high = out.doubling.quantile([0.05, 0.5, 0.95]).values
    said.append(f"doubles every {middle:.2g} years [{low:.2g}, {high:.2g}]")
    for i, one in enumerate(values):
        low, middle, high = which.isel(target=i).quantile([0.05, 0.5, 0.95]).values
        said.append(f"{one:g} by {middle:.1f} [{low:.1f}, {high:.1f}]")
    out.attrs["verdict"] = "; ".join(said) + ", if the trend goes on"
    return out


def law_of(fit: xr.DataTree) -> TimeTrend:
    """Return the law of a fit, refusing any other than `time_trend`."""
    law = model_of(fit).law
    if not isinstance(law, TimeTrend):
        msg = f"law {law.name!r} knows no date; fit `TimeTrend` to outcomes against dates"
        raise SpecError(msg)
    return law


def _first(
    fit: xr.DataTree, model: Any, theta: Any, target: xr.DataArray, group: Any, seed: int
) -> xr.DataArray:
    """Return the year of the first record above every target."""
    data = fit["constant_data"].to_dataset()
    dates, seen = data[DATE].values, np.asarray(fit["observed_data"][model.law.outcome])
    if group is not None and model.pooling is not None:
        mine = data[model.pooling.column].values.astype(str) == str(group)
        dates, seen = dates[mine], seen[mine]
    last = max(float(dates.max()), model.observation.until or -np.inf)
    passed = [dates[seen >= y].min() if (seen >= y).any() else np.nan for y in target.values]
    jump, slope = theta["jump"], LN2 / theta["doubling"]
    ahead = np.log(target) - np.log(model.law(theta, {DATE: last}))
    wait = np.random.default_rng([seed, 6]).exponential(size=(*jump.shape, len(target)))
    waited = xr.DataArray(wait, dims=(*jump.dims, "target")) / LN2
    # ln(1 + w e^(ahead / jump)), without overflow
    steps = np.logaddexp(0.0, np.log(waited) + ahead / jump)
    date = last + jump / slope * steps
    known = xr.DataArray(passed, dims="target", coords={"target": target.values})
    return known.where(known.notnull(), date).transpose(*SAMPLES, "target")
