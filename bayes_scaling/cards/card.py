"""A model card: a model somebody would fit, with where it came from and how it was checked."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import tomli_w

from bayes_scaling.errors import SpecError

SCHEMA = 1


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table the reference posterior was fitted to: its name, hash and rows; never the table.

    `keep` names the rows used: in these columns, only these values. `columns` says which of them
    plays a role that its name does not, such as ``{params = "params_dense"}``.
    """

    name: str
    sha256: str = ""
    rows: int = 0
    keep: dict[str, list[Any]] = {}
    columns: dict[str, str] = {}


class Sampler(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the reference posterior is drawn."""

    method: str = "nuts"
    draws: int = 1000
    chains: int = 4
    warmup: int = 1000
    seed: int = 0


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a `card.toml` holds.

    Parameters
    ----------
    schema : int
        Of the card format.
    name, title, story : str
        What it is called, one line, and whose question it answers.
    model : dict
        The model as plain data: `law`, `observation`, `priors`, `pooling`.
    data : Data, optional
        What it was fitted to; a prior-only card has none.
    published : dict, optional
        The paper's own coefficients; they take the place of the law's priors, as fixed values.
    sampler : Sampler
    references : list of str
    licence : str
        Of the posterior; the data keep their own.
    acceptance : dict, optional
        Checks of the reference posterior, with figures, versions and seed; written by `build`.
    """

    schema: int
    name: str
    title: str
    story: str
    model: dict[str, Any]
    data: Data | None = None
    published: dict[str, float] | None = None
    sampler: Sampler = Sampler()
    references: list[str] = []
    licence: str = "Apache-2.0"
    acceptance: dict[str, Any] | None = None

    def __str__(self) -> str:
        """Write the card for a person."""
        lines = [f"{self.name}: {self.title}", "", self.story.strip(), ""]
        if self.data:
            some = "".join(f", {k} {' or '.join(map(str, v))}" for k, v in self.data.keep.items())
            lines.append(f"data        {self.data.name}{some}, {self.data.rows} runs")
        lines.append(f"law         {_choices(self.model.get('law', 'chinchilla'))}")
        lines.append(f"observation {_choices(self.model.get('observation', 'student_t'))}")
        s = self.sampler
        lines.append(f"sampler     {s.method}, {s.chains} chains x {s.draws} draws, seed {s.seed}")
        if self.acceptance:
            figures = {k: v for k, v in self.acceptance.items() if not isinstance(v, dict)}
            made = ", ".join(f"{k} {v}" for k, v in figures.items())
            lines.append(f"acceptance  {made}")
        lines += [f"reference   {r}" for r in self.references]
        return "\n".join(lines)


def _choices(spec: Any) -> str:
    """Write a law or an observation model as "name (choice=value, ...)"."""
    if isinstance(spec, str):
        return spec
    rest = ", ".join(f"{k}={v}" for k, v in spec.items() if k != "name")
    return f"{spec.get('name')} ({rest})" if rest else str(spec.get("name"))


def read_card(path: Path) -> Card:
    """Read a card, strictly: an unknown field or a wrong type is an error that says where.

    Parameters
    ----------
    path : Path
        A `card.toml`.

    Raises
    ------
    SpecError
        Not TOML, a field missing, unknown or of the wrong type, or a later format.
    """
    try:
        card = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Card)
    except tomllib.TOMLDecodeError as error:
        msg = f"{path}: not TOML ({error})"
        raise SpecError(msg) from error
    except msgspec.ValidationError as error:
        fields = ", ".join(f.name for f in msgspec.structs.fields(Card))
        msg = f"{path}: {error}. A card has: {fields}."
        raise SpecError(msg) from error
    if card.schema > SCHEMA:
        msg = f"{path}: card format {card.schema}; this version reads {SCHEMA}. Upgrade to use it."
        raise SpecError(msg)
    return card


def write_card(card: Card, path: Path) -> None:
    """Write a card as TOML, leaving out what is not set."""
    plain = {k: v for k, v in msgspec.to_builtins(card).items() if v not in (None, [], {})}
    for optional in ("keep", "columns"):
        if card.data and not getattr(card.data, optional):
            del plain["data"][optional]
    path.write_text(tomli_w.dumps(plain, multiline_strings=True), "utf-8")
