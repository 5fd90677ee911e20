"""A fit with some inputs of its law held: what is left can be planned with."""

import json
from dataclasses import replace

import xarray as xr

from bayes_scaling.laws import Held
from bayes_scaling.model import model_to_json
from bayes_scaling.results import DATA_GROUPS, digest, model_of


def hold(fit: xr.DataTree, **at: float) -> xr.DataTree:
    """Hold inputs of a fit's law: experts, unique tokens, the shares of a mixture.

    Parameters
    ----------
    fit : xarray.DataTree
        A fit.
    **at : float
        Inputs of its law and the values that they are held at, raw counts.

    Returns
    -------
    xarray.DataTree
        The same draws under a law of the inputs that are left. Where those are `params` and
        `tokens`, `allocate`, `decide`, `next_runs` and the plots of plans take it like a fit of two
        inputs. The runs do not go along: they were measured at other values.

    Raises
    ------
    SpecError
        No input of that name, a value that it may not have, nothing held, or nothing left.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> fit = bs.load_posterior("chinchilla")
    >>> there = bs.predict(bs.hold(fit, tokens=2e10), {"params": [1e9, 4e9]})
    >>> there.loss_mean.dims
    ('chain', 'draw', 'point')
    """
    model = model_of(fit)
    if isinstance(model.law, Held):  # held once more: still one law and one set of values
        law = Held(model.law.law, (*model.law.at, *at.items()))
    else:
        law = Held(model.law, tuple(at.items()))
    out = fit.drop_nodes([g for g in DATA_GROUPS if g in fit.children])
    largest = {k: v for k, v in json.loads(fit.attrs.get("largest", "{}")).items() if k not in at}
    out.attrs = {
        **fit.attrs,
        "model": model_to_json(replace(model, law=law)),
        "largest": json.dumps(largest),
    }
    out.attrs["posterior_sha256"] = digest(out)
    return out
