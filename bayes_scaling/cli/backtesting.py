"""`backtest`: whether the intervals of a law hold at larger runs, inside one table."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from bayes_scaling._terminal import Steps, console, table
from bayes_scaling._writing import flop, number, size
from bayes_scaling.cli._common import (
    AS_IT_IS,
    Flag,
    Json,
    Numbers,
    Pairs,
    Reading,
    bs,
    emit,
    runs_from,
    trust_status,
    warning,
)
from bayes_scaling.cli.fitting import model_of_law


def backtest(
    source: str,
    /,
    *,
    model: str = "chinchilla",
    law: list[str] | None = None,
    choice: Annotated[Pairs | None, Parameter(name="--choice")] = None,
    along: Literal["flops", "params", "tokens"] = "flops",
    cut: Numbers | None = None,
    bare: Flag = False,
    plot: Path | None = None,
    seed: int = 0,
    reading: Reading = AS_IT_IS,
    json: Json = False,
) -> int:
    """Fit the small runs of a table, predict its large ones, and say whether intervals hold.

    `bayes-scaling backtest runs.csv --units tokens=B --law chinchilla --law kaplan_nd`

    Parameters
    ----------
    source : str
        A file (.csv, .csv.gz, .parquet, .jsonl) or the name of a data set.
    model : str
        The name of a model card, or the path of a card.toml.
    law : list of str
        A law by name, in the place of a card; repeat it to compare laws.
    choice : list of NAME=VALUE
        A choice of that law, where there is one; repeat it for more.
    along : {"flops", "params", "tokens"}
        In what runs are small or large.
    cut : list of float
        Runs of at most that much are fitted, all above predicted; by default up to six cuts.
    bare : bool
        Leave out the point fits and parabolas that it is compared with.
    plot : Path
        Where to draw coverage and error against distance, by extension (.png, .pdf).
    seed : int
        Of fits, scatter and resampling.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    step = Steps()
    with step("reading"):
        from bayes_scaling.inference.fit import roles_of

        models = {name: model_of_law(name, choice) for name in law or ()}
        models = models or {model: bs.load_model(model)}
        runs = runs_from(source, reading, roles_of(next(iter(models.values()))))
    options = {"baselines": ()} if bare else {}
    with step("fitting below every cut"):
        found = bs.backtest(
            models, runs, along=along, cuts=cut or None, seed=seed, progress=False, **options
        )
    shown = bs.backtest_table(found)
    if plot:
        bs.plots.plot_backtest(found).savefig(plot)
    said = dict(zip(found.model.values.tolist(), found.verdict.values.tolist(), strict=True))
    write = flop if along == "flops" else size
    trust = str(found.attrs["trust"])
    if json:
        emit({"cuts": found.cut.values.tolist(), "trust": trust, "verdict": said,
              "caveat": found.attrs["caveat"],
              "scores": shown.reset_index().to_dict("records")})  # fmt: skip
        return trust_status(trust)
    title = f"Fitted up to {', '.join(write(c) for c in found.cut.values)}, predicted above"
    made = table(f"{title}{warning(trust)}")
    heads = (
        "decades ahead",
        "model",
        "runs",
        "RMSE",
        "inside 95 %",
        "if right",
        "CRPS",
        "log score",
    )
    for head in heads:
        made.add_column(head, justify="left" if head in heads[:2] else "right", no_wrap=True)
    before = ""
    for (ahead, name), row in shown.iterrows():
        if before and ahead != before:
            made.add_section()
        scored = [number(row["rmse"]), f"{row['coverage']:.0%}",
                  f"{row['own_low']:.0%} to {row['own_high']:.0%}",
                  number(row["crps"]), f"{row['log_score']:.2f}"]  # fmt: skip
        cells = scored if row["runs"] else ["none", *[""] * 4]
        made.add_row("" if ahead == before else ahead, name, str(int(row["runs"])), *cells)
        before = ahead
    out = console()
    out.print(made)
    for name, sentence in said.items():
        out.print(f"[bold]{name}[/]: {sentence}")
    out.print(found.attrs["caveat"], style="dim")
    return trust_status(trust)
