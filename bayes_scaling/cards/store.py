"""Where cards are found, and what is made of them."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_scaling._registry import did_you_mean
from bayes_scaling.cards.card import Card, read_card
from bayes_scaling.errors import SpecError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayes_scaling.model import ScalingModel

VARIABLE = "BAYES_SCALING_MODELS"
PACKAGE = Path(__file__).parent.parent


def card_folders() -> dict[str, Path]:
    """Return every card folder by name; earlier places hide later ones.

    ``$BAYES_SCALING_MODELS`` first, then the models shipped in the wheel, then the checkout's.
    """
    places = [Path(p) for p in (os.environ.get(VARIABLE),) if p]
    places += [PACKAGE / "_models", PACKAGE.parent / "models"]
    found: dict[str, Path] = {}
    for place in places:
        for card in sorted(place.glob("*/card.toml")):
            found.setdefault(card.parent.name, card.parent)
    return dict(sorted(found.items()))


def card_path(name: str | Path) -> Path:
    """Return the `card.toml` of a name, a folder or a file.

    Raises
    ------
    UnknownNameError
        No such card; says which there are.
    """
    given = Path(name)
    if given.suffix == ".toml" and given.is_file():
        return given
    if (given / "card.toml").is_file():
        return given / "card.toml"
    folders = card_folders()
    if str(name) not in folders:
        hint = did_you_mean(name, folders)
        raise UnknownNameError("model card", str(name), folders, hint)  # noqa: EM101
    return folders[str(name)] / "card.toml"


def load_card(name: str | Path) -> Card:
    """Read a card by name, folder or file.

    Examples
    --------
    >>> from bayes_scaling.cards import load_card
    >>> load_card("chinchilla").data.name
    'chinchilla'
    """
    return read_card(card_path(name))


def load_model(name: str | Path) -> "ScalingModel":
    """Build the model of a card.

    Parameters
    ----------
    name : str or Path
        A card's name, folder or `card.toml`: copy one, change three lines, load it.

    Raises
    ------
    UnknownNameError
        No such card, law, observation model or prior distribution.
    SpecError
        The card cannot be understood; the message says which field.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> bs.load_model("chinchilla").law.name
    'chinchilla'
    """
    from bayes_scaling.errors import BayesScalingError

    path = card_path(name)
    try:
        return model_of_card(read_card(path))
    except BayesScalingError as error:
        if str(path) in str(error):
            raise
        error.args = (f"{path}: {error}",)
        raise


def model_of_card(card: Card) -> "ScalingModel":
    """Build a card's model, published coefficients in the place of the law's priors."""
    from dataclasses import replace

    from bayes_scaling.model import model_from_dict
    from bayes_scaling.param import Prior

    model = model_from_dict(card.model)
    if card.published is None:
        return model
    if model.law.reference is None:
        msg = f"card {card.name!r} gives published coefficients; its law then needs `reference`"
        raise SpecError(msg)
    try:
        theta = model.law.from_paper(card.published)
    except KeyError as error:
        msg = f"card {card.name!r}: `published` lacks {error} of law {model.law.name!r}"
        raise SpecError(msg) from error
    fixed = {k: Prior.of("Fixed", value=float(v)) for k, v in theta.items()}
    return replace(model, priors={**dict(model.priors), **fixed})


def load_posterior(name: str | Path) -> "xr.DataTree":
    """Open the reference posterior of a card: draws of the parameters, and never the data.

    Parameters
    ----------
    name : str or Path
        A card's name or folder.

    Returns
    -------
    xarray.DataTree
        A fit that `predict`, `allocate` and `check` take; a prior-only card gives prior draws.

    Raises
    ------
    UnknownNameError
        No such card.
    FitFileError
        The posterior file is missing or not what was published.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> 0.49 < float(bs.load_posterior("chinchilla")["posterior"]["a"].mean()) < 0.53
    True
    """
    from bayes_scaling.results import model_of, open_fit, with_derived

    path = card_path(name)
    card = load_card(path)
    if card.sampler.method == "prior":
        from bayes_scaling.inference.prior import sample_prior

        draws = card.sampler.draws * card.sampler.chains
        return sample_prior(load_model(path), draws=draws, seed=card.sampler.seed)
    fit = open_fit(path.parent / "posterior.nc")
    fit["posterior"] = with_derived(model_of(fit), fit["posterior"].to_dataset())
    return fit


def list_models() -> "pd.DataFrame":
    """List the model cards: name, title, data, law, sampler and where they are.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> "chinchilla" in set(bs.list_models()["name"])
    True
    """
    import pandas as pd

    return pd.DataFrame(model_rows())


def model_rows() -> list[dict[str, Any]]:
    """Return the rows of `list_models` as plain data, without pandas."""
    rows = []
    for name, folder in card_folders().items():
        card = read_card(folder / "card.toml")
        law = card.model.get("law", "chinchilla")
        rows.append(
            {
                "name": name,
                "title": card.title,
                "data": card.data.name if card.data else "none",
                "runs": card.data.rows if card.data else 0,
                "law": law if isinstance(law, str) else law.get("name"),
                "method": card.sampler.method,
            }
        )
    return rows
