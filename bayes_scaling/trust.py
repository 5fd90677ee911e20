"""Whether the draws of a fit are to be trusted: judged when made, said wherever it is used."""

import json
import warnings

import numpy as np
import xarray as xr

from bayes_scaling._compat import diagnostics
from bayes_scaling.data.verdicts import Verdict
from bayes_scaling.errors import FitFileError

R_HAT, ESS, E_BFMI, K_HAT = 1.01, 400, 0.3, 0.7  # Vehtari et al. 2021, 2024; Betancourt 2016
DIVERGENT = 0.001


class UntrustedFitWarning(UserWarning):
    """A fit whose sampling failed its checks is being used."""


def diagnose(posterior: xr.Dataset, stats: xr.Dataset, attrs: dict) -> list[Verdict]:
    """Judge the sampling of a posterior.

    Parameters
    ----------
    posterior, stats : xarray.Dataset over (chain, draw)
        Draws and sample statistics.
    attrs : dict
        `method`, and `k_hat`, `effective`, `modes`, `optimum_converged` where it has them.

    Returns
    -------
    list of Verdict
    """
    if attrs.get("method") == "prior":
        return [Verdict("method", "PASS", "draws from the prior: nothing was fitted", "")]
    if attrs["method"] == "laplace":
        out = [_k_hat(float(attrs["k_hat"])), _effective(float(attrs["effective"]))]
        if attrs.get("few_runs"):
            found = "fewer than two runs per parameter: k-hat sees only what was proposed"
            out.append(Verdict("few runs", "REVIEW", found, "fit with method='auto' or 'nuts'"))
    else:
        out = [_convergence(posterior)]
    if "diverging" in stats:
        out += [_divergences(stats["diverging"].values), _energy(stats["energy"].values)]
    out += [_modes(int(attrs.get("modes", 1)), bool(attrs.get("optimum_converged", 1)))]
    return out


def _convergence(posterior: xr.Dataset) -> Verdict:
    table = diagnostics(posterior)
    rank, ess, ends = (table[v].to_numpy() for v in ("r_hat", "ess_bulk", "ess_tail"))
    r_hat, bulk, tail = float(rank.max()), float(ess.min()), float(ends.min())  # NaN passes on
    worst = str(table.index[int(np.argmin(ess))])
    found = f"largest R-hat {r_hat:.3f}, smallest ESS {bulk:.0f} bulk, {tail:.0f} tail ({worst})"
    do = "ask for more draws, or fit with method='nuts' and a longer warmup"
    least = float(np.minimum(bulk, tail))
    ok = r_hat < R_HAT and least > ESS
    poor = not (r_hat < 1.05 and least > ESS / 4)
    return Verdict("R-hat and ESS", "PASS" if ok else "FAIL" if poor else "REVIEW", found, do)


def _k_hat(k_hat: float) -> Verdict:
    do = "fit with method='auto' or 'nuts': the weights have too heavy a tail"
    return Verdict("k-hat", "PASS" if k_hat < K_HAT else "FAIL", f"k-hat {k_hat:.2f}", do)


def _effective(effective: float) -> Verdict:
    status = "PASS" if effective > ESS else "REVIEW" if effective > ESS / 4 else "FAIL"
    do = "ask for more draws, or fit with method='nuts'"
    return Verdict("effective draws", status, f"{effective:.0f} effective proposals", do)


def _divergences(diverging: np.ndarray) -> Verdict:
    share = float(diverging.mean())
    found = f"{int(diverging.sum())} divergent transitions of {diverging.size}"
    do = "state a tighter prior on what is not identified (often the floor), or collect more runs"
    status = "PASS" if share == 0 else "REVIEW" if share < DIVERGENT else "FAIL"
    return Verdict("divergences", status, found, do)


def _energy(energy: np.ndarray) -> Verdict:
    change = np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1)
    found = f"smallest E-BFMI {change.min():.2f}"
    do = "run longer; if it persists, tighten the prior on what is not identified"
    return Verdict("E-BFMI", "PASS" if change.min() > E_BFMI else "REVIEW", found, do)


def _modes(modes: int, converged: bool) -> Verdict:
    do = "look at the pair plot: two explanations of these runs are left; more runs decide"
    if modes > 1:
        return Verdict("modes", "REVIEW", f"{modes} modes with more than 1 % of the mass", do)
    found = "one mode" if converged else "the search for the optimum did not converge"
    do = "check the table for runs the law cannot describe"
    return Verdict("modes", "PASS" if converged else "REVIEW", found, do)


def verdicts_of(fit: xr.DataTree) -> list[Verdict]:
    """Return the sampling verdicts recorded when the fit was made."""
    return [Verdict(*v) for v in json.loads(fit.attrs.get("sampling", "[]"))]


def warn_if_untrusted(fit: xr.DataTree) -> str:
    """Warn when a fit's sampling failed or its table could not identify the law; say why.

    Returns
    -------
    str
        "trusted", or the reasons it is not: kept in the attributes of whatever is made from it.
    """
    if not isinstance(fit, xr.DataTree):
        msg = f"a fit is asked for, from fit, open_fit or load_posterior; found {fit!r}"
        raise FitFileError(msg)
    bad = [f"{v.name}: {v.found}" for v in verdicts_of(fit) if v.status == "FAIL"]
    bad += json.loads(fit.attrs.get("refusals", "[]"))
    if not bad:
        return "trusted"
    reasons = "; ".join(bad)
    msg = f"this fit is not to be trusted ({reasons}). Run `check(fit)` to see what to do."
    warnings.warn(msg, UntrustedFitWarning, stacklevel=3)
    return reasons
