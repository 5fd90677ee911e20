"""What refits tell about a fit: each run's density given the others, and the sampling spread."""

from concurrent.futures import Executor

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling.criticism._held_out import (
    TRUSTED,
    Method,
    clusters_of,
    log_densities,
    log_mean,
    log_sum,
    refit_parts,
    scored,
    verdict,
    whole,
)
from bayes_scaling.criticism.influence import INFLUENTIAL, TOGETHER
from bayes_scaling.errors import FitError, SpecError
from bayes_scaling.inference import psis
from bayes_scaling.inference.many import fit_many
from bayes_scaling.model import ScalingModel
from bayes_scaling.results import model_of


def exact_loo(
    fit: xr.DataTree,
    runs: pd.DataFrame,
    *,
    threshold: float = INFLUENTIAL,
    method: Method = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Score every run under the posterior of all others: smoothed weights, and refits where needed.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit without pooling, from `fit`.
    runs : DataFrame
        The table it was fitted to.
    threshold : float, default 0.7
        Pareto k above which the model is refitted without the run; ``-inf`` refits every run.
    method : {"laplace", "auto"}
        As in `fit_many`.
    draws, seed, executor, progress
        Of the refits, as in `fit_many`.

    Returns
    -------
    xarray.Dataset over run
        `elpd_i`, the log density of each run given the others, log(1 / (nat/token)); `pareto_k`;
        `refitted`, whether the run was scored by a refit; `trust`, "trusted" or why `elpd_i` is
        not. Scalars `elpd`, their sum, `se`, its standard error, and `p`, the effective number of
        parameters. Attribute `trust` sums up.

    Raises
    ------
    FitError
        The fit carries no log likelihood, or no refit was possible.
    SpecError
        The table is not that of the fit, the model pools, or rows scatter by clusters.

    Notes
    -----
    ``elpd_i = ln sum_s w_is p(y_i | theta_s)``, the weights ``1 / p(y_i | theta_s)`` smoothed,
    or from a refit the log of the plain mean. ``se = sqrt(n var(elpd_i))``,
    ``p = sum_i ln mean_s p(y_i | theta_s) - elpd``. With nothing refitted these are the numbers of
    ArviZ's `loo`. A prior that takes the least or the mean loss from the table does so without the
    run where the model is refitted, and with it where weights were enough.

    Of two models of one table, the difference of `elpd_i` is what to look at: its sum, with
    standard error ``sqrt(n var(difference))``.

    References
    ----------
    Vehtari, Gelman and Gabry 2017, doi:10.1007/s11222-016-9696-4; Vehtari et al. 2024, JMLR 25(72).

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> runs = bs.load_dataset("simulated-chinchilla")
    >>> loo = bs.exact_loo(bs.fit(bs.ScalingModel(), runs), runs)
    >>> bool(loo.pareto_k.max() < 0.7), int(loo.refitted.sum()), loo.attrs["trust"]
    (True, 0, 'trusted')
    """
    if "log_likelihood" not in fit.children:
        msg = "the fit carries no log likelihood: fit the table again, or save fits with their data"
        raise FitError(msg)
    full = whole(model_of(fit), runs, "exact_loo")
    if clusters_of(full, None) is not None:
        msg = f"{TOGETHER}: leave out whole clusters, with `kfold`"
        raise SpecError(msg)
    if full.fingerprint != fit.attrs.get("fingerprint"):
        msg = (
            f"the fit was not made from this table of {len(full.runs)} usable runs (their "
            f"fingerprints differ): give the table as it was fitted"
        )
        raise SpecError(msg)
    like = fit["log_likelihood"].to_dataset()[full.model.law.outcome]
    values = like.transpose("run", "chain", "draw").values.reshape(len(full.runs), -1)
    smoothed = [psis.smooth(-v) for v in values]
    k = np.array([found[1] for found in smoothed])
    elpd = np.array([log_sum(w + v) for v, (w, _) in zip(values, smoothed, strict=True)])
    trust = np.array([TRUSTED if s < INFLUENTIAL else f"Pareto k {s:.2f}" for s in k], object)
    again = np.flatnonzero(~(k <= threshold))
    if len(again):
        others = [np.delete(np.arange(len(full.runs)), i) for i in again]
        refits = refit_parts(full, others, method, draws, seed, executor, progress)
        for i, one in zip(again, refits, strict=True):
            elpd[i] = log_mean(log_densities(full, one, np.array([i])))[0]
            trust[i] = one.trust
    runwise = {"elpd_i": elpd, "pareto_k": k, "refitted": np.isin(np.arange(len(k)), again)}
    out = scored(full, {**runwise, "trust": trust.astype(str)})
    out["p"] = float(np.sum(log_mean(values.T)) - np.sum(elpd))
    attrs = {"threshold": float(threshold), "draws": draws, "seed": seed}
    return out.assign_attrs(attrs, trust=verdict(trust[again], "refits") if len(again) else TRUSTED)


def bootstrap(
    model: ScalingModel,
    runs: pd.DataFrame,
    n: int = 200,
    *,
    method: Method = "laplace",
    draws: int = 1000,
    seed: int = 0,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> xr.Dataset:
    """Refit to tables whose runs are drawn with replacement: how far another sample would move it.

    Parameters
    ----------
    model : ScalingModel
        Without pooling.
    runs : DataFrame
        A run table; one that was not read yet goes through `read_runs`.
    n : int, default 200
        Tables.
    method : {"laplace", "auto"}
        As in `fit_many`.
    draws, executor, progress
        As in `fit_many`.
    seed : int
        Of the tables, and of the fits.

    Returns
    -------
    xarray.Dataset over (fit, chain, draw)
        What `fit_many` returns.

    Raises
    ------
    SpecError
        Less than two tables, or a model that pools or whose rows scatter by clusters.

    Notes
    -----
    The sd of a parameter's posterior mean over `fit` is its sampling spread, which a posterior sd
    need not know of. Where the model is right and the data outweigh the prior the two are alike. A
    spread well above the posterior sd says that the runs scatter in ways that the model does not
    have (runs that go together, a bend the law cannot follow), and intervals are too short; well
    below it, the prior holds the parameter.

    References
    ----------
    Efron 1979, doi:10.1214/aos/1176344552; Huggins and Miller 2019, arXiv:1912.07104.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fits = bs.bootstrap(bs.ScalingModel(), bs.load_dataset("simulated-chinchilla"), n=16)
    >>> spread = fits.alpha.mean(("chain", "draw")).std()
    >>> within = fits.alpha.std(("chain", "draw")).mean()
    >>> bool(0.5 < spread / within < 2)
    True
    """
    if n < 2:
        msg = f"a bootstrap of {n} tables has no spread; ask for two at least, better 200"
        raise SpecError(msg)
    full = whole(model, runs, "bootstrap")
    if clusters_of(full, None) is not None:
        msg = (
            "rows that scatter together are no sample to draw rows from: bootstrap a model whose "
            "rows scatter alone, or take the posterior's own spread"
        )
        raise SpecError(msg)
    rng = np.random.default_rng([seed, 0, 2])
    rows = rng.integers(len(full.runs), size=(n, len(full.runs)))
    tables = [full.runs.take(np.sort(r)) for r in rows]
    return fit_many(
        full.model,
        tables,
        method=method,
        draws=draws,
        seed=seed,
        executor=executor,
        progress=progress,
    )
