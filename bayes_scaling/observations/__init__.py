"""How a measured loss scatters about the law.

An observation model is a frozen dataclass of choices, as a law is: `params` lists what it adds to
the posterior, `distribution` gives the density of the measured loss. Densities are of the loss
itself (nats), whatever scale the scatter lives on, so that elpd compares between them.
"""

from collections.abc import Mapping
from typing import Any

from bayes_scaling.laws._protocol import checked_choices
from bayes_scaling.observations._protocol import (
    CLUSTER,
    MEASURED,
    NO_CLUSTER,
    OBSERVATIONS,
    Observation,
    ReadsClusters,
    ReadsLatents,
    ReadsWitness,
    Refuses,
)
from bayes_scaling.observations.alone import Normal, StudentT, UnderTuned
from bayes_scaling.observations.attempts import Attempts
from bayes_scaling.observations.clusters import Clustered
from bayes_scaling.observations.counts import Censored, Gamma
from bayes_scaling.observations.records import Records
from bayes_scaling.observations.shares import AverageShare, BetaBinomial, Binomial, Chained
from bayes_scaling.observations.sweep import Sweep

__all__ = [
    "CLUSTER",
    "MEASURED",
    "NO_CLUSTER",
    "OBSERVATIONS",
    "Attempts",
    "AverageShare",
    "BetaBinomial",
    "Binomial",
    "Censored",
    "Chained",
    "Clustered",
    "Gamma",
    "Normal",
    "Observation",
    "ReadsClusters",
    "ReadsLatents",
    "ReadsWitness",
    "Records",
    "Refuses",
    "StudentT",
    "Sweep",
    "UnderTuned",
    "observation_from_dict",
]


def observation_from_dict(spec: Mapping[str, Any] | str) -> Any:
    """Build an observation model from plain data, such as ``{"name": "student_t"}``.

    Raises
    ------
    UnknownNameError
        No observation model has that name.
    SpecError
        A choice it does not have.

    Examples
    --------
    >>> from bayes_scaling.observations import observation_from_dict
    >>> observation_from_dict("normal")
    Normal(scale='log', noise='constant', known=False)
    """
    choices: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    if choices.get("name") == "average":  # of a fit; no model to choose
        from bayes_scaling._averaged import Averaged

        return Averaged(tuple(observation_from_dict(s) for s in choices.get("scatters", ())))
    kind = OBSERVATIONS[choices.pop("name", "")]
    return kind(**checked_choices(kind, "observation model", choices))
