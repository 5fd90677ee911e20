"""`recommend`: what to set for a planned run, and what a rule of thumb would cost."""

import math
from typing import Annotated, Any

from cyclopts import Parameter

from bayes_scaling._terminal import complain, console, interval_cells, interval_table, reach
from bayes_scaling._writing import number, size
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
from bayes_scaling.errors import SpecError

WORDS = {"lr": "learning rate", "batch_size_tokens": "batch size, tokens"}


def recommend(
    fit: str,
    /,
    *,
    params: Numbers | None = None,
    tokens: Numbers | None = None,
    at: Annotated[Pairs | None, Parameter(name="--at")] = None,
    against: Annotated[list[str] | None, Parameter(negative=())] = None,
    tolerance: float | None = None,
    overhead: float | None = None,
    group: str | None = None,
    json: Json = False,
) -> int:
    """Recommend learning rate, batch size or whatever was swept, for a planned run.

    `bayes-scaling recommend steplaw-dense --params 7B --tokens 2T --against step-law`

    Parameters
    ----------
    fit : str
        A file that `fit` wrote, or the name of a model card: of the law tuning, or cbs.
    params : list of float
        Planned sizes, such as 7B; several pair up with several tokens.
    tokens : list of float
        Planned training tokens, such as 2T.
    at : list of NAME=NUMBER
        Another size that the best moves along, such as width=4096; repeat it for more.
    against : list of str
        Published rules to put beside it: step-law, deepseek, kaplan-lr, porian.
    tolerance : float
        Of tuning: share of the loss that may be lost, 0.001 if not given; nats, for a law on a
        linear scale.
    overhead : float
        Of cbs: share of tokens more than the least that may be spent for fewer steps, 0.2 if not
        given.
    group : str
        A sweep of the table; a new one without it (of cbs the power law, and `_new` a new one).
    json : bool
        Write JSON to standard output, and nothing else.
    """
    given = planned(params, tokens, at)
    fitted = fit_from(fit)
    with untrusted_once():
        from bayes_scaling.results import model_of

        if model_of(fitted).law.name == "cbs":
            _refuse("cbs", against=against, tolerance=tolerance)
            share = 0.2 if overhead is None else overhead
            found = bs.critical_batch(fitted, given or None, overhead=share, group=group)
            rows = _rows(found, {})
        else:
            _refuse("tuning", overhead=overhead)
            share = 0.001 if tolerance is None else tolerance
            found = bs.recommend(fitted, given or None, tolerance=share, group=group)
            costs = {r: bs.setting_cost(fitted, r, given, group=group)
                     for r in against or []}  # fmt: skip
            rows = _rows(found, costs)
            for answer in (found, *costs.values()):
                if "caution" in answer.attrs:
                    complain("caution", answer.attrs["caution"])
    trust = found.attrs["trust"]
    if json:
        emit({"fit": fit, "trust": trust, "points": rows})
    else:
        console().print(_table(f"Recommended settings{warning(trust)}", rows, list(given)))
    return trust_status(trust)


def _refuse(law: str, **options: Any) -> None:
    """Refuse options that a law has no use for."""
    odd = [f"--{k}" for k, v in options.items() if v is not None]
    if odd:
        msg = f"{', '.join(odd)}: of no use to a fit of the law {law}; leave it out"
        raise SpecError(msg)


def _rows(found: Any, costs: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for i in range(found.sizes.get("point", 1)):
        where = {"point": i} if "point" in found.dims else {}
        here = found.isel(where)
        row: dict[str, Any] = {
            "at": {str(k): float(v) for k, v in here.coords.items() if v.ndim == 0 and k != "point"}
        }
        plain = {str(k): float(v) for k, v in here.data_vars.items() if v.ndim == 0}
        chance = plain.pop("diverge", None)
        row |= {"set": plain, **quantiles(found, where)}
        if chance is not None:
            row["diverge"] = chance
        row["rules"] = {
            name: quantiles(cost.isel(setting=0), where)["excess"] for name, cost in costs.items()
        }
        rows.append(row)
    return rows


def _table(title: str, rows: list[dict[str, Any]], inputs: list[str]) -> Any:
    made = interval_table(title)
    for row in rows:
        where = ", ".join(f"{k} {size(row['at'][k])}" for k in inputs if k in row["at"])
        far = f"\n{reach(row['at']['beyond'])}" if "beyond" in row["at"] else ""
        made.add_row(f"[bold]{where or 'this sweep'}[/]{far}")
        for name, value in row["set"].items():
            if name.endswith(("_low", "_high")):
                continue
            write = _write(name)
            fine = _plateau(row["set"], name)
            made.add_row(f"  set {WORDS.get(name, name)}", write(value), "", fine)
        for name, q in row.items():
            if name in ("at", "set", "rules"):
                continue
            if name == "diverge":
                made.add_row("  chance to diverge", f"{q:.1%}")
                continue
            label = f"best {name[:-4]}" if name.endswith("_opt") else name
            made.add_row(f"  {label}", *interval_cells(q, _write(name)))
        for name, q in row["rules"].items():
            made.add_row(f"  lost by {name}", *interval_cells(q, number))
        made.add_section()
    return made


def _plateau(found: dict[str, float], name: str) -> str:
    if f"{name}_low" not in found:
        return ""
    low, high = found[f"{name}_low"], found[f"{name}_high"]
    if math.isnan(low):
        return "none within tolerance"
    return f"good: {_write(name)(low)} to {_write(name)(high)}"


def _write(name: str) -> Any:
    return size if name.startswith(("batch", "b_crit")) else number
