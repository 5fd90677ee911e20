"""What is odd about single runs. A flagged run stays in the table, with the reason."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayes_scaling.data.columns import COLUMNS
from bayes_scaling.data.numbers import row_labels, values_of

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
    labels = [label.replace(";", ",") for label in row_labels(runs)]
    unusable = _unusable(runs, require)
    diverged = runs["diverged"].to_numpy() if "diverged" in runs else np.zeros(len(runs), bool)
    use = np.array([not u for u in unusable]) & ~diverged
    reasons = [u + [_DIVERGED] * bool(d) for u, d in zip(unusable, diverged, strict=True)]
    if "use" in runs:
        for i, (was, text) in enumerate(zip(runs["use"], runs["flag"], strict=True)):
            before = [r for r in text.split("; ") if r]
            use[i] = _decided(bool(was), before, bool(use[i]), not unusable[i])
            reasons[i] += [r for r in before if not _is_ours(r)]
            if not was and not use[i] and not reasons[i]:
                reasons[i].append(_BY_HAND)
    for i, reason in [*_duplicates(runs, use, labels), *_far(runs, use, labels), *_guessing(runs)]:
        reasons[i].append(reason)
    flag = ["; ".join(r) for r in reasons]
    rest = runs.drop(columns=["use", "flag"], errors="ignore")
    return rest.assign(use=use, flag=pd.Series(flag, rest.index, dtype="str"))


def _decided(was: bool, reasons: list[str], fresh: bool, usable: bool) -> bool:
    if was:
        return usable if _DIVERGED in reasons else fresh
    return fresh and any(r in _EXCLUDING or r == _DIVERGED for r in reasons)


def _is_ours(reason: str) -> bool:
    return reason in _EXCLUDING or reason in (_DIVERGED, _BY_HAND) or reason.startswith(_REMARKS)


def _unusable(runs: pd.DataFrame, require: Sequence[str]) -> list[list[str]]:
    reasons: list[list[str]] = [[] for _ in range(len(runs))]
    for role in require:
        if role not in runs or not COLUMNS[role].numeric:
            continue
        values = runs[role].to_numpy()
        for i in np.flatnonzero(~np.isfinite(values)):
            found = "NaN" if np.isnan(values[i]) else str(values[i])
            reasons[i].append(f"loss is {found}" if role == "loss" else f"{role} is missing")
    return reasons


def _duplicates(
    runs: pd.DataFrame, use: np.ndarray, labels: Sequence[str]
) -> list[tuple[int, str]]:
    """Find runs that repeat an earlier one in every canonical number and every text label.

    Other numbers do not count: a table's own row numbers would hide every duplicate.
    """
    known = [c for c in runs if c in COLUMNS and c not in ("run", "diverged")]
    words = [
        c for c in runs if c not in (*known, "run", "use", "flag") and _is_text(pd.Series(runs[c]))
    ]
    keys = runs.loc[use, known + words]
    keys = keys.assign(**{c: keys[c].astype(str) for c in keys if _is_text(pd.Series(keys[c]))})
    if keys.empty:
        return []
    same = keys.groupby(list(keys), dropna=False).ngroup()
    first: dict[int, int] = {}
    for i, key in same.items():
        first.setdefault(key, int(i))
    return [(int(i), f"duplicate of {labels[first[k]]}") for i, k in same.items() if first[k] != i]


def _far(runs: pd.DataFrame, use: np.ndarray, labels: Sequence[str]) -> list[tuple[int, str]]:
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
        return []
    rows = np.flatnonzero(
        use & ~np.isnan(np.stack([values_of(runs, c) for c in (*sizes, "loss")])).any(axis=0)
    )
    if len(rows) < 2:
        return []
    size, log_loss = runs[sizes].to_numpy()[rows], np.log(runs["loss"].to_numpy()[rows])
    group = runs.iloc[rows].groupby([c for c in ("arch", "dataset") if c in runs] or (lambda _: 0),
                                    dropna=False).ngroup().to_numpy()  # fmt: skip
    # One best run per setting first: sweeps have hundreds of runs at each.
    settings, where = np.unique(np.column_stack([group, size]), axis=0, return_inverse=True)
    where = where.ravel()
    order = np.lexsort((log_loss, where))
    best = order[np.searchsorted(where[order], np.arange(len(settings)))]
    runs_at = np.bincount(where)
    reference, others = np.empty_like(best), np.empty_like(best)
    for s, setting in enumerate(settings):
        below = (settings[:, 0] == setting[0]) & (settings[:, 1:] <= setting[1:]).all(axis=1)
        reference[s] = best[below][np.argmin(log_loss[best[below]])]
        others[s] = runs_at[below].sum() - 1
    lowest, compared = reference[where], others[where] > 0
    excess = np.maximum(log_loss - log_loss[lowest], 0.0)
    if not compared.any():
        return []
    limit = max(FAR, 10.0 * float(np.median(excess[compared])))
    return [
        (int(rows[i]), f"loss is far above {labels[int(rows[lowest[i]])]}, which is no larger"
                       f" ({math.expm1(excess[i]):.0%} higher)")
        for i in np.flatnonzero(excess > limit)
    ]  # fmt: skip


def _guessing(runs: pd.DataFrame) -> list[tuple[int, str]]:
    if not {"loss", "vocab_size"} <= set(runs.columns):
        return []
    uniform = np.log(runs["vocab_size"].to_numpy())
    worse = np.isfinite(runs["loss"].to_numpy()) & (runs["loss"].to_numpy() > uniform)
    return [
        (int(i), f"loss exceeds ln(vocab_size) = {uniform[i]:.2f}, that of a uniform guess")
        for i in np.flatnonzero(worse)
    ]


def _is_text(values: pd.Series) -> bool:
    return bool(pd.api.types.is_object_dtype(values) or pd.api.types.is_string_dtype(values))
