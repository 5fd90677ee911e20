"""`predict` and `allocate`: questions to a fit."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from bayes_scaling._terminal import console, interval_cells, interval_table, reach
from bayes_scaling._writing import flop, number, size
from bayes_scaling.cli._common import (
    Json,
    Numbers,
    Pairs,
    bs,
    emit,
    fit_from,
    planned,
    quantiles,
    trust_status,
    untrusted_once,
    warning,
)
from bayes_scaling.cli.plans import plan_table, plan_to_rows, targets_table, targets_to_rows
from bayes_scaling.errors import SpecError


def predict(
    fit: str,
    /,
    *,
    params: Numbers | None = None,
    tokens: Numbers | None = None,
    at: Annotated[Pairs | None, Parameter(name="--at")] = None,
    group: str | None = None,
    seed: int = 0,
    json: Json = False,
) -> int:
    """Predict the loss of runs: the law's own, and what a new run would measure.

    `bayes-scaling predict chinchilla --params 70B --tokens 1.4T`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    params : list of float
        Sizes, such as 70B or 7e10; several pair up with several tokens.
    tokens : list of float
        Training tokens, such as 1.4T.
    at : list of NAME=NUMBER
        Another input of the law; repeat it for more.
    group : str
        Which group of a pooled model; the population's without it.
    seed : int
        Of the scatter of a new run.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    point = planned(params, tokens, at)
    fitted = fit_from(fit)
    with untrusted_once():
        there = bs.predict(fitted, point, group=group, seed=seed)
    rows = [_point(there, i) for i in range(there.sizes["point"])]
    if json:
        emit({"fit": fit, "trust": there.attrs["trust"], "points": rows})
    else:
        doubt = warning(there.attrs["trust"])
        console().print(_points_table(f"Predicted loss, nats/token{doubt}", rows, list(point)))
    return trust_status(there.attrs["trust"])


def allocate(
    fit: str,
    /,
    *,
    budget: Numbers | None = None,
    loss: Numbers | None = None,
    hold: Annotated[Pairs | None, Parameter(name="--hold")] = None,
    group: str | None = None,
    json: Json = False,
) -> int:
    """Split compute budgets between parameters and tokens, or find the compute for a loss.

    `bayes-scaling allocate chinchilla --budget 1e22 --budget 1e24`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card, for its published posterior.
    budget : list of float, FLOP
        Training compute, C = 6 N D, such as 1e24; may be repeated.
    loss : list of float, nats/token
        A loss to reach with the least compute; may be repeated. In JSON, null is compute without
        end: no amount reaches it.
    hold : list of NAME=NUMBER
        An input of the law that is neither params nor tokens, and its value, such as
        unique_tokens=25B; repeat it for more.
    group : str
        Which group of a pooled model; the population's without it.
    json : bool
        Write JSON to standard output, and nothing else.
    """
    if not (budget or loss):
        msg = "nothing to plan for: give --budget 1e24 (FLOP), --loss 2.0, or both"
        raise SpecError(msg)
    fitted, found, trust = fit_from(fit, hold), {}, "trusted"
    with untrusted_once():
        if budget:
            plan = bs.allocate(fitted, budget, group=group)
            found["plans"], trust = plan_to_rows(plan), plan.attrs["trust"]
        if loss:
            need = bs.compute_to_reach(fitted, loss, group=group)
            found["targets"], trust = targets_to_rows(need), need.attrs["trust"]
    if json:
        emit({"fit": fit, "trust": trust, **found})
    else:
        doubt = warning(trust)
        if budget:
            console().print(plan_table(f"Compute-optimal plan{doubt}", found["plans"]))
        if loss:
            title = f"Least compute for a loss{doubt}; none: no compute reaches it"
            console().print(targets_table(title, found["targets"]))
    return trust_status(trust)


def _point(there: Any, i: int) -> dict[str, Any]:
    coords = {
        str(k): float(v[i])
        for k, v in there.coords.items()
        if v.dims == ("point",) and k not in ("point", "beyond")
    }
    beyond = float(there.beyond[i])
    return {**coords, "decades_beyond_data": beyond, **quantiles(there, {"point": i})}


def _points_table(title: str, rows: Sequence[Mapping[str, Any]], inputs: Sequence[str]) -> Any:
    made = interval_table(title)
    for row in rows:
        where = ", ".join(f"{name} {size(row[name])}" for name in inputs)
        if "flops" in row:
            where += f"\n{flop(row['flops'])} FLOP, {reach(row['decades_beyond_data'])}"
        made.add_row(f"[bold]{where}[/]")
        made.add_row("  the law's own", *interval_cells(row["loss_mean"], number))
        made.add_row("  a new run", *interval_cells(row["loss_run"], number), end_section=True)
    return made
