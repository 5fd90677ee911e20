"""P19. Speed: ours and the peers, interleaved in one run, and how one fit grows.

``python -m benchmarks speed`` measures everything; ``python -m benchmarks speed peers many`` those
parts alone; ``python -m benchmarks speed page`` only writes the page and its figures again.
"""

from collections.abc import Sequence
from typing import Any


def run(parts: Sequence[str] = ()) -> Any:
    """Measure parts, or all of them; write the page; return their `Report`."""
    from benchmarks.speed.command import run as command  # peers' environments lack what it needs

    return command(parts)
