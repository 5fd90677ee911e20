"""A bigger model or more samples: what one buys of the other, per query and over a model's life."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.accounting import flops_6nd, serving_flops
from bayes_scaling.data.numbers import counts, one_number, positive
from bayes_scaling.decision import amounts
from bayes_scaling.decision.items import ServingDemand
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import TestTime
from bayes_scaling.laws.sampling import SAMPLES as SAMPLES_OF
from bayes_scaling.results import SAMPLES, carries_runs, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

ALL = "all"  # what the one group of a fit that does not pool is called
FAR = 230.0  # ln of samples that nobody draws: 1e100
WHOLE = 1e-9  # of a sample, lost to rounding
DRAWN = 100_000  # draws of a demand, for its mean
ENDS = (0.05, 0.5, 0.95)


def exchange_rate(
    fit: xr.DataTree,
    *,
    times: float = 10.0,
    small: float | None = None,
    large: float | None = None,
) -> xr.Dataset:
    """Say what more samples are worth in parameters, at every difficulty.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `test_time`.
    times : float, default 10
        By what samples are multiplied.
    small, large : float, parameters, optional
        Two sizes: how many samples of the small one do as well as one of the large one.

    Returns
    -------
    xarray.Dataset over (chain, draw, group)
        `rate`, ``mu / lam``; `worth`, ``times ** rate``, by what parameters are multiplied for the
        same accuracy; with two sizes `needed`, samples of the small one. Over group `cheaper`,
        the probability that samples are the cheaper way at inference, `rate` above 1: both ways
        multiply the compute of a query, samples by `times` and size by `worth`. Attribute
        `verdict`: a sentence.

    Raises
    ------
    SpecError
        Another law, `times` not above 1, a size without the other, or a small one that is not
        smaller.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> held = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 0.05}
    >>> priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    >>> model = bs.ScalingModel(law, bs.BetaBinomial(), priors)
    >>> found = bs.exchange_rate(bs.sample_prior(model, draws=2), small=1e9, large=4e9)
    >>> round(float(found.worth.mean()), 3), round(float(found.needed.mean()), 3)
    (3.162, 16.0)
    """
    law_of(fit)
    trust = warn_if_untrusted(fit)
    by = one_number(times, "times: a number above 1", above=1.0)
    groups = groups_of(fit)
    thetas = [theta_of(fit, g) for g in groups]
    rate = _joined([t["mu"] / t["lam"] for t in thetas], groups).assign_attrs(units="1")
    out = xr.Dataset({"rate": rate}, attrs={"trust": trust, "times": by})
    worth = by ** rate.assign_attrs({})
    out["worth"] = worth.assign_attrs(units="1")
    out["cheaper"] = (rate > 1).mean(SAMPLES)
    if small is not None or large is not None:
        sizes = [one_number(n, f"{name}: one of two sizes, positive parameters")
                 for name, n in (("small", small), ("large", large))]  # fmt: skip
        if sizes[0] >= sizes[1]:
            msg = f"small is to be smaller than large; found {sizes[0]:.4g} and {sizes[1]:.4g}"
            raise SpecError(msg)
        needed = np.exp(np.minimum(np.log(sizes[1] / sizes[0]) / rate, FAR))
        out["needed"] = needed.assign_attrs(units="samples")
    said = []
    for g in out["group"].values:
        here = out.sel(group=g)
        low, middle, high = here["worth"].quantile(ENDS).values
        said.append(f"{g}: {by:g} times the samples are worth {middle:.3g} [{low:.3g}, {high:.3g}] "
                    f"times the parameters")  # fmt: skip
        if "needed" in out:
            low, middle, high = here["needed"].quantile(ENDS).values
            said[-1] += f", and level with the larger are {middle:.3g} [{low:.3g}, {high:.3g}]"
    return out.assign_attrs(verdict="; ".join(said))


def best_test_time(
    fit: xr.DataTree,
    flops: Any,
    params: Any,
    *,
    tokens: float | None = None,
    prompt: float = 0.0,
    served: float | ServingDemand | None = None,
    trained: Any = None,
    most: float | None = None,
) -> xr.Dataset:
    """Say which size, sampled as often as compute allows, is right most often.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `test_time`.
    flops : float or (budget,) array, FLOP
        Compute: of a query, or with `served` of training and serving together.
    params : (size,) array, parameters
        Sizes to choose from.
    tokens, prompt : float, tokens
        Of one sample, and read once per query.
    served : float, tokens, or ServingDemand, optional
        Tokens of the answers that users read over the model's life, in place of `tokens` and
        `prompt`; `prompt` and `price` of the demand count, its `candidates` are what is looked for.
        Of uncertain tokens the mean counts, as cost is linear in them.
    trained : float or (size,) array, tokens, optional
        What every size is trained on; goes with `served`.
    most : float, optional
        More samples than this are not drawn, whatever they cost.

    Returns
    -------
    xarray.Dataset over (chain, draw, group, budget, size)
        `accuracy`, 0 where the compute does not pay for one sample; over (budget, size) `samples`,
        whole, and `beyond`, whether size or samples are outside those fitted; over
        (group, budget, size) `best`, the probability that this size is right most often, and
        `holds`, that it does at least as well as the largest that can be paid for (NaN where it
        cannot itself). Attribute `verdict`: a sentence per group, at the largest budget.

    Raises
    ------
    SpecError
        Another law, a number that is not positive, neither or both of `tokens` and `served`, or
        `served` and `trained` apart.

    Notes
    -----
    A query costs ``2 N (prompt + k tokens)``; a life ``6 N D + 2 N T (prompt + k) price``, T being
    the tokens served: what `lifetime` and `decide` count of ``ServingDemand(T, candidates=k)``.
    Accuracies are the law's, which knows of no training data: the sizes are trained as those fitted
    were.

    References
    ----------
    Snell et al. 2024, arXiv:2408.03314; Sardana and Frankle 2024, arXiv:2401.00448.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> held = {"acc": 0.3, "lam": 0.3, "mu": 0.6, "spread": 0.05}
    >>> priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    >>> known = bs.sample_prior(bs.ScalingModel(law, bs.BetaBinomial(), priors), draws=2)
    >>> found = bs.best_test_time(known, 1.4e14, [1e9, 8e9], tokens=512)
    >>> found.samples.values.tolist(), found.best.values.squeeze().tolist()
    ([[136.0, 17.0]], [1.0, 0.0])
    """
    law = law_of(fit)
    trust = warn_if_untrusted(fit)
    budget = positive(flops, "flops: positive FLOP, one or a list of them")
    cost = _cost(params, tokens, prompt, served, trained)
    limit = _most(most)
    k = np.minimum(np.floor(cost.samples(budget[:, None]) + WHOLE), limit)
    coords = {"budget": ("budget", budget, {"units": "FLOP"}),
              "size": ("size", cost.params, {"units": "params"})}  # fmt: skip
    samples = xr.DataArray(np.maximum(k, 0.0), dims=("budget", "size"), coords=coords)
    groups, paid = groups_of(fit), samples >= 1
    there = {"params": samples["size"], SAMPLES_OF: samples.clip(min=1.0)}
    each = [law(theta_of(fit, g), there).where(paid, 0.0) for g in groups]
    accuracy = _joined(each, groups).transpose(*SAMPLES, "group", "budget", "size")
    out = xr.Dataset(
        {"accuracy": accuracy.assign_attrs(units="1"),
         "samples": samples.assign_attrs(units="samples"),
         "beyond": paid & _beyond(fit, samples["size"], samples)},
        attrs={"trust": trust},
    )  # fmt: skip
    out["best"] = _shares((accuracy == accuracy.max("size")) & paid)
    largest = xr.DataArray(np.argmax(cost.params * paid.values, axis=1), dims="budget")
    level = (accuracy >= accuracy.isel(size=largest).drop_vars("size")).mean(SAMPLES)
    out["holds"] = level.where(paid).transpose("group", "budget", "size")
    said = []
    for g in out["group"].values:
        last = out.sel(group=g).isel(budget=-1)
        if not bool((last["samples"] >= 1).any()):
            said.append(f"{g}: no size can be paid for")
            continue
        top = last.isel(size=int(np.argmax(last["best"].values)))
        low, middle, high = top["accuracy"].quantile(ENDS).values
        said.append(
            f"{g}: {float(top['size']):.3g} parameters with {float(top['samples']):.0f} "
            f"sample{'s' * (float(top['samples']) > 1)}, right in {middle:.3f} [{low:.3f}, "
            f"{high:.3f}], best with probability {float(top['best']):.2f}"
            + ", an extrapolation"
            * bool(top["beyond"])
        )
    life = " over the model's life" * (served is not None) or " per query"
    return out.assign_attrs(verdict=f"at {budget[-1]:.3g} FLOP{life}: " + "; ".join(said))


def cheapest_test_time(
    fit: xr.DataTree,
    accuracy: Any,
    params: Any,
    *,
    tokens: float | None = None,
    prompt: float = 0.0,
    served: float | ServingDemand | None = None,
    trained: Any = None,
    most: float | None = None,
) -> xr.Dataset:
    """Say which size reaches an accuracy with the least compute, and with how many samples.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `test_time`.
    accuracy : float or (target,) array
        Shares of right answers, between 0 and 1.
    params, tokens, prompt, served, trained, most
        As in `best_test_time`.

    Returns
    -------
    xarray.Dataset over (chain, draw, group, target, size)
        `samples`, whole, inf where `most` are not enough; `flops` of them, of a query or of a life;
        over (group, target, size) `best`, the probability that this size is the cheapest,
        `reachable`, that some allowed number of samples is enough, and `within`, that size and
        samples are among those fitted (NaN where the fit does not carry its runs). Attribute
        `verdict`: a sentence per group, of the first target.

    Raises
    ------
    SpecError
        Another law, a share outside (0, 1), or what `best_test_time` refuses.

    Notes
    -----
    Quantiles over draws are right with the infinities left in, with ``method="higher"``.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> law = bs.TestTime(reference=(("params", 1e9), ("samples", 1)))
    >>> held = {"acc": 0.3, "lam": 0.6, "mu": 0.3, "spread": 0.05}
    >>> priors = {k: bs.Prior.of("Fixed", value=v) for k, v in held.items()}
    >>> known = bs.sample_prior(bs.ScalingModel(law, bs.BetaBinomial(), priors), draws=2)
    >>> need = bs.cheapest_test_time(known, 0.6, [1e9, 8e9], tokens=512)
    >>> need.samples.values[0, 0].tolist(), need.best.values.squeeze().tolist()
    ([[[66.0, 2.0]]], [0.0, 1.0])
    """
    law = law_of(fit)
    trust = warn_if_untrusted(fit)
    wanted = "accuracy: shares of right answers, between 0 and 1"
    values = positive(accuracy, wanted)
    if np.any(values >= 1):
        msg = f"{wanted}; found {accuracy!r}"
        raise SpecError(msg)
    cost = _cost(params, tokens, prompt, served, trained)
    limit = _most(most)
    target = xr.DataArray(values, dims="target", coords={"target": values})
    size = xr.DataArray(cost.params, dims="size", coords={"size": cost.params})
    groups = groups_of(fit)
    each = [law.log_samples(theta_of(fit, g), target, size) for g in groups]
    logs = _joined(each, groups).transpose(*SAMPLES, "group", "target", "size")
    least = np.ceil(np.exp(np.clip(logs.values, 0.0, FAR)) * (1 - WHOLE))
    k = logs.copy(data=np.where((least <= limit) & (logs.values < FAR), least, np.inf))
    flops = k.copy(data=cost.of(k.values))
    k, flops = k.assign_attrs(units="samples"), flops.assign_attrs(units="FLOP")
    out = xr.Dataset({"samples": k, "flops": flops}, attrs={"trust": trust})
    ok = k < np.inf
    out["best"] = _shares((flops == flops.min("size")) & ok)
    out["reachable"] = ok.mean(SAMPLES)
    out["within"] = (~_beyond(fit, size, k)).mean(SAMPLES)
    if not carries_runs(fit):
        out["within"] = np.nan * out["within"]
    said = []
    for g in out["group"].values:
        first = out.sel(group=g).isel(target=0)
        top = first.isel(size=int(np.argmax(first["best"].values)))
        if float(top["best"]) == 0:
            said.append(f"{g}: no size gets there")
            continue
        low, middle, high = (
            f"{v:.3g}" if np.isfinite(v) else "no number"
            for v in top["samples"].quantile(ENDS, method="higher").values
        )
        said.append(
            f"{g}: {float(top['size']):.3g} parameters, cheapest with probability "
            f"{float(top['best']):.2f}, with {middle} of samples [{low}, {high}]"
            + ", an extrapolation"
            * bool(top["within"] < 0.5)
        )
    return out.assign_attrs(verdict=f"for {values[0]:.3g}: " + "; ".join(said))


@dataclass(frozen=True)
class Cost:
    """What sizes cost, FLOP: ``fixed + 2 params (read + each k)`` for k samples."""

    params: np.ndarray
    fixed: Any
    read: float
    each: float

    def of(self, samples: Any) -> Any:
        """Return the FLOP of so many samples."""
        return self.fixed + serving_flops(self.params, self.read + samples * self.each)

    def samples(self, flops: Any) -> Any:
        """Return the samples that compute pays for, as they come; below 1 it pays for none."""
        return ((flops - self.fixed) / serving_flops(self.params, 1.0) - self.read) / self.each


def _cost(params: Any, tokens: Any, prompt: float, served: Any, trained: Any) -> Cost:
    size = counts(params, "params", "params: positive sizes, one or a list of them")
    if len(set(size)) < len(size):
        msg = f"params: every size once; found {params!r}"
        raise SpecError(msg)
    if (tokens is None) == (served is None) or (served is None) != (trained is None):
        msg = (
            "either tokens (and prompt) of a query, or served and trained of a model's life; "
            f"found tokens={tokens!r}, served={served!r}, trained={trained!r}"
        )
        raise SpecError(msg)
    read = one_number(prompt, "prompt: tokens read per query, at least 0", above=-1e-300)
    if served is None:
        return Cost(size, 0.0, read, one_number(tokens, "tokens: of one sample, a positive number"))
    demand = served if isinstance(served, ServingDemand) else ServingDemand(served)
    if demand.candidates != 1 or read:
        msg = "served: leave candidates at 1, which are looked for, and give its own prompt"
        raise SpecError(msg)
    data = counts(trained, "tokens", "trained: positive tokens, one number or one per size")
    if len(data) not in (1, len(size)):
        msg = f"trained: {len(size)} sizes and {len(data)} numbers of tokens: one, or one per size"
        raise SpecError(msg)
    mean = float(np.mean(amounts.draw(demand.tokens, DRAWN, [0, 1]))) * demand.price
    return Cost(size, flops_6nd(size, data), mean * demand.prompt, mean)


def _most(most: float | None) -> float:
    return (
        np.inf if most is None else np.floor(one_number(most, "most: samples, at least 1", 0.999))
    )


def law_of(fit: xr.DataTree) -> TestTime:
    """Return the law of a fit, refusing any other than `test_time`."""
    law = model_of(fit).law
    if not isinstance(law, TestTime):
        msg = f"law {law.name!r} knows no samples of models of a size; fit `TestTime`"
        raise SpecError(msg)
    return law


def groups_of(fit: xr.DataTree) -> list[str | None]:
    """Return the difficulties of a fit; None alone where it does not pool."""
    pooling, posterior = model_of(fit).pooling, fit["posterior"].to_dataset()
    if pooling is None or pooling.column not in posterior.dims:
        return [None]
    return [str(g) for g in posterior[pooling.column].values]


def _joined(each: list[xr.DataArray], groups: list[Any]) -> xr.DataArray:
    names = [ALL if g is None else g for g in groups]
    joined = xr.concat(each, xr.DataArray(names, dims="group", name="group"))
    return joined.transpose(*SAMPLES, "group", ...)


def _shares(wins: xr.DataArray) -> xr.DataArray:
    """Return how often each size wins; sizes that are level share a win."""
    return (wins / wins.sum("size").clip(min=1)).mean(SAMPLES)


def _beyond(fit: xr.DataTree, size: xr.DataArray, samples: xr.DataArray) -> xr.DataArray:
    """Say where size or samples leave those of the table; nowhere, where the fit carries none."""
    if not carries_runs(fit):
        return (samples < 0) & (size < 0)
    runs = fit["constant_data"].to_dataset()
    seen, most = runs["params"].values, float(runs[SAMPLES_OF].values.max())
    return (size < seen.min()) | (size > seen.max()) | (samples > most)
