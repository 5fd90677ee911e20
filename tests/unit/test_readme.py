"""What the README shows is what a reader gets."""

import contextlib
import io
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import bayes_scaling as bs

TEXT = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_the_cell_prints_what_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL).group(1)
    shown = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL).group(1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(cell, {})
    plt.close("all")
    assert printed.getvalue().split() == shown.split()
    assert (tmp_path / "frontier.png").stat().st_size > 10_000


def test_the_first_commands_are_the_two_that_count():
    commands = re.search(r"```sh\n(.*?)```", TEXT, re.DOTALL).group(1).splitlines()
    assert commands == [
        "python3 -m pip install -e . && python3 -m bayes_scaling demo",
        'python3 -m pip install -e ".[test]" && python3 -m pytest',
    ]


def test_every_file_named_exists():
    for name in re.findall(r"`((?:notebooks|models|docs)/[\w./-]*|[A-Z]+\.md)`", TEXT):
        assert (Path(__file__).parents[2] / name).exists(), name


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\bbs\.(\w+)", TEXT))))
def test_every_name_used_is_public(name):
    assert name in dir(bs)


@pytest.mark.parametrize("name", sorted(bs.__all__))
def test_a_public_name_is_what_it_is_called(name):
    # A function must not turn into the module of its name once that module has been imported.
    found = getattr(bs, name)
    assert type(found).__name__ != "module" or name == "plots"
