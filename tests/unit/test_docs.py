"""What the pages of the docs name exists, and what they show runs."""

import re
from pathlib import Path

import pytest

import bayes_scaling as bs
from bayes_scaling import plots

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {p.name: p.read_text("utf-8") for p in sorted(DOCS.glob("*.md"))}


def test_the_first_page_is_there():
    assert {"nine-runs.md", "how-to-choose.md", "errors.md"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_every_name_of_the_package_is_public(page):
    for name in re.findall(r"\bbs\.(\w+)", PAGES[page]):
        assert name in dir(bs), name
    for name in re.findall(r"\bplots\.(\w+)", PAGES[page]):
        assert hasattr(plots, name), name


def test_every_law_and_answer_of_the_guide_is_public():
    """In the third and fourth columns of its tables; of a call, what is before its bracket."""
    named = set()
    for row in re.findall(r"^\|(.*)\|$", PAGES["how-to-choose.md"], re.MULTILINE):
        cells = [c.strip() for c in row.split("|")]
        if len(cells) == 5 and not set(cells[0]) <= set("- "):
            named |= set(re.findall(r"`(\w+)", " ".join(cells[2:4])))
    assert len(named) > 40
    assert not {n for n in named if n not in dir(bs)} - {"alone", "breaks", "zeros"}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", PAGES[page]):
        assert (DOCS / target).exists(), target


def test_the_guide_names_every_law():
    missing = [
        name
        for name in bs.LAWS
        if bs.LAWS[name].__name__ not in PAGES["how-to-choose.md"]
        and name not in ("kaplan_nd", "kaplan_ns", "m4", "noise_scale")
    ]
    assert not missing, missing
