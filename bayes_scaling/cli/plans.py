"""Plans as plain data and as tables: the same for `allocate` and for the demo."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from bayes_scaling._terminal import interval_cells, interval_table, reach
from bayes_scaling._writing import flop, number, size
from bayes_scaling.cli._common import quantiles

if TYPE_CHECKING:
    import xarray as xr

Truth = Mapping[str, float]
PLAN = {
    "params_opt": ("params N*", size),
    "tokens_opt": ("tokens D*", size),
    "tokens_per_param": ("tokens per param", number),
    "loss_opt": ("loss, nats/token", number),
}
REACHED = {
    "flops": ("compute C, FLOP", flop),
    "params": ("params", size),
    "tokens": ("tokens", size),
}


def plan_to_rows(plan: "xr.Dataset") -> list[dict[str, Any]]:
    """Write a plan as plain data, one row per budget."""
    return [
        {
            "budget": float(plan.budget[i]),
            "decades_beyond_data": float(plan.beyond[i]),
            **quantiles(plan, {"budget": i}),
        }
        for i in range(plan.sizes["budget"])
    ]


def targets_to_rows(need: "xr.Dataset") -> list[dict[str, Any]]:
    """Write what it takes to reach losses as plain data, one row per target."""
    return [
        {
            "loss": float(need.target[i]),
            "reachable": float(need.reachable[i]),
            **quantiles(need, {"target": i}),
        }
        for i in range(need.sizes["target"])
    ]


def plan_table(
    title: str, rows: Sequence[Mapping[str, Any]], truth: Sequence[Truth] | None = None
) -> Table:
    """Show a plan, beside the truth where that is known."""
    made = interval_table(title, *(["truth"] if truth else []))
    for i, row in enumerate(rows):
        where = f"[bold]{flop(row['budget'])} FLOP[/]\n{reach(row['decades_beyond_data'])}"
        made.add_row(where)
        for name, (label, write) in PLAN.items():
            known = [write(truth[i][name])] if truth else []
            last = name == "loss_opt"
            made.add_row(f"  {label}", *known, *interval_cells(row[name], write), end_section=last)
    return made


def targets_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Show what it takes to reach losses."""
    made = interval_table(title)
    for row in rows:
        made.add_row(f"[bold]loss {number(row['loss'])}[/]\nreachable: {row['reachable']:.0%}")
        for name, (label, write) in REACHED.items():
            last = name == "tokens"
            made.add_row(f"  {label}", *interval_cells(row[name], write), end_section=last)
    return made


def sentence(row: Mapping[str, Any]) -> str:
    """Say a plan as one would to somebody who decides."""
    n, d, loss = row["params_opt"], row["tokens_opt"], row["loss_opt"]
    return (
        f"With {flop(row['budget'])} FLOP, train N = {size(n['q50'])} parameters on "
        f"D = {size(d['q50'])} tokens; expected loss {loss['q50']:.3f} nats/token, "
        f"90 % between {loss['q05']:.3f} and {loss['q95']:.3f} "
        f"(90 % for N: {size(n['q05'])} to {size(n['q95'])}; {reach(row['decades_beyond_data'])})."
    )
