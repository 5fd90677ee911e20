"""The near end of an engine: a process to ask, and one-shot processes."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks.speed.environments import PeerError, plain

ROOT = Path(__file__).parents[2]


class Worker:
    """A process that answers JSON lines.

    Parameters
    ----------
    command : list of str
        What to start, in the repository's folder.
    env : dict, optional
        Its environment variables.
    """

    def __init__(self, command: list[str], env: dict[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def ask(self, timeout: float = 600, **what: Any) -> dict[str, Any]:
        """Ask for something and wait for the answer.

        Raises
        ------
        PeerError
            The engine failed, died, or said nothing for `timeout` seconds.
        """
        process, late = self._process, threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(timeout, stop)
        timer.start()
        try:
            process.stdin.write(json.dumps(what) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line:
            reason = f"no answer in {timeout:.0f} s" if late.is_set() else self._last_words()
            raise PeerError(reason)
        answer = json.loads(line)
        if "failed" in answer:
            raise PeerError(plain(answer["failed"]))
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        return plain(self._log.read()[-4000:] or f"exit status {code}")


def once(module: str, asked: dict[str, Any], timeout: float = 600) -> dict[str, Any]:
    """Run a module of this package in a process of its own, and return the one line it answers.

    It starts with no compiled programs. Failures are answers too: ``{"failed": reason}``.
    """
    env = {**os.environ, "BAYES_SCALING_COMPILATION_CACHE": "off"}
    worker = Worker([sys.executable, "-m", f"benchmarks.speed.{module}"], env)
    try:
        return worker.ask(timeout, **asked)
    except PeerError as error:
        return {"failed": str(error)}
    finally:
        worker.close()
