"""What a long command says while it runs: on standard error, the report stays clean."""

import sys
import time

START = time.perf_counter()


def say(what: str) -> None:
    """Write one line, with the seconds so far."""
    print(f"{time.perf_counter() - START:5.0f} s  {what}", file=sys.stderr, flush=True)
