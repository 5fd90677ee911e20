"""`fit` and `check`: from a table to a posterior, and whether to believe it."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bayes_scaling._terminal import Steps, console, interval_cells, interval_table, page
from bayes_scaling._writing import number, size
from bayes_scaling.cli._common import (
    AS_IT_IS,
    UNTRUSTED,
    Flag,
    Json,
    Number,
    Pairs,
    Reading,
    bs,
    emit,
    fit_from,
    pairs,
    quantiles,
    runs_from,
)
from bayes_scaling.cli.shelf import summary_to_dict

if TYPE_CHECKING:
    import xarray as xr

BIG = 1e6  # from here a number of a posterior is a count, better read with a letter


def fit(
    source: str,
    /,
    *,
    model: str = "chinchilla",
    law: str | None = None,
    choice: Annotated[Pairs | None, Parameter(name="--choice")] = None,
    out: Path = Path("fit.nc"),
    method: Literal["auto", "laplace", "nuts"] = "auto",
    draws: int | None = None,
    chains: int = 4,
    warmup: int = 500,
    seed: int = 0,
    force: Flag = False,
    reading: Reading = AS_IT_IS,
    json: Json = False,
) -> int | None:
    """Fit a model to a table of training runs, check the fit and write it to a file.

    `bayes-scaling fit runs.csv --units tokens=B --column loss=val_loss --out fit.nc`

    Parameters
    ----------
    source : str
        A file (.csv, .csv.gz, .parquet, .jsonl) or the name of a data set.
    model : str
        The name of a model card, or the path of a card.toml: copy one and change three lines.
    law : str
        A law by name, in the place of a card, with the scatter and the pooling it is usually
        fitted with, such as `--law tuning --choice along=width`.
    choice : list of NAME=VALUE
        A choice of that law; true, false, or words with commas between them; repeat it for more.
    out : Path
        Where to write the fit, NetCDF; a file of that name is replaced.
    method : {"auto", "laplace", "nuts"}
        The engine: importance sampling about the optimum, NUTS, or the first unless it fails.
    draws : int
        In all for laplace (4,000 if not said), per chain for nuts (1,000).
    chains : int
        For nuts.
    warmup : int
        For nuts.
    seed : int
        Equal seeds give equal fits on one device.
    force : bool
        Fit a table whose summary says FAIL; every plan made from it will say so.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    step = Steps()
    with step("reading"):
        from bayes_scaling.inference.fit import roles_of
        from bayes_scaling.laws import to_vary

        described = model_of_law(law, choice) if law else bs.load_model(model)
        runs = runs_from(source, reading, roles_of(described))
        inputs, free = to_vary(described.law), len(described.law.params)
        found = bs.summary(runs, coordinates=inputs, n_parameters=free)
    if not json:
        console().print(page(str(found)), soft_wrap=True)
    options: dict[str, Any] = {"draws": draws, "chains": chains, "warmup": warmup}
    # NUTS brings a bar that knows how long is left; two displays at once would garble both.
    with Steps(silent=method == "nuts")("compiling and fitting"):
        own_bar = None if method == "nuts" else False
        fitted = bs.fit(
            described, runs, method=method, seed=seed, progress=own_bar, force=force, **options
        )
    with step("checking"):
        report = bs.check(fitted)
    bs.save_fit(fitted, out)
    attrs = fitted.attrs
    how = {k: attrs.get(k) for k in ("method", "method_reason", "seed", "seconds")}
    if json:
        tables = {"summary": summary_to_dict(found), "posterior": posterior_to_dict(fitted)}
        emit(
            {
                "out": str(out),
                "model": law or model,
                **how,
                **tables,
                "check": check_to_dict(report),
            }
        )
    else:
        screen = console()
        screen.print()
        screen.print(posterior_table("Posterior", fitted))
        screen.print(f"{how['method']} ({how['method_reason']}), {how['seconds']} s\n")
        screen.print(page(str(report)), soft_wrap=True)
        screen.print(f"\nwrote {out}", soft_wrap=True, markup=False)
        screen.print(f"next: bayes-scaling {_next(described.law)}".format(out=out), soft_wrap=True)
    return UNTRUSTED if report.status == "FAIL" else None


def _next(law: Any) -> str:
    """Say which question a fit of a law answers."""
    from bayes_scaling.laws import splits

    if law.name in ("tuning", "cbs"):
        return "recommend {out}"
    return "allocate {out} --budget 1e24" if splits(law) else "check {out}"


def model_of_law(law: str, choice: Sequence[str] | None) -> Any:
    """Build the usual model of a law from what was typed."""
    from bayes_scaling.laws import law_from_dict
    from bayes_scaling.model import model_for

    typed = {k: v.split(",") for k, v in pairs("--choice", choice).items()}
    choices: dict[str, Any] = {}
    for name, words in typed.items():
        choices[name] = _typed(words[0]) if len(words) == 1 else words
    return model_for(law_from_dict({"name": law, **choices}))


def _typed(word: str) -> Any:
    """Read a number, true or false where a word is one."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(word)
    return {"true": True, "false": False}.get(word, word)


def check(fit: str, /, *, budget: Number | None = None, json: Json = False) -> int | None:
    """Check a fit: PASS, REVIEW or FAIL, and what to do.

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    budget : float, FLOP
        The compute it is to be used at: adds how far beyond the data that is.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    report = bs.check(fit_from(fit), **({"budget": budget} if budget else {}))
    if json:
        emit({"fit": fit, **check_to_dict(report)})
    else:
        console().print(page(str(report)), soft_wrap=True)
    return UNTRUSTED if report.status == "FAIL" else None


def check_to_dict(report: Any) -> dict[str, Any]:
    """Write a check as plain data."""
    return {"status": report.status, "verdicts": [v._asdict() for v in report.verdicts]}


def posterior_to_dict(fitted: "xr.DataTree") -> dict[str, dict[str, float]]:
    """Write the quantiles of every parameter; those of a group as ``name[group]``."""
    posterior, out = fitted["posterior"].to_dataset(), {}
    for name in map(str, posterior.data_vars):
        extra = [str(d) for d in posterior[name].dims if d not in ("chain", "draw")]
        if not extra:
            out |= quantiles(posterior[[name]])
        elif not name.endswith("_z"):  # standardised offsets are the sampler's, not a reader's
            labels = posterior[name].coords[extra[0]].values
            for i, label in enumerate(labels):
                out[f"{name}[{label}]"] = quantiles(posterior[[name]], {extra[0]: i})[name]
    return out


def posterior_table(
    title: str, fitted: "xr.DataTree", truth: dict[str, float] | None = None
) -> Any:
    """Show the posterior, beside the truth where that is known."""
    made = interval_table(title, *(["truth"] if truth else []))
    for name, q in posterior_to_dict(fitted).items():
        if truth and name not in truth:
            continue
        write = size if q["q50"] >= BIG else number
        known = [write(truth[name])] if truth else []
        made.add_row(name.replace("[", r"\["), *known, *interval_cells(q, write))
    return made
