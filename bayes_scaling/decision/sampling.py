"""How many samples to draw at inference, from which model, and what that costs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import serving_flops
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Coverage
from bayes_scaling.laws.sampling import SAMPLES as SAMPLES_OF
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

MOST = 230.0  # ln of the samples searched: 1e100
STEPS = 70
TAIL = "an extrapolation of the tail of hard problems: fit it both with and without `zeros`"


def samples_for(
    fit: xr.DataTree,
    coverage: Any,
    *,
    params: float | None = None,
    tokens: float | None = None,
    group: str | None = None,
) -> xr.Dataset:
    """Find how many samples solve a share of the problems, draw by draw, and what they cost.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `coverage`.
    coverage : float or (target,) array
        Shares of the problems, between 0 and 1.
    params, tokens : float, optional
        Size of the model and tokens of one sample: then `flops` is given.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, target)
        `samples`, whole and at least 1, inf where no number is enough; `flops` per problem,
        ``2 params tokens samples``; over target `reachable`, the probability that some number is
        enough, and `within`, that no more are than were attempted at any problem fitted (NaN where
        the fit does not carry its runs). Attributes: `attempts`, those; `verdict`, a sentence.

    Raises
    ------
    SpecError
        Another law, or a share outside (0, 1).

    Notes
    -----
    Quantiles over draws are right with the infinities left in. Samples beyond the attempts rest on
    the left tail of the distribution of chances, of which n attempts say little below 1/n.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.Coverage(reference=(("samples", 1),))
    >>> held = {"pass1": 0.2, "spread": 2.0}
    >>> priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    >>> known = bs.sample_prior(bs.ScalingModel(law, bs.Attempts(), priors), draws=2)
    >>> need = bs.samples_for(known, [0.5, 0.9], params=8e9, tokens=512)
    >>> need.samples.values[0, 0].tolist(), f"{float(need.flops[0, 0, 0]):.2e}"
    ([7.0, 418.0], '5.73e+13')
    """
    law = law_of(fit)
    trust = warn_if_untrusted(fit)
    values = positive(coverage, "coverage: shares of the problems, between 0 and 1")
    if np.any(values >= 1):
        msg = f"coverage: shares of the problems, between 0 and 1; found {coverage!r}"
        raise SpecError(msg)
    target = xr.DataArray(values, dims="target", coords={"target": values})
    theta = theta_of(fit, group)
    drawn = {k: v.transpose(*SAMPLES).values[..., None] for k, v in theta.items()}
    like = theta["pass1"].transpose(*SAMPLES).expand_dims(target=target.target, axis=-1)
    need = like.copy(data=_least(law, drawn, values))
    most = attempts_of(fit)
    out = xr.Dataset({"samples": need.assign_attrs(units="samples")}, attrs={"trust": trust})
    if params is not None or tokens is not None:
        cost = sample_flops(params, tokens)
        out["flops"] = (cost * need).assign_attrs(units="FLOP", long_name="per problem")
    out["reachable"] = (need < np.inf).mean(SAMPLES)
    out["within"] = (need <= most).mean(SAMPLES) if most else np.nan * out["reachable"]
    out.attrs["attempts"] = most or np.nan
    out.attrs["verdict"] = _verdict(out, most)
    return out


def sample_flops(params: Any, tokens: Any, samples: float = 1.0) -> float:
    """Return the FLOP of samples at a problem, ``2 params tokens samples``.

    Parameters
    ----------
    params : float
        Parameters that a token passes through.
    tokens : float
        Tokens of one sample.
    samples : float, default 1

    Raises
    ------
    SpecError
        A number that is missing or not positive.

    Examples
    --------
    >>> from bayes_scaling.decision.sampling import sample_flops
    >>> f"{sample_flops(8e9, 512, 16):.3g}"
    '1.31e+14'
    """
    n = one_number(params, "params: the positive size of the model that samples")
    d = one_number(tokens, "tokens: of one sample, a positive number")
    return float(serving_flops(n, d * one_number(samples, "samples: a positive number")))


def best_sampler(
    fits: Mapping[str, xr.DataTree],
    params: Mapping[str, float],
    flops: Any,
    *,
    tokens: Any = 512,
) -> xr.Dataset:
    """Say which model to sample from, and how often, at fixed compute per problem.

    Parameters
    ----------
    fits : mapping of str to DataTree
        A fit of the law `coverage` for every model, of the same problems.
    params : mapping of str to float
        The size of every model.
    flops : float or (budget,) array, FLOP
        Compute per problem.
    tokens : float or mapping of str to float, default 512
        Tokens of one sample, of all models or of each.

    Returns
    -------
    xarray.Dataset over (chain, draw, budget, model)
        `coverage`, 0 where the budget does not pay for one sample; over (budget, model) `samples`,
        ``floor(flops / (2 params tokens))``, `best`, the probability that this model covers most,
        and `beyond`, whether its samples are more than were attempted at any problem fitted.
        Attribute `verdict`: a sentence per budget.

    Raises
    ------
    SpecError
        Fewer than two models, names that do not agree, another law, a number that is not positive.

    Notes
    -----
    The fits are taken as independent. Of the same problems they are not quite: what one sample of
    problems does to all of them alike does not cancel here, so `best` is on the cautious side.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.Coverage(reference=(("samples", 1),))
    >>> def known(pass1):
    ...     held = {"pass1": pass1, "spread": 2.0}
    ...     priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    ...     return bs.sample_prior(bs.ScalingModel(law, bs.Attempts(), priors), draws=2)
    >>> fits, params = {"1B": known(0.1), "8B": known(0.25)}, {"1B": 1e9, "8B": 8e9}
    >>> bs.best_sampler(fits, params, [1e13, 1e15]).best.sel(model="8B").values.tolist()
    [0.0, 1.0]
    """
    if len(fits) < 2 or set(fits) != set(params):
        named = f"{[*fits]} and {[*params]}"
        msg = f"fits and params of two models or more, by one name each; found {named}"
        raise SpecError(msg)
    budgets = positive(flops, "flops: positive FLOP per problem, one or a list of them")
    each = tokens if isinstance(tokens, Mapping) else dict.fromkeys(fits, tokens)
    if set(each) != set(fits):
        msg = f"tokens: one number, or one of every model; found {tokens!r}"
        raise SpecError(msg)
    trust = [warn_if_untrusted(one) for one in fits.values()]
    draws = min(one["posterior"].sizes["chain"] * one["posterior"].sizes["draw"]
                for one in fits.values())  # fmt: skip
    covers, counts, beyond = [], [], []
    for name, one in fits.items():
        law, theta = law_of(one), theta_of(one)
        k = np.floor(budgets / sample_flops(params[name], each[name]) * (1 + 1e-12))
        flat = {p: v.values.reshape(-1)[:draws, None] for p, v in theta.items()}
        covered = np.asarray(law(flat, {"samples": np.maximum(k, 1.0)}))
        covers.append(np.where(k >= 1, covered, 0.0)[None])
        counts.append(k)
        most = attempts_of(one)
        beyond.append(k > most if most else np.full(len(k), False))
    value = np.stack(covers, axis=-1)
    affordable = np.stack(counts, axis=-1) >= 1
    wins = (value == value.max(axis=-1, keepdims=True)) & affordable
    best = (wins / np.maximum(wins.sum(axis=-1, keepdims=True), 1)).mean(axis=(0, 1))
    over = ("budget", "model")
    out = xr.Dataset(
        {
            "coverage": ((*SAMPLES, *over), value, {"units": "1"}),
            "samples": (over, np.stack(counts, axis=-1), {"units": "samples"}),
            "best": (over, best),
            "beyond": (over, np.stack(beyond, axis=-1)),
        },
        {"budget": ("budget", budgets, {"units": "FLOP"}), "model": list(fits)},
        {"trust": next((t for t in trust if t != "trusted"), "trusted")},
    )
    said = []
    for i, budget in enumerate(budgets):
        j = int(best[i].argmax())
        where = f"at {budget:.3g} FLOP"
        if not affordable[i].any():
            said.append(f"{where} no model gives one sample")
            continue
        far = f", {TAIL}" if beyond[j][i] else ""
        said.append(f"{where} {list(fits)[j]} with {counts[j][i]:.0f} samples covers most with "
                    f"probability {best[i, j]:.2f}{far}")  # fmt: skip
    out.attrs["verdict"] = "; ".join(said)
    return out


def law_of(fit: xr.DataTree) -> Coverage:
    """Return the law of a fit, refusing any other than `coverage`."""
    law = model_of(fit).law
    if not isinstance(law, Coverage):
        msg = f"law {law.name!r} says nothing of repeated samples; fit `Coverage` to counts"
        raise SpecError(msg)
    return law


def attempts_of(fit: xr.DataTree) -> float | None:
    """Return the most attempts at a problem of the table; None where the fit carries none."""
    data = fit["constant_data"].to_dataset() if carries_runs(fit) else xr.Dataset()
    return float(data["attempts"].values.max()) if "attempts" in data else None


def _least(law: Coverage, theta: Mapping[str, np.ndarray], target: np.ndarray) -> np.ndarray:
    """Return the least whole number of samples that covers a target, by bisection of its ln."""
    low = np.zeros(np.broadcast_shapes(theta["pass1"].shape, target.shape))
    high = low + MOST
    for _ in range(STEPS):
        middle = 0.5 * (low + high)
        there = law(theta, {SAMPLES_OF: np.exp(middle)}) >= target
        high, low = np.where(there, middle, high), np.where(there, low, middle)
    enough = np.maximum(np.ceil(np.exp(high) * (1 - 1e-9)), 1.0)
    return np.where((law.limit(theta) <= target) | (high >= MOST), np.inf, enough)


def _verdict(out: xr.Dataset, most: float | None) -> str:
    said = []
    for i, target in enumerate(out.target.values):
        need = out.samples.isel(target=i).quantile([0.05, 0.5, 0.95], method="inverted_cdf").values
        low, middle, high = (f"{v:.3g}" if np.isfinite(v) else "no number" for v in need)
        one = f"{target:.3g} of the problems take {middle} of samples [{low}, {high}]"
        beyond = most is not None and float(out.within[i]) < 0.5
        said.append(one + (f", past the {most:.0f} attempted, {TAIL}" if beyond else ""))
    return "; ".join(said)
