"""Docs keep up with the code: every reason is named, every link leads somewhere."""

import re
from pathlib import Path

import pytest

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.pool_reasons import PoolCondition, PoolReason

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("vocabulary", [PoolCondition, PoolReason, RunCondition, RunReason], ids=lambda v: v.__name__)
def test_every_condition_and_reason_is_in_the_concepts(vocabulary):
    text = (ROOT / "docs" / "concepts.md").read_text()
    assert [word for word in vocabulary if f"`{word}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []
