"""The shape of a network as ratios: what may be frozen if its best does not move with size."""

import pandas as pd

from bayes_scaling.data.numbers import values_of
from bayes_scaling.data.record import RECORD
from bayes_scaling.errors import Problem, TableError

RATIOS = {
    "aspect_ratio": ("width", "depth"),
    "head_dim": ("width", "heads"),
    "ffn_ratio": ("ffn_width", "width"),
}


def shapes(runs: pd.DataFrame) -> pd.DataFrame:
    """Add the shape of every run: aspect ratio, head dimension, feed-forward ratio.

    Parameters
    ----------
    runs : DataFrame
        A run table with two or more of `width`, `depth`, `heads` and `ffn_width`.

    Returns
    -------
    DataFrame
        The same runs with as many of `aspect_ratio` (width / depth), `head_dim` (width / heads) and
        `ffn_ratio` (ffn_width / width) as follow from its columns; a column that is there stays.

    Raises
    ------
    TableError
        None of them follows.

    Notes
    -----
    Whether a ratio may be frozen is a question to `Tuning("aspect_ratio", "params",
    level="params")` and `transfer`; it takes a table with several shapes at about every size. Where
    there is one shape per size, shape and size cannot be told apart.

    Examples
    --------
    >>> import pandas as pd, bayes_scaling as bs
    >>> bs.shapes(pd.DataFrame({"width": [768, 4096], "depth": [12, 32], "heads": [12, 32]}))
       width  depth  heads  aspect_ratio  head_dim
    0    768     12     12          64.0      64.0
    1   4096     32     32         128.0     128.0
    """
    made = {
        name: values_of(runs, top) / values_of(runs, bottom)
        for name, (top, bottom) in RATIOS.items()
        if name not in runs and {top, bottom} <= set(runs.columns)
    }
    if not made and not set(RATIOS) & set(runs.columns):
        do = "name the columns in read_runs: columns={'width': ..., 'depth': ..., 'heads': ...}"
        found = "no shape follows from the columns: width with depth, heads or ffn_width is needed"
        source = str(runs.attrs.get(RECORD, {}).get("source", "table"))
        raise TableError(source, [Problem(None, (), found, do)])
    out = runs.assign(**made)
    out.attrs = dict(runs.attrs)
    return out
