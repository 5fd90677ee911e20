"""Items of a scenario: what there is to spend, what must be reached, and what cannot be built.

Each is a small frozen object that says one thing; `decide` takes any number of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from bayes_scaling.data.accounting import flops_6nd
from bayes_scaling.data.numbers import counts, one_number, positive
from bayes_scaling.data.parameters import non_embedding_params
from bayes_scaling.decision.amounts import amount, write
from bayes_scaling.errors import SpecError
from bayes_scaling.laws import Repetition

HOUR, DAY = 3600.0, 86_400.0  # s


@runtime_checkable
class Limit(Protocol):
    """An item that rules plans out."""

    def used(self, params: Any, tokens: Any) -> Any:
        """Return the share of the limit that plans use: those above 1 are ruled out."""
        ...


@dataclass(frozen=True)
class ComputeBudget:
    """Compute to be spent.

    Parameters
    ----------
    flops : float or (budget,) sequence, FLOP
        Of training; with `ServingDemand`, of training and serving together.

    Raises
    ------
    SpecError
        Not positive and finite.
    """

    flops: Any

    def __post_init__(self) -> None:
        values = positive(self.flops, "ComputeBudget: positive FLOP, one or a list of them")
        object.__setattr__(self, "flops", tuple(float(v) for v in values))


@dataclass(frozen=True)
class Hardware:
    """What turns FLOPs into hours and money.

    Parameters
    ----------
    peak : float, FLOP/s
        Of one device, at the precision of training: 989e12 of an H100 in dense bfloat16.
    utilisation : float, default 0.4
        Share of the peak that training gets (MFU).
    dollars_per_hour : float, optional
        Price of one device.
    devices : float, optional
        How many there are.

    Raises
    ------
    SpecError
        A number that is not positive, or a utilisation above 1.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> h100 = bs.Hardware(1979e12, 0.5, dollars_per_hour=2.0)
    >>> round(h100.dollars(3.8e25) / 1e6, 1)  # millions
    21.3
    """

    peak: float
    utilisation: float = 0.4
    dollars_per_hour: float | None = None
    devices: float | None = None

    def __post_init__(self) -> None:
        one_number(self.peak, "Hardware: peak, positive FLOP/s of one device")
        share = one_number(self.utilisation, "Hardware: utilisation, a share of the peak")
        if share > 1:
            msg = f"Hardware: utilisation is a share of the peak, at most 1; found {share!r}"
            raise SpecError(msg)
        for name in ("dollars_per_hour", "devices"):
            if getattr(self, name) is not None:
                one_number(getattr(self, name), f"Hardware: {name}, a positive number")

    @classmethod
    def measured(cls, runs: Any, peak: float, **more: Any) -> "Hardware":
        """Take the utilisation from runs that were timed.

        Parameters
        ----------
        runs : DataFrame or mapping
            With `flops` (or `params` and `tokens`), `steps`, `seconds_per_step` and `devices`.
        peak : float, FLOP/s
            Of one device.
        **more
            Of `Hardware`; `devices` is that of the plan.

        Raises
        ------
        SpecError
            A column is missing.
        """
        lacking = [c for c in ("steps", "seconds_per_step", "devices") if c not in runs]
        if "flops" not in runs and not {"params", "tokens"} <= set(runs):
            lacking.append("flops")
        if lacking:
            msg = f"Hardware.measured: the table lacks {', '.join(lacking)}"
            raise SpecError(msg)
        get = {k: positive(runs[k], f"Hardware.measured: positive {k}") for k in
               ("flops", "params", "tokens", "steps", "seconds_per_step", "devices")
               if k in runs}  # fmt: skip
        flops = get["flops"] if "flops" in get else flops_6nd(get["params"], get["tokens"])
        seconds = get["steps"] * get["seconds_per_step"] * get["devices"]
        return cls(peak, float(np.median(flops / (seconds * peak))), **more)

    def hours(self, flops: Any) -> Any:
        """Return device-hours."""
        return flops / (self.peak * self.utilisation * HOUR)

    def flops(self, hours: Any) -> Any:
        """Return the FLOP of so many device-hours."""
        return hours * self.peak * self.utilisation * HOUR

    def dollars(self, flops: Any) -> Any:
        """Return the price."""
        if self.dollars_per_hour is None:
            msg = "Hardware has no price: give dollars_per_hour"
            raise SpecError(msg)
        return self.hours(flops) * self.dollars_per_hour

    def days(self, flops: Any) -> Any:
        """Return how long all devices take."""
        if self.devices is None:
            msg = "Hardware has no number of devices: give devices"
            raise SpecError(msg)
        return self.hours(flops) / self.devices / 24


@dataclass(frozen=True)
class GpuBudget:
    """Device-hours to be spent; needs `Hardware` beside it."""

    hours: Any

    def __post_init__(self) -> None:
        values = positive(self.hours, "GpuBudget: positive device-hours, one or a list of them")
        object.__setattr__(self, "hours", tuple(float(v) for v in values))


@dataclass(frozen=True)
class MoneyBudget:
    """Dollars to be spent; needs `Hardware` with a price beside it."""

    dollars: Any

    def __post_init__(self) -> None:
        values = positive(self.dollars, "MoneyBudget: positive dollars, one or a list of them")
        object.__setattr__(self, "dollars", tuple(float(v) for v in values))


@dataclass(frozen=True)
class LossTarget:
    """A loss that the run must reach, with a required probability.

    Parameters
    ----------
    loss : float or (target,) sequence, nat/token
    probability : float, default 0.9
        That a run of the plan measures at most this loss: over the posterior, and over how runs
        scatter.

    Raises
    ------
    SpecError
        A loss that is not positive, a probability outside (0, 1).
    """

    loss: Any
    probability: float = 0.9

    def __post_init__(self) -> None:
        values = positive(self.loss, "LossTarget: positive losses, nat/token, one or several")
        object.__setattr__(self, "loss", tuple(float(v) for v in values))
        p = one_number(self.probability, "LossTarget: a probability between 0 and 1")
        if p >= 1:
            msg = f"LossTarget: a probability below 1, since no run is certain; found {p!r}"
            raise SpecError(msg)


@dataclass(frozen=True)
class ServingDemand:
    """Tokens that the model will serve in its life, at 2 N FLOP each.

    Parameters
    ----------
    tokens : float, (float, float, float) or Prior
        Tokens that users read: a number, its 5, 50 and 95 % quantiles, or a distribution.
    prompt : float, default 0
        Tokens that are read for every one that users read.
    candidates : float, default 1
        Tokens that are written for every one that users read: samples among which one is chosen,
        or reasoning that nobody sees.
    price : float, default 1
        Of a FLOP of serving over one of training: hardware is used worse when it serves.

    Raises
    ------
    SpecError
        A number that is not positive (`prompt` may be 0).

    Notes
    -----
    Processed tokens are ``T = tokens (candidates + prompt)``, their cost ``2 N T price``.
    """

    tokens: Any
    prompt: float = 0.0
    candidates: float = 1.0
    price: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", amount(self.tokens, "ServingDemand: tokens"))
        one_number(self.prompt, "ServingDemand: prompt, tokens per token served", above=-1e-300)
        one_number(self.candidates, "ServingDemand: candidates, a positive number")
        one_number(self.price, "ServingDemand: price, a positive ratio")

    @property
    def multiple(self) -> float:
        """What a served token costs, in forward passes at the price of training."""
        return (self.candidates + self.prompt) * self.price


@dataclass(frozen=True)
class DataWall:
    """Unique tokens are limited; to go on is to repeat them.

    Parameters
    ----------
    unique : float, (float, float, float) or Prior
        Unique tokens: a number, its 5, 50 and 95 % quantiles, or a distribution.
    repetition : Repetition, optional
        What repeats are worth; what the fit says, if its law is `DataConstrained`, and the
        published constants otherwise.
    most_epochs : float, default inf
        Passes over the (median) unique tokens that are allowed; 1 forbids repeats.

    Raises
    ------
    SpecError
        A number that is not positive, or fewer than one epoch.
    """

    unique: Any
    repetition: Repetition | None = None
    most_epochs: float = np.inf

    def __post_init__(self) -> None:
        object.__setattr__(self, "unique", amount(self.unique, "DataWall: unique tokens"))
        if not isinstance(self.repetition, Repetition | None):
            msg = f"DataWall: repetition is a Repetition(...); found {self.repetition!r}"
            raise SpecError(msg)
        if not self.most_epochs >= 1:
            msg = f"DataWall: most_epochs, at least 1; found {self.most_epochs!r}"
            raise SpecError(msg)


@dataclass(frozen=True)
class SizeLimits:
    """The smallest and the largest model that can be built."""

    smallest: float = 0.0
    largest: float = np.inf

    def __post_init__(self) -> None:
        if not 0 <= self.smallest < self.largest:
            msg = f"SizeLimits: smallest below largest, parameters; found {self!r}"
            raise SpecError(msg)

    def used(self, params: Any, tokens: Any) -> Any:
        """Return size over the largest, or the smallest over it."""
        return np.maximum(params / self.largest, self.smallest / params) + 0.0 * tokens


@dataclass(frozen=True)
class ServingMemory:
    """Memory that the weights must fit in when the model serves.

    Parameters
    ----------
    bytes : float
        Of the devices that hold one copy.
    bytes_per_param : float, default 2
        2 in bfloat16, 1 in 8 bits.
    reserve : float, default 0.2
        Share that is kept for caches and activations.
    total : float, default 1
        All parameters over the active ones that plans count, 1 for a dense model: of one with
        experts ``total_params(1.0, experts, share)``.
    """

    bytes: float
    bytes_per_param: float = 2.0
    reserve: float = 0.2
    total: float = 1.0

    def __post_init__(self) -> None:
        one_number(self.bytes, "ServingMemory: positive bytes")
        one_number(self.bytes_per_param, "ServingMemory: positive bytes_per_param")
        if not one_number(self.total, "ServingMemory: total, a ratio") >= 1:
            msg = "ServingMemory: total, all parameters over the active ones, at least 1; found "
            raise SpecError(msg + repr(self.total))
        if not 0 <= self.reserve < 1:
            msg = f"ServingMemory: reserve, a share of the memory below 1; found {self.reserve!r}"
            raise SpecError(msg)

    @property
    def params(self) -> float:
        """All parameters that fit."""
        return self.bytes * (1 - self.reserve) / self.bytes_per_param

    def used(self, params: Any, tokens: Any) -> Any:
        """Return bytes needed over bytes there are."""
        return params * self.total / self.params + 0.0 * tokens


@dataclass(frozen=True)
class StepLimit:
    """Optimizer steps that can be taken.

    Parameters
    ----------
    batch : float or callable, tokens
        Tokens per step: a number, or a function of params and tokens, as `largest_batch` makes of
        a fit of the law `cbs`.
    steps : float, optional
        The most steps; or give both of the next.
    days, seconds_per_step : float, optional
        Time there is, and what a step takes.

    Raises
    ------
    SpecError
        Neither `steps` nor both of the others, or a number that is not positive.
    """

    batch: Any
    steps: float | None = None
    days: float | None = None
    seconds_per_step: float | None = None

    def __post_init__(self) -> None:
        if not callable(self.batch):
            one_number(self.batch, "StepLimit: batch, positive tokens per step")
        given = {k: getattr(self, k) for k in ("steps", "days", "seconds_per_step")}
        for name, value in given.items():
            if value is not None:
                one_number(value, f"StepLimit: {name}, a positive number")
        timed = self.days is not None and self.seconds_per_step is not None
        if (self.steps is None) != timed:
            msg = f"StepLimit: either steps, or days and seconds_per_step; found {given}"
            raise SpecError(msg)

    def used(self, params: Any, tokens: Any) -> Any:
        """Return steps needed over steps there are."""
        batch: Any = self.batch(params, tokens) if callable(self.batch) else self.batch
        most = self.steps or (self.days or 0.0) * DAY / (self.seconds_per_step or 1.0)
        return tokens / (batch * most) + 0.0 * params


@dataclass(frozen=True)
class Deadline:
    """Days that training may take on the `devices` of `Hardware`, which must stand beside it."""

    days: float

    def __post_init__(self) -> None:
        one_number(self.days, "Deadline: positive days")


@dataclass(frozen=True)
class Shelf:
    """What can be built: sizes, or whole configurations.

    Parameters
    ----------
    params : (config,) sequence, parameters
    tokens : (config,) sequence, tokens, optional
        Without it, every size takes what the budget or the target gives it.
    names : (config,) sequence of str, optional
        What the configurations are called.

    Raises
    ------
    SpecError
        Not positive, not as many of each, or a name twice.
    """

    params: Any
    tokens: Any = None
    names: Any = None

    def __post_init__(self) -> None:
        params = counts(self.params, "params", "Shelf: positive params, one or a list of them")
        object.__setattr__(self, "params", tuple(float(v) for v in params))
        if self.tokens is not None:
            tokens = counts(self.tokens, "tokens", "Shelf: positive tokens, as many as params")
            if len(tokens) == 1:
                tokens = np.repeat(tokens, len(params))
            object.__setattr__(self, "tokens", tuple(float(v) for v in tokens))
        if self.names is not None:
            object.__setattr__(self, "names", tuple(map(str, self.names)))
        for what in ("tokens", "names"):
            given = getattr(self, what)
            if given is not None and len(given) != len(params):
                msg = f"Shelf: {len(params)} params and {len(given)} {what}: as many of each"
                raise SpecError(msg)
        if self.names is not None and len(set(self.names)) < len(params):
            msg = f"Shelf: every name once; found {', '.join(self.names)}"
            raise SpecError(msg)

    @classmethod
    def of_shapes(cls, width: Sequence[float], depth: Sequence[float], **more: Any) -> "Shelf":
        """Make a shelf of widths and depths: ``12 depth width^2`` parameters without embeddings.

        Examples
        --------
        >>> import bayes_scaling as bs
        >>> bs.Shelf.of_shapes([4096, 8192], [32, 80]).params
        (6442450944.0, 64424509440.0)
        """
        wide = positive(width, "Shelf: positive widths")
        deep = positive(depth, "Shelf: positive depths, as many as widths")
        if len(wide) != len(deep):
            msg = f"Shelf: {len(wide)} widths and {len(deep)} depths: as many of each"
            raise SpecError(msg)
        names = [f"{w:.0f} x {d:.0f}" for w, d in zip(wide, deep, strict=True)]
        return cls(non_embedding_params(wide, deep), **{"names": names, **more})


Item = (
    ComputeBudget | GpuBudget | MoneyBudget | Hardware | LossTarget | ServingDemand | DataWall
    | SizeLimits | ServingMemory | StepLimit | Deadline | Shelf
)  # fmt: skip


def in_words(item: Any) -> str:
    """Write an item for a message."""
    if isinstance(item, ServingDemand):
        return f"ServingDemand({write(item.tokens, 'tokens')})"
    if isinstance(item, DataWall):
        return f"DataWall({write(item.unique, 'unique tokens')})"
    return repr(item)
