"""Simulation-based calibration: whether the engine finds what the model's own prior drew."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.stats as st
import xarray as xr

from bayes_scaling.criticism._held_out import verdict, whole
from bayes_scaling.data.coverage import TOLERANCE
from bayes_scaling.errors import SpecError
from bayes_scaling.inference._batch import Batch, fit_batch
from bayes_scaling.inference.fit import at_terminal
from bayes_scaling.inference.many import CHUNK, Refit, alone, judged
from bayes_scaling.inference.rows import LARGE, is_large
from bayes_scaling.inference.sampling import Likelihood
from bayes_scaling.inference.target import Target, target_of
from bayes_scaling.laws import HasOptimum
from bayes_scaling.model import ScalingModel, model_to_json
from bayes_scaling.program import WEIGHTLESS, Prepared

LEVELS = 100  # ranks 0 to 99, of 99 draws: as fine as a hundred to a thousand tables can tell
NULL = 20_000  # sets of uniform ranks that p values are read off
AHEAD = 10.0  # times the compute of the largest runs: where the loss is predicted


def calibrate(
    model: ScalingModel,
    runs: pd.DataFrame,
    n: int = 100,
    *,
    method: Literal["laplace", "auto"] = "laplace",
    false_alarm: float = 0.01,
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Test model, simulator and engine together by simulation-based calibration.

    Truths are drawn from the prior, losses simulated from them at the sizes of a table, and the
    model fitted to each. If all is right, the rank of a truth among its posterior's draws is
    uniform, for every quantity.

    Parameters
    ----------
    model : ScalingModel
        Without pooling.
    runs : DataFrame
        A run table, whose sizes are used, and of its losses the statistics that priors refer to.
    n : int, default 100
        Simulated tables. Nine times out of ten, a hundred find a bias of 0.6 posterior sd or sds
        that are 40 % short, a thousand 0.2 and 15 %.
    method : {"laplace", "auto"}
        "laplace" is the engine of `fit_many` and counts what it flags as it is; "auto" hands those
        fits to NUTS as `fit` does, one by one, which can take a minute for each.
    false_alarm : float, default 0.01
        How often a right engine may fail in any of the quantities.
    draws, executor, progress
        As in `fit_many`.
    seed : int
        Of the truths, of their losses, and of the fits.

    Returns
    -------
    xarray.Dataset over (fit, quantity, level)
        Per fit and quantity: `rank` (0 to 99, of 99 thinned draws), `truth`, and the posterior's
        `mean` and `sd`. Per quantity: `p_value` and `passed`. To plot: `ecdf` of the ranks over
        (quantity, level), which stays between `lower` and `upper` as a whole. Per fit `trust` and,
        unless NUTS drew it, `k_hat`. Quantities are the parameters, `a` (the exponent of the
        optimum), `loss_ahead` (of the law, at ten times the compute of the best of the largest
        runs) and `log_likelihood`. Attribute `trust` counts the fits that were flagged.

    Raises
    ------
    SpecError
        Less than ten tables, less than 99 draws, an unknown method, a table of more than 4,096
        runs, or a model that pools.

    Notes
    -----
    A prior in units of the table's least or mean loss would be another prior for every simulated
    table, and no truth would have been drawn from it: its numbers are held at those of `runs`.

    The ECDF at level k/100 is Binomial(n, k/100) over n; its least two-sided tail probability over
    the levels is compared with that of 20,000 simulated sets of uniform ranks, which gives
    `p_value` exactly up to simulation. A quantity passes above ``false_alarm / quantities``.

    By default the engine is that of `fit_many` with so many draws; `fit` proposes more. Flagged
    fits count like all others: a p value is of the engine as it is. An ECDF above the band at the
    left says that truths lie below the posterior, one that crosses it steeply in the middle that
    posteriors are too wide, and flat in the middle too narrow. Parameters alone cannot tell a
    posterior from the prior it came from; `log_likelihood` can.

    References
    ----------
    Talts et al. 2018, arXiv:1804.06788; Saeilynoja et al. 2022 (the band), arXiv:2103.10522;
    Modrak et al. 2023 (quantities that see the data), doi:10.1214/23-BA1404.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> found = bs.calibrate(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"), n=20)
    >>> bool(found.passed.all()), found.sizes["quantity"]
    (True, 10)
    """
    if n < 10 or draws < LEVELS - 1:
        msg = f"calibrate needs 10 tables and {LEVELS - 1} draws at least; found {n} and {draws}"
        raise SpecError(msg)
    if method not in ("laplace", "auto"):
        msg = f"method {method!r} is unknown to calibrate; choose laplace or auto"
        raise SpecError(msg)
    full = whole(model, runs, "calibrate")
    if is_large(full.data):
        msg = f"{len(full.runs)} runs; calibrate takes up to {LARGE}: give it a sample of the table"
        raise SpecError(msg)
    target = target_of(full.program, full.data)
    rng = np.random.default_rng([seed, 0, 5])
    truth, loose = full.program.prior_draws(full.data, rng, n)
    tables = _simulated(full, truth, rng)
    fits = _fitted(full, tables, method, draws, seed, executor, progress)
    picked = np.arange(LEVELS - 1) * (draws // (LEVELS - 1))
    points, rows = target.ravel(loose), []
    for i, (one, data) in enumerate(zip(fits, tables, strict=True)):
        values = {k: v.reshape(-1)[picked] for k, v in one.values.items()}
        drawn = _quantities(full, values, _fit_to(target, data, one.z[picked]))
        true = _quantities(full, {k: v[i] for k, v in truth.items()}, None)
        true["log_likelihood"] = _fit_to(target, data, points[i : i + 1])[0]
        rows.append([_against(drawn[k], true[k]) for k in drawn])
    names = [*_quantities(full, {k: v[0] for k, v in truth.items()}, None), "log_likelihood"]
    rank, true, mean, sd = np.moveaxis(np.array(rows), 2, 0)
    alpha = false_alarm / len(names)
    tested = _uniformity(rank.astype(int), alpha, np.random.default_rng([seed, 0, 6]))
    over = ("fit", "quantity")
    trust = np.array([one.trust for one in fits])
    return xr.Dataset(
        {
            "rank": (over, rank.astype(int)),
            "truth": (over, true),
            "mean": (over, mean),
            "sd": (over, sd),
            **tested,
            "k_hat": ("fit", [one.attrs.get("k_hat", np.nan) for one in fits]),
            "trust": ("fit", trust),
        },
        {"fit": np.arange(n), "quantity": names, "level": np.arange(1, LEVELS) / LEVELS},
        {
            "model": model_to_json(full.model),
            "draws": draws,
            "seed": seed,
            "method": method,
            "false_alarm": false_alarm,
            "trust": verdict(trust, "fits"),
        },
    )


def _simulated(
    full: Prepared, truth: Mapping[str, np.ndarray], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Simulate losses from every truth; the rest of the data, priors included, stays as it is."""
    rows = len(full.runs)
    x = {k: v if np.ndim(v) == 0 else v[:rows] for k, v in full.data["x"].items()}
    theta = {k: v[:, None] for k, v in truth.items()}
    drawn = full.model.simulate(rng, theta, x)
    fill = [(0, 0), (0, len(full.data["y"]) - rows)]
    drawn = {k: np.pad(v, fill, mode="edge") for k, v in drawn.items()}
    losses = drawn.pop(full.model.law.outcome)
    beside = [{k: v[i] for k, v in drawn.items()} for i in range(len(losses))]
    return [
        {**full.data, "x": {**full.data["x"], **more}, "y": y}
        for more, y in zip(beside, losses, strict=True)
    ]


def _fitted(
    full: Prepared,
    tables: list[dict[str, Any]],
    method: str,
    draws: int,
    seed: int,
    executor: Executor | None,
    progress: bool | None,
) -> list[Refit]:
    parts = [range(at, min(at + CHUNK, len(tables))) for at in range(0, len(tables), CHUNK)]
    batches = [
        Batch(full.program, tuple(tables[i] for i in part), tuple((seed, i) for i in part), draws)
        for part in parts
    ]
    run: Any = executor.map if executor else map
    done: Any = run(fit_batch, batches)
    if at_terminal() if progress is None else progress:
        from rich.progress import track

        what = f"fitting {len(tables)} simulated tables"
        done = track(done, what, total=len(batches), transient=True)
    fits = [judged(full, posterior) for posteriors in done for posterior in posteriors]
    if method == "auto":
        for i, one in enumerate(fits):
            if one.attrs["method_reason"]:
                fits[i] = alone(replace(full, data=tables[i]), "nuts", draws, seed + i)
    return fits


def _quantities(
    full: Prepared, theta: Mapping[str, np.ndarray], log_likelihood: Any
) -> dict[str, Any]:
    """Return what is ranked, of draws or of a truth."""
    model = full.model
    out: dict[str, Any] = {
        p.name: theta[p.name] for p in model.params if model.prior(p.name).dist != "Fixed"
    }
    ahead = np.asarray(model.law(theta, _ahead(full)))
    if isinstance(model.law, HasOptimum):
        out["a"] = model.law.exponent(theta)
    out["loss_ahead"] = ahead
    return out if log_likelihood is None else {**out, "log_likelihood": log_likelihood}


def _ahead(full: Prepared) -> dict[str, float]:
    """Return the inputs of the best of the largest runs, grown to ten times its compute."""
    rows = len(full.runs)
    x = {k: v[:rows] for k, v in full.data["x"].items() if k in full.model.law.inputs}
    sizes = [k for k in ("params", "tokens") if k in x]
    work = x["flops"] if "flops" in x else np.prod([x[k] for k in sizes or x], axis=0)
    largest = np.flatnonzero(work >= work.max() * (1 - TOLERANCE))
    best = largest[np.argmin(full.data["y"][largest])]
    grow = {k: AHEAD ** (1 / len(sizes)) for k in sizes} | {"flops": AHEAD}
    return {k: float(v[best]) * grow.get(k, 1.0) for k, v in x.items()}


def _fit_to(target: Target, data: dict[str, Any], z: np.ndarray) -> np.ndarray:
    """Return the log likelihood of a table at points, (point,)."""
    (found,) = Likelihood(target, data, z)(0, len(z)).values()
    return np.sum(found[:, data["weight"] > WEIGHTLESS], axis=1)


def _against(drawn: Any, true: Any) -> tuple[float, float, float, float]:
    """Return the rank of a truth among draws, the truth, and the draws' mean and sd."""
    values, value = np.asarray(drawn, float), float(np.asarray(true))
    return float(np.sum(values < value)), value, float(values.mean()), float(values.std())


def _uniformity(rank: np.ndarray, alpha: float, rng: np.random.Generator) -> dict[str, Any]:
    """Test whether ranks, (fit, quantity), are uniform: simultaneous bands for their ECDF."""
    n = len(rank)
    share = np.arange(1, LEVELS) / LEVELS
    below = np.sum(rank[:, :, None] < np.arange(1, LEVELS), axis=0)
    count = np.arange(n + 1)
    tail = np.minimum(
        st.binom.cdf(count, n, share[:, None]), st.binom.sf(count - 1, n, share[:, None])
    )
    at = np.arange(LEVELS - 1)
    even = rng.multinomial(n, np.full(LEVELS, 1 / LEVELS), size=NULL)
    null = np.sort(tail[at, np.cumsum(even, axis=1)[:, :-1]].min(axis=1))
    seen = tail[at, below].min(axis=1)
    p = (1 + np.searchsorted(null, seen * (1 + 1e-9), side="right")) / (1 + NULL)
    edge = null[int(alpha * NULL)]
    return {
        "p_value": ("quantity", p),
        "passed": ("quantity", p >= alpha),
        "ecdf": (("quantity", "level"), below / n),
        "lower": ("level", st.binom.ppf(edge, n, share) / n),
        "upper": ("level", st.binom.isf(edge, n, share) / n),
    }
