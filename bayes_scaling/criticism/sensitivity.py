"""What a posterior rests on: its priors, or its runs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._lazy import CELLS
from bayes_scaling.criticism._quantities import Quantities, decided_by, draws_of
from bayes_scaling.criticism.predictive import thinned
from bayes_scaling.data.verdicts import Verdict
from bayes_scaling.errors import FitError
from bayes_scaling.inference import psis
from bayes_scaling.results import SAMPLES, model_of

ALPHAS = (0.8, 1.25)  # near enough to 1 for a slope, far enough for k-hat to mean something
SENSITIVE = 0.05  # a normal posterior that moves by 0.3 sd when a component is doubled or halved
OF = "prior of "
OK, CONFLICT, STRONG = "ok", "prior-data conflict", "strong prior or weak likelihood"


def sensitivity(
    fit: xr.DataTree,
    *,
    quantities: Quantities = None,
    at: Any = None,
    budget: Any = None,
    group: str | None = None,
    alphas: tuple[float, float] = ALPHAS,
) -> xr.Dataset:
    """Ask how far a posterior would move were its priors, or its runs, to count for less or more.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit that carries `log_prior`, and `log_likelihood` for the diagnosis.
    quantities : sequence of str, or mapping of str to (chain, draw) array, optional
        Variables of the posterior by name, or functions of its draws; by default the parameters
        and `a`.
    at : mapping or DataFrame, optional
        Sizes whose loss is looked at too, as for `predict`.
    budget : float or (budget,) array, FLOP, optional
        Budgets (C = 6 N D) whose optimal size and loss are looked at too.
    group : str, optional
        Which group of a pooled model `at` and `budget` are of; the population's without it.
    alphas : (float, float), default (0.8, 1.25)
        The powers, below and above 1.

    Returns
    -------
    xarray.Dataset over (component, alpha, quantity)
        Components are "prior" (all of them), "prior of E" and so on, and "likelihood".
        `sensitivity` over (component, quantity); `shift` of the mean, posterior sds; over
        (component, alpha) `k_hat`, which certifies both below 0.7; over (quantity) `diagnosis`,
        "prior-data conflict", "strong prior or weak likelihood" or "ok", and `prior`, whose prior
        matters most. Attribute `verdict` sums up.

    Raises
    ------
    SpecError
        Unknown quantities, no sizes or budgets, or powers that do not enclose 1.
    FitError
        The fit carries no `log_prior`.

    Notes
    -----
    Draws are weighted by ``p(component)^(alpha - 1)``, Pareto-smoothed. Sensitivity is the mean
    over the two powers of ``CJS(posterior, weighted) / |log2 alpha|``, CJS the square root of the
    cumulative Jensen-Shannon divergence over its bound. Above 0.05 a quantity is sensitive; to the
    prior and the likelihood, they may pull apart; to the prior alone, the runs say little of it.
    Small tables are sensitive to both even where prior and runs agree: `shift` says where to.
    Of a hierarchy the top priors count, as the distribution of groups is learned.

    References
    ----------
    Kallioinen, Paananen, Buerkner and Vehtari 2024, doi:10.1007/s11222-023-10366-5.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.fit(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"))
    >>> found = bs.sensitivity(fit, quantities=["alpha", "a"], budget=1e24)
    >>> found["quantity"].values.tolist()
    ['alpha', 'a', 'ln N* at 1e24 FLOP', 'loss at 1e24 FLOP']
    >>> found.attrs["verdict"]
    'no quantity is sensitive to a prior'
    """
    wrong = [] if 0 < alphas[0] < 1 < alphas[1] else [f"alphas {alphas!r} do not enclose 1"]
    drawn = draws_of(fit, quantities, at, budget, group, wrong)
    powers, like = _log_priors(fit), _log_likelihood(fit)
    if like is not None:
        powers["likelihood"] = like
    return _scaled(drawn, powers, _kept(fit), alphas)


def _scaled(
    drawn: Mapping[str, np.ndarray],
    powers: Mapping[str, np.ndarray],
    keep: np.ndarray,
    alphas: tuple[float, float],
) -> xr.Dataset:
    """Weight draws of quantities by powers of what made the posterior."""
    names, labels = list(powers), list(drawn)
    values = np.array([v[keep] for v in drawn.values()])
    weights, k_hat = _weights(np.array([v[keep] for v in powers.values()]), alphas)
    moved = np.array([_sensitivity(v, weights, alphas) for v in values]).T
    sd = np.maximum(values.std(axis=1), 1e-300)
    shift = (np.einsum("cas,qs->caq", weights, values) - values.mean(axis=1)) / sd
    unknown = np.full(len(labels), np.nan)
    to_runs = moved[names.index("likelihood")] if "likelihood" in names else unknown
    own = [i for i, n in enumerate(names) if n.startswith(OF)]
    most = [names[own[i]].removeprefix(OF) for i in np.argmax(moved[own], axis=0)]
    out = xr.Dataset(
        {
            "sensitivity": (("component", "quantity"), moved),
            "shift": (("component", "alpha", "quantity"), shift),
            "k_hat": (("component", "alpha"), k_hat),
            "diagnosis": ("quantity", np.array(list(map(_diagnosis, moved[0], to_runs)))),
            "prior": ("quantity", np.array(most)),
        },
        {"component": names, "alpha": list(alphas), "quantity": labels},
    )
    return out.assign_attrs(verdict=_verdict(out), threshold=SENSITIVE)


def prior_verdict(fit: xr.DataTree, budget: float | None) -> list[Verdict]:
    """Judge whether what is decided by rests on a prior; nothing where the fit cannot tell."""
    if "log_prior" not in fit.children or not fit["log_prior"].data_vars:
        return []
    drawn, priors, keep = decided_by(fit, budget), _log_priors(fit), _kept(fit)
    found = _scaled(drawn, priors, keep, ALPHAS)
    moved = found["sensitivity"].sel(component="prior")
    if float(moved.max()) >= SENSITIVE and (like := _log_likelihood(fit)) is not None:
        found = _scaled(drawn, {**priors, "likelihood": like}, keep, ALPHAS)
    most = str(moved["quantity"].values[int(np.argmax(moved.values))])
    named = str(found["prior"].sel(quantity=most).item())
    if float(moved.max()) < SENSITIVE:
        said = f"{found.attrs['verdict']} (at most {float(moved.max()):.3f} of {SENSITIVE}, {most})"
        return [Verdict("prior", "PASS", said, "")]
    do = (
        f"say why the prior of {named} is what it is, or widen it and see whether the plan moves; "
        f"`sensitivity(fit)` has the rest"
    )
    return [Verdict("prior", "REVIEW", found.attrs["verdict"], do)]


def _log_priors(fit: xr.DataTree) -> dict[str, np.ndarray]:
    """Return the log prior of every draw: all of it first, then parameter by parameter."""
    if "log_prior" not in fit.children:
        msg = "the fit carries no log prior: fit the table again"
        raise FitError(msg)
    group = fit["log_prior"].to_dataset()
    each = {str(k): v.transpose(*SAMPLES, ...).values.ravel() for k, v in group.data_vars.items()}
    each = {k: v for k, v in each.items() if not k.endswith("_z")}
    total = np.sum(list(each.values()), axis=0)
    return {"prior": total, **{f"{OF}{k}": v for k, v in each.items()}}


def _kept(fit: xr.DataTree) -> np.ndarray:
    """Return the positions of the draws that are looked at: all, of usual tables."""
    sizes = fit["posterior"].sizes
    runs = fit["log_likelihood"].sizes["run"] if "log_likelihood" in fit.children else 1
    kept = thinned({"run": runs, "chain": sizes["chain"], "draw": sizes["draw"]})["draw"]
    every = np.arange(sizes["chain"] * sizes["draw"]).reshape(sizes["chain"], sizes["draw"])
    return every[:, kept].ravel()


def _log_likelihood(fit: xr.DataTree) -> np.ndarray | None:
    """Return the log likelihood of all runs under every draw that is looked at, NaN elsewhere."""
    if "log_likelihood" not in fit.children:
        return None
    like = fit["log_likelihood"].to_dataset()[model_of(fit).law.outcome].transpose(*SAMPLES, "run")
    chains, draws, runs = like.shape
    if len(_kept(fit)) == chains * draws:
        return like.values.sum(axis=2).ravel()
    out = np.full((chains, draws), np.nan)
    step = thinned(like.sizes)["draw"].step
    wide = step * max(1, CELLS // runs)  # a part at a time: all runs under all draws do not fit
    for chain in range(chains):
        for first in range(0, draws, wide):
            part = slice(first, min(first + wide, draws), step)
            out[chain, part] = like.isel(chain=chain, draw=part).values.sum(axis=1)
    return out.ravel()


def _weights(logs: np.ndarray, alphas: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return normalised weights (component, alpha, draw) and their k-hat (component, alpha)."""
    found = [[psis.smooth((alpha - 1) * log) for alpha in alphas] for log in logs]
    weights = np.exp([[w for w, _ in row] for row in found])
    return weights, np.array([[k for _, k in row] for row in found])


def _sensitivity(x: np.ndarray, weights: np.ndarray, alphas: Sequence[float]) -> np.ndarray:
    """Return the sensitivity of one quantity to every component."""
    order = np.argsort(x)
    gaps = np.diff(x[order])
    p = np.arange(1, len(x)) / len(x)
    q = np.cumsum(weights[..., order], axis=-1)[..., :-1].clip(0, 1)
    up, down = _cjs(p, q, gaps), _cjs(1 - p, 1 - q, gaps)
    return np.mean(np.maximum(up, down) / np.abs(np.log2(alphas)), axis=-1)


def _cjs(p: np.ndarray, q: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Return the cumulative Jensen-Shannon distance of distribution functions on a grid.

    Nguyen and Vreeken 2015, doi:10.1007/978-3-319-23525-7_11: the square root of the divergence
    over its upper bound, so that the unit of the quantity does not matter.
    """
    middle = 0.5 * (p + q)
    # p ln(p / m) + q ln(q / m), where the terms m - p and m - q of the definition cancel.
    each = _times_log(p, middle) + _times_log(q, middle)
    total = np.maximum(each @ gaps, 0.0) / np.log(2)
    bound = (p + q) @ gaps
    return np.sqrt(np.where(bound > 0, total / np.where(bound > 0, bound, 1.0), 0.0))


def _times_log(p: np.ndarray, middle: np.ndarray) -> np.ndarray:
    safe = np.where(p > 0, p, 1.0)
    return np.where(p > 0, p * np.log(safe / np.where(p > 0, middle, 1.0)), 0.0)


def _diagnosis(prior: float, likelihood: float) -> str:
    if not prior >= SENSITIVE:
        return OK
    return CONFLICT if likelihood >= SENSITIVE else STRONG


def _verdict(out: xr.Dataset) -> str:
    odd = out["diagnosis"].values != OK
    if not odd.any():
        return "no quantity is sensitive to a prior"
    said = []
    for name in out["quantity"].values[odd]:
        one = out.sel(quantity=name)
        much = float(one["sensitivity"].sel(component="prior"))
        shift = float(one["shift"].sel(component="prior").isel(alpha=1))
        more = f"{out['alpha'].values[1]:g} times as much of it: {shift:+.2f} sd"
        of = f"{much:.2f}, most by the prior of {one['prior'].item()}; {more}"
        said.append(f"{name}: {one['diagnosis'].item()} ({of})")
    return "; ".join(said)
