"""What epochs are worth: repeated tokens beside fresh ones, as distributions."""

import json
from typing import Any

import numpy as np
import xarray as xr

from bayes_scaling._writing import size
from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.numbers import one_number, positive
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import DataConstrained
from bayes_scaling.laws.repetition import ENDLESS, UNIQUE
from bayes_scaling.results import SAMPLES, model_of, theta_of
from bayes_scaling.trust import warn_if_untrusted

SAID = {"params": "params", UNIQUE: "unique"}  # what the arguments are called
EPOCHS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 64)


def epochs(
    fit: xr.DataTree,
    unique: float,
    params: float,
    epochs: Any = EPOCHS,
    *,
    least: float = 0.5,
    tolerance: float = 0.01,
    group: str | None = None,
) -> xr.Dataset:
    """Say what so many epochs over unique tokens are worth, beside as many fresh tokens.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit of `DataConstrained`.
    unique : float, tokens
        The tokens that are passed over.
    params : float
        Size of the model.
    epochs : (epoch,) array
        Numbers of passes.
    least : float, default 0.5
        The worth of a token, beside a fresh one, below which an epoch is not worth running.
    tolerance : float, default 0.01
        Share by which the loss may lie above that of fresh tokens.
    group : str, optional
        Which group of a pooled model.

    Returns
    -------
    xarray.Dataset over (chain, draw, epoch)
        `worth`, D' / D: what a token is worth on average; `marginal`, what the last one is; `loss`
        after these epochs and `loss_fresh` of as many fresh tokens; `gained`, what epochs beyond
        the first take off the loss, as a share of what fresh tokens would; and over (chain, draw)
        `most_epochs`, after which a further token is worth less than `least`. Over (epoch),
        `near_fresh`: the probability that the loss lies within `tolerance` of that of fresh tokens.
        Coordinate `beyond`: whether the table has fewer epochs. Attribute `verdict`.

    Raises
    ------
    SpecError
        Another law, or a number that is not positive.

    Notes
    -----
    ``D' / U = 1 + (1 - e^(-lam R)) / lam`` and the last of them ``e^(-lam R)``, with R epochs less
    one; ``most_epochs = 1 - ln(least) / lam``. The law is monotone: it cannot say when more epochs
    begin to hurt, which depends on regularisation.

    References
    ----------
    Muennighoff et al. 2023, arXiv:2305.16264.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("muennighoff")
    >>> worth = bs.epochs(fit, unique=1e11, params=3e9, epochs=[1, 4])
    >>> bool(0.85 < worth.worth.sel(epoch=4).median() < 0.97)
    True
    """
    trust = warn_if_untrusted(fit)
    law = model_of(fit).law
    if not isinstance(law, DataConstrained):
        msg = f"law {law.name!r} knows no repeats: fit DataConstrained() to runs of several epochs"
        raise SpecError(msg)
    passes = positive(epochs, "epochs must be positive numbers of passes")
    one_number(least, "least: the worth of a token, between 0 and 1")
    one_number(tolerance, "tolerance: a share of the loss, such as 0.01")
    if least >= 1:
        msg = f"least: the worth of a token, between 0 and 1; found {least!r}"
        raise SpecError(msg)
    for name, value in (("params", params), (UNIQUE, unique)):
        least_seen = COLUMNS[name].plausible[0]  # pyright: ignore[reportOptionalSubscript]
        if one_number(value, f"{SAID[name]}: a positive raw count") < least_seen:
            msg = f"{SAID[name]}: {value:g} is too small for a raw count (70e9, not 70)"
            raise SpecError(msg)
    drawn = theta_of(fit, group)
    theta = {p.name: drawn[p.name] for p in law.params}
    count = xr.DataArray(passes, dims="epoch", coords={"epoch": passes})
    x = {
        "params": float(params),
        "tokens": count * float(unique),
        UNIQUE: float(unique),
    }
    loss, fresh = law(theta, x), law(theta, {**x, UNIQUE: ENDLESS})
    once = law(theta, {**x, "tokens": float(unique)})
    worth, last = law.repeated(theta, count)
    span = np.where(passes > 1, once - fresh, np.nan)
    most = 1 - np.log(least) / theta["lam_D"]
    out = xr.Dataset(
        {
            "worth": (worth / count).assign_attrs(units="1", long_name="worth of a token, D' / D"),
            "marginal": last.assign_attrs(units="1", long_name="worth of the last token"),
            "loss": loss.assign_attrs(units="nat/token"),
            "loss_fresh": fresh.assign_attrs(units="nat/token"),
            "gained": ((once - loss) / span).assign_attrs(
                units="1", long_name="share of what fresh tokens would gain"
            ),
            "most_epochs": most.assign_attrs(units="epochs"),
        }
    )
    out["near_fresh"] = (loss <= fresh * (1 + tolerance)).mean(SAMPLES)
    out = out.transpose(*SAMPLES, "epoch")
    seen = largest_epochs(fit)
    out = out.assign_coords(beyond=("epoch", passes > seen))
    out.attrs = {
        "trust": trust,
        "unique": float(unique),
        "params": float(params),
        "least": least,
        "tolerance": tolerance,
        "verdict": _verdict(out, unique, least, tolerance, seen),
    }
    return out


def largest_epochs(fit: xr.DataTree) -> float:
    """Return the most epochs of a fit's table; inf of a published posterior, which has none."""
    return float(json.loads(fit.attrs.get("largest", "{}")).get("epochs", np.inf))


def _verdict(out: xr.Dataset, unique: float, least: float, tolerance: float, seen: float) -> str:
    low, middle, high = out.most_epochs.quantile([0.05, 0.5, 0.95]).values
    said = (
        f"of {size(unique)} unique tokens a further pass is worth less than {least:g} of fresh "
        f"ones after {middle:.3g} epochs, 90 % between {low:.3g} and {high:.3g}"
    )
    sure = out.epoch.values[out.near_fresh.values >= 0.95]
    if len(sure):
        said += (
            f"; up to {sure.max():g} the loss lies within {tolerance:.2g} of that of fresh tokens "
            f"with 95 %"
        )
    if out.beyond.any():
        said += f"; the table ends at {seen:g}"
    return said
