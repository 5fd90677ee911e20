"""Programs compiled once per machine: kept on disk whole, so that a second process traces nothing.

JAX's compilation cache saves the compiling, but to ask it one has to import NumPyro, trace the
program and lower it, which takes as long again. What is kept here is found by what the program is
made from: the structure of the model, the shapes of its data, the sources of this package.
"""

import functools
import hashlib
import os
import pickle
import platform
import secrets
import tempfile
import threading
import weakref
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bayes_scaling.inference._cache import LIMIT, cache_folder

MADE_WITH = ("jax", "jaxlib", "numpyro", "numpy")
MUCH = 2**16  # numbers in one array beyond which running a program outweighs compiling it


MADE: "weakref.WeakSet[Kept]" = weakref.WeakSet()


def forget() -> None:
    """Drop the programs held in memory: a process that makes thousands of them runs out of maps."""
    for kept in MADE:
        with kept.lock:
            kept.ready.clear()
    jax.clear_caches()


class Kept:
    """A jitted ``function(target, *arrays)`` whose executables outlive the process.

    Parameters
    ----------
    function : callable
        Of a hashable target and pytrees of arrays.

    Notes
    -----
    Programs of a user's own, laws of a user's own and arrays on several devices go to `jax.jit`
    and its cache: nothing but the sources of this package is known to be what it was.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.plain = jax.jit(function, static_argnums=0)
        self.ready: dict[Any, Any] = {}
        self.lock = threading.Lock()
        MADE.add(self)

    def __call__(self, target: Any, *args: Any) -> Any:
        """Run the program, from memory, from disk, or compiled."""
        identity = getattr(target.program, "identity", "")
        leaves, tree = jax.tree.flatten(args)
        if not identity or any(len(getattr(v, "devices", set)()) > 1 for v in leaves):
            return self.plain(target, *args)
        shapes = tuple((np.shape(v), np.dtype(getattr(v, "dtype", float)).str) for v in leaves)
        known = (target, tree, shapes, jax.dtypes.canonicalize_dtype(float).str)
        run = self.ready.get(known)
        if run is not None:
            return run(*leaves)
        with self.lock:
            run = self.ready.get(known)
            if run is None:
                self.ready[known], answer = self._get(target, tree, shapes, leaves)
                return answer
        return run(*leaves)

    def _get(self, target: Any, tree: Any, shapes: Any, leaves: list[Any]) -> tuple[Any, Any]:
        """Return the program, and what it says of its first arguments."""
        kind = f"{type(target).__name__} {self.function.__qualname__}"
        made_from = (kind, target.program.identity, target.sites, str(tree))
        path = _path((*made_from, shapes, jax.dtypes.canonicalize_dtype(float).str))
        found = _tried(path, leaves) if path else None
        if found is not None:
            return found

        def flat(*values: Any) -> Any:
            return self.function(target, *jax.tree.unflatten(tree, values))

        # What JAX's own cache hands out cannot be saved a second time, XLA leaves the code out of
        # it: under a name of its own the program is sure to be compiled here.
        flat.__name__ = f"{self.function.__name__}_{secrets.token_hex(8)}"
        lowered = jax.jit(flat).lower(*leaves)
        compiled = _soon(lowered) if max(map(np.size, leaves)) < MUCH else lowered.compile()
        if path:
            _save(path, compiled)
        return compiled, compiled(*leaves)


def _soon(lowered: Any) -> Any:
    """Compile with XLA's older code generator on a CPU: two thirds of the time.

    Little data are worked through as fast as by the newer one's code, much data a tenth slower.
    """
    if jax.default_backend() == "cpu":
        try:
            return lowered.compile(compiler_options={"xla_cpu_use_fusion_emitters": False})
        except jax.errors.JaxRuntimeError:  # an XLA that no longer has the choice
            pass
    return lowered.compile()


@functools.cache
def _machine() -> str:
    """Return what an executable depends on beside its program."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    device = jax.devices()[0]
    parts = [*(version(name) for name in MADE_WITH), device.platform, device.device_kind]
    parts += [platform.machine(), platform.processor(), _cpu(), os.environ.get("XLA_FLAGS", "")]
    digest.update("\n".join(parts).encode())
    return digest.hexdigest()


def _cpu() -> str:
    """Return the processor's abilities: code made for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.platform()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _path(made_from: Any) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    name = hashlib.sha256(f"{_machine()}\n{made_from!r}".encode()).hexdigest()
    return folder / "programs" / f"{name[:40]}.bin"


def _tried(path: Path, leaves: list[Any]) -> tuple[Any, Any] | None:
    """Load an executable and run it once: both, or None where it is not there or not to be trusted.

    What runs is machine code, and JAX calls its loading experimental. A mark lies beside the file
    while it is first run: a process that finds one knows that another died of it, or is at it, and
    compiles for itself.
    """
    from jax.experimental import serialize_executable

    mark = path.with_suffix(".trying")
    if mark.exists() or not path.exists():
        return None
    try:
        executable, out = pickle.loads(path.read_bytes())
        mark.touch()
        _linear_algebra()
        given = jax.tree.structure(((0,) * len(leaves), {}))
        run = serialize_executable.deserialize_and_load(executable, given, out)
        answer = jax.block_until_ready(run(*leaves))
        path.touch()  # the oldest are the first to go
    except Exception:  # noqa: BLE001 (whatever is wrong with the file: compile)
        return None
    finally:  # whatever Python sees, an interrupt too, is no reason to mistrust the file for ever
        mark.unlink(missing_ok=True)
    return run, answer


@functools.cache
def _linear_algebra() -> None:
    """Have JAX find LAPACK, which it does when a program that calls it is lowered, not loaded."""
    jax.jit(jax.numpy.linalg.eigh).lower(np.eye(2))


def _save(path: Path, compiled: Any) -> None:
    from jax.experimental import serialize_executable

    try:
        executable, _, out = serialize_executable.serialize(compiled)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            whole = Path(folder, path.name)
            whole.write_bytes(pickle.dumps((executable, out)))
            whole.replace(path)  # at once: another process reads all of it or nothing
        _prune(path.parent)
    except Exception:  # noqa: BLE001 (a full disk, a read-only folder: compile again next time)
        return


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.bin"), key=lambda p: p.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > LIMIT // 2:
            path.unlink(missing_ok=True)
