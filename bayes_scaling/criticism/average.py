"""One fit made of several: the laws are averaged, and the decision knows that they differ."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._averaged import Averaged
from bayes_scaling._registry import did_you_mean
from bayes_scaling._writing import percent
from bayes_scaling.criticism._reading import refuse
from bayes_scaling.data.numbers import one_number
from bayes_scaling.errors import BayesScalingError, SpecError
from bayes_scaling.laws.average import Average, called
from bayes_scaling.model import ScalingModel
from bayes_scaling.observations import CLUSTER
from bayes_scaling.results import SAMPLES, carries_runs, dataset, model_of, tree, with_derived
from bayes_scaling.trust import verdicts_of

BLOCKS = 4  # chains of the average, as other fits have
ALIKE = ("rows", "best_loss", "log_flops_mean")  # what a fit says of its table, whatever the law
KEPT = (*ALIKE, "largest", "unused", "table", "versions")
RUNS = ("observed_data", "constant_data")

Fits = Mapping[str, xr.DataTree] | Sequence[xr.DataTree]


def average(fits: Fits, weights: Any = None, *, draws: int = 4000, seed: int = 0) -> xr.DataTree:
    """Put fits of several laws to one table together as one fit, draw by draw.

    Parameters
    ----------
    fits : mapping of str to DataTree, or sequence of DataTree
        Fits of laws of the same inputs and outcome to the same table, without pooling; a sequence
        is named by the laws.
    weights : mapping of str to float, or Comparison, optional
        What each fit counts; they need not sum to 1. Of a `compare`, its weights for extrapolation.
        Without it all count alike.
    draws : int, default 4000
        Of the average, shared out in proportion to the weights.
    seed : int
        Of the order of the laws among the draws.

    Returns
    -------
    xarray.DataTree
        A fit like any other, for `predict`, `allocate`, `decide`, `next_runs`, `gate`, the plots
        and `save_fit`. Its law is an `Average`: every draw follows one law, number `which`, whose
        parameters are called ``m<which>_<name>``. Attribute `average` says the weights and draws.

    Raises
    ------
    SpecError
        With every problem at once: less than one fit, other tables, inputs, outcomes or scales of
        scatter, a model that pools, an average, weights that are negative, unknown or none.
    FitFileError
        Something that is no fit.

    Notes
    -----
    The draws are those of a mixture, ``p(y) = sum_k w_k p(y | law k)``: ``w_k draws`` of law k,
    rounded by largest remainder, evenly spaced over its own. A law whose share rounds to none is
    left out. No law is changed by the others, and a quantity that all laws have keeps its meaning:
    an interval of the loss, of N* or of a plan's waste holds the disagreement between the laws. It
    is wider than any of theirs where they part, which is beyond the data.

    What a member's checks said is said of the average under its name; if one is not to be trusted,
    nor is this. A `gate` weighs the draws, and so the laws, by the validation runs.

    References
    ----------
    Yao, Vehtari, Simpson and Gelman 2018, doi:10.1214/17-BA1091.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> fits = {law: bs.fit(bs.ScalingModel(bs.LAWS[law]()), runs) for law in
    ...         ("chinchilla", "kaplan_nd")}
    >>> both = bs.average(fits, {"chinchilla": 3, "kaplan_nd": 1})
    >>> [float((both["posterior"].which == k).mean()) for k in (0, 1)]
    [0.75, 0.25]
    >>> dict(bs.allocate(both, 1e24).sizes)
    {'chain': 4, 'draw': 1000, 'budget': 1}
    """
    named = _named(fits)
    models, share, count = _checked(named, weights, draws)
    own = {k: n for k, n in zip(named, _counts(share, count), strict=True) if n}
    kept = {k: named[k] for k in own}
    law = Average(tuple(models[k].law for k in kept))
    scatter = Averaged(tuple(models[k].observation for k in kept))
    priors = {
        called(i, p.name): models[k].prior(p.name)
        for i, k in enumerate(kept)
        for p in models[k].params
    }
    model = ScalingModel(law, scatter, priors)
    which = np.repeat(np.arange(len(own)), list(own.values()))
    which = np.random.default_rng([seed, 0, 8]).permutation(which)
    blocks = BLOCKS if count % BLOCKS == 0 else 1
    values: dict[str, np.ndarray] = {"which": which.reshape(blocks, -1)}
    for i, (name, fit) in enumerate(kept.items()):
        values |= {
            called(i, k): v.reshape(blocks, -1)
            for k, v in _drawn(fit, models[name], which == i).items()
        }
    groups = {"posterior": with_derived(model, dataset(values))}
    if all(carries_runs(f) for f in kept.values()):
        groups |= {g: _merged(kept, g) for g in RUNS}
    return tree(
        groups, model, **_attrs(kept, dict(zip(named, share.tolist(), strict=True)), own, seed)
    )


def _drawn(fit: xr.DataTree, model: ScalingModel, own: np.ndarray) -> dict[str, np.ndarray]:
    """Return draws of one fit: in its own places in order, evenly spaced; elsewhere any of them."""
    posterior = fit["posterior"].to_dataset().transpose(*SAMPLES, ...)
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    at = _spaced(total, len(own))
    at[own] = _spaced(total, int(own.sum()))
    return {p.name: posterior[p.name].values.ravel()[at] for p in model.params}


def _spaced(total: int, wanted: int) -> np.ndarray:
    return ((np.arange(wanted) + 0.5) * total / max(wanted, 1)).astype(int)


def _counts(share: np.ndarray, draws: int) -> list[int]:
    """Share draws out: the whole part of each, what is left by largest remainder."""
    exact = share * draws
    out = np.floor(exact + 1e-9).astype(int)
    for k in np.argsort(out - exact, kind="stable")[: draws - out.sum()]:
        out[k] += 1
    return out.tolist()


def _merged(fits: Mapping[str, xr.DataTree], group: str) -> xr.Dataset:
    """Return the runs that the fits share, with every column that any of them carries."""
    out = xr.Dataset()
    for fit in fits.values():
        data = fit[group].to_dataset()
        # Which rows go together is a model's own affair.
        out = out.assign({k: v for k, v in data.items() if k not in out and k != CLUSTER})
    return out


def _attrs(fits: Any, weights: Any, own: Mapping[str, int], seed: int) -> dict[str, Any]:
    first = next(iter(fits.values())).attrs
    said = {k: np.asarray(first[k]).item() for k in KEPT if k in first}
    how = ", ".join(f"{k} {percent(n / sum(own.values()))}" for k, n in own.items())
    mark = [[k, str(f.attrs.get("posterior_sha256", "")), own[k]] for k, f in fits.items()]
    return said | {
        "method": "average",
        "method_reason": f"draws of {how}",
        "average": {"laws": list(fits), "weights": weights, "draws": dict(own)},
        "sampling": [
            [f"{k}: {v.name}", v.status, v.found, v.do]
            for k, f in fits.items()
            for v in verdicts_of(f)
        ],
        "refusals": [
            f"{k}: {said}"
            for k, f in fits.items()
            for said in json.loads(f.attrs.get("refusals", "[]"))
        ],
        "fingerprint": hashlib.sha256(json.dumps([mark, seed]).encode()).hexdigest()[:16],
        "seed": seed,
    }


def _named(fits: Fits) -> dict[str, xr.DataTree]:
    one = isinstance(fits, xr.DataTree)  # which is a mapping, of its groups
    if isinstance(fits, Mapping) and not one:
        return {str(k): v for k, v in fits.items()}
    if one or not isinstance(fits, Sequence):
        found = type(fits).__name__
        msg = f"average takes fits: a mapping of name to fit, or a list; found a {found}"
        raise SpecError(msg)
    out: dict[str, xr.DataTree] = {}
    for fit in fits:
        name = model_of(fit).law.name
        out[name if name not in out else f"{name} {len(out)}"] = fit
    return out


def _checked(
    fits: Mapping[str, xr.DataTree], weights: Any, draws: Any
) -> tuple[dict[str, ScalingModel], np.ndarray, int]:
    """Return the models, the weights as shares, and how many draws; or say all that is wrong."""
    models = {k: model_of(f) for k, f in fits.items()}
    wrong = [] if fits else ["no fit was given"]
    wrong += [
        f"{k}: it pools by {m.pooling.column}; fit each group alone"
        for k, m in models.items()
        if m.pooling
    ]
    for make, parts in (
        (Average, [m.law for m in models.values()]),
        (Averaged, [m.observation for m in models.values()]),
    ):
        try:
            make(tuple(parts))
        except BayesScalingError as error:
            wrong += [str(error)] * bool(fits)
    wrong += _unlike(fits)
    share, said = _shares(fits, getattr(weights, "weights", weights))
    wrong += said
    count = 1
    try:
        count = one_number(draws, "draws: a whole number, 1 or more")
        wrong += [f"draws: a whole number, 1 or more; found {draws!r}"] * (count != int(count))
    except SpecError as error:
        wrong.append(str(error))
    refuse("average", wrong)
    return models, share, int(count)


def _shares(fits: Mapping[str, xr.DataTree], weights: Any) -> tuple[np.ndarray, list[str]]:
    if weights is None:
        weights = dict.fromkeys(fits, 1.0)
    if not isinstance(weights, Mapping):
        found = f"weights: a mapping of name to number, or a Comparison; found {weights!r}"
        return np.ones(len(fits)), [found]
    wrong = [f"weights: none for {k!r}" for k in fits if k not in weights]
    for k in weights:
        if k not in fits:
            wrong.append(f"weights: {k!r} is no fit.{did_you_mean(k, fits)}")
    try:
        share = np.array([weights.get(k, 1.0) for k in fits], float)
    except (TypeError, ValueError):
        return np.ones(len(fits)), [*wrong, f"weights: numbers wanted; found {dict(weights)}"]
    if not (np.all(np.isfinite(share) & (share >= 0)) and share.sum() > 0):
        return share, [*wrong, f"weights: from 0 on, and not all 0; found {dict(weights)}"]
    return share / share.sum(), wrong


def _unlike(fits: Mapping[str, xr.DataTree]) -> list[str]:
    """Say which fits are of another table than the first: by their runs, or by what they record."""
    wrong = []
    for name, fit in list(fits.items())[1:]:
        first = next(iter(fits))
        told = _differs(fits[first], fit)
        if told:
            wrong.append(f"{name}: {told} differ from those of {first}; fit both to one table")
    return wrong


def _differs(one: xr.DataTree, other: xr.DataTree) -> str:
    both = [{k: a[k] for k in ALIKE if k in a} for a in (one.attrs, other.attrs)]
    for at, fit in enumerate((one, other)):
        largest = json.loads(fit.attrs.get("largest", "{}"))
        both[at] |= {f"largest {k}": v for k, v in largest.items()}
    odd = [k for k in both[0] if k in both[1] and not np.isclose(both[0][k], both[1][k], 1e-9)]
    if odd or not (carries_runs(one) and carries_runs(other)):
        return ", ".join(odd)
    pairs = [[f[g].to_dataset() for f in (one, other)] for g in RUNS]
    odd = [
        str(k)
        for a, b in pairs
        for k in a.data_vars
        if k in b and k != CLUSTER and not _same(a[k].values, b[k].values)
    ]
    return f"the runs' {', '.join(odd)}" if odd else ""


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")
