"""What goes over the wire, both ways."""

import json

import pytest

from toolorch_api.roles import Role
from toolorch_api.shard import PoolInput
from toolorch_evaluator.wire import NotACompletionError, build_body, parse_answer

POOL = PoolInput(model="m", served_model_name="tiny", chat_template_kwargs={"enable_thinking": False})
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def test_a_body_holds_what_the_spec_says_and_nothing_else():
    role = Role(pool="p", temperature="0.7", max_tokens=50, tool_choice="required")
    assert build_body(role, POOL, [{"role": "user", "content": "hi"}], [TOOL], 300, 0.0) == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 0.7,
        "max_tokens": 50,
        "seed": 300,
        "tools": [TOOL],
        "tool_choice": "required",
        "chat_template_kwargs": {"enable_thinking": False},
    }


def test_without_tools_and_settings_a_body_is_model_messages_and_the_benchmarks_temperature():
    plain = PoolInput(model="m", served_model_name="tiny")
    assert build_body(Role(pool="p"), plain, [], [], None, 0.0) == {"model": "tiny", "messages": [], "temperature": 0.0}
    assert "temperature" not in build_body(Role(pool="p"), plain, [], [], None, None)


def test_an_answer_is_read_with_usage_and_who_served_it(complete):
    answer = parse_answer(json.dumps(complete(None, [("look", '{"a": 1}'), ("stop", "")])).encode())
    assert [(c.name, c.arguments) for c in answer.reply.tool_calls] == [("look", {"a": 1}), ("stop", {})]
    assert (answer.reply.content, answer.served, answer.prompt_tokens, answer.completion_tokens) == (
        None,
        "tiny",
        10,
        3,
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param("plain", "plain", id="without a thought nothing changes"),
        pytest.param(" a < b \n", " a < b \n", id="not even white space"),
        pytest.param("<think>hm</think>\n\nhello", "hello", id="a thought before the text"),
        pytest.param("hm</think>hello", "hello", id="a thought that the prompt opened"),
        pytest.param("hello <think>a</think> and <think>b\n</think>goodbye", "hello  and goodbye", id="two of them"),
        pytest.param("a</think>b<think>c</think>d", "bd", id="an end and a whole one"),
        pytest.param("<think>hm</think>", "", id="nothing but a thought is empty"),
        pytest.param("<think>and so on", "", id="a thought that was cut off is empty"),
        pytest.param(None, None, id="no text"),
    ],
)
def test_thoughts_are_no_part_of_what_was_said_and_are_noted(complete, written, said):
    answer = parse_answer(json.dumps(complete(written)).encode())
    assert (answer.reply.content, answer.has_leaked) == (said, said != written)


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '"text"', "3"])
def test_arguments_that_are_no_object_are_the_models_doing_and_have_cost_their_tokens(complete, arguments):
    answer = parse_answer(json.dumps(complete(None, [("look", arguments)])).encode())
    assert "look" in answer.unreadable
    assert answer.completion_tokens == 3


@pytest.mark.parametrize("levels", [65, 200_000])
def test_arguments_of_any_depth_are_the_models_doing(complete, levels):
    answer = parse_answer(json.dumps(complete(None, [("look", '{"a":' * levels + "1" + "}" * levels)])).encode())
    assert answer.unreadable == "arguments of tool call look are no JSON: more than 64 levels of JSON"


def test_half_a_character_is_none_and_a_transcript_can_hold_what_came(complete):
    body = json.dumps(complete("a \ud83d", [("look", '{"\\udc00": "\\ud83d\\ude00 \\ud83d"}')])).encode()
    reply = parse_answer(body).reply
    assert (reply.content, reply.tool_calls[0].arguments) == ("a ?", {"?": "\U0001f600 ?"})
    json.dumps([reply.content, reply.tool_calls[0].arguments], ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"[" * 200_000]
)
def test_a_body_that_is_no_completion_is_the_servers_doing(body):
    with pytest.raises(NotACompletionError):
        parse_answer(body)


def test_what_a_benchmark_means_yields_to_the_spec_but_for_the_tool_choice():
    pool = PoolInput(model="m", served_model_name="m", chat_template_kwargs={"enable_thinking": True})
    wants = {
        "temperature": 0.2,
        "max_tokens": 8000,
        "tool_choice": "required",
        "chat_template_kwargs": {"enable_thinking": False, "x": 1},
    }
    tools = [{"type": "function"}]
    meant = build_body(Role(pool="p"), pool, [], tools, None, 0.0, wants)
    assert (meant["temperature"], meant["max_tokens"], meant["tool_choice"]) == (0.2, 8000, "required")
    assert meant["chat_template_kwargs"] == {"enable_thinking": True, "x": 1}
    said = build_body(Role(pool="p", temperature="1.0", max_tokens=5), pool, [], tools, None, 0.0, wants)
    assert (said["temperature"], said["max_tokens"], said["tool_choice"]) == (1.0, 5, "required")
