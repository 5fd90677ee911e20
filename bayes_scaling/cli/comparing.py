"""`compare`: which law to plan by; `speedup`: which recipe, and what it saves."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bayes_scaling._terminal import Steps, console, interval_cells, interval_table, to_number
from bayes_scaling._writing import flop, number
from bayes_scaling.cli._common import (
    AS_IT_IS,
    UNTRUSTED,
    Json,
    Numbers,
    Pairs,
    Reading,
    bs,
    emit,
    fit_from,
    pairs,
    quantiles,
    runs_from,
    trust_status,
    untrusted_once,
    warning,
)
from bayes_scaling.errors import SpecError


def compare(
    source: str,
    /,
    *,
    laws: Annotated[list[str], Parameter(negative=(), consume_multiple=True)],
    by: str | None = None,
    cuts: Numbers | None = None,
    folds: int | None = None,
    method: Literal["laplace", "auto"] = "laplace",
    draws: int = 1000,
    out: Path | None = None,
    plot: Path | None = None,
    seed: int = 0,
    reading: Reading = AS_IT_IS,
    json: Json = False,
) -> int | None:
    """Compare laws by runs they had not seen, inside the data and beyond it, and weigh them.

    `bayes-scaling compare runs.csv --laws chinchilla,kaplan_nd --out both.nc`

    Parameters
    ----------
    source : str
        A file (.csv, .csv.gz, .parquet, .jsonl) or the name of a data set.
    laws : list of str
        Two or more by name, with commas or blanks between them.
    by : str
        Column whose rows share a training run; they are left out together.
    cuts : list of float, FLOP
        Runs above are predicted from those up to it; a decade and half a decade below the largest
        run without it.
    folds : int
        Score by so many folds in the place of leave-one-out.
    method : {"laplace", "auto"}
        Of the refits: importance sampling, or NUTS where that is not enough.
    draws : int
        Per refit.
    out : Path
        Where to write the fit that averages the laws by their weights beyond the data.
    plot : Path
        Where to write the picture of the differences and weights, such as laws.png.
    seed : int
        Equal seeds give equal fits on one device.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    names = [name for word in laws for name in word.split(",") if name]
    if not names:
        msg = "--laws: two or more names, such as --laws chinchilla,kaplan_nd"
        raise SpecError(msg)
    with Steps()("reading"):
        runs = runs_from(source, reading)
    with Steps()("fitting, and fitting again without runs"):
        found = bs.compare(names, runs, by=by, cuts=cuts, folds=folds, method=method, draws=draws,
                           seed=seed, progress=False)  # fmt: skip
    if plot:
        bs.plots.plot_compare(found).savefig(plot)
    if out:
        bs.save_fit(bs.average(found.fits, found, seed=seed), out)
    if json:
        emit({"trust": found.trust, "said": list(found.said), "weights": found.weights,
              "laws": found.to_frame().reset_index().to_dict("records"),
              "out": str(out) if out else None})  # fmt: skip
    else:
        screen = console()
        screen.print(str(found), soft_wrap=True, markup=False)
        if out:
            screen.print(f"\nwrote {out}", soft_wrap=True, markup=False)
            screen.print(f"next: bayes-scaling decide {out} --budget 1e24", soft_wrap=True)
    return None if found.trust == "trusted" else UNTRUSTED


def speedup(
    fit: str,
    /,
    *,
    baseline: str,
    at: Numbers | None = None,
    cost: Pairs | None = None,
    plot: Path | None = None,
    seed: int = 0,
    json: Json = False,
) -> int:
    """Say how many times less compute the other groups of a pooled fit need than a baseline.

    `bayes-scaling speedup xlstm --baseline llama --at 1e21 --cost llama=1.30 --cost xlstm=0.91`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    baseline : str
        The group that the others are measured by.
    at : list of float, FLOP
        Compute of the baseline, such as 1e21; may be repeated.
    cost : list of GROUP=NUMBER
        Training FLOP of a group per 6ND, 1 without it; "table" takes them from the fit's runs.
    plot : Path
        Where to write the picture of speed-ups, such as speedup.png; of two or more places.
    seed : int
        Of the draws of the prior.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    given = list(cost or ())
    price = "table" if given == ["table"] else "6ND"
    if given and price == "6ND":
        price = {k: to_number(v) for k, v in pairs("--cost", given).items()}
    with untrusted_once():
        found = bs.speedup(fit_from(fit), baseline, at, cost=price, seed=seed)
    if plot:
        bs.plots.plot_speedup(found).figure.savefig(plot)
    trust = found.attrs["trust"]
    rows = [
        {
            "group": str(name),
            "at": float(found["at"][i]),
            "speedup": quantiles(found[["speedup"]].isel(group=[g], at=[i]))["speedup"],
            "faster": float(found["faster"][g, i]),
            "never": float(found["never"][g, i]),
        }
        for g, name in enumerate(found["group"].values)
        for i in range(found.sizes["at"])
    ]
    if json:
        alone = ("steeper", "equivalent", "savage_dickey", "overlap", "cost")
        groups = {
            str(name): {
                **{k: float(found[k][g]) for k in alone},
                "cross": dict(zip(found["place"].values, found["cross"][g].values, strict=True)),
                "crossover": quantiles(found[["crossover"]].isel(group=[g]))["crossover"],
            }
            for g, name in enumerate(found["group"].values)
        }
        emit({"fit": fit, "trust": trust, "baseline": baseline, "speedups": rows,
              "groups": groups, "said": found.attrs["verdict"]})  # fmt: skip
        return trust_status(trust)
    screen = console()
    table = interval_table(f"Speed-up over {baseline}{warning(trust)}")
    for row in rows:
        what = f"{row['group']} at {flop(row['at'])}"
        table.add_row(what, *interval_cells(row["speedup"], number))
    screen.print(table)
    said = [
        *found.attrs["verdict"],
        *([found.attrs["caution"]] if "caution" in found.attrs else []),
    ]
    for text in said:
        screen.print(text, soft_wrap=True, markup=False)
    return trust_status(trust)
