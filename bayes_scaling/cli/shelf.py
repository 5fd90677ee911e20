"""`data` and `models`: what there is to fit, and what has been fitted."""

from typing import Any

from cyclopts import App

from bayes_scaling._terminal import console, page, show_table
from bayes_scaling.cli._common import AS_IT_IS, UNTRUSTED, Json, Reading, bs, emit, runs_from

data = App(name="data", sort_key=8, help="List, describe, download and sum up training runs.")
models = App(name="models", sort_key=9, help="List and describe the model cards.")


@data.command(name="list")
def data_list(*, json: Json = False) -> None:
    """List the data sets and where each would come from.

    Parameters
    ----------
    json : bool
        Write JSON to standard output, and nothing else.
    """
    # Not `list_datasets`: its DataFrame costs pandas, which takes longer than all the rest.
    from bayes_scaling.data.catalogue import catalogue
    from bayes_scaling.data.convert.store import where_is

    known = [catalogue()[name] for name in catalogue()]
    if json:
        keys = ("name", "title", "rows", "licence")
        return emit([{k: getattr(d, k) for k in keys} | {"where": where_is(d)} for d in known])
    rows = [{"name": d.name, "rows": d.rows, "where": where_is(d), "what": d.title} for d in known]
    out = console()
    out.print(show_table("Data sets", rows))
    out.print("`bayes-scaling data show NAME` says what is in one, and what to beware of.")
    return None


@data.command(name="show")
def data_show(name: str, /, *, json: Json = False) -> None:
    """Say everything that is known of a data set: columns, units, licence, pitfalls.

    Parameters
    ----------
    name : str
        As in `data list`.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    from dataclasses import asdict

    dataset = bs.describe_dataset(name)
    if json:
        emit(asdict(dataset))
    else:
        console().print(page(str(dataset)), soft_wrap=True)


@data.command(name="fetch")
def data_fetch(name: str, /, *, json: Json = False) -> None:
    """Download a data set's source files, verified by their SHA-256.

    Parameters
    ----------
    name : str
        As in `data list`.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    files = [str(path) for path in bs.fetch_dataset(name)]
    if json:
        emit({"name": name, "files": files})
    else:
        nothing = f"{name} ships with the package: there is nothing to download"
        console().print("\n".join(files) or nothing, markup=False, soft_wrap=True)


@data.command(name="summary")
def data_summary(source: str, /, *, reading: Reading = AS_IT_IS, json: Json = False) -> int | None:
    """Say what a table can identify, before anything is fitted to it.

    Parameters
    ----------
    source : str
        A file (.csv, .csv.gz, .parquet, .jsonl) or the name of a data set.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    found = bs.summary(runs_from(source, reading))
    if json:
        emit(summary_to_dict(found))
    else:
        console().print(page(str(found)), soft_wrap=True)
    return UNTRUSTED if found.status == "FAIL" else None


def summary_to_dict(found: Any) -> dict[str, Any]:
    """Write a table's summary as plain data."""
    keys = ("status", "n_runs", "n_used", "ranges", "decades", "correlation", "sizes", "notes")
    verdicts = [v._asdict() for v in found.verdicts]
    return {**{k: getattr(found, k) for k in keys}, "verdicts": verdicts}


@models.command(name="list")
def models_list(*, json: Json = False) -> None:
    """List the model cards.

    Parameters
    ----------
    json : bool
        Write JSON to standard output, and nothing else.
    """
    from bayes_scaling.cards.store import model_rows

    rows = model_rows()
    if json:
        return emit(rows)
    keys = ("name", "law", "data", "runs", "title")
    out = console()
    out.print(show_table("Model cards", [{k: r[k] for k in keys} for r in rows]))
    out.print(
        "`bayes-scaling models show NAME` says more, and `bayes-scaling allocate NAME\n"
        "--budget 1e24` asks the posterior that the card comes with."
    )
    return None


@models.command(name="show")
def models_show(name: str, /, *, json: Json = False) -> None:
    """Describe a model card: whose question it answers, on what data, and how it was checked.

    Parameters
    ----------
    name : str
        As in `models list`, or the path of a card.toml.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    from bayes_scaling.cards.store import load_card

    card = load_card(name)
    if json:
        import msgspec

        emit(msgspec.to_builtins(card))
    else:
        console().print(page(str(card)), soft_wrap=True)
