"""For tests and for the examples in docstrings alike."""

import sys

import pytest


@pytest.fixture(autouse=True, scope="module")
def _programs_are_dropped():
    """Drop compiled programs after every file: a process may map only so many, and dies of more."""
    yield
    if kept := sys.modules.get("bayes_scaling.inference._kept"):
        kept.forget()


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Close what an example or a test has drawn: twenty open figures are a warning."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
