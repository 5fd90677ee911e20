"""What a law is, and the small abilities a law may have."""

import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from types import ModuleType
from typing import (
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import numpy as np

from bayes_scaling._registry import Registry, did_you_mean
from bayes_scaling.errors import SpecError
from bayes_scaling.param import Param, Prior

Theta = Mapping[str, Any]
Inputs = Mapping[str, Any]
Reference = tuple[tuple[str, Any], ...]


@runtime_checkable
class Law(Protocol):
    """An equation of training at scale: a frozen, hashable dataclass of choices.

    Fields are choices (tied exponents, with or without floor), never parameters. `reference`
    holds the sizes that inputs are divided by; a law without them cannot be evaluated.
    """

    name: ClassVar[str]
    outcome: ClassVar[str]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of a run table that the law reads."""
        ...

    @property
    def reference(self) -> Reference | None:
        """The sizes that inputs are divided by, as pairs of input name and size."""
        ...

    @property
    def params(self) -> tuple[Param, ...]:
        """The parameters under these choices."""
        ...

    def __call__(self, theta: Theta, x: Inputs) -> Any:
        """Evaluate the outcome on its natural scale; arrays broadcast."""
        ...

    def to_paper(self, theta: Theta) -> dict[str, Any]:
        """Turn parameters at the reference into the paper's own."""
        ...

    def from_paper(self, paper: Mapping[str, Any]) -> dict[str, Any]:
        """Turn the paper's parameters into those at the reference."""
        ...


@runtime_checkable
class HasOptimum(Protocol):
    """A law whose best split of compute between `params` and `tokens` is a closed form."""

    def optimum(self, theta: Theta, product: Any) -> tuple[Any, Any]:
        """Return the `params` and `tokens` of least loss with ``params * tokens = product``."""
        ...

    def exponent(self, theta: Theta) -> Any:
        """Return ``a = d ln N* / d ln C``."""
        ...


@runtime_checkable
class HasIsoquant(Protocol):
    """A law whose tokens to a loss, at a given size, are a closed form."""

    def tokens_to(self, theta: Theta, loss: Any, params: Any) -> Any:
        """Return the `tokens` with which models of `params` reach `loss`; inf where none do."""
        ...


@runtime_checkable
class HasFloor(Protocol):
    """A law with an irreducible part that no amount of compute removes."""

    def irreducible(self, theta: Theta) -> Any:
        """Return the loss as every input goes to infinity."""
        ...


@runtime_checkable
class Anchored(Protocol):
    """A law that knows where the table it is fitted to ends."""

    def anchors(self, x: Inputs) -> Reference:
        """Return the sizes that it takes from a table beside the means of its inputs."""
        ...


@runtime_checkable
class Monotone(Protocol):
    """A law whose outcome falls in every input listed."""

    @property
    def decreasing(self) -> tuple[str, ...]:
        """The inputs that may only lower the outcome."""
        ...


@runtime_checkable
class HasZeros(Protocol):
    """A law with inputs that may be zero; what divides those is the largest of the table."""

    from_zero: ClassVar[tuple[str, ...]]


@runtime_checkable
class HasRanges(Protocol):
    """A law with inputs that are no sizes but numbers of their own: shares, experts, a loss.

    Nothing scales them: a law reads them as they are, or less their mean in the table.
    """

    @property
    def ranges(self) -> Mapping[str, tuple[float, float]]:
        """What every such input may be: the least and the greatest value, both allowed."""
        ...


@runtime_checkable
class HasShares(Protocol):
    """A law with inputs that are shares of one whole."""

    @property
    def shares(self) -> tuple[str, ...]:
        """The inputs that sum to one; they are among `ranges`."""
        ...


@runtime_checkable
class HasShareSlopes(Protocol):
    """A law that says how its outcome falls as one share grows: its best mixture can be found."""

    def slopes(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return the derivative of the outcome in every share, all others as they are."""
        ...


@runtime_checkable
class HasDerived(Protocol):
    """A law whose paper has parameters beside ours."""

    derived: ClassVar[Mapping[str, tuple[str, str]]]
    """Unit and meaning of what `to_paper` adds, by name."""


@runtime_checkable
class HasScatter(Protocol):
    """A law about outcomes that scatter more, or less, than a loss does."""

    @property
    def scatter(self) -> Prior:
        """The prior of `sigma`, the scatter as a share of the outcome."""
        ...


@runtime_checkable
class HasSweeps(Protocol):
    """A law of settings that are swept at a fixed scale, each sweep with parameters of its own."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that the law reads."""
        ...

    @property
    def swept(self) -> tuple[str, ...]:
        """The inputs that differ within a sweep; runs that agree in the rest are one."""
        ...


@runtime_checkable
class HasLatents(Protocol):
    """A law that can say more of a run than its outcome."""

    latents: ClassVar[tuple[str, ...]]

    def latent(self, theta: Theta, x: Inputs) -> dict[str, Any]:
        """Return the latent quantities by name, for an observation model to read like columns."""
        ...


@runtime_checkable
class HasUpstream(Protocol):
    """A law in two steps: of a loss, and of what a model of that loss scores in a task.

    Called, it gives the outcome at the loss that it expects; ``latents`` names that loss.
    """

    def link(self, theta: Theta, loss: Any) -> Any:
        """Return the outcome of a model of a given loss."""
        ...


@runtime_checkable
class HasUsual(Protocol):
    """A law whose outcomes scatter in a way of their own: shares, counts, points along runs."""

    @property
    def usual(self) -> Mapping[str, Any] | str:
        """The observation model that it is meant to be fitted with: a name, or choices by name."""
        ...


@runtime_checkable
class HasKnown(Protocol):
    """A law with choices that enter its priors and nothing else: one program serves them all."""

    known: ClassVar[tuple[str, ...]]


@runtime_checkable
class HasSteady(Protocol):
    """A law that a table can identify though some of its inputs hardly vary there."""

    steady: ClassVar[tuple[str, ...]]


LAWS: Registry[type] = Registry("law")

L = TypeVar("L", bound=Law)


def namespace(*values: Mapping[str, Any]) -> ModuleType:
    """Choose the array library: `jax.numpy` when any value is JAX's, else NumPy.

    The equation is written once. Under ``jit`` it is traced; NumPy arrays stay float64 with
    nothing to compile; xarray's arrays pass through NumPy's functions with their named dims, so
    that draws and points broadcast by name.
    """
    jax = sys.modules.get("jax")
    if jax is not None and any(isinstance(v, jax.Array) for m in values for v in m.values()):
        return jax.numpy
    return np


def sizes(law: Any) -> dict[str, Any]:
    """Return a law's reference sizes, or say how to give it some."""
    if law.reference is None:
        msg = (
            f"law {law.name!r} has no reference sizes yet; bind it to a table with "
            f"`bind(law, x)` or give them: reference=(('params', 1e9), ('tokens', 2e10))"
        )
        raise SpecError(msg)
    return dict(law.reference)


def relative(law: Law, x: Inputs, name: str, xp: ModuleType) -> Any:
    """Return ``ln(x / reference)`` of one input."""
    return xp.log(x[name]) - xp.log(sizes(law)[name])


def from_zero(law: Any) -> tuple[str, ...]:
    """Return the sizes among the inputs of a law that may be zero."""
    return law.from_zero if isinstance(law, HasZeros) else ()


def ranges_of(law: Any) -> Mapping[str, tuple[float, float]]:
    """Return what the inputs that are no sizes may be, least and greatest."""
    return law.ranges if isinstance(law, HasRanges) else {}


def to_vary(law: Any) -> tuple[str, ...]:
    """Return the inputs of which a table needs values that are two sizes, and not one."""
    inputs = law.inputs
    steady = law.steady if isinstance(law, HasSteady) else ()
    return tuple(name for name in inputs if name not in steady)


def bind(law: L, x: Inputs) -> L:
    """Give a law its reference sizes: the geometric means of the inputs, unless it has them.

    A law that asks where its table ends learns that too, as far as it was not told.

    An input that may be zero has no such mean: its largest value then, and 1 where all are zero. Of
    an input that is no size it is the plain mean.

    Parameters
    ----------
    law : Law
        Any law.
    x : mapping of str to (run,) array
        The inputs of the training table, raw counts.

    Returns
    -------
    Law
        The same law with `reference` set.

    Examples
    --------
    >>> import numpy as np
    >>> from bayes_scaling.laws import Chinchilla, bind
    >>> bind(Chinchilla(), {"params": np.array([1e8, 1e10]), "tokens": np.array([2e9])}).reference
    (('params', 1000000000.0), ('tokens', 2000000000.0))
    """
    given = dict(law.reference or ())
    if given and not isinstance(law, Anchored):
        return law
    columns = {name: np.asarray(x[name], float) for name in law.inputs}
    if not given:
        given = {k: float(f"{_typical(law, k, v):.6g}") for k, v in columns.items()}
    if isinstance(law, Anchored):
        given = dict(law.anchors(columns)) | given
    sizes = tuple(sorted(given.items(), key=lambda one: one[0] not in columns))
    return replace(law, reference=sizes)  # pyright: ignore[reportArgumentType]


def _typical(law: Any, name: str, values: np.ndarray) -> float:
    if name in ranges_of(law):
        return float(np.mean(values))
    if name in from_zero(law):
        return float(values.max() or 1.0)
    return float(np.exp(np.mean(np.log(values))))


def law_from_dict(spec: Mapping[str, Any] | str) -> Any:
    """Build a law from plain data, such as ``{"name": "chinchilla", "tied": True}``.

    Parameters
    ----------
    spec : mapping or str
        A name, or a mapping with `name` and the law's choices.

    Raises
    ------
    UnknownNameError
        No law has that name.
    SpecError
        A choice the law does not have.

    Examples
    --------
    >>> from bayes_scaling.laws import law_from_dict
    >>> law_from_dict({"name": "chinchilla", "tied": True}).tied
    True
    """
    choices: dict[str, Any] = {"name": spec} if isinstance(spec, str) else dict(spec)
    if choices.get("name") == "average":  # of a fit; no law to choose, and so none of `LAWS`
        from bayes_scaling.laws.average import Average

        return Average(tuple(law_from_dict(law) for law in choices.get("laws", ())))
    if choices.get("name") == "held":  # of a fit, likewise
        from bayes_scaling.laws.held import Held

        return Held(law_from_dict(choices["law"]), tuple(dict(choices["at"]).items()))
    kind = LAWS[choices.pop("name", "")]
    return kind(**checked_choices(kind, "law", choices))


def checked_choices(kind: type, what: str, choices: dict[str, Any]) -> dict[str, Any]:
    """Refuse a choice or a value that `kind` does not have; turn reference sizes into pairs."""
    allowed = [f.name for f in fields(kind)]
    for name in choices:
        if name not in allowed:
            msg = (
                f"{what} {kind.name!r} has no choice {name!r}."
                f"{did_you_mean(name, allowed)} Choices: {', '.join(allowed)}."
            )
            raise SpecError(msg)
    for name, hint in get_type_hints(kind).items():
        options = (True, False) if hint is bool else get_args(hint)
        plain = hint is bool or get_origin(hint) is Literal
        if plain and name in choices and choices[name] not in options:
            known = ", ".join(map(repr, options))
            msg = f"{what} {kind.name!r}: {name} = {choices[name]!r} is not one of: {known}."
            raise SpecError(msg)
    if choices.get("reference") is not None:
        pairs = choices["reference"]
        pairs = pairs.items() if isinstance(pairs, Mapping) else pairs
        choices["reference"] = tuple((str(k), float(v)) for k, v in pairs)
    return choices


class Checked:
    """A law whose choices are checked however it is made."""

    def __post_init__(self) -> None:
        named = {f.name: getattr(self, f.name) for f in fields(self)}  # pyright: ignore
        named.pop("reference")  # sizes may be traced
        checked_choices(type(self), "law", named)


def to_dict(thing: Any) -> dict[str, Any]:
    """Write a law or an observation model as plain data, leaving out choices at their default.

    Examples
    --------
    >>> from bayes_scaling.laws import Chinchilla, to_dict
    >>> to_dict(Chinchilla(tied=True))
    {'name': 'chinchilla', 'tied': True}
    """
    out: dict[str, Any] = {"name": thing.name}
    for f in fields(thing):
        value = getattr(thing, f.name)
        if f.name in ("laws", "scatters"):  # of an average, which has no choice beside them
            out[f.name] = [to_dict(one) for one in value]
        elif f.name == "law":  # of one whose other inputs are held
            out[f.name] = to_dict(value)
        elif value != f.default:
            out[f.name] = dict(value) if f.name in ("reference", "at") else value
    return out
