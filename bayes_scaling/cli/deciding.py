"""`decide`, `next`, `gate`: one plan, the run that teaches most, the check before the big one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from bayes_scaling._terminal import console, table, to_number
from bayes_scaling._writing import flop, number, size
from bayes_scaling.cli._common import (
    UNTRUSTED,
    Json,
    Number,
    Numbers,
    Pairs,
    Reading,
    bs,
    emit,
    fit_from,
    pairs,
    runs_from,
    trust_status,
    untrusted_once,
    warning,
)
from bayes_scaling.errors import SpecError


@Parameter(name="*", group=Group("The scenario", sort_key=5))
@dataclass(frozen=True)
class Items:
    """What there is to spend, what must be reached, and what cannot be built.

    Parameters
    ----------
    budget : list of float, FLOP
        Compute to spend; with --serve, on training and serving together. May be repeated.
    hours : list of float
        Device-hours to spend, in place of --budget; needs --peak.
    dollars : list of float
        Money to spend, in place of --budget; needs --peak and --price.
    loss : list of float, nats/token
        A loss that the run must reach, at least cost.
    probability : float
        With which it must.
    sizes : list of float
        Sizes that can be built, such as 7B 13B 70B; any size without it.
    serve : list of float
        Tokens served in the model's life: a number, or its 5, 50 and 95 % quantiles.
    prompt : float
        Tokens read per token served.
    candidates : float
        Tokens written per token served: samples or reasoning.
    unique : list of float
        Unique tokens: a number, or its 5, 50 and 95 % quantiles.
    epochs : float
        The most passes over them.
    smallest : float
        The smallest model that can be built.
    largest : float
        The largest model that can be built.
    memory : float, bytes
        That the weights must fit in when serving, in bfloat16 with a fifth kept free.
    steps : float
        The most optimizer steps; needs --batch.
    batch : float, tokens
        Tokens per step.
    days : float
        That training may take; needs --peak and --devices.
    peak : float, FLOP/s
        Of one device.
    utilisation : float
        Share of the peak that training gets.
    price : float
        Dollars per device-hour.
    devices : float
        How many there are.
    """

    budget: Numbers | None = None
    hours: Numbers | None = None
    dollars: Numbers | None = None
    loss: Numbers | None = None
    probability: float = 0.9
    sizes: Numbers | None = None
    serve: Numbers | None = None
    prompt: float = 0.0
    candidates: float = 1.0
    unique: Numbers | None = None
    epochs: float | None = None
    smallest: Number | None = None
    largest: Number | None = None
    memory: Number | None = None
    steps: Number | None = None
    batch: Number | None = None
    days: float | None = None
    peak: Number | None = None
    utilisation: float = 0.4
    price: float | None = None
    devices: Number | None = None

    def made(self) -> list[Any]:
        """Return the items."""
        out: list[Any] = []
        for value, kind in (
            (self.budget, "ComputeBudget"), (self.hours, "GpuBudget"),
            (self.dollars, "MoneyBudget"), (self.sizes, "Shelf"), (self.days, "Deadline"),
            (self.memory, "ServingMemory"),
        ):  # fmt: skip
            if value is not None:
                out.append(getattr(bs, kind)(value))
        if self.loss:
            out.append(bs.LossTarget(self.loss, self.probability))
        if self.serve:
            out.append(bs.ServingDemand(self.serve, self.prompt, self.candidates))
        if self.unique:
            most = {} if self.epochs is None else {"most_epochs": self.epochs}
            out.append(bs.DataWall(self.unique, **most))
        if self.smallest is not None or self.largest is not None:
            ends = {"smallest": self.smallest, "largest": self.largest}
            out.append(bs.SizeLimits(**{k: v for k, v in ends.items() if v is not None}))
        self._pair("steps", "batch")
        if self.steps is not None:
            out.append(bs.StepLimit(self.batch, steps=self.steps))
        if self.epochs is not None and not self.unique:
            msg = "--epochs counts passes over unique tokens: give --unique too"
            raise SpecError(msg)
        if self.peak is not None:
            out.append(bs.Hardware(self.peak, self.utilisation, self.price, self.devices))
        elif self.price is not None or self.devices is not None:
            msg = "--price and --devices are of hardware: give --peak too, FLOP/s of one device"
            raise SpecError(msg)
        return out

    def _pair(self, *names: str) -> None:
        given = [n for n in names if getattr(self, n) is not None]
        if given and len(given) < len(names):
            every = " and ".join(f"--{n}" for n in names)
            msg = f"{every} belong together; found --{given[0]} alone"
            raise SpecError(msg)


NOTHING = Items()


def decide(
    fit: str,
    /,
    *,
    items: Items = NOTHING,
    criterion: Literal["mean", "cvar", "worst"] = "mean",
    flat: float = 0.01,
    plot: Path | None = None,
    hold: Annotated[Pairs | None, Parameter(name="--hold")] = None,
    group: str | None = None,
    seed: int = 0,
    json: Json = False,
) -> int:
    """Choose one plan, and say what being wrong about the law would cost.

    `bayes-scaling decide chinchilla --budget 1e24 --sizes 34B 70B 110B --serve 1e12 5e12 3e13`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    items : Items
    criterion : {"mean", "cvar", "worst"}
        What the plan has least of: expected waste, that of the worst tenth, or the worst.
    flat : float
        Share of the compute that may be lost to a size that is as good as the best.
    plot : Path
        Where to write the picture of waste against size, such as regret.png.
    hold : list of NAME=NUMBER
        An input of the law that is neither params nor tokens, and its value, such as experts=64;
        repeat it for more.
    group : str
        Which group of a pooled model; the population's without it.
    seed : int
        Of uncertain amounts and of the scatter of runs.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    fitted = fit_from(fit, hold)
    with untrusted_once():
        found = bs.decide(fitted, *items.made(), criterion=criterion, flat=flat, group=group,
                          seed=seed)  # fmt: skip
    trust = found.attrs["trust"]
    rows = bs.plan_table(found).reset_index().to_dict("records")
    if plot:
        bs.plots.plot_regret(found).figure.savefig(plot)
    if json:
        emit({"fit": fit, "trust": trust, "said": bs.sentence(found).split("\n"), "plans": rows})
    else:
        out = console()
        out.print(_plans_table(f"Plans{warning(trust)}; the plan is marked", rows))
        for line in bs.sentence(found).split("\n"):
            out.print(f"\n{line}", soft_wrap=False)
    return trust_status(trust)


def next_(
    fit: str,
    /,
    *,
    items: Items = NOTHING,
    runs: str | None = None,
    most: int = 3,
    spend: Number | None = None,
    shadow: Annotated[float, Parameter(name="--cost-factor")] = 1.0,
    plot: Path | None = None,
    hold: Annotated[Pairs | None, Parameter(name="--hold")] = None,
    group: str | None = None,
    seed: int = 0,
    json: Json = False,
) -> int:
    """Rank runs that could be made next by what they save of the big run per FLOP.

    `bayes-scaling next chinchilla --budget 1e25`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    items : Items
    runs : str
        A table of runs that could be made, with params and tokens; a grid without it.
    most : int
        How many runs the set may hold.
    spend : float, FLOP
        What the set may cost together.
    shadow : float
        Price of a FLOP of small runs over one of the big run.
    plot : Path
        Where to write the picture of savings against costs, such as next.png.
    hold : list of NAME=NUMBER
        An input of the law that is neither params nor tokens, and its value, such as experts=64;
        repeat it for more.
    group : str
        Which group of a pooled model; the population's without it.
    seed : int
        Of imagined outcomes.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    fitted = fit_from(fit, hold)
    could = None
    if runs is not None:
        read = runs_from(runs, Reading(), ("params", "tokens"))
        could = {k: read[k].to_numpy() for k in ("params", "tokens")}
    with untrusted_once():
        found = bs.next_runs(fitted, *items.made(), candidates=could, most=most, spend=spend,
                             price=shadow, group=group, seed=seed)  # fmt: skip
    trust = found.attrs["trust"]
    if plot:
        bs.plots.plot_next(found).figure.savefig(plot)
    if json:
        rows = found.drop_dims("pick").to_dataframe().reset_index().to_dict("records")
        picks = [str(found.candidate.values[i]) for i in found["pick"].values]
        emit({"fit": fit, "trust": trust, "verdict": found.attrs["verdict"],
              "waste": found.attrs["waste"], "run": picks, "candidates": rows})  # fmt: skip
    else:
        out = console()
        for card in bs.run_cards(found):
            out.print(f"{card}\n")
        out.print(f"[bold]{found.attrs['verdict']}[/]{warning(trust)}")
    return trust_status(trust)


def gate(
    fit: str,
    /,
    *,
    runs: str | None = None,
    params: Numbers | None = None,
    tokens: Numbers | None = None,
    loss: Numbers | None = None,
    target: float | None = None,
    plan: Annotated[Pairs | None, Parameter(name="--plan")] = None,
    probability: float = 0.9,
    out: Path | None = None,
    hold: Annotated[Pairs | None, Parameter(name="--hold")] = None,
    group: str | None = None,
    seed: int = 0,
    json: Json = False,
) -> int:
    """Judge a fit by validation runs it has not seen, before a larger run is paid for.

    `bayes-scaling gate chinchilla --params 30B --tokens 600B --loss 2.02`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    runs : str
        A table of the validation runs; or give the next three.
    params : list of float
        Their sizes, such as 30B.
    tokens : list of float
        Their training tokens, such as 600B.
    loss : list of float, nats/token
        Their measured losses.
    target : float, nats/token
        The loss that the planned run is to reach; needs --plan.
    plan : list of NAME=NUMBER
        The planned run, such as ``--plan params=70B --plan tokens=1.4T``.
    probability : float
        With which the plan must reach the target.
    out : Path
        Where to write the posterior that knows these runs.
    hold : list of NAME=NUMBER
        An input of the law that is neither params nor tokens, and its value, such as experts=64;
        repeat it for more.
    group : str
        Which group of a pooled model.
    seed : int
        Of the scatter of new runs.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    given = {"params": params, "tokens": tokens, "loss": loss}
    given = {k: list(v) for k, v in given.items() if v}
    if (runs is None) == (not given):
        msg = "give either --runs TABLE, or --params, --tokens and --loss of the validation runs"
        raise SpecError(msg)
    table = given if runs is None else runs_from(runs, Reading())
    big = {k: to_number(v) for k, v in pairs("--plan", plan).items()} or None
    fitted = fit_from(fit, hold)
    with untrusted_once():
        came = bs.gate(fitted, table, target=target, plan=big, probability=probability,
                       group=group, seed=seed)  # fmt: skip
    if out:
        bs.save_fit(came.fit, out)
    if json:
        emit({"fit": fit, "status": came.status, "p": came.p, "bayes_factor": came.bayes_factor,
              "before": came.before, "after": came.after,
              "runs": came.to_frame().to_dict("records"),
              "findings": [f._asdict() for f in came.findings]})  # fmt: skip
    else:
        console().print(str(came), soft_wrap=True, markup=False)
    return UNTRUSTED if came.status == "STOP" else 0


def _plans_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Any:
    made = table(title)
    case = next((k for k in ("budget", "target") if k in rows[0]), None)
    paid = "dollars" in rows[0]
    heads = ("plan", "params", "tokens", "FLOP", "loss of a run", "wasted", "worst 5 %")
    for head in (*heads, *(["dollars"] if paid else [])):
        made.add_column(head, justify="left" if head == "plan" else "right", no_wrap=True)
    before = None
    for row in rows:
        if case and row[case] != before:
            before = row[case]
            made.add_section()
            made.add_row(f"[bold]{case} {_case(case, row)}[/]")
        name = f"{'[bold green]>[/]' if row['plan'] else ' '} {row['config']}"
        if math.isnan(row["tokens"]):
            made.add_row(name, _size(row["params"]), "none")
            continue
        cost = row["training"] + row["serving"]
        cells = [name, size(row["params"]), size(row["tokens"]), flop(cost),
                 f"{row['loss_low']:.3f} to {row['loss_high']:.3f}", f"{row['wasted']:.1%}",
                 f"{row['wasted_95']:.1%}", *([size(row["dollars"])] if paid else [])]  # fmt: skip
        made.add_row(*cells, style=None if row["allowed"] else "dim")
        if not row["allowed"]:
            made.add_row("    not allowed", style="dim")
    return made


def _size(params: float) -> str:
    return "none" if math.isnan(params) else size(params)


def _case(case: str, row: Mapping[str, Any]) -> str:
    return flop(row[case]) if case == "budget" else number(row[case])
