"""Read a run table once, so that everything after it can trust the columns."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bayes_scaling._registry import did_you_mean
from bayes_scaling.data.columns import COLUMNS, recognise
from bayes_scaling.data.coverage import patterns
from bayes_scaling.data.dates import to_years
from bayes_scaling.data.derive import Conventions, derive, free_name
from bayes_scaling.data.flags import flag_runs
from bayes_scaling.data.numbers import (
    check_values,
    row_labels,
    to_flags,
    to_numbers,
    usable_columns,
)
from bayes_scaling.data.record import RECORD, earlier, merge, still_new
from bayes_scaling.data.source import Source, open_source
from bayes_scaling.errors import Problem, TableError

FOLLOWS = {  # role -> what it is derived from
    "flops": ({"params", "tokens"},),
    "accuracy": ({"questions", "solved"},),
    "coverage": ({"attempts", "solved"},),
    "samples": ({"attempts", "solved"}, {"attempts", "coverage"}),
}


def read_runs(
    source: Source,
    *,
    columns: Mapping[str, str | None] | None = None,
    constants: Mapping[str, float] | None = None,
    units: Mapping[str, str] | None = None,
    flops: str = "auto",
    tokens: str = "given",
    count: str | None = None,
    to_count: str | None = None,
    tied: bool = True,
    require: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Read a table of training runs, check all of it, and give its columns canonical names.

    Parameters
    ----------
    source : path, DataFrame or mapping of column name to values
        A ``.csv``, ``.csv.gz``, ``.parquet``, ``.jsonl`` or ``.ndjson`` file, or a table.
    columns : mapping of role to column name or None, optional
        Which column plays which role, before recognition: ``{"loss": "c4_val"}``. None says that
        no column does.
    constants : mapping of role to number, optional
        Roles that have one value for all runs: ``{"vocab_size": 50_257}``.
    units : mapping of role to unit, optional
        K, M, B (or G), T; for flops also PFLOP to YFLOP and PF-days; for loss nats or bits (loss_sd
        follows loss); for accuracy %. "1" states that the numbers are raw, however small.
    flops : {"auto", "given", "6ND", "transformer"}
        Convention of the compute column, FLOP. "6ND" and "transformer" recompute it and keep the
        table's own as ``flops_given``; "auto" is "given" if the table has one, else "6ND".
    tokens : {"given", "C/6N"}
        "C/6N" computes missing tokens as ``flops / (6 params)``. Never done unasked: D then is a
        function of C and N, and whatever is wrong with C is in it.
    count : {"total", "non_embedding", "active"}, optional
        What `params` counts in the source; "total" if not said.
    to_count : {"total", "non_embedding"}, optional
        Convert `params` to this count by ``vocab_size * width`` embedding weights.
    tied : bool
        For `to_count`: one embedding matrix (True) or two.
    require : sequence of str, optional
        Roles the table must have, and a usable run a value of; params, tokens and loss if not said.

    Returns
    -------
    DataFrame
        One row per run, in the order of the source, numbered from 0. Canonical numbers are float64;
        other columns are untouched. `use` (bool) says whether a run can be fitted and `flag` (str)
        what is odd about it. ``attrs["bayes_scaling"]`` holds, as plain data, `source`, `roles`,
        `constants`, `units`, `flops`, `tokens`, `count`, `count_given`, `require`, `steps` (what
        was done) and `notes` (what the table cannot tell).

    Raises
    ------
    TableError
        With every problem of the table: column, runs, what was found, what to do.

    Notes
    -----
    Text is never turned into numbers by guessing, and two columns that match one role are never
    chosen between. Reading a table that was read before changes nothing, except that flags are
    brought up to date; runs that a person set aside stay aside.

    Examples
    --------
    >>> from bayes_scaling.data.read import read_runs
    >>> table = {"N": [0.1, 1.0], "D": [2, 20], "val_loss": [3.4, float("nan")]}
    >>> runs = read_runs(table, units={"params": "B", "tokens": "B"})
    >>> runs[["params", "tokens", "loss", "flops", "use", "flag"]]
             params        tokens  loss         flops    use         flag
    0  1.000000e+08  2.000000e+09   3.4  1.200000e+18   True
    1  1.000000e+09  2.000000e+10   NaN  1.200000e+20  False  loss is NaN
    """
    raw, name = open_source(source)
    attrs, raw.attrs = raw.attrs, {}  # pandas copies them at every look
    raw, record, again, problems = earlier(raw, attrs.get(RECORD, {}))
    require = list(require or record.get("require", ("params", "tokens", "loss")))
    if flops == "auto" and "flops" in raw:
        flops = record.get("flops") or flops
    tokens = record.get("tokens", tokens) if tokens == "given" else tokens
    constants = dict(constants or {})

    named = still_new(columns, record.get("roles", {}))
    derived = {"tokens"} if tokens == "C/6N" else set()
    sought = [r for r in require if COLUMNS[r] and r not in constants and r not in derived]
    roles, found = recognise(list(raw.columns), named, exact=again, require=sought)
    there = {*roles, *constants}
    follow = [r for r in sought if any(needs <= there for needs in FOLLOWS.get(r, ()))]
    if follow:
        sought = [r for r in sought if r not in follow]
        roles, found = recognise(list(raw.columns), named, exact=again, require=sought)
    table, steps = _rename(raw, roles, named)
    table, wrong = _add_constants(table, still_new(constants, record.get("constants", {})))
    problems += found + wrong

    units = dict(units or {})
    if "loss" in units and "loss_sd" in table:
        units.setdefault("loss_sd", units["loss"])
    table, did, found = _to_canonical(table, roles, units, record.get("units", {}), again)
    steps += did
    problems += found

    given = count or record.get("count_given", "total")
    now = record["count"] if given == record.get("count_given") else given
    how = Conventions(flops, tokens, now, to_count or now, tied)
    problems += how.problems({*table.columns, *require})
    convention = None
    if not problems:
        table, convention, did, problems = derive(table, how)
        steps += did
    if problems:
        raise TableError(record.get("source", name), problems)

    table = flag_runs(table, require)
    n, used = usable_columns(table, ("params", "tokens", "flops"))
    new = {
        "source": record.get("source", name),
        "roles": {r: n for r, n in roles.items() if not record or r != n},
        "constants": constants,
        "units": units,
        "flops": convention,
        "tokens": tokens,
        "count": how.to_count,
        "count_given": given,
        "require": require,
        "steps": steps,
        "notes": patterns(used, n),
    }
    table.attrs = {**attrs, RECORD: merge(record, new)}
    return table


def _rename(
    raw: pd.DataFrame, roles: Mapping[str, str], named: Mapping[str, str | None]
) -> tuple[pd.DataFrame, list[str]]:
    names: dict[str, str] = {}
    for role, original in roles.items():
        names.setdefault(original, role)
    steps = []
    for column in raw.columns:
        # Only what the caller said can leave a canonical name on another column.
        if column not in names and (column in roles or column in named):
            names[column] = free_name(raw, column)
            steps.append(f"the table's own {column!r} is kept as {names[column]!r}")
    copies = {role: raw[c] for role, c in roles.items() if names[c] != role}
    return raw.rename(columns=names).assign(**copies), steps


def _add_constants(
    table: pd.DataFrame, constants: Mapping[str, float]
) -> tuple[pd.DataFrame, list[Problem]]:
    problems = []
    for role, value in constants.items():
        if role not in COLUMNS:
            found = f"constants= names the role {role!r}, which does not exist."
            hint = did_you_mean(role, COLUMNS)
            problems.append(Problem(None, (), found + hint, f"roles are {', '.join(COLUMNS)}"))
        elif role in table:
            do = "leave it out of constants, or say that no column is it: columns={...: None}"
            problems.append(Problem(role, (), "is given twice, by a column and in constants", do))
        else:
            table = table.assign(**{role: value})
    return table, problems


def _misused(
    units: Mapping[str, str], table: pd.DataFrame, applied: Mapping[str, str], again: bool
) -> list[Problem]:
    problems = []
    for role, unit in units.items():
        if role not in table or role not in COLUMNS:
            found = f"units= gives a unit for {role!r}, and no column has that role."
            present = [r for r in COLUMNS if r in table]
            do = f"roles found: {', '.join(present) or 'none'}"
            problems.append(Problem(None, (), found + did_you_mean(role, present), do))
        elif unit not in COLUMNS[role].units:
            hint = did_you_mean(str(unit).upper(), COLUMNS[role].units)
            found = f"units= gives {role} the unit {unit!r}, which is not known.{hint}"
            do = f"{role} can be in {', '.join(COLUMNS[role].units)}"
            problems.append(Problem(None, (), found, do))
        elif again and applied.get(role) != unit and COLUMNS[role].units[unit] != 1.0:
            found = f"units= asks for {unit!r}, but the table was read before and is in raw units"
            problems.append(
                Problem(role, (), found, "leave the unit out, or read the source again")
            )
    return problems


def _to_canonical(
    table: pd.DataFrame,
    roles: Mapping[str, str],
    units: Mapping[str, str],
    applied: Mapping[str, str],
    again: bool,
) -> tuple[pd.DataFrame, list[str], list[Problem]]:
    """Turn every column with a role into numbers in canonical units, flags or labels."""
    steps, problems = [], _misused(units, table, applied, again)
    canonical = {}
    labels = row_labels(table)
    for role in [c for c in table.columns if c in COLUMNS and COLUMNS[c].kind != "label"]:
        column, name, unit = (
            COLUMNS[role],
            roles.get(role, role),
            units.get(role, applied.get(role)),
        )
        if not column.numeric:
            values, found = to_flags(pd.Series(table[role]), name, labels)
        elif column.kind == "date":
            values, found = to_years(pd.Series(table[role]), name, labels)
        else:
            values, found = to_numbers(pd.Series(table[role]), column, name, labels)
            if not found and not pd.api.types.is_numeric_dtype(table[role].dtype):
                steps.append(f"column {name!r} held numbers as text")
            if unit is not None and not again:
                values = values * column.units.get(unit, 1.0)
            if unit is None or unit in column.units:
                found = found + check_values(values, column, name, labels, unit)
            if column.kind == "count":
                values = np.round(values)  # 50.257 K is 50256.999...
        problems += found
        canonical[role] = values
    return table.assign(**canonical), steps, problems
