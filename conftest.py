"""For tests and for the examples in docstrings alike."""

import sys
from pathlib import Path

import pytest

MAPS = Path("/proc/self/maps")
MOST_MAPS = 20_000  # of the 65,530 that Linux allows a process by default


@pytest.fixture(autouse=True, scope="module")
def _programs_are_dropped():
    """Drop compiled programs when there are many: a process may map only so many files."""
    yield
    kept = sys.modules.get("bayes_scaling.inference._kept")
    if kept and (not MAPS.exists() or MAPS.read_bytes().count(b"\n") > MOST_MAPS):
        kept.forget()


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Close what an example or a test has drawn: twenty open figures are a warning."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
