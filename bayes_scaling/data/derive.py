"""The columns that follow from others: tokens, another parameter count, FLOPs."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayes_scaling._registry import did_you_mean
from bayes_scaling.data.accounting import flops_6nd, tokens_from_flops, transformer_flops
from bayes_scaling.data.numbers import row_labels, values_of
from bayes_scaling.data.parameters import CONVERTIBLE, convert_params
from bayes_scaling.errors import Problem

FLOPS = ("auto", "given", "6ND", "transformer")
TOKENS = ("given", "C/6N")
COUNTS = (*CONVERTIBLE, "active")

_NEEDED = {
    "given": ("flops",),
    "6ND": ("params", "tokens"),
    "transformer": ("tokens", "width", "depth", "vocab_size", "context_length"),
}


@dataclass(frozen=True)
class Conventions:
    """What the numbers of a table count, and what to compute from them.

    Parameters
    ----------
    flops : {"auto", "given", "6ND", "transformer"}
    tokens : {"given", "C/6N"}
    count, to_count : {"total", "non_embedding", "active"}
        What `params` counts, and what it should count.
    tied : bool
        Whether the embedding matrix is counted once.
    """

    flops: str = "auto"
    tokens: str = "given"
    count: str = "total"
    to_count: str = "total"
    tied: bool = True

    def problems(self, have: Collection[str]) -> list[Problem]:
        """List options that do not exist, and those that need a column the table lacks.

        Parameters
        ----------
        have : collection of str
            Roles that the table has, or whose absence was reported already.
        """
        options = {"flops": FLOPS, "tokens": TOKENS, "count": COUNTS}
        if self.to_count != self.count:
            options["to_count"] = COUNTS
        found = []
        for name, allowed in options.items():
            value = getattr(self, name)
            if value not in allowed:
                what = f"there is no {name}={value!r}.{did_you_mean(value, allowed)}"
                found.append(Problem(None, (), what, f"use one of {', '.join(allowed)}"))
        needs = {f"flops={self.flops!r}": _NEEDED.get(self.flops, ())}
        if self.tokens == "C/6N":
            needs["tokens='C/6N'"] = ("flops", "params")
        if self.count != self.to_count:
            change = f"to_count={self.to_count!r} from count={self.count!r}"
            needs[change] = ("params", "width", "vocab_size")
            if "active" in (self.count, self.to_count):
                do = "only total and non_embedding convert; give active counts as they are"
                found.append(Problem(None, (), f"{change} cannot be computed", do))
        for what, roles in needs.items():
            absent = [r for r in roles if r not in have]
            if absent:
                lack = f"{what} needs {' and '.join(absent)}, which the table does not have"
                do = f"name it with columns={{{absent[0]!r}: ...}}, or give all runs one constants="
                found.append(Problem(None, (), lack, do))
        return found


def derive(
    table: pd.DataFrame, how: Conventions
) -> tuple[pd.DataFrame, str | None, list[str], list[Problem]]:
    """Fill in the columns that follow from others.

    Parameters
    ----------
    table : DataFrame
        Canonical columns, float64, with all that `how` needs.
    how : Conventions

    Returns
    -------
    table : DataFrame
    flops : str or None
        The convention that the `flops` column now has; None if there is no such column.
    steps : list of str
        What was done.
    problems : list of Problem

    Notes
    -----
    In this order: tokens from the given FLOPs, since those were counted with the given params; then
    the parameter count; then FLOPs, so that 6ND uses the count that the table ends up with.
    """
    steps: list[str] = []
    if how.tokens == "C/6N":
        table, steps = _fill_tokens(table)
    if how.count != how.to_count:
        params = convert_params(
            table["params"],
            count=how.count,
            to_count=how.to_count,
            width=table["width"],
            vocab_size=table["vocab_size"],
            tied=how.tied,
        )
        if (params <= 0).any():
            found = "the embeddings alone have more parameters than the model"
            do = "check vocab_size and width, and that count= says what params counts"
            bad = row_labels(table).where(params <= 0)
            return table, None, steps, [Problem("params", bad, found, do)]
        ties = "tied" if how.tied else "untied"
        steps.append(f"params converted from {how.count} to {how.to_count}, {ties} embeddings")
        table, kept = _replace(table, "params", params)
        steps += kept
    table, convention, did = _fill_flops(table, how.flops)
    table, counted, problems = _fill_shares(table)
    return table, convention, steps + did + counted, problems


def free_name(table: pd.DataFrame, role: str) -> str:
    """Find a name for a column that has to give up a canonical one."""
    name = f"{role}_given"
    while name in table:
        name += "_"
    return name


def _replace(table: pd.DataFrame, role: str, values: np.ndarray) -> tuple[pd.DataFrame, list[str]]:
    if role not in table:
        return table.assign(**{role: values}), []
    if np.array_equal(table[role], values, equal_nan=True):
        return table, []
    name = free_name(table, role)
    table = table.rename(columns={role: name}).assign(**{role: values})
    return table, [f"the table's own {role!r} is kept as {name!r}"]


def _fill_tokens(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    given = values_of(table, "tokens") if "tokens" in table else np.full(len(table), np.nan)
    gaps = np.isnan(given)
    if not gaps.any():
        return table, []
    filled = np.where(gaps, tokens_from_flops(table["flops"], table["params"]), given)
    return table.assign(tokens=filled), [f"tokens of {gaps.sum()} runs are flops/(6 params)"]


def _fill_shares(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str], list[Problem]]:
    """Fill in shares of counts, of attempts or of questions, and that an attempt is one sample."""
    steps: list[str] = []
    have = set(table.columns)
    of, share = ("attempts", "coverage") if "attempts" in have else ("questions", "accuracy")
    if {of, "solved"} <= have:
        asked, solved = values_of(table, of), values_of(table, "solved")
        if (bad := (solved > asked) | (np.mod(solved, 1) > 0)).any():
            found = f"counts of successes that are no part of `{of}`, in {int(bad.sum())} rows"
            do = f"give whole numbers from 0 to the {of}; a share is the role {share}"
            return table, steps, [Problem("solved", row_labels(table).where(bad), found, do)]
        if share not in have:
            table = table.assign(**{share: solved / asked})
            steps.append(f"{share} is solved / {of}")
    if "attempts" in have and have & {"solved", "coverage"} and "samples" not in have:
        table = table.assign(samples=1.0)
        steps.append("attempts are of one sample each")
    return table, steps, []


def _transformer(table: pd.DataFrame) -> np.ndarray:
    width = values_of(table, "width")
    ffn = values_of(table, "ffn_width") if "ffn_width" in table else np.full(len(table), np.nan)
    cost = transformer_flops(
        width,
        values_of(table, "depth"),
        vocab_size=values_of(table, "vocab_size"),
        context_length=values_of(table, "context_length"),
        ffn_width=np.where(np.isnan(ffn), 4.0 * width, ffn),
    )
    return cost.total(values_of(table, "tokens"))


def _fill_flops(table: pd.DataFrame, convention: str) -> tuple[pd.DataFrame, str | None, list[str]]:
    if convention == "auto" and "flops" in table:
        convention = "given"
    if convention == "given":
        gaps = int(np.isnan(values_of(table, "flops")).sum())
        steps = [f"flops are missing in {gaps} runs; flops='6ND' computes them"] if gaps else []
        return table, convention, steps
    if convention == "transformer":
        flops = _transformer(table)
    elif {"params", "tokens"} <= set(table.columns):
        convention, flops = "6ND", flops_6nd(table["params"], table["tokens"])
    else:
        return table, None, []
    table, steps = _replace(table, "flops", flops)
    return table, convention, steps
