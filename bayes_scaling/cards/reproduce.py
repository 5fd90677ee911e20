"""Making a reference posterior, and making it again to see that it comes out the same."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xarray as xr

from bayes_scaling._compat import diagnostics
from bayes_scaling.cards.card import Data, write_card
from bayes_scaling.cards.store import card_path, load_card, load_model, load_posterior
from bayes_scaling.criticism import check
from bayes_scaling.data.datasets import describe_dataset, load_dataset
from bayes_scaling.errors import SpecError
from bayes_scaling.inference.fit import VERSIONS, fit
from bayes_scaling.results import save_fit

SAME = 0.15  # posterior sds: two runs of 1,000 effective draws differ by 0.13 once in 10,000 means
ESS = 1000


@dataclass(frozen=True)
class Reproduction:
    """A reference posterior beside one made now.

    Parameters
    ----------
    table : DataFrame
        Per parameter: mean and sd of both, and the shift of the mean in reference sds.
    fit : xarray.DataTree
        The one made now.
    """

    table: pd.DataFrame
    fit: xr.DataTree

    @property
    def same(self) -> bool:
        """Whether every mean agrees within 0.15 posterior sd."""
        return bool((self.table["shift"].abs() < SAME).all())

    def __str__(self) -> str:
        """Write the table and the verdict."""
        verdict = "reproduced" if self.same else f"NOT reproduced (a shift above {SAME} sd)"
        return f"{self.table.to_string(float_format='{:.4g}'.format)}\n{verdict}"


def reproduce(name: str | Path, **options: Any) -> Reproduction:
    """Fit a card's model to its data again and compare with its reference posterior.

    Parameters
    ----------
    name : str or Path
        A card with data.
    **options
        Passed to `fit` in the place of the card's sampler: ``method="laplace"`` takes a second.

    Returns
    -------
    Reproduction

    Raises
    ------
    SpecError
        The card has no data to fit.
    DatasetError
        The data cannot be had.
    """
    reference = load_posterior(name)
    again = _fit_card(name, **options)
    rows = {}
    before, now = (f["posterior"].to_dataset() for f in (reference, again))
    for v in before.data_vars:
        old, new = before[v].values, now[v].values
        rows[str(v)] = {
            "mean": old.mean(),
            "sd": old.std(),
            "mean_now": new.mean(),
            "sd_now": new.std(),
            "shift": (new.mean() - old.mean()) / old.std(),
        }
    return Reproduction(pd.DataFrame.from_dict(rows, orient="index"), again)


def build(folder: str | Path, **options: Any) -> xr.DataTree:
    """Make a card's reference posterior, refuse one that fails its checks, and write both.

    Parameters
    ----------
    folder : str or Path
        The card's folder; `posterior.nc` and the card's `acceptance` are written there.
    **options
        Passed to `fit`.

    Raises
    ------
    SpecError
        No data, or a check failed: R-hat < 1.01, bulk and tail ESS > 1000, no divergences, good
        k-hat.
    """
    path = card_path(folder)
    card = load_card(path)
    made = _fit_card(path, **options)
    accepted = _acceptance(made)
    failed = [k for k, v in accepted["checks"].items() if not v]
    if failed:
        msg = f"{path}: the reference posterior failed {', '.join(failed)}: {accepted}"
        raise SpecError(msg)
    assert card.data is not None, "_fit_card has refused"
    made.attrs["recorded"] = json.dumps([list(v) for v in check(made).verdicts])
    # The draws of the parameters alone: what follows from them is computed when it is opened.
    model = load_model(path)
    sampled = {f"{p.name}{end}" for p in model.params for end in ("", "_group", "_sd", "_z")}
    keep = [v for v in made["posterior"].data_vars if v in sampled]
    slim = made.drop_nodes([g for g in made.children if g != "posterior"])
    slim["posterior"] = made["posterior"].to_dataset()[keep]
    slim.attrs["posterior_sha256"] = ""
    save_fit(_signed(slim), path.parent / "posterior.nc", data=False)
    rows = int(made.attrs["rows"])
    sha256 = describe_dataset(card.data.name).sha256
    data = msgspec.structs.replace(card.data, sha256=sha256, rows=rows)
    write_card(msgspec.structs.replace(card, data=data, acceptance=accepted), path)
    return made


def _signed(fit: xr.DataTree) -> xr.DataTree:
    from bayes_scaling.results import digest

    fit.attrs["posterior_sha256"] = digest(fit)
    return fit


def _fit_card(name: str | Path, **options: Any) -> xr.DataTree:
    card = load_card(name)
    if card.data is None:
        msg = f"card {card.name!r} has no data: there is nothing to fit"
        raise SpecError(msg)
    s = card.sampler
    how = {"method": s.method, "draws": s.draws, "chains": s.chains, "warmup": s.warmup}
    options = options if "method" in options else {**how, **options}
    return fit(load_model(name), _table_of(card.data), **{"seed": s.seed, **options})


def _table_of(data: Data) -> pd.DataFrame:
    runs = load_dataset(data.name)
    for column, values in data.keep.items():
        if column not in runs:
            msg = f"data.keep: table {data.name!r} has no column {column!r}"
            raise SpecError(msg)
        runs = runs.loc[runs[column].isin(values)]
        if not len(runs):
            msg = f"data.keep: no run of {data.name!r} has {column} in {values}"
            raise SpecError(msg)
    if lacking := [c for c in data.columns.values() if c not in runs]:
        msg = f"data.columns: table {data.name!r} has no column {', '.join(map(repr, lacking))}"
        raise SpecError(msg)
    return runs.assign(**{role: runs[column] for role, column in data.columns.items()})


def _acceptance(made: xr.DataTree) -> dict[str, Any]:
    table, stats = diagnostics(made["posterior"].to_dataset()), made["sample_stats"].to_dataset()
    figures = {
        "r_hat_max": round(float(np.max(table["r_hat"])), 4),
        "ess_bulk_min": int(np.min(table["ess_bulk"])),
        "ess_tail_min": int(np.min(table["ess_tail"])),
        "divergences": int(stats["diverging"].sum()) if "diverging" in stats else 0,
    }
    checks = {
        "r_hat_below_1.01": figures["r_hat_max"] < 1.01,
        "ess_bulk_above_1000": figures["ess_bulk_min"] > ESS,
        "ess_tail_above_1000": figures["ess_tail_min"] > ESS,
        "no_divergences": figures["divergences"] == 0,
    }
    if "k_hat" in made.attrs:
        figures["k_hat"] = round(float(made.attrs["k_hat"]), 3)
        checks["k_hat_good"] = figures["k_hat"] < 0.7
    versions = {v: version(v) for v in (*VERSIONS, "bayes-scaling")}
    return {**figures, "seed": int(made.attrs["seed"]), "checks": checks, "versions": versions}
