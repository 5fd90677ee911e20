"""A decision as a table and as a sentence."""

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._writing import flop, number, percent, size
from bayes_scaling.decision.decide import plan_of
from bayes_scaling.errors import SpecError
from bayes_scaling.results import SAMPLES

FAR = 0.5  # decades past the data from which a sentence says so
ONE_IN_TWENTY = 0.95


def sentence(decision: xr.Dataset) -> str:
    """Say a decision in one sentence, or one for every budget or target.

    Parameters
    ----------
    decision : xarray.Dataset
        What `decide` returned.

    Returns
    -------
    str
        The plan, the loss of a run with a 90 % interval, the waste that is exceeded with a chance
        of 5 %, and the probability that the first rule of thumb would have done.

    Raises
    ------
    SpecError
        Something that `decide` did not make.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> print(bs.sentence(bs.decide(fit, bs.ComputeBudget(1e24))))  # doctest: +ELLIPSIS
    With 1e24 FLOP: train 9... tokens: expected loss 1.95... 20:1 would be within 1 % with...
    """
    return "\n".join(_said(decision, case) for case in _cases(decision))


def plan_table(decision: xr.Dataset) -> pd.DataFrame:
    """Tabulate the configurations of a decision.

    Parameters
    ----------
    decision : xarray.Dataset
        What `decide` returned.

    Returns
    -------
    pandas.DataFrame
        One row per budget (or target) and configuration: whether it is the `plan`, `kind`,
        `allowed`, `params`, `tokens`, `training` and `serving` FLOP, `meets`, `dollars` and `days`
        where they are known, the mean and 90 % interval of `loss_run`, of `wasted_share` the mean
        and the 95 % quantile, and `within`, the probability of wasting no more than `flat`.

    Raises
    ------
    SpecError
        Something that `decide` did not make.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> table = bs.plan_table(bs.decide(fit, bs.ComputeBudget(1e24), bs.Shelf([70e9, 280e9])))
    >>> table.loc[(1e24, "70.0B"), ["plan", "allowed"]].tolist()
    [True, True]
    """
    parts = []
    for case in _cases(decision):
        plain = ("kind", "allowed", "params", "tokens", "training", "serving", "meets", "dollars",
                 "days")  # fmt: skip
        columns = {k: case[k].values for k in plain if k in case.variables}
        run, share = case.loss_run, case.wasted_share
        columns |= {
            "loss": case.loss.mean(SAMPLES).values,
            "loss_low": run.quantile(0.05, SAMPLES, skipna=False).values,
            "loss_high": run.quantile(0.95, SAMPLES, skipna=False).values,
            "wasted": share.mean(SAMPLES).values,
            "wasted_95": share.quantile(0.95, SAMPLES, skipna=False).values,
            "within": _within(share, case.attrs["flat"]),
        }
        table = pd.DataFrame(columns, index=pd.Index(case.config.values, name="config"))
        table.insert(0, "plan", case.config.values == str(case.choice.values))
        parts.append(table)
    dim = _dim(decision)
    if dim is None:
        return parts[0]
    return pd.concat(dict(zip(decision[dim].values, parts, strict=True)), names=[dim])


def _said(decision: xr.Dataset, case: xr.Dataset) -> str:
    plan, dim = plan_of(case), _dim(decision)
    low, high = plan.loss_run.quantile([0.05, 0.95], SAMPLES).values
    places = max(2, 1 - int(np.floor(np.log10(max(high - low, 1e-6)))))
    loss = f"{float(plan.loss.mean()):.{places}f} [{low:.{places}f}, {high:.{places}f}]"
    train = f"train {size(float(plan.params))} on {size(float(plan.tokens))} tokens"
    if dim == "budget":
        head = f"With {flop(float(case[dim]))} FLOP: {train}"
    elif dim == "target":
        p = decision.attrs["probability"]
        head = f"To measure at most {number(float(case[dim]))} with probability {p:g}: {train}"
    else:
        head = train[0].upper() + train[1:]
    cost = [f"{flop(float(plan.training))} FLOP"] if dim != "budget" else []
    if float(plan.serving) > 0:
        cost = [f"{flop(float(plan.training))} FLOP to train and "
                f"{flop(float(plan.serving))} expected to serve"]  # fmt: skip
    cost += [f"{_money(float(plan.dollars))}"] if "dollars" in plan else []
    cost += [f"{float(plan.days):.3g} days"] if "days" in plan else []
    head += f" ({', '.join(cost)})" if cost else ""
    worst = float(plan.wasted_share.quantile(ONE_IN_TWENTY))
    said = [f"{head}: expected loss {loss}",
            f"5 % chance of wasting more than {percent(worst)} of the compute"]  # fmt: skip
    flat = decision.attrs["flat"]
    rules = case.config.values[case.kind.values == "rule"]
    if len(rules):
        rule = case.sel(config=rules[0])
        chance = float(_within(rule.wasted_share, flat))
        verb = "would be" if bool(rule.allowed) else "is ruled out here, and would be"
        if np.isfinite(rule.wasted_share).any():
            said.append(f"{rules[0]} {verb} within {percent(flat)} with probability {chance:.2f}")
    if float(plan.beyond) > FAR:
        said.append(f"the plan lies {float(plan.beyond):.1f} decades beyond the runs, where the "
                    f"law may be another")  # fmt: skip
    if decision.attrs["trust"] != "trusted":
        said.append(f"the fit is not to be trusted ({decision.attrs['trust']})")
    return "; ".join(said) + "."


def _within(share: xr.DataArray, flat: float) -> np.ndarray:
    return (share <= flat).mean(SAMPLES).values


def _cases(decision: xr.Dataset) -> list[xr.Dataset]:
    if not isinstance(decision, xr.Dataset) or not {"choice", "wasted_share"} <= set(decision):
        msg = "a decision is wanted, as `decide` returns it"
        raise SpecError(msg)
    dim = _dim(decision)
    if dim is None:
        return [decision]
    return [decision.isel({dim: i}) for i in range(decision.sizes[dim])]


def _dim(decision: xr.Dataset) -> str | None:
    return next((d for d in ("budget", "target") if d in decision.dims), None)


def _money(dollars: float) -> str:
    for scale, word in ((1e9, "billion"), (1e6, "million")):
        if dollars >= scale:
            return f"{dollars / scale:.3g} {word} dollars"
    return f"{dollars:,.0f} dollars"
