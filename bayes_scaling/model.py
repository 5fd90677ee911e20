"""ScalingModel: law, observation model, priors and pooling, as one frozen value.

A model says nothing about a table. `bayes_scaling.program` turns the two into the NumPyro program
that the engines sample.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

import numpy as np

from bayes_scaling._registry import did_you_mean
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import (
    Anchored,
    Chinchilla,
    HasKnown,
    HasLatents,
    HasScatter,
    HasSweeps,
    HasUpstream,
    HasUsual,
    law_from_dict,
)
from bayes_scaling.laws import to_dict as choices_to_dict
from bayes_scaling.laws._protocol import Inputs, Theta
from bayes_scaling.observations import (
    ReadsClusters,
    ReadsLatents,
    ReadsWitness,
    StudentT,
    Sweep,
    observation_from_dict,
)
from bayes_scaling.param import Param, Prior
from bayes_scaling.priors import prior_from_dict, prior_to_dict

Mode = Literal["shared", "partial", "free"]
MADE_FOR = {
    "sweep": "`Tuning`",
    "attempts": "`Coverage`",
    "chained": "laws in two steps, such as `Ladder`",
    "records": "`TimeTrend`",
}
FIELDS = ("law", "observation", "priors", "pooling")
ROWS = "run"  # the dimension of a fit's rows


@dataclass(frozen=True)
class Pooling:
    """How parameters differ between the groups of a column.

    Parameters
    ----------
    column : str
        The run-table column that names the group (architecture, corpus, evaluation set).
    modes : tuple of (str, {"shared", "partial", "free"})
        Parameters that depart from the default for their role.

    Notes
    -----
    Intercepts are partially pooled and slopes shared by default: between recipes the level of the
    loss moves while exponents rarely do. "partial" is a hierarchy on the unconstrained scale (the
    logarithm of a positive parameter): ``ln a0_g ~ Normal(ln a0, a0_sd)`` with ``a0_sd`` LogNormal
    about 0.15 for intercepts, 0.05 for the rest (sigma 0.8). That prior avoids zero (Chung et al.
    2013, doi:10.1007/s11336-013-9328-2): with few groups a half-normal leaves a funnel at zero
    that no sampler finishes; "free" gives every group its
    own value under the parameter's prior, with no sharing.

    Examples
    --------
    >>> from bayes_scaling import Pooling
    >>> Pooling("arch", (("alpha", "partial"),)).mode("alpha", "slope")
    'partial'
    """

    column: str
    modes: tuple[tuple[str, Mode], ...] = ()

    def mode(self, name: str, role: str) -> Mode:
        """Return how a parameter is pooled."""
        return dict(self.modes).get(name, "partial" if role == "intercept" else "shared")


@dataclass(frozen=True)
class ScalingModel:
    """A model somebody would fit: law, scatter, priors, pooling. Frozen and hashable.

    Parameters
    ----------
    law : Law, default Chinchilla()
        The equation.
    observation : Observation, default StudentT()
        How runs scatter about it.
    priors : tuple of (str, Prior), optional
        Priors that replace the defaults of `law` and `observation`; a mapping is accepted.
    pooling : Pooling, optional
        How parameters differ between groups of runs.

    Raises
    ------
    SpecError
        A prior for a parameter that the model does not have, or with numbers that its distribution
        does not take, an observation model that reads of a run what the law does not say, or
        pooling by a column `run`.

    Examples
    --------
    >>> from bayes_scaling import Prior, ScalingModel
    >>> model = ScalingModel(priors={"alpha": Prior.of("LogNormal", median=0.35, sigma=0.2)})
    >>> model.prior("alpha")
    Prior('LogNormal', median=0.35, sigma=0.2)
    >>> [p.name for p in model.params]
    ['E', 'a0', 'b0', 'alpha', 'beta', 'sigma', 'nu']
    """

    law: Any = field(default_factory=Chinchilla)
    observation: Any = field(default_factory=StudentT)
    priors: Any = ()
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        pairs = self.priors.items() if isinstance(self.priors, Mapping) else self.priors
        object.__setattr__(self, "priors", tuple(sorted(pairs)))
        self._refuse_unknown("prior", dict(self.priors))
        for name, prior in self.priors:
            prior_from_dict(name, prior_to_dict(prior))  # numbers a distribution does not take
        law, observation = self.law, self.observation
        wanted = observation.latents if isinstance(observation, ReadsLatents) else ()
        known = law.latents if isinstance(law, HasLatents) else ()
        if lacking := [v for v in wanted if v not in known]:
            msg = (
                f"observation model {self.observation.name!r} reads {', '.join(lacking)} of a run, "
                f"which law {self.law.name!r} does not say; it is made for "
                f"{MADE_FOR.get(self.observation.name, 'others')}"
            )
            raise SpecError(msg)
        on = [getattr(v, "scale", None) for v in (law, observation)]
        if self.witness and not isinstance(law, HasUpstream):
            msg = f"law {self.law.name!r} links no {self.witness} to its outcome"
            raise SpecError(msg)
        if wanted and None not in on and on[0] != on[1] and not self.witness:
            msg = (
                f"law {self.law.name!r} is on a {on[0]} scale and observation model "
                f"{self.observation.name!r}, which reads what a miss costs, on a {on[1]} one: give "
                f"both the same, such as Tuning(scale='linear') and Sweep('linear')"
            )
            raise SpecError(msg)
        if self.pooling:
            if self.pooling.column == ROWS:
                msg = (
                    f"pooling by {ROWS!r}: of a fit that is the dimension of its rows; give the "
                    "column another name, such as 'curve' or 'size'"
                )
                raise SpecError(msg)
            self._refuse_unknown("pooling mode", dict(self.pooling.modes))
            for p in self.params:
                shifted = self.prior(p.name).plus or self.prior(p.name).dist == "Fixed"
                if shifted and self.pooling.mode(p.name, p.role) == "partial":
                    msg = f"{p.name!r} has a shifted or fixed prior and cannot be pooled partially"
                    raise SpecError(msg)

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters of the law, then of the observation model."""
        return (*self.law.params, *self.observation.params)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns the model reads of a run, the outcome apart."""
        group = (self.pooling.column,) if self.pooling else ()
        return (*self.law.inputs, *self.observation.inputs, *group)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns a table that is fitted must have: `inputs`, and what tells clusters."""
        seen = self.observation
        clusters = (seen.by, seen.along) if isinstance(seen, ReadsClusters) else ()
        return tuple(dict.fromkeys((*self.inputs, *(name for name in clusters if name))))

    def mean(self, theta: Theta, x: Inputs) -> tuple[Any, dict[str, Any]]:
        """Return the law's outcome, and the columns with whatever else the law says of a run.

        Where `x` holds what was measured on the way to the outcome, the outcome is that given it.
        """
        said = self.law.latent(theta, x) if isinstance(self.observation, ReadsLatents) else {}
        if self.witness and self.witness in x:
            return self.law.link(theta, x[self.witness]), {**x, **said}
        return self.law(theta, x), {**x, **said}

    @property
    def witness(self) -> str:
        """The column that is measured beside the outcome, and read by fits alone; "" for none."""
        seen = self.observation
        return seen.witness if isinstance(seen, ReadsWitness) else ""

    def distribution(self, theta: Theta, x: Inputs) -> Any:
        """Return the NumPyro distribution of measured outcomes; `theta` is per row or scalar."""
        mu, seen = self.mean(theta, x)
        return self.observation.distribution(mu, theta, seen)

    def draw(self, rng: np.random.Generator, theta: Theta, x: Inputs) -> np.ndarray:
        """Draw measured outcomes with NumPy; the arrays broadcast."""
        return self.simulate(rng, theta, x)[self.law.outcome]

    def simulate(self, rng: np.random.Generator, theta: Theta, x: Inputs) -> dict[str, np.ndarray]:
        """Draw all that is measured of runs with NumPy: the outcome, and what is beside it."""
        out = {}
        if self.witness:
            said = self.law.latent(theta, x)
            out = {self.witness: self.observation.draw_witness(rng, theta, {**x, **said})}
        mu, seen = self.mean(theta, {**x, **out})
        return {**out, self.law.outcome: self.observation.draw(rng, np.asarray(mu), theta, seen)}

    @property
    def relative(self) -> bool:
        """Whether residuals are logs of ratios, and not differences: as the scatter is taken."""
        return getattr(self.observation, "scale", "log") == "log"

    @property
    def structure(self) -> "ScalingModel":
        """The model with every number blanked: what a compiled program depends on."""
        blank = {p.name: self.prior(p.name).structure for p in self.params}
        law: Any = self.law
        known = law.known if isinstance(law, HasKnown) else ()
        usual = {f.name: f.default for f in fields(self.law) if f.name in known}
        return replace(self, law=replace(self.law, reference=None, **usual), priors=blank)

    def prior(self, name: str) -> Prior:
        """Return the prior of a parameter."""
        if given := dict(self.priors).get(name):
            return given
        if name == "sigma" and isinstance(self.law, HasScatter):
            return self.law.scatter
        return {p.name: p.prior for p in self.params}[name]

    def mode(self, param: Param) -> Mode:
        """Return how a parameter is pooled; "shared" without pooling."""
        return self.pooling.mode(param.name, param.role) if self.pooling else "shared"

    def _refuse_unknown(self, what: str, named: Mapping[str, Any]) -> None:
        known = [p.name for p in self.params]
        for name in named:
            if name not in known:
                msg = (
                    f"{what} for {name!r}, which {self.law.name!r} with "
                    f"{self.observation.name!r} does not have.{did_you_mean(name, known)} "
                    f"Parameters: {', '.join(known)}."
                )
                raise SpecError(msg)


def model_for(law: Any) -> ScalingModel:
    """Return the model that a law is usually fitted with.

    Parameters
    ----------
    law : Law
        A law of sweeps scatters least at the best setting, counts failures where it knows of them
        and has a level for every sweep; of a law of size and data that knows where its table ends
        the scatter moves with compute, so that the largest runs count for what they are worth; a
        law that names its usual observation model has that; any other law has the defaults.

    Examples
    --------
    >>> from bayes_scaling import Tuning
    >>> from bayes_scaling.model import model_for
    >>> model_for(Tuning("lr", "width")).pooling
    Pooling(column='sweep', modes=(('l0', 'free'),))
    """
    joint = {"params", "tokens"} <= set(law.inputs)
    if isinstance(law, HasLatents) and isinstance(law, HasSweeps):
        several = set(law.inputs) > set(law.swept)
        pooling = Pooling("sweep", (("l0", "free"),)) if several else None
        return ScalingModel(law, Sweep(scale=getattr(law, "scale", "log")), pooling=pooling)
    if isinstance(law, HasUsual):
        return ScalingModel(law, observation_from_dict(law.usual))
    if joint and isinstance(law, Anchored):
        return ScalingModel(law, StudentT(noise="compute"))
    return ScalingModel(law)


def model_to_dict(model: ScalingModel) -> dict[str, Any]:
    """Write a model as plain data, every prior spelled out.

    Examples
    --------
    >>> from bayes_scaling import ScalingModel
    >>> from bayes_scaling.model import model_to_dict
    >>> model_to_dict(ScalingModel())["law"]
    {'name': 'chinchilla'}
    """
    out: dict[str, Any] = {
        "law": choices_to_dict(model.law),
        "observation": choices_to_dict(model.observation),
        "priors": {p.name: prior_to_dict(model.prior(p.name)) for p in model.params},
    }
    if model.pooling:
        out["pooling"] = {"column": model.pooling.column, "modes": dict(model.pooling.modes)}
    return out


def model_from_dict(spec: Mapping[str, Any]) -> ScalingModel:
    """Read a model from plain data.

    Parameters
    ----------
    spec : mapping
        `law`, and optionally `observation`, `priors` and `pooling`, as `model_to_dict` writes.

    Raises
    ------
    UnknownNameError
        A law, observation model or distribution that is not known.
    SpecError
        A field, choice, parameter or number that is not understood.

    Examples
    --------
    >>> from bayes_scaling.model import model_from_dict
    >>> model_from_dict({"law": "chinchilla", "observation": "normal"}).observation.name
    'normal'
    """
    for name in spec:
        if name not in FIELDS:
            msg = f"a model has no field {name!r}.{did_you_mean(name, FIELDS)} Fields: "
            raise SpecError(msg + ", ".join(FIELDS) + ".")
    law = law_from_dict(spec.get("law", "chinchilla"))
    observation = observation_from_dict(spec.get("observation", "student_t"))
    priors = {k: prior_from_dict(k, v) for k, v in dict(spec.get("priors", {})).items()}
    pooling = None
    if spec.get("pooling"):
        column, modes = spec["pooling"].get("column"), dict(spec["pooling"].get("modes", {}))
        wrong = {k: v for k, v in modes.items() if v not in get_args(Mode)}
        if not column or wrong:
            known = ", ".join(get_args(Mode))
            msg = f"pooling needs a column and modes among {known}; found {spec['pooling']}"
            raise SpecError(msg)
        pooling = Pooling(str(column), tuple(sorted(modes.items())))
    return ScalingModel(law, observation, priors, pooling)


def model_to_json(model: ScalingModel) -> str:
    """Write a model as one line of JSON, for the attributes of a fit."""
    return json.dumps(model_to_dict(model), sort_keys=True)
