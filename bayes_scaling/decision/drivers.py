"""What drives the critical batch size: the data, as is claimed, or the size."""

import numpy as np
import xarray as xr

from bayes_scaling import priors
from bayes_scaling.data.numbers import one_number
from bayes_scaling.decision._critical import law_of, theta_at
from bayes_scaling.errors import SpecError
from bayes_scaling.results import model_of
from bayes_scaling.trust import warn_if_untrusted

NAMES = ("rise_params", "rise_tokens")
DRAWS = 20_000  # of the prior: its probability to 0.004
TOLD_APART = 0.5  # of the prior variance of q - p, that runs must remove before they count


def driven_by_data(fit: xr.DataTree, *, idle: float = 0.1, drives: float = 0.3) -> xr.Dataset:
    """Ask whether data, and not size, drive the critical batch size.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of the law `cbs` along `params_tokens`: ``B_crit ~ N^p D^q``.
    idle : float, default 0.1
        Size is idle where ``|p|`` is below this.
    drives : float, default 0.3
        Data drive where q is above this.

    Returns
    -------
    xarray.Dataset over (chain, draw)
        `rise_params` p, `rise_tokens` q, their sum `rise_both` (the exponent along runs whose N and
        D grow alike), and `driven`, whether a draw has both. Attributes: `probability` of `driven`,
        `prior_probability`, `correlation` of ln N and ln D over the runs (NaN where the fit does
        not carry them), `told_apart` (the share of the prior variance of q - p that the runs
        removed), and `said`, all that in words.

    Raises
    ------
    SpecError
        A law that is not along both, or thresholds that are not positive.

    Notes
    -----
    ``P(|p| < idle and q > drives)``. Where N and D rise together over the sweeps, as they do where
    every model is trained at the same tokens per parameter, the runs know p + q alone. The
    probability may still move, because the prior then shares p + q out; `said` says so.

    References
    ----------
    Zhang et al. 2024, arXiv:2410.21676.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> reference = (("batch_size_tokens", 1e6), ("params", 1e8), ("tokens", 2e9))
    >>> law = bs.CriticalBatch("params_tokens", reference=reference)
    >>> steps = {"s0": bs.Prior.of("LogNormal", median=1e4, sigma=1.0)}
    >>> prior = bs.sample_prior(bs.ScalingModel(law, bs.Normal(), priors=steps), draws=4000)
    >>> abs(bs.driven_by_data(prior).attrs["probability"] - 0.296) < 0.04
    True
    """
    law, model = law_of(fit), model_of(fit)
    if law.along != "params_tokens":
        msg = f"the law is along {law.along!r}: fit CriticalBatch('params_tokens') to compare both"
        raise SpecError(msg)
    idle = one_number(idle, "idle: a positive exponent such as 0.1")
    drives = one_number(drives, "drives: a positive exponent such as 0.3")
    trust = warn_if_untrusted(fit)
    theta = theta_at(fit, None)
    p, q = (theta[name] for name in NAMES)
    rng = np.random.default_rng(0)
    before = []
    for name in NAMES:
        prior = model.prior(name)
        numbers = priors.values(prior, dict.fromkeys(priors.STATISTICS, 1.0))
        before.append(priors.draw(prior, numbers, rng, DRAWS)[0])
    driven = (np.abs(p) < idle) & (q > drives)
    left = float((q - p).var() / np.var(before[1] - before[0]))
    attrs = {
        "probability": float(driven.mean()),
        "prior_probability": float(np.mean((np.abs(before[0]) < idle) & (before[1] > drives))),
        "correlation": _correlation(fit),
        "told_apart": 1 - left,
        "trust": trust,
    }
    out = xr.Dataset({"rise_params": p, "rise_tokens": q, "rise_both": p + q, "driven": driven})
    attrs["said"] = _said(out, attrs, f"P(|p| < {idle:g} and q > {drives:g})")
    return out.reset_coords(drop=True).assign_attrs(attrs)


def _correlation(fit: xr.DataTree) -> float:
    if "constant_data" not in fit.children:
        return float("nan")
    data = fit["constant_data"].to_dataset()
    logs = [np.log(data[c].values) for c in ("params", "tokens")]
    return float(np.corrcoef(logs)[0, 1]) if min(np.std(v) for v in logs) > 0 else float("nan")


def _said(out: xr.Dataset, found: dict, claim: str) -> str:
    low, mid, high = np.quantile(out["rise_both"].values, [0.05, 0.5, 0.95])
    text = f"{claim} = {found['probability']:.2f}; {found['prior_probability']:.2f} before the runs"
    if found["told_apart"] >= TOLD_APART:
        return f"{text}. The runs tell p from q ({found['told_apart']:.0%} of q - p learned)."
    r = found["correlation"]
    tied = f"ln N and ln D have correlation {r:.3f} over the runs, so " if abs(r) > 0.9 else ""
    return (
        f"{text}. But {tied}the runs do not tell p from q ({max(found['told_apart'], 0):.0%} of "
        f"q - p learned): they know p + q = {mid:.2f} [{low:.2f}, {high:.2f}] (90 %); the prior "
        f"shares it out. Vary tokens at one size to learn which it is."
    )
