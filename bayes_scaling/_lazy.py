"""Arrays of draws by runs that are computed when somebody looks at them.

A fit carries the log likelihood and the replicated loss of every run under every draw, because
ArviZ reads them there. They are the bulk of its numbers, most fits are never asked for them, and
for a table of a million runs they would not fit in memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

CELLS = 2**21  # numbers computed at once


class Computed(BackendArray):
    """A (chain, draw, run) array behind a function of blocks of draws.

    Parameters
    ----------
    shape : (int, int, int)
        Chains, draws, runs.
    block : callable
        ``block(start, stop)`` returns the (stop - start, run) values of draws counted through
        the chains. It is asked for whole blocks, always the same ones.
    """

    dtype = np.dtype(float)

    def __init__(
        self, shape: tuple[int, int, int], block: Callable[[int, int], np.ndarray]
    ) -> None:
        self.shape, self.block = shape, block

    def __getitem__(self, key: Any) -> Any:
        """Compute what xarray asks for."""
        basic = indexing.IndexingSupport.BASIC
        return indexing.explicit_indexing_adapter(key, self.shape, basic, self._get)

    def _get(self, key: tuple[Any, ...]) -> np.ndarray:
        chains, draws, runs = self.shape
        wanted = np.arange(chains * draws).reshape(chains, draws)[key[:2]]
        size = max(1, CELLS // max(runs, 1))
        flat, out = wanted.ravel(), None
        for number in np.unique(flat // size):
            start = int(number) * size
            values = self.block(start, min(start + size, chains * draws))
            here = flat // size == number
            part = values[flat[here] - start][:, key[2]]
            out = np.empty((len(flat), *part.shape[1:])) if out is None else out
            out[here] = part
        out = np.empty((0, runs))[:, key[2]] if out is None else out
        return out.reshape(wanted.shape + out.shape[1:])


class _Backend(BackendEntrypoint):
    def open_dataset(self, filename_or_obj: Any, *, drop_variables: Any = None) -> xr.Dataset:
        del drop_variables
        name, array, coords = filename_or_obj.made
        lazy = indexing.LazilyIndexedArray(array)
        return xr.Dataset({name: (("chain", "draw", "run"), lazy)}, coords=coords)


class _Source:
    def __init__(self, *made: Any) -> None:
        self.made = made


def computed(name: str, array: Computed, runs: np.ndarray) -> xr.Dataset:
    """Return a Dataset of one `Computed` variable: computed once, then remembered."""
    index = {d: np.arange(n) for d, n in zip(("chain", "draw"), array.shape[:2], strict=True)}
    source: Any = _Source(name, array, {**index, "run": runs})
    return xr.open_dataset(source, engine=_Backend)
