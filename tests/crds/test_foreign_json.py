"""JSON of strangers: what it may hold, and what of it is refused before anything breaks."""

import json

import pytest

from toolorch_api.foreign_json import MOST_LEVELS, has_more_levels, parse_json


def nested(levels, inner="1"):
    return "[" * levels + inner + "]" * levels


@pytest.mark.parametrize(
    ("value", "levels"),
    [(1, 0), ([], 0), ([1], 1), ({"a": {}}, 1), ({"a": 1, "b": [{"c": 1}]}, 3)],
    ids=["a plain value", "an empty list", "a list", "an empty object inside", "the deepest of several"],
)
def test_levels_are_those_of_lists_and_objects_that_hold_something(value, levels):
    assert not has_more_levels(value, levels)
    assert not levels or has_more_levels(value, levels - 1)


def test_json_is_read_up_to_a_depth():
    assert parse_json(nested(MOST_LEVELS)) == json.loads(nested(MOST_LEVELS))
    for text in (nested(MOST_LEVELS + 1), nested(200_000), "[" * 200_000):
        with pytest.raises(ValueError, match="more than 64 levels"):
            parse_json(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"\ud83d\ude00"', "\U0001f600"),
        (r'{"\ude00": "a\ud83d"}', {"?": "a?"}),
        (r'"\\ud83d"', r"\ud83d"),
        (b'\xef\xbb\xbf"a"', "a"),
    ],
    ids=["both halves", "halves alone", "an escaped backslash", "bytes with their mark"],
)
def test_text_is_whole(text, value):
    assert parse_json(text) == value


@pytest.mark.parametrize("text", [b'"\xed\xa0\xbd"', b'"\xff"', "9" * 5000, "{", ""])
def test_what_cannot_be_read_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        parse_json(text)
