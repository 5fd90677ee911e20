"""What a planned model scores in a task: as a distribution, by source, and at what compute."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._writing import flop
from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision.reach import _least
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.laws import HasUpstream
from bayes_scaling.observations.shares import COUNT
from bayes_scaling.predict import predict
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

OUTCOMES = ("accuracy", "error")
CROSSED = 300  # losses times links: a share of the variance is then known to a tenth of itself
SAID = 3  # points about which a sentence is written
RATIO = 20.0  # tokens per parameter


def task_forecast(
    fit: xr.DataTree,
    at: Mapping[str, Any] | pd.DataFrame,
    *,
    threshold: float | None = None,
    upstream: xr.DataTree | None = None,
    group: str | None = None,
    seed: int = 0,
) -> xr.Dataset:
    """Give what a model scores in a task, and where what is unknown of it comes from.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law of `accuracy` or `error`.
    at : mapping or DataFrame
        The law's inputs, raw counts, and `questions` where the scatter reads it; with `upstream`
        the inputs of that fit's law.
    threshold : float, optional
        A share: the probability of a new evaluation that is better is then given.
    upstream : xarray.DataTree, optional
        A fit of a law of loss, where `fit` is of a law whose input is the loss: the loss of a new
        run under the one is what the other is asked about.
    group : str, optional
        Which group of a pooled model; the population's without it.
    seed : int
        Of the scatter, and of how the draws of two fits are paired.

    Returns
    -------
    xarray.Dataset over (chain, draw, point)
        `accuracy_mean` (or `error_mean`), of the law; `accuracy_run`, what a new model would be
        measured to have; where the law goes through a loss that is no input, `loss_run` of that
        model. Over (source, point) `variance` of the latter: by the loss ("upstream"), the law from
        there ("link"), how models scatter ("scatter"), and the number of questions. With
        `threshold`, over point `probability`. Attribute `verdict` says it.

    Raises
    ------
    SpecError
        A law of another outcome, a threshold outside 0 to 1, an `upstream` that fits no input, or
        what `predict` refuses.
    FitError
        The scatter wants `questions`, and `at` has none.

    Notes
    -----
    The variance by the loss is ``var_l E(y | l)``, by the link ``E_l var(y | l)``: 300 draws of the
    loss are crossed with 300 of the link, as if the two were independent, which they nearly are
    where the loss of every run was measured.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> from bayes_scaling.model import model_for
    >>> runs = {"loss": [4.5, 3.9, 3.5, 3.2, 2.8, 2.6], "error": [.77, .72, .68, .63, .56, .51]}
    >>> fit = bs.fit(model_for(bs.GadreError(chance=0.2)), runs)
    >>> there = bs.task_forecast(fit, {"loss": 2.4}, threshold=0.5)
    >>> bool(0.40 < there.error_mean.median() < 0.50), bool(there.probability > 0.5)
    (True, True)
    """
    law, model = _law_of(fit), model_of(fit)
    trust = warn_if_untrusted(fit)
    if threshold is not None and not 0 < one_number(threshold, "threshold: a share of 1") < 1:
        msg = f"threshold: a share between 0 and 1; found {threshold!r}"
        raise SpecError(msg)
    rng = np.random.default_rng([seed, 11])
    theta = {k: v.values.reshape(-1, 1) for k, v in theta_of(fit, group).items()}
    if upstream is None:
        there = predict(fit, at, group=group, seed=seed)
        x = {k: there[k].values for k in (*law.inputs, COUNT) if k in there.coords}
        drawn = model.simulate(rng, theta, x)
        mean, run = law(theta, x), drawn[law.outcome]
        loss = drawn.get(model.witness)
    else:
        there, theta, mean, loss = _through(law, theta, upstream, at, rng)
        x = {"loss": loss} | {k: there[k].values for k in (COUNT,) if k in there.coords}
        if lacking := [c for c in model.observation.inputs if c not in x]:
            msg = f"the scatter depends on {', '.join(lacking)}: give it in `at`"
            raise FitError(msg)
        run = model.draw(rng, theta, x)
    shape = (SAMPLES[0], SAMPLES[1], "point")
    attrs = {"units": "1"}
    out = {
        f"{law.outcome}_mean": (shape, np.asarray(mean)[None], attrs),
        f"{law.outcome}_run": (shape, np.asarray(run)[None], attrs),
    }
    if loss is not None:
        out["loss_run"] = (shape, loss[None], {"units": "nat/token"})
    coords = {k: v for k, v in there.coords.items() if v.dims == ("point",)}
    found = xr.Dataset(out, coords, {"trust": trust})
    parts = _variance(model, law, theta, x, loss, found[f"{law.outcome}_run"].values[0])
    found["variance"] = xr.DataArray(
        np.array(list(parts.values())), dims=("source", "point"), coords={"source": list(parts)}
    )
    if threshold is not None:
        better = run > threshold if law.outcome == "accuracy" else run < threshold
        found["probability"] = ("point", better.mean(axis=0), {"threshold": float(threshold)})
    return found.assign_attrs(verdict=_said(found, law.outcome, threshold))


def compute_for_task(
    fit: xr.DataTree,
    target: Any,
    *,
    tokens_per_param: float = RATIO,
    group: str | None = None,
) -> xr.Dataset:
    """Find the compute at which the law reaches an accuracy, or falls to an error.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of a law of `accuracy` or `error` along `flops`, or `params` and `tokens`.
    target : float or (target,) array
        Shares.
    tokens_per_param : float, default 20
        How compute is spent, where the law reads params and tokens.
    group : str, optional
        Which group of a pooled model; the population's without it.

    Returns
    -------
    xarray.Dataset over (chain, draw, target)
        `flops`, inf in draws in which no compute suffices; over target `reachable`, the share of
        draws in which some does.

    Raises
    ------
    SpecError
        A law of another outcome or of the loss alone, a target outside 0 to 1, no positive ratio.

    Notes
    -----
    Quantiles are right with the infinities left in, taken with ``method="higher"`` (between two
    infinities there is nothing to interpolate): where the ceiling is unknown an upper quantile of
    inf is the answer. Attribute `verdict` says them.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> from bayes_scaling.model import model_for
    >>> flops = np.geomspace(1e20, 1e24, 9)
    >>> accuracy = np.round(0.25 + 0.7 / (1 + (1e22 / flops) ** 0.9), 3)
    >>> runs = {"flops": flops, "accuracy": accuracy, "questions": np.full(9, 1000)}
    >>> fit = bs.fit(model_for(bs.SigmoidCompute(chance=0.25)), runs)
    >>> need = bs.compute_for_task(fit, [0.6, 0.99])
    >>> bool(3e21 < need.flops.median(("chain", "draw"))[0] < 3e22), bool(need.reachable[1] < 0.5)
    (True, True)
    """
    law, trust = _law_of(fit), warn_if_untrusted(fit)
    if "flops" not in law.inputs and set(law.inputs) != {"params", "tokens"}:
        msg = f"the law reads {', '.join(law.inputs)}: fit it along flops, or params and tokens"
        raise SpecError(msg)
    each = one_number(tokens_per_param, "tokens_per_param: one positive ratio")
    values = np.atleast_1d(np.asarray(target, float))
    if values.ndim > 1 or not np.all((values > 0) & (values < 1)):
        msg = f"target: shares between 0 and 1; found {target!r}"
        raise SpecError(msg)
    theta = {p.name: theta_of(fit, group)[p.name] for p in law.params}
    wanted = xr.DataArray(values, dims="target", coords={"target": values})
    sign = -1.0 if law.outcome == "accuracy" else 1.0

    def wrong(flops: Any) -> Any:
        params = np.sqrt(flops / float(flops_6nd(1.0, 1.0)) / each)
        x = {"flops": flops, "params": params, "tokens": params * each}
        return sign * law(theta, {k: x[k] for k in law.inputs})

    flops = _least(wrong, sign * wanted).transpose(*SAMPLES, "target")
    flops = flops.assign_attrs(units="FLOP")
    out = xr.Dataset({"flops": flops}, attrs={"trust": trust})
    out["reachable"] = flops.map_blocks(np.isfinite).mean(SAMPLES)
    ends = flops.quantile([0.05, 0.5, 0.95], SAMPLES, method="higher").values.T
    said = [
        f"{law.outcome} {value:g} at {_flop(q[1])} [{_flop(q[0])}, {_flop(q[2])}]"
        for value, q in zip(values, ends, strict=True)
    ]
    return out.assign_attrs(verdict="; ".join(said))


def rank_agreement(
    loss: xr.DataArray, outcome: xr.DataArray, *, better: str = "higher"
) -> xr.Dataset:
    """Ask whether models that are better in loss are better in a task, draw by draw.

    Parameters
    ----------
    loss, outcome : xarray.DataArray over (chain, draw, point)
        Draws of the same models' losses and scores, such as `loss_run` and `accuracy_run` of one
        `task_forecast`, or of two fits with equally many draws.
    better : {"higher", "lower"}, default "higher"
        Which scores are better.

    Returns
    -------
    xarray.Dataset over (chain, draw)
        `tau`, Kendall's rank correlation of -loss and how good the score is, ties counted half-way
        (tau-a); `top`, whether the model of least loss scores best. Over point `best_loss` and
        `best_outcome`, the probability that a model is the best in either. Attribute `verdict`.

    Raises
    ------
    SpecError
        Other dimensions than those, less than two models, or another word than the two.

    Examples
    --------
    >>> import xarray as xr
    >>> dims = ("chain", "draw", "point")
    >>> loss = xr.DataArray([[[2.0, 2.5, 3.0], [2.6, 2.5, 3.0]]], dims=dims)
    >>> score = xr.DataArray([[[0.7, 0.6, 0.5], [0.7, 0.6, 0.5]]], dims=dims)
    >>> found = rank_agreement(loss, score)
    >>> found.tau.values.round(2).tolist(), found.top.values.tolist()
    ([[1.0, 0.33]], [[True, False]])
    """
    if better not in ("higher", "lower"):
        msg = f"better: higher or lower; found {better!r}"
        raise SpecError(msg)
    dims = (*SAMPLES, "point")
    for name, given in (("loss", loss), ("outcome", outcome)):
        if not isinstance(given, xr.DataArray) or set(given.dims) != set(dims):
            msg = f"{name}: draws over chain, draw and point are wanted"
            raise SpecError(msg)
    good = (-loss).transpose(*dims).values
    score = (outcome if better == "higher" else -outcome).transpose(*dims).values
    if good.shape != score.shape or good.shape[-1] < 2:
        msg = f"as many draws and models of both, two models at least; found {good.shape} and "
        raise SpecError(msg + str(score.shape))
    first, second = np.triu_indices(good.shape[-1], 1)
    pairs = [np.sign(v[..., first] - v[..., second]) for v in (good, score)]
    best = [v.argmax(axis=-1) for v in (good, score)]
    out = xr.Dataset({"tau": (SAMPLES, (pairs[0] * pairs[1]).mean(axis=-1))})
    out["top"] = (SAMPLES, best[0] == best[1])
    for name, at in zip(("best_loss", "best_outcome"), best, strict=True):
        count = np.bincount(at.ravel(), minlength=good.shape[-1])
        out[name] = ("point", count / at.size)
    low, middle, high = np.quantile(out["tau"], [0.05, 0.5, 0.95])
    said = (
        f"the model of least loss scores best with probability {float(out['top'].mean()):.0%}; "
        f"Kendall's tau {middle:.2f} [{low:.2f}, {high:.2f}]"
    )
    return out.assign_attrs(verdict=said)


def _flop(value: float) -> str:
    return f"{flop(value)} FLOP" if np.isfinite(value) else "no compute"


def _law_of(fit: xr.DataTree) -> Any:
    law = model_of(fit).law
    if law.outcome not in OUTCOMES:
        msg = (
            f"law {law.name!r} is of {law.outcome}; fit one of accuracy or error: `Ladder`, "
            f"`GadreError` or `SigmoidCompute`"
        )
        raise SpecError(msg)
    return law


def _through(
    law: Any, theta: dict[str, np.ndarray], upstream: xr.DataTree, at: Any, rng: Any
) -> tuple[xr.Dataset, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Return points, draws of the link, its outcome at the law's loss, and losses of new runs."""
    first = model_of(upstream).law
    if "loss" not in law.inputs or first.outcome != "loss":
        msg = (
            f"upstream: a fit of loss for a law that reads it; found {first.name!r} of "
            f"{first.outcome} for {law.name!r} in {', '.join(law.inputs)}"
        )
        raise SpecError(msg)
    there = predict(upstream, at)
    if COUNT in at:
        count = np.broadcast_to(np.asarray(at[COUNT], float), there.sizes["point"])
        there = there.assign_coords({COUNT: ("point", count)})
    drawn = [there[name].transpose(*SAMPLES, "point").values for name in ("loss_mean", "loss_run")]
    mean, run = (v.reshape(-1, v.shape[-1]) for v in drawn)
    links = max(len(v) for v in theta.values())
    count = max(links, len(run))
    which = np.arange(count) % len(run), rng.permutation(count) % links
    theta = {k: np.broadcast_to(v, (links, 1))[which[1]] for k, v in theta.items()}
    mean, run = mean[which[0]], run[which[0]]
    return there, theta, law.link(theta, mean), run


def _variance(
    model: Any, law: Any, theta: dict[str, np.ndarray], x: Any, loss: Any, run: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the variance of a new evaluation by source, (point,) each."""
    through = loss is not None and isinstance(model.law, HasUpstream)
    mu = np.asarray(law.link(theta, loss) if through else law(theta, x)) + 0.0 * run
    step = np.linspace(0, len(run) - 1, min(CROSSED, len(run))).astype(int)
    if through:
        few = {k: v[step][None] for k, v in theta.items()}
        crossed = law.link(few, np.asarray(loss)[np.roll(step, 1)][:, None])
        upstream, link = crossed.mean(axis=1).var(axis=0), crossed.var(axis=1).mean(axis=0)
    else:
        upstream, link = np.zeros(run.shape[1]), mu.var(axis=0)
    noise, asked = ((run - mu) ** 2).mean(axis=0), np.zeros(run.shape[1])
    if COUNT in model.observation.inputs:
        loose = 1 + theta["spread"] ** 2 if "spread" in theta else 1.0
        asked = (mu * (1 - mu) / loose).mean(axis=0) / x[COUNT]
    scatter = np.maximum(noise - asked, 0.0) if "spread" in theta else np.zeros_like(noise)
    return {"upstream": upstream, "link": link, "scatter": scatter, "questions": asked}


def _said(found: xr.Dataset, of: str, threshold: float | None) -> str:
    lines = []
    for i in range(min(found.sizes["point"], SAID)):
        here = found.isel(point=i)
        low, middle, high = here[f"{of}_run"].quantile([0.05, 0.5, 0.95]).values
        where = ""
        if "flops" in here.coords:
            where = f" at {flop(float(here['flops']))} FLOP"
        source = str(here["source"].values[int(np.argmax(here["variance"].values))])
        text = f"{of} {middle:.3f} [{low:.3f}, {high:.3f}]{where}, unknown most by the {source}"
        if threshold is not None:
            side = "above" if of == "accuracy" else "below"
            text += f"; {side} {threshold:g} with probability {float(here['probability']):.0%}"
        lines.append(text)
    more = found.sizes["point"] - SAID
    return "; ".join(lines) + (f"; and {more} more points" if more > 0 else "")
