"""What is odd about single runs. A flagged run stays in the table, with the reason."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.dominance import lowest_before
from bayes_scaling.data.numbers import RowLabels, row_labels, values_of

# Reasons that this module writes; whatever else stands in `flag` is a person's and is kept.
_DIVERGED, _BY_HAND = "marked as diverged", "set aside by hand"
_EXCLUDING = {f"{role} is missing" for role in COLUMNS} | {
    f"loss is {x}" for x in ("NaN", "inf", "-inf")
}
_REMARKS = ("duplicate of ", "loss is far above ", "loss exceeds ")

FAR = math.log(1.05)
"""Least excess of ln loss that can be called far: 5 % of the loss."""


def flag_runs(runs: pd.DataFrame, require: Sequence[str]) -> pd.DataFrame:
    """Add the columns `use` and `flag`, keeping what a person decided before.

    Parameters
    ----------
    runs : DataFrame
        Canonical columns; perhaps `use` and `flag` from an earlier reading.
    require : sequence of str
        Roles a usable run has a value for.

    Returns
    -------
    DataFrame
        With `use` (bool) and `flag` (str, reasons joined by "; ", "" for none) as last columns.

    Notes
    -----
    Not used: a run without a finite loss or another required value, or marked as diverged.
    Used, with a flag: duplicates, a loss far above its neighbours', a loss above ln(vocab_size).

    In a table that has the two columns already, a run that was set aside without one of these
    reasons stays aside, and a run marked as diverged that was taken back in stays in.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayes_scaling.data.flags import flag_runs
    >>> runs = pd.DataFrame({"loss": [3.0, float("nan")], "diverged": [False, True]})
    >>> flag_runs(runs, ["loss"])[["use", "flag"]]
         use                             flag
    0   True
    1  False  loss is NaN; marked as diverged
    """
    labels = row_labels(runs)
    reasons: dict[int, list[str]] = {}
    _add(reasons, _unusable(runs, require))
    usable = np.ones(len(runs), dtype=bool)
    usable[list(reasons)] = False
    use = usable.copy()
    if "diverged" in runs:
        diverged = np.flatnonzero(runs["diverged"])
        use[diverged] = False
        _add(reasons, ((i, _DIVERGED) for i in diverged.tolist()))
    if "use" in runs:
        _keep_decisions(runs, usable, use, reasons)
    _add(reasons, _duplicates(runs, use, labels))
    _add(reasons, _far(runs, use, labels))
    _add(reasons, _guessing(runs))
    flag = np.full(len(runs), "", dtype=object)
    for i, found in reasons.items():
        flag[i] = "; ".join(found)
    rest = runs.drop(columns=["use", "flag"]) if "use" in runs else runs
    return rest.assign(use=use, flag=pd.Series(flag, rest.index, dtype="str"))


def only_diverged(runs: pd.DataFrame) -> np.ndarray:
    """Find the runs that are set aside because they diverged, and for nothing else.

    Returns
    -------
    (run,) array of bool

    Examples
    --------
    >>> import pandas as pd
    >>> from bayes_scaling.data.flags import flag_runs, only_diverged
    >>> runs = pd.DataFrame({"lr": [0.1, 1.0, None], "loss": [3.0, None, None],
    ...                      "diverged": [False, True, True]})
    >>> only_diverged(flag_runs(runs, ["lr", "loss"])).tolist()
    [False, True, False]
    """
    out = np.zeros(len(runs), dtype=bool)
    if "diverged" not in runs:
        return out
    for i in np.flatnonzero(runs["diverged"].to_numpy(bool) & ~runs["use"].to_numpy(bool)).tolist():
        reasons = str(runs["flag"].iloc[i]).split("; ")
        out[i] = _DIVERGED in reasons and all(
            r == _DIVERGED or r.startswith(("loss is ", *_REMARKS)) for r in reasons
        )
    return out


def _add(reasons: dict[int, list[str]], found: Iterable[tuple[int, str]]) -> None:
    for i, reason in found:
        reasons.setdefault(i, []).append(reason)


def _keep_decisions(
    runs: pd.DataFrame, usable: np.ndarray, use: np.ndarray, reasons: dict[int, list[str]]
) -> None:
    """Bring `use` and the reasons in line with what a person decided."""
    was = runs["use"].to_numpy(dtype=bool)
    flag = runs["flag"].to_numpy(dtype=object)
    for i in np.flatnonzero((flag != "") | ~was).tolist():
        before = [r for r in flag[i].split("; ") if r]
        use[i] = _decided(bool(was[i]), before, bool(use[i]), bool(usable[i]))
        kept = [r for r in before if not _is_ours(r)]
        if not was[i] and not use[i] and not kept and i not in reasons:
            kept = [_BY_HAND]
        _add(reasons, ((i, r) for r in kept))


def _decided(was: bool, reasons: list[str], fresh: bool, usable: bool) -> bool:
    if was:
        return usable if _DIVERGED in reasons else fresh
    return fresh and any(r in _EXCLUDING or r == _DIVERGED for r in reasons)


def _is_ours(reason: str) -> bool:
    return reason in _EXCLUDING or reason in (_DIVERGED, _BY_HAND) or reason.startswith(_REMARKS)


def _unusable(runs: pd.DataFrame, require: Sequence[str]) -> Iterator[tuple[int, str]]:
    for role in require:
        if role not in runs or not COLUMNS[role].numeric:
            continue
        values = runs[role].to_numpy()
        for i in np.flatnonzero(~np.isfinite(values)).tolist():
            found = "NaN" if np.isnan(values[i]) else str(values[i])
            yield i, f"loss is {found}" if role == "loss" else f"{role} is missing"


def _duplicates(
    runs: pd.DataFrame, use: np.ndarray, labels: RowLabels
) -> Iterator[tuple[int, str]]:
    """Find runs that repeat an earlier one in every column.

    Names of runs, row numbers and dates do not count, which would hide every duplicate.
    """
    if "attempts" in runs or {"samples", "questions"} <= set(runs):
        # Equal counts of two problems, or of two bins of them, are no copies.
        return
    known = [c for c in runs if c in COLUMNS and c not in ("run", "diverged")]
    others = [
        c
        for c in runs
        if c not in (*known, "run", "diverged", "use", "flag") and not _is_label(pd.Series(runs[c]))
    ]
    rows = np.flatnonzero(use) if known or others else np.empty(0, dtype=int)
    same = np.zeros(len(rows), dtype=int)
    for c in sorted(known, key="loss".__ne__) + others:  # losses differ most
        values = pd.Series(runs[c]).iloc[rows]
        same = _split(same, values.astype(str) if _is_text(values) else values)
        repeated = np.bincount(same)[same] > 1
        rows, same = rows[repeated], same[repeated]
    _, first, which = np.unique(same, return_index=True, return_inverse=True)
    later = first[which] != np.arange(len(rows))
    names = labels.at(rows[first[which]][later])
    for i, name in zip(rows[later].tolist(), names, strict=True):
        yield i, f"duplicate of {_quoted(name)}"


def _far(runs: pd.DataFrame, use: np.ndarray, labels: RowLabels) -> Iterator[tuple[int, str]]:
    """Find losses far above what no larger a run reached.

    The excess of a run is its ln loss minus the lowest ln loss among runs of the same arch and
    dataset with at most its params, tokens, unique tokens and experts; zero if negative. Far is
    more than ``max(ln 1.05, 10 x median excess)``. The median is over all runs that have such a
    neighbour, so it is zero in a clean table and grows with the spread of a learning-rate sweep,
    where the rule then asks for more. Under Gaussian noise of 1 % of the loss, two runs of equal
    true loss differ by that much with probability 3e-4. Where loss truly rises with size (many
    epochs), or where one loss is far too low, the flag names the run compared with, and the run
    stays in use.
    """
    sizes = [c for c in ("params", "tokens", "unique_tokens", "experts") if c in runs]
    if "loss" not in runs or not {"params", "tokens"} <= set(sizes):
        return
    columns = [values_of(runs, c) for c in (*sizes, "loss")]
    rows = np.flatnonzero(use & ~np.any([np.isnan(c) for c in columns], axis=0))
    if len(rows) < 2:
        return
    group = np.zeros(len(rows), dtype=int)
    for c in ("arch", "dataset"):
        if c in runs:
            group = _split(group, pd.Series(runs[c]).iloc[rows])
    *size, loss = (c[rows] for c in columns)
    log_loss = np.log(loss)
    lowest, compared = _compare(group, size, log_loss)
    if not compared.any():
        return
    excess = np.maximum(log_loss - log_loss[lowest], 0.0)
    limit = max(FAR, 10.0 * float(np.median(excess[compared])))
    far = np.flatnonzero(excess > limit)
    names = labels.at(rows[lowest[far]])
    for i, more, name in zip(rows[far].tolist(), excess[far], names, strict=True):
        higher = f"{math.expm1(more):.0%} higher"
        yield i, f"loss is far above {_quoted(name)}, which is no larger ({higher})"


def _compare(
    group: np.ndarray, sizes: Sequence[np.ndarray], log_loss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find, for every run, the lowest of its group that is no larger, and if there is another.

    Of equal losses the smallest setting counts, then the first run.
    """
    # One best run per setting first: sweeps have hundreds of runs at each.
    order = np.lexsort((log_loss, *sizes[::-1], group))
    keys = [key[order] for key in (group, *sizes)]
    new = np.append(True, np.any([key[1:] != key[:-1] for key in keys], axis=0))
    setting = np.empty_like(order)
    setting[order] = np.cumsum(new) - 1
    best = order[new]
    by_loss = np.argsort(log_loss[best], kind="stable")
    rank = np.empty_like(by_loss)
    rank[by_loss] = np.arange(len(best))
    groups, *settings = (key[new] for key in keys)
    before = lowest_before(groups, settings, rank)
    lowest = best[by_loss[np.minimum(before, rank)]]
    compared = (before < len(best)) | (np.bincount(setting) > 1)
    return lowest[setting], compared[setting]


def _guessing(runs: pd.DataFrame) -> Iterator[tuple[int, str]]:
    if not {"loss", "vocab_size"} <= set(runs.columns):
        return
    loss, uniform = runs["loss"].to_numpy(), np.log(runs["vocab_size"].to_numpy())
    for i in np.flatnonzero(np.isfinite(loss) & (loss > uniform)).tolist():
        yield i, f"loss exceeds ln(vocab_size) = {uniform[i]:.2f}, that of a uniform guess"


def _split(codes: np.ndarray, values: pd.Series) -> np.ndarray:
    """Give every combination of a code and a value a new code; missing values are one value."""
    found = pd.factorize(values, use_na_sentinel=False)[0]
    return pd.factorize(codes * (found.max(initial=0) + 1) + found)[0]


def _quoted(label: str) -> str:
    return label.replace(";", ",")  # which separates reasons


def _is_label(values: pd.Series) -> bool:
    """Whether values number the rows, or date them: whole numbers that increase all the way."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return True
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return False
    number = values.to_numpy(float, na_value=np.nan)
    return bool(np.all(number == np.floor(number)) and np.all(np.diff(number) > 0))


def _is_text(values: pd.Series) -> bool:
    return bool(pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values))
