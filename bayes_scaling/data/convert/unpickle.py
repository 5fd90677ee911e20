"""Reading pickled tables without running what a pickle may ask for.

A pickle is a program. This one may build pandas and NumPy containers and plain Python values and
nothing else, and it is only opened after its SHA-256 matched.
"""

import io
import lzma
import pickle
from pathlib import Path
from typing import Any

_PANDAS = (
    "DataFrame Series Index RangeIndex Int64Index UInt64Index Float64Index MultiIndex BlockManager"
    " SingleBlockManager new_block _unpickle_block _new_Index StringDtype"
    " __pyx_unpickle_NDArrayBacked PandasArray NumpyExtensionArray StringArray ArrowStringArray"
    " ObjectStringArrayMixin"
)
_NUMPY = "ndarray dtype _reconstruct scalar _frombuffer"
_PLAIN = "slice range set frozenset list dict tuple int float complex bool str bytes bytearray"

ALLOWED = {
    "pandas": frozenset(_PANDAS.split()),
    "numpy": frozenset(_NUMPY.split()),
    "builtins": frozenset(_PLAIN.split()),
    "collections": frozenset({"OrderedDict", "defaultdict"}),
    "copyreg": frozenset({"_reconstructor"}),
    "_codecs": frozenset({"encode"}),
}
"""Top-level module -> the names a pickle may use from anywhere in it."""

_RENAMED = {"Int64Index": "Index", "UInt64Index": "Index", "Float64Index": "Index"}


class TableUnpickler(pickle.Unpickler):
    """An unpickler that admits tables only."""

    def find_class(self, module: str, name: str) -> Any:
        """Look up a name, if it is one a table may need."""
        if name not in ALLOWED.get(module.partition(".")[0], ()):
            msg = (
                f"the file asks for {module}.{name}, which no table needs; it was not read further"
            )
            raise pickle.UnpicklingError(msg)
        if name in _RENAMED:  # index classes of pandas 1, one class since
            return super().find_class("pandas", _RENAMED[name])
        return super().find_class(module, name)


def read_pickle(path: Path) -> Any:
    """Read a pickled table, also an xz-compressed one.

    Parameters
    ----------
    path : Path
        A ``.pickle``, ``.pkl`` or ``.xz`` file whose hash was checked.

    Returns
    -------
    object
        What was pickled: a table, or containers of tables.

    Raises
    ------
    pickle.UnpicklingError
        If the file asks for anything but tables and plain values.
    """
    content = path.read_bytes()
    if path.suffix == ".xz":
        content = lzma.decompress(content)
    return TableUnpickler(io.BytesIO(content)).load()
