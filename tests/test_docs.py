"""Docs keep up with the code: every reason is named and explained, every link leads somewhere."""

import re
from pathlib import Path

import pytest

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_operator.modelpool.memory.rungs import LADDER

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]


def section(page: str, heading: str) -> str:
    """Return what stands between a heading and the next one of its level or above."""
    text = (ROOT / "docs" / page).read_text()
    level = len(heading.partition(" ")[0])
    return re.split(rf"^#{{1,{level}}} ", text.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of all table rows that begin with a word of code."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:3] == "| `"]


def anchor(heading: str) -> str:
    """Return what a heading is linked by."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("vocabulary", [PoolCondition, PoolReason, RunCondition, RunReason], ids=lambda v: v.__name__)
def test_every_condition_and_reason_is_in_the_concepts(vocabulary):
    text = (ROOT / "docs" / "concepts.md").read_text()
    assert [word for word in vocabulary if f"`{word}`" not in text] == []


def test_every_state_of_a_replica_is_in_the_story_of_its_life():
    told = re.findall(r"^- \*\*(\w+)\*\*: ", section("concepts.md", "## The life of a replica"), re.MULTILINE)
    assert sorted(told) == sorted(InstanceState)


def test_every_reason_of_a_pool_has_one_row_that_says_what_to_do():
    explained = [row for row in rows(section("operations.md", "## Reasons of a pool")) if len(row) == 5 and all(row)]
    assert sorted(row[0].strip("`") for row in explained) == sorted(PoolReason)


def test_every_class_of_crash_has_its_row_with_the_remedies():
    listed = [row[0].strip("`") for row in rows(section("operations.md", "### The ladder, class by class"))]
    assert sorted(listed) == sorted(LADDER)


def test_every_row_of_what_a_stranger_can_try_names_its_tests():
    lines = section("security.md", "## What a stranger can try").splitlines()
    tried = [cells for cells in (line.strip("|").split("|") for line in lines if line[:2] == "| ") if cells[2].strip()][
        1:
    ]
    assert len(tried) > 25
    assert [cells[1].strip() for cells in tried if "::test_" not in cells[3]] == []


def test_every_test_that_the_page_on_security_names_is_there():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 40
    assert [f"{path}::{name}" for path, name in named if not defines(ROOT / path, name)] == []


def defines(path: Path, name: str) -> bool:
    """Tell whether a file of tests has a test of that name."""
    return path.exists() and f"def {name}(" in path.read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_to_headings_lead_to_one(page):
    links = re.findall(r"\]\(([^)#:\s]*)#([^)]+)\)", page.read_text())
    pages = {target: (page.parent / target if target else page).read_text() for target, _ in links}
    anchors = {name: {anchor(h) for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)} for name, text in pages.items()}
    assert [(target, name) for target, name in links if name not in anchors[target]] == []
