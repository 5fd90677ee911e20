"""`compare`: which law to plan by, and the fit that averages them."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bayes_scaling._terminal import Steps, console
from bayes_scaling.cli._common import (
    AS_IT_IS,
    UNTRUSTED,
    Json,
    Numbers,
    Reading,
    bs,
    emit,
    runs_from,
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
