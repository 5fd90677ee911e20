"""What fixed data allow: asymptotes of size and of ensembles, and what tokens those are worth."""

from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling.data.numbers import positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Asymptote
from bayes_scaling.laws.repetition import UNIQUE
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

SHARE = 0.9  # of the gain of an ensemble


def asymptotes(fit: xr.DataTree, unique: Any = None, *, group: str | None = None) -> xr.Dataset:
    """Return where the loss goes as size, and members of an ensemble, grow without end.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of `Asymptote`.
    unique : float or (point,) array, tokens
        Unique tokens, where the law reads them.
    group : str, optional
        Which group of a pooled model: a recipe.

    Returns
    -------
    xarray.Dataset over (chain, draw, point)
        `single`, the asymptote of one model, and `ensemble`, of members without end, nat/token;
        `gain`, the share between them; `members`, how many take nine tenths of it. Where the law
        reads unique tokens also `data_worth`: how many times the tokens one model would need to
        come down to the ensemble; inf where no number would do.

    Raises
    ------
    SpecError
        Another law, or unique tokens that are missing, not read or not positive.

    References
    ----------
    Kim et al. 2025, arXiv:2509.14786.

    Examples
    --------
    >>> import numpy as np, bayes_scaling as bs
    >>> size, members = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), [1, 2, 4, 8]))
    >>> loss = 3.4 * (0.94 + 0.06 / members) + 0.3 * (size / 1e8) ** -0.5
    >>> runs = {"params": size, "members": members, "loss": loss}
    >>> fit = bs.fit(bs.ScalingModel(bs.Asymptote()), runs)
    >>> bool(abs(bs.asymptotes(fit).single.median() - 3.4) < 0.1)
    True
    """
    trust = warn_if_untrusted(fit)
    law = model_of(fit).law
    if not isinstance(law, Asymptote):
        msg = f"law {law.name!r} has no asymptote of fixed data: fit Asymptote()"
        raise SpecError(msg)
    if law.data != (unique is not None):
        msg = (
            "the law reads unique tokens: give unique=..., positive raw tokens"
            if law.data
            else "the law reads no unique tokens: leave `unique` out"
        )
        raise SpecError(msg)
    drawn = theta_of(fit, group)
    theta = {p.name: drawn[p.name] for p in law.params}
    x: dict[str, Any] = {}
    if law.data:
        tokens = positive(unique, "unique must be positive raw tokens, one number or a list")
        x = {UNIQUE: xr.DataArray(tokens, dims="point", coords={"unique": ("point", tokens)})}
    single = law.asymptote(theta, x)
    gain = theta["gain"] if law.ensembles else xr.zeros_like(theta["E"])
    out = xr.Dataset({"single": single, "ensemble": single * (1 - gain), "gain": gain})
    if law.ensembles:
        out["members"] = (1 - SHARE) ** (-1 / theta["kappa"])
    if law.data:
        left = (out.ensemble - theta["E"]) / (single - theta["E"])
        worth = np.maximum(left, np.finfo(float).tiny) ** (-1 / theta["beta"])
        out["data_worth"] = worth.where(left > 0, np.inf)
    for name in ("single", "ensemble"):
        out[name].attrs["units"] = "nat/token"
    out.attrs = {"trust": trust}
    return out.transpose(*SAMPLES, ...)
