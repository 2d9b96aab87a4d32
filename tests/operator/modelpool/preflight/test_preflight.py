"""The preflight as a conversation: what is asked after which reply, and the verdict in the end."""

import json

import pytest

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Exam
from toolorch_operator.modelpool.preflight.answers import Reply, mismatch, parse_streamed
from toolorch_operator.modelpool.preflight.checks import preflight
from toolorch_operator.modelpool.preflight.requests import ORDER, Requests
from toolorch_operator.modelpool.preflight.texts import has_thoughts, marked_call, quiet, spelled_call

EXAM = Exam("m", calls_tools=True, template_kwargs={}, timeout_seconds=9, label="pool")
GAUGE = {"gauge": "north"}
GOOD_ORDER = {"order": {"speed": "express", "lines": [{"part": "bolt", "count": 4}]}}


def call(name="read_gauge", arguments=GAUGE):
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": "c1", "type": "function", "index": 0, "function": {"name": name, "arguments": text}}


def whole(content=None, *calls, finish="stop", **more):
    message = {"role": "assistant", "content": content, "tool_calls": list(calls), **more}
    return Reply(200, json.dumps({"choices": [{"message": message, "finish_reason": finish}]}))


def streamed(content="", *calls, finish="stop", tokens=9, **more):
    """Each call in two pieces, usage in a chunk of its own."""
    deltas = [{"role": "assistant", "content": ""}, {"content": content, **more}]
    for made in calls:
        text = made["function"]["arguments"]
        deltas.append({"tool_calls": [made | {"function": made["function"] | {"arguments": text[:5]}}]})
        deltas.append({"tool_calls": [{"index": made["index"], "function": {"arguments": text[5:]}}]})
    chunks = [{"choices": [{"delta": d}]} for d in deltas]
    chunks += [
        {"choices": [{"delta": {}, "finish_reason": finish}]},
        {"choices": [], "usage": {"completion_tokens": tokens}},
    ]
    return Reply(200, "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n")


ERROR = Reply(400, json.dumps({"error": {"message": "no"}}))
READY, RESULT = whole("ready"), whole("The north gauge is at 212 cm.")
GAUGED, ORDERED = streamed("", call()), whole(None, call("place_order", GOOD_ORDER))
TALK, STREAMED_TALK = whole("I would rather talk."), streamed("I would rather talk.")
FORCED = whole(None, call())


def converse(*replies, requests=None):
    """The checks that were asked for, and the verdict."""
    talk, asked = preflight(requests or Requests(EXAM)), []
    request = next(talk)
    for reply in replies:
        asked.append(request)
        try:
            request = talk.send(reply)
        except StopIteration as end:
            assert len(asked) == len(replies), "it ended too early"
            return asked, end.value
    raise AssertionError(f"it goes on with {request.check}")


def test_a_good_server_is_asked_four_times():
    asked, verdict = converse(READY, GAUGED, RESULT, ORDERED)
    assert [r.check for r in asked] == ["completion", "streamed-call", "second-turn", "nested-call"]
    assert (verdict.passed, verdict.reason) == (True, PoolReason.CALLS_TOOLS)
    assert asked[2].body["messages"][1]["tool_calls"][0]["function"]["arguments"] == json.dumps(GAUGE)
    assert asked[2].body["messages"][2]["tool_call_id"] == "c1"
    assert [r.is_streamed for r in asked] == [False, True, False, False]


def test_a_model_that_talks_has_a_second_try_with_some_chance_in_it():
    asked, verdict = converse(READY, STREAMED_TALK, GAUGED, RESULT, ORDERED)
    assert verdict.passed
    assert [(r.check, r.body["temperature"]) for r in asked[1:3]] == [
        ("streamed-call", 0),
        ("streamed-call-again", 0.7),
    ]
    assert asked[2].is_streamed


def test_a_model_that_must_call_is_let_add_no_second_call():
    asked, _ = converse(READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, FORCED)
    body = asked[-1].body
    assert (body["tool_choice"], body["parallel_tool_calls"], body["max_tokens"]) == ("required", False, 128)
    assert body["tools"][0]["function"]["strict"]
    elsewhere = Requests(EXAM, external=True).required_call().body
    assert "strict" not in elsewhere["tools"][0]["function"]


SILENT = PoolReason.MODEL_DOES_NOT_CALL_TOOLS
LEAKED = PoolReason.TOOL_CALLS_NOT_PARSED
BROKEN = PoolReason.TOOL_ARGUMENTS_INVALID
TAGS = '<tool_call>{"name": "read_gauge", "arguments": {"gauge": "north"}}</tool_call>'
MUTE, THINKING = streamed(""), streamed("", finish="length", reasoning="hm")
BAD_ORDER = whole(None, call("place_order", {"order": {"speed": "slow", "lines": []}}))


@pytest.mark.parametrize(
    ("replies", "reason", "words"),
    [
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, FORCED), SILENT, "it does under", id="calls when forced"
        ),
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, TALK), SILENT, "it does not under", id="never calls"
        ),
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, ERROR), SILENT, "it does not under", id="cannot be forced"
        ),
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, whole(TAGS[:50], finish="length")),
            SILENT,
            "it comes to no end under tool_choice required",
            id="a forced call is cut",
        ),
        pytest.param((READY, GAUGED, RESULT, TALK, TALK, FORCED), SILENT, "nested schema", id="simple calls only"),
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, ORDERED, FORCED), SILENT, "when streamed", id="whole calls only"
        ),
        pytest.param(
            (READY, THINKING, THINKING, TALK, TALK, FORCED), SILENT, "thought until", id="thinks for too long"
        ),
        pytest.param((READY, streamed(TAGS), streamed(TAGS)), LEAKED, "such as hermes", id="a call in the text"),
        pytest.param(
            (READY, streamed("", reasoning=TAGS), streamed("", reasoning=TAGS)),
            LEAKED,
            "in the reasoning",
            id="thought",
        ),
        pytest.param(
            (READY, streamed(TAGS, call())), LEAKED, "in the content under tool_choice auto", id="a call and its text"
        ),
        pytest.param((READY, GAUGED, whole(TAGS)), LEAKED, "after a tool's result", id="a second turn with call text"),
        pytest.param((READY, MUTE, MUTE, TALK, TALK, FORCED), LEAKED, "wrote 9 tokens", id="tokens come to nothing"),
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, whole(TAGS)), LEAKED, "required", id="leaks when forced"
        ),
        pytest.param(
            (READY, *[streamed("", call("read_gauge", '{"gauge": "nor'), finish="length")] * 2),
            BROKEN,
            'are no JSON (cut at max_tokens): \'{"gauge": "nor\'',
            id="arguments are cut",
        ),
        pytest.param(
            (READY, GAUGED, RESULT, BAD_ORDER, BAD_ORDER), BROKEN, "order.speed is not one of", id="an unknown value"
        ),
        pytest.param(
            (READY, *[streamed("", call("read_clock"))] * 2), BROKEN, "'read_clock', which was not", id="another tool"
        ),
        pytest.param(
            (READY, GAUGED, whole("<think>hm</think>\n212 cm"), ORDERED),
            PoolReason.REASONING_LEAKS_INTO_CONTENT,
            "set reasoningParser",
            id="thoughts in the text",
        ),
        pytest.param((Reply(401, ""),), PoolReason.API_KEY_REFUSED, "401", id="a completion wants a key"),
        pytest.param((Reply(503, "busy"),), PoolReason.COMPLETION_FAILED, "answered 503", id="it is overloaded"),
        pytest.param(
            (READY, GAUGED, ERROR),
            PoolReason.COMPLETION_FAILED,
            "second-turn was answered 400: no",
            id="no second turn",
        ),
        pytest.param(
            (READY, STREAMED_TALK, STREAMED_TALK, TALK, TALK, Reply(500, "")),
            PoolReason.COMPLETION_FAILED,
            "required-call was answered 500",
            id="it breaks when forced",
        ),
        pytest.param(
            (READY, Reply(200, 'data: {"error": {"message": "out of memory"}}\n\ndata: [DONE]\n\n')),
            PoolReason.COMPLETION_FAILED,
            "an error came in the stream: out of memory",
            id="an error in the stream",
        ),
        pytest.param((READY, Reply(200, "")), PoolReason.COMPLETION_FAILED, "held nothing", id="an empty stream"),
    ],
)
def test_a_server_fails_when(replies, reason, words):
    _, verdict = converse(*replies)
    assert (verdict.passed, verdict.reason) == (False, reason)
    assert words in verdict.message
    assert not verdict.message.endswith(".")


def test_answers_never_take_more_than_a_part_of_a_short_context():
    asked, _ = converse(READY, GAUGED, RESULT, ORDERED, requests=Requests(EXAM, max_model_len=800))
    assert [r.body["max_tokens"] for r in asked] == [16, 200, 200, 200]


def test_a_streams_text_may_hold_any_line_end_of_unicode():
    chunk = '{"choices": [{"delta": {"content": "a\u2028b"}}]}'
    assert parse_streamed(f"data: {chunk}\r\n\r\ndata: [DONE]\r\n\r\n").content == "a\u2028b"


SCHEMA = ORDER["function"]["parameters"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(GOOD_ORDER, "", id="nothing"),
        pytest.param([], "arguments is not of type object", id="a list for an object"),
        pytest.param({"order": {"speed": "normal"}}, "arguments.order lacks lines", id="a field is missing"),
        pytest.param(
            {"order": {"speed": "normal", "lines": [{"part": "nut", "count": "4"}]}},
            "arguments.order.lines[0].count is not of type integer",
            id="a text for a number",
        ),
        pytest.param(
            {"order": {"speed": "normal", "lines": [{"part": "nut", "count": True}]}},
            "arguments.order.lines[0].count is not of type integer",
            id="a truth for a number",
        ),
        pytest.param(
            {"order": {"speed": "normal", "lines": "4 nuts"}},
            "arguments.order.lines is not of type array",
            id="a text for a list",
        ),
    ],
)
def test_what_is_wrong_with_arguments_is(value, expected):
    assert mismatch(SCHEMA, value) == expected


@pytest.mark.parametrize(
    ("text", "parser"),
    [
        pytest.param('[TOOL_CALLS] [{"name": "read_gauge", "arguments": {}}]', "mistral", id="mistral"),
        pytest.param('<|python_tag|>{"name": "read_gauge"}', "llama3_json", id="a python tag"),
        pytest.param('{"name": "read_gauge", "parameters": {}}', "llama3_json", id="bare JSON"),
        pytest.param('[read_gauge(gauge="north")]', "pythonic", id="Python"),
        pytest.param('read_gauge({"gauge": "north"})', "", id="a habit that no parser has"),
        pytest.param("assistantcommentary to=functions.read_gauge", "openai", id="harmony without its tokens"),
        pytest.param("I call read_gauge for you: the level is 212 cm.", None, id="no call"),
        pytest.param('{"gauge": "north", "level_cm": 212}', None, id="a result that is repeated"),
        pytest.param('<tool_call> "name": 7 </tool_call>', None, id="marks and no sense"),
    ],
)
def test_a_call_in_a_text_is_read_as(text, parser):
    assert (marked_call(text, "read_gauge") or spelled_call(text, "read_gauge")) == parser


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("\n<think>a", True, id="a thought without an end"),
        pytest.param("a\n</think>\n\nb", True, id="a thought whose beginning stood in the prompt"),
        pytest.param("[THINK]a[/THINK]b", True, id="another mark"),
        pytest.param("write <think> before a thought and </think> after it", False, id="words about thoughts"),
    ],
)
def test_thoughts_are_seen_in(text, seen):
    assert has_thoughts(["", text]) is seen


def test_a_servers_message_is_one_short_line_without_keys_and_addresses():
    told = quiet(f"bad key sk-proj-1234567890 (Bearer abc)\n see https://x.example/{'y' * 9} or {'z' * 400}.")
    assert told.startswith("bad key … (… see … or zzz")
    assert len(told) == 240
