"""What to set, how sure that is, and what a miss costs: answers of a fitted `Tuning` law."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.decision._planned import together
from bayes_scaling.decision._tuning import failure_of, points_of, said, theta_at, tuning_of, unit_of
from bayes_scaling.errors import SpecError
from bayes_scaling.laws.rules import RULES
from bayes_scaling.predict import beyond
from bayes_scaling.results import SAMPLES
from bayes_scaling.trust import warn_if_untrusted

REACH, GRID = 6.0, 361  # of what a parabola tolerates: where a plateau is looked for, in points


def recommend(
    fit: xr.DataTree,
    at: Mapping[str, Any] | None = None,
    *,
    tolerance: float = 0.001,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Recommend the settings of a planned run: learning rate, batch size, or what was swept.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `tuning`.
    at : mapping, optional
        The planned sizes that the law's optima move along, one number or several; none for a fit
        of one sweep. `flops` are 6ND where `params` and `tokens` are given in their place.
    tolerance : float, default 0.001
        Share of the loss that may be lost to a setting that is not the best; nats, where the law
        is on a linear scale.
    group : str, optional
        A sweep of a pooled model; without it, a new sweep, which misses the power law as the
        sweeps of the table do.
    seed : int
        Of the scatter of a new sweep.

    Returns
    -------
    xarray.Dataset over (chain, draw, point)
        For every knob k, `k_opt`, its best value, a new sweep's scatter included; over (point) `k`,
        what to set, and `k_low` and `k_high`, between which no more than `tolerance` is expected to
        be lost (with the other knobs as recommended), NaN where more is expected to be lost
        whatever is set. `regret`, what the recommendation loses against the best, as `tolerance`;
        where failures were modelled, `diverge`, the probability that the run diverges. `beyond` is
        how many decades the plan lies past the runs. An attribute `caution` where the law counts
        from a published rule, beyond what the rule's authors trust it to.

    Raises
    ------
    SpecError
        Another law; sizes missing, or not positive, or none that the law's rule has an answer at;
        no positive tolerance.

    Notes
    -----
    A setting is recommended in logs, at the mean of the best: for a parabola that is the setting
    of least expected regret.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("steplaw-dense")
    >>> plan = bs.recommend(fit, {"params": 1e9, "tokens": 1e11})
    >>> bool(0.0005 < plan.lr[0] < 0.003), bool(5e5 < plan.batch_size_tokens[0] < 2e6)
    (True, True)
    """
    trust = warn_if_untrusted(fit)
    law = tuning_of(fit)
    tolerance = one_number(tolerance, "tolerance: a share of the loss such as 0.001")
    points, theta = points_of(law, at), theta_at(fit, group, seed)
    caution = said(RULES[law.rule], points)[1] if law.rule else None
    best = law.best(theta, points)
    out: dict[str, Any] = {}
    chosen = {}
    for knob, values in best.items():
        values = values.broadcast_like(_like(points)) if points else values.expand_dims("point")
        out[f"{knob}_opt"] = values.transpose(*SAMPLES, "point").assign_attrs(units=unit_of(knob))
        chosen[knob] = np.exp(np.log(values).mean(SAMPLES))
    out |= chosen
    for knob in law.knobs:
        some = _thinned(theta)
        away = REACH * law.tolerated(some, points, knob, tolerance).median(SAMPLES)
        steps = xr.DataArray(np.linspace(-1, 1, GRID), dims="step")
        tried = {**chosen, knob: chosen[knob] * np.exp(away * steps)}
        lost = law.excess(some, {**points, **tried}).mean(SAMPLES)
        fine = tried[knob].where(lost <= tolerance)
        out[f"{knob}_low"], out[f"{knob}_high"] = fine.min("step"), fine.max("step")
    regret = law.excess(theta, {**points, **chosen})
    unit = "nat/token" if law.scale == "linear" else "1"
    out["regret"] = regret.transpose(*SAMPLES, "point").assign_attrs(units=unit)
    risk = failure_of(fit, law, theta, {**points, **chosen})
    if risk is not None:
        out["diverge"] = risk.mean(SAMPLES)
    for name, values in out.items():
        values.attrs.setdefault("units", "1" if name == "diverge" else unit_of(name))
    coords = {k: ("point", v.values) for k, v in points.items()}
    if points:
        far = beyond(fit, {k: v.values for k, v in points.items()})
        coords["beyond"] = ("point", far)
    attrs = {"trust": trust, "tolerance": tolerance}
    return xr.Dataset(out, coords, attrs | ({"caution": caution} if caution else {}))


def setting_cost(
    fit: xr.DataTree,
    setting: Mapping[str, Any] | str,
    at: Mapping[str, Any] | None = None,
    *,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Say what settings cost: those somebody has in mind, or a published rule's.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `tuning`.
    setting : mapping or str
        A value, or a list of them, for every knob of the law; or the name of a published rule:
        "step-law", "deepseek", "kaplan-lr", "porian". A rule that does not set every knob leaves
        the others at their best.
    at, group, seed
        As of `recommend`; a rule in `flops` needs them too, and takes 6ND where `params` and
        `tokens` are given without.

    Returns
    -------
    xarray.Dataset over (chain, draw, point, setting)
        `excess`, the share of the loss lost against the best setting, or nats where the law is on
        a linear scale; where failures were modelled, `diverge`, the probability that the run
        diverges. The knobs are coordinates. An attribute `caution` where a rule is used beyond what
        its own authors trust it to.

    Raises
    ------
    SpecError
        A knob or a size is missing, or not positive.
    UnknownNameError
        No such rule.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("steplaw-dense")
    >>> cost = bs.setting_cost(fit, "step-law", {"params": 1e9, "tokens": 1e11})
    >>> bool(cost.excess.median() < 0.005)
    True
    """
    trust = warn_if_untrusted(fit)
    law, rule = tuning_of(fit), RULES[setting] if isinstance(setting, str) else None
    sizes = points_of(law, at, rule.inputs if rule else (), ("params", "tokens", "flops"))
    theta, caution = theta_at(fit, group, seed), None
    if rule:
        if not set(rule.knobs) & set(law.knobs):
            msg = f"rule {rule.name!r} sets {', '.join(rule.knobs)}, and not {law.knobs}"
            raise SpecError(msg)
        known, caution = said(rule, sizes)
        best = law.best(theta, sizes)
        known = {k: known.get(k, best[k]) for k in law.knobs}
        known = {k: v.expand_dims("setting") for k, v in known.items()}
    else:
        if not isinstance(setting, Mapping) or (unknown := set(setting) - set(law.knobs)):
            odd = repr(setting) if not isinstance(setting, Mapping) else ", ".join(sorted(unknown))
            msg = f"setting: {', '.join(law.knobs)} by name, or a rule's name; found {odd}"
            raise SpecError(msg)
        lacking = [k for k in law.knobs if k not in setting]
        if lacking:
            msg = f"setting: {', '.join(lacking)} not given; the law is of {', '.join(law.knobs)}"
            raise SpecError(msg)
        values = {k: positive(setting[k], f"setting: positive {k}") for k in law.knobs}
        known = together(values, "setting: as many of each knob or one", "setting")
    x = {**sizes, **known}
    unit = "nat/token" if law.scale == "linear" else "1"
    out = {"excess": law.excess(theta, x).assign_attrs(units=unit)}
    risk = failure_of(fit, law, theta, x)
    if risk is not None:
        out["diverge"] = risk.assign_attrs(units="1")
    made = xr.Dataset(out, attrs={"trust": trust})
    if caution:
        made.attrs["caution"] = caution
    made = made if "point" in made.dims else made.expand_dims("point")
    shown = {k: v for k, v in known.items() if not set(SAMPLES) & set(v.dims)}
    points = {k: ("point", v.values) for k, v in sizes.items()}
    return made.transpose(*SAMPLES, "point", "setting").assign_coords({**points, **shown})


def _like(points: Mapping[str, xr.DataArray]) -> xr.DataArray:
    return next(iter(points.values()))


def _thinned(theta: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
    return {k: v.isel(draw=slice(None, None, max(1, v.sizes["draw"] // 1000)))
            for k, v in theta.items()}  # fmt: skip
