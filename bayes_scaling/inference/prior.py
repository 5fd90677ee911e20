"""What a model says before it has seen a loss: a fit made of prior draws."""

import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling import priors
from bayes_scaling.errors import SpecError
from bayes_scaling.model import ScalingModel
from bayes_scaling.program import Program, prepare, refuse_made
from bayes_scaling.results import dataset, tree, with_derived


def sample_prior(
    model: ScalingModel, runs: pd.DataFrame | None = None, *, draws: int = 4000, seed: int = 0
) -> xr.DataTree:
    """Draw a model's parameters from their priors, as a fit that `predict` and `allocate` take.

    Parameters
    ----------
    model : ScalingModel
        Without pooling. Without `runs` its law needs reference sizes, and its priors no statistic
        of a table.
    runs : DataFrame, optional
        The table whose sizes and statistics the priors refer to; its losses enter through those
        alone.
    draws : int
    seed : int

    Returns
    -------
    xarray.DataTree
        With draws of the prior in the group `posterior`, and `method` "prior".

    Raises
    ------
    SpecError
        The model needs a table to be complete, pools, or is an average.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> prior = bs.sample_prior(bs.ScalingModel(), bs.load_dataset("nine-runs"))
    >>> ratio = bs.allocate(prior, 1e21).tokens_per_param.quantile([0.05, 0.95])
    >>> bool(ratio[1] / ratio[0] > 1000)  # the prior does not build 20 tokens per parameter in
    True
    """
    refuse_made(model)
    if model.pooling:
        msg = "sample_prior takes a model without pooling: a new group's prior is the population's"
        raise SpecError(msg)
    if runs is None:
        needs = [p.name for p in model.params if model.prior(p.name).times]
        if needs or model.law.reference is None:
            what = f"a statistic of the losses (prior of {', '.join(needs)})" if needs else ""
            what = what or "reference sizes"
            msg = f"this model needs {what} from a table: give `runs`"
            raise SpecError(msg)
        data = {"prior": {p.name: priors.values(model.prior(p.name), {}) for p in model.params}}
    else:
        ready = prepare(model, runs)
        model, data = ready.model, ready.data
    values, _ = Program(model.structure).prior_draws(data, np.random.default_rng(seed), draws)
    posterior = with_derived(model, dataset({k: v[None] for k, v in values.items()}))
    reason = "nothing was fitted"
    return tree({"posterior": posterior}, model, method="prior", method_reason=reason, seed=seed)
