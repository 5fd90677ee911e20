"""What counts of attempts say by themselves: the share of problems that k samples would solve."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from bayes_scaling.data.numbers import positive, values_of
from bayes_scaling.errors import SpecError


def pass_at_k(runs: Any, samples: Any) -> pd.DataFrame:
    """Estimate pass@k without bias: the share of problems that one of k samples solves.

    Parameters
    ----------
    runs : DataFrame or mapping
        A row per problem, with `attempts` and `solved`, or `coverage`, their ratio.
    samples : float or (k,) array
        Whole numbers of samples k.

    Returns
    -------
    pandas.DataFrame
        By `samples`: `coverage`; `se`, its standard error over problems as a sample of their kind.
        NaN where k is more than the attempts at some problem, of which this says nothing.

    Raises
    ------
    SpecError
        Columns are missing, or k is no whole number from 1.

    Notes
    -----
    The mean over problems of ``1 - C(n - c, k) / C(n, k)``, the share of the k-subsets of n
    attempts that hold one of the c that succeeded.

    References
    ----------
    Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374.

    Examples
    --------
    >>> import bayes_scaling as bs
    >>> bs.pass_at_k({"attempts": [4, 4], "solved": [0, 1]}, [1, 2]).coverage.round(6).tolist()
    [0.125, 0.25]
    """
    lacking = [c for c in ("attempts", "solved") if c not in runs]
    if lacking and not ("attempts" in runs and "coverage" in runs):
        msg = f"pass_at_k reads attempts and solved of every problem; {', '.join(lacking)} missing"
        raise SpecError(msg)
    table = pd.DataFrame({k: runs[k] for k in ("attempts", "solved", "coverage") if k in runs})
    n = values_of(table, "attempts")
    c = values_of(table, "solved") if "solved" in table else n * values_of(table, "coverage")
    k = positive(samples, "samples: whole numbers from 1, one or a list of them")
    if np.any(np.mod(k, 1) > 0):
        msg = f"samples: whole numbers from 1, one or a list of them; found {samples!r}"
        raise SpecError(msg)
    left = np.round(n - c)  # failures, of which a k-subset without success is made
    rows = []
    for size in k:
        known = bool(np.all(n >= size))
        some = left >= size  # else every k-subset holds a success
        rest = np.where(some, left - size, 0.0)
        others = np.where(some, n - size, 0.0)
        log_ratio = gammaln(left + 1) - gammaln(rest + 1) - gammaln(n + 1) + gammaln(others + 1)
        each = np.where(some, -np.expm1(np.minimum(log_ratio, 0.0)), 1.0)
        spread = each.std(ddof=1) / np.sqrt(len(each)) if len(each) > 1 else np.nan
        rows.append((each.mean(), spread) if known else (np.nan, np.nan))
    index = pd.Index(k.astype(int), name="samples")
    return pd.DataFrame(rows, index=index, columns=["coverage", "se"])
