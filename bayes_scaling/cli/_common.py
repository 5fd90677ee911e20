"""What commands share: arguments, where runs and fits come from, and machine-readable output."""

import json
import math
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import CoercionError, Group, Parameter

import bayes_scaling
from bayes_scaling._terminal import complain, to_number
from bayes_scaling.errors import SpecError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

bs: Any = bayes_scaling  # its names are made when first used, which no type checker follows
UNTRUSTED = 2  # exit status
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # the median with 50 and 90 % intervals


def _number(_: Any, tokens: Sequence[Any]) -> float:
    try:
        return to_number(tokens[0].value)
    except SpecError as error:
        raise CoercionError(msg=str(error), token=tokens[0]) from error


Number = Annotated[float, Parameter(converter=_number)]
Numbers = Annotated[list[Number], Parameter(negative=(), consume_multiple=True)]
Pairs = Annotated[list[str], Parameter(negative=())]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
Json = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]


@Parameter(name="*", group=Group("Reading the table", sort_key=10))
@dataclass(frozen=True)
class Reading:
    """How a file is to be read; a named data set needs none of it.

    Parameters
    ----------
    column : list of ROLE=NAME
        Which column plays which role, such as ``loss=val_loss``; repeat it for more.
    units : list of ROLE=UNIT
        What a column is in, such as ``tokens=B``: K, M, B, T, PF-days, bits; repeat it for more.
    constant : list of ROLE=NUMBER
        A role with one value for all runs, such as ``vocab_size=50257``; repeat it for more.
    flops : {"auto", "given", "6ND", "transformer"}
        Convention of compute; auto is the table's own column, else 6ND.
    derive_tokens : bool
        Compute missing tokens as flops / (6 params).
    count : {"total", "non_embedding", "active"}
        What params counts.
    """

    column: Pairs | None = None
    units: Pairs | None = None
    constant: Pairs | None = None
    flops: Literal["auto", "given", "6ND", "transformer"] = "auto"
    derive_tokens: Flag = False
    count: Literal["total", "non_embedding", "active"] | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the keywords of `read_runs` that differ from its defaults."""
        constants = {k: to_number(v) for k, v in pairs("--constant", self.constant).items()}
        given = {
            "columns": pairs("--column", self.column),
            "units": pairs("--units", self.units),
            "constants": constants,
            "flops": self.flops if self.flops != "auto" else None,
            "tokens": "C/6N" if self.derive_tokens else None,
            "count": self.count,
        }
        return {k: v for k, v in given.items() if v}


AS_IT_IS = Reading()


def pairs(option: str, given: Iterable[str] | None) -> dict[str, str]:
    """Read the values of an option that takes NAME=VALUE."""
    out = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            msg = f"{option} {text!r}: write NAME=VALUE, such as {option} tokens=B"
            raise SpecError(msg)
        out[name.strip()] = value.strip()
    return out


def planned(
    params: Sequence[float] | None, tokens: Sequence[float] | None, at: Iterable[str] | None
) -> dict[str, list[float]]:
    """Return planned sizes by column; those given as lists pair up."""
    sizes = {"params": params, "tokens": tokens}
    out = {k: list(v) for k, v in sizes.items() if v}
    out |= {k: [to_number(v)] for k, v in pairs("--at", at).items()}
    lengths = {k: len(v) for k, v in out.items() if len(v) > 1}
    if len(set(lengths.values())) > 1:
        msg = f"values pair up, and there are different numbers of them: {lengths}"
        raise SpecError(msg)
    return out


def runs_from(
    source: str, reading: Reading, require: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Read a file, or load a data set by name; a file of that name comes first."""
    from bayes_scaling.data.catalogue import catalogue

    how = reading.arguments()
    is_path = os.sep in source or bool(Path(source).suffix)
    if Path(source).is_file() or (is_path and source not in catalogue()):
        return bs.read_runs(source, **how, require=require)
    runs = bs.load_dataset(source)
    return bs.read_runs(runs, **how) if how else runs


def fit_from(fit: str, hold: Iterable[str] | None = None) -> "xr.DataTree":
    """Open a fit's file, or the posterior of a card by its name, folder or `card.toml`.

    `hold` gives inputs of its law the values that they are held at, as NAME=NUMBER.
    """
    path = Path(fit)
    is_card = path.suffix == ".toml" or path.is_dir()
    is_file = path.is_file() or path.suffix == ".nc" or os.sep in fit
    found = bs.open_fit(fit) if is_file and not is_card else bs.load_posterior(fit)
    held = {name: to_number(value) for name, value in pairs("--hold", hold).items()}
    return bs.hold(found, **held) if held else found


@contextmanager
def untrusted_once() -> Iterator[None]:
    """Leave it to the command to say, once and in the plan, that a fit is not to be trusted."""
    from bayes_scaling.trust import UntrustedFitWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UntrustedFitWarning)
        yield


def warning(trust: str) -> str:
    """Return what the title of a plan says of the fit it comes from."""
    return "" if trust == "trusted" else " (NOT TO BE TRUSTED: see the check)"


def trust_status(trust: str) -> int:
    """Say on standard error that a fit is not to be trusted; return the exit status."""
    if trust == "trusted":
        return 0
    complain("not to be trusted", f"{trust}. Run `bayes-scaling check` to see what to do.")
    return UNTRUSTED


def quantiles(draws: "xr.Dataset", at: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the quantiles of every variable at one point, by variable and by probability."""
    here = draws.isel({k: [v] for k, v in (at or {}).items()})
    out: dict[str, dict[str, float]] = {}
    for key, row in bs.intervals(here, QUANTILES).iterrows():
        name = key[0] if isinstance(key, tuple) else key
        out[str(name)] = {f"q{round(100 * q):02d}": float(row[q]) for q in QUANTILES}
    return out


def emit(found: Any) -> None:
    """Write a result to standard output as JSON, null where a number is not finite."""
    print(json.dumps(_finite(found), indent=2, ensure_ascii=False, default=str))  # noqa: T201


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
