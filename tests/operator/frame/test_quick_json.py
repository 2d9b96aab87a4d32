"""JSON that is read fast where that can be, and all the same where it cannot."""

import sys

import pytest

from toolorch_operator.__main__ import DEEPEST_CALLS
from toolorch_operator.quick_json import dumps, loads

DEEPER_THAN_ORJSON = 1100


@pytest.fixture
def deep_calls():
    """As many calls as the operator allows for."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(DEEPEST_CALLS)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b'{"a": [1, 2.5, null, "\xc3\xa4"]}', {"a": [1, 2.5, None, "ä"]}, id="what the API server writes"),
        pytest.param(b'"\\ud83d"', "\ud83d", id="half a character, which a stranger may have put there"),
        pytest.param(b"9223372036854775807", 2**63 - 1, id="the largest number of the API"),
    ],
)
def test_a_text_is_read_and_comes_back(text, value):
    assert loads(text) == value
    assert loads(dumps(value)) == value


def test_more_levels_than_the_fast_reader_takes_are_read(deep_calls):
    text = b"[" * (DEEPER_THAN_ORJSON + 1) + b"]" * (DEEPER_THAN_ORJSON + 1)
    assert dumps(loads(text)) == text


def test_an_object_is_written_as_short_as_can_be():
    assert dumps({"a": [1, {"b": None}]}) == b'{"a":[1,{"b":null}]}'


@pytest.mark.parametrize("text", [b"", b"{", b"nan?"])
def test_what_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match="line 1 column"):
        loads(text)
