"""Paths of units: any task id becomes one safe path segment, and no two become the same."""

import re

from hypothesis import given
from hypothesis import strategies as st

from toolorch_api.keys import result_key
from toolorch_api.unit import MAX_SLUG_LENGTH, Unit, slug


@given(st.text(max_size=300))
def test_a_slug_is_one_safe_path_segment(text):
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,80}", slug(text)) or text == ""
    assert slug(text) not in (".", "..")


@given(st.lists(st.text(min_size=1, max_size=200), unique=True, max_size=30))
def test_distinct_ids_stay_distinct(texts):
    assert len({slug(t) for t in texts}) == len(texts)


def test_plain_ids_stay_readable():
    assert slug("task-1.b_c") == "task-1.b_c"
    assert len(slug("x" * 500)) == MAX_SLUG_LENGTH


def test_a_task_id_cannot_leave_its_folder():
    key = result_key(Unit("control", "retail", "../../../etc/passwd", 0))
    assert key.startswith("results/control/retail/")
    assert ".." not in key.split("/")
