"""Environments of the peers: made once, kept in the platform's cache folder, none a dependency."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

HERE = Path(__file__).parent
PYTHON312 = "BAYES_SCALING_PYTHON312"
READY = "ready"  # a file: every requirement is installed
MINUTES = 20


class PeerError(RuntimeError):
    """A peer that cannot be installed or run, and why."""


def environment(requirements: str, python: str = sys.executable) -> str:
    """Return the interpreter of an environment with pinned requirements, making it if need be.

    Parameters
    ----------
    requirements : str
        A file of pins beside this module.
    python : str
        The interpreter to make it from.

    Raises
    ------
    PeerError
        It cannot be made.
    """
    pins = HERE / requirements
    key = hashlib.sha256(pins.read_bytes() + _version(python).encode()).hexdigest()[:12]
    cache = Path(platformdirs.user_cache_dir("bayes_scaling"))
    folder = cache / "peers" / f"{pins.stem}-{key}"
    interpreter = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / READY).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _run([python, "-m", "venv", str(folder)])
        install = [str(interpreter), "-m", "pip", "install", "--disable-pip-version-check"]
        _run([*install, "--quiet", "-r", str(pins)])
        (folder / READY).touch()
    return str(interpreter)


def python312() -> str:
    """Return a Python 3.12 or newer: this one, the one the environment names, or one on the path.

    Raises
    ------
    PeerError
        There is none.
    """
    if sys.version_info >= (3, 12):
        return sys.executable
    named = [os.environ.get(PYTHON312), *map(shutil.which, ("python3.12", "python3.13"))]
    for python in filter(None, named):
        if shutil.which(python):
            return python
    msg = f"no Python 3.12: put python3.12 on the path or its file in {PYTHON312}"
    raise PeerError(msg)


def plain(reason: str) -> str:
    """Return one line of a reason, without addresses and folders, which are this machine's own.

    Examples
    --------
    >>> from benchmarks.speed.environments import plain
    >>> plain("ERROR: nothing at https://host/simple/ for /home/me/pins.txt")
    'ERROR: nothing at <address> for pins.txt'
    """
    if "bad_alloc" in reason or "MemoryError" in reason:
        return "out of memory"
    lines = [line.strip() for line in reason.splitlines() if line.strip()] or ["no reason given"]
    errors = [line for line in lines if "error" in line.lower()] or lines
    text = re.sub(r"\w+://\S+", "<address>", errors[-1])
    return re.sub(r"(?:/[\w.+-]+)+/([\w.+-]+)", r"\1", text)[:160]


def _version(python: str) -> str:
    return _run([python, "-c", "import sys; print(sys.version)"])


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * MINUTES)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(plain(str(error))) from error
    if done.returncode:
        raise PeerError(plain(done.stderr))
    return done.stdout
