"""What goes over the wire, and what error answers mean."""

import json

import pytest

from toolorch_api.roles import Role
from toolorch_api.shard import PoolInput
from toolorch_evaluator.benchmarks.base import InvalidReplyError
from toolorch_evaluator.wire import NotACompletionError, build_body, classify, parse_answer

POOL = PoolInput(model="m", served_model_name="tiny", chat_template_kwargs={"enable_thinking": False})
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}
VLLM = (
    "This model's maximum context length is 32768 tokens. However, you requested 80034 tokens in the messages. "
    "Please reduce the length of the messages."
)


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


@pytest.mark.parametrize(
    ("status", "text", "cause", "passing", "overflow"),
    [
        pytest.param(500, "unexpected tokens", "model_server_error", True, False, id="a server's crash passes"),
        pytest.param(503, "", "model_server_error", True, False, id="a server that starts passes"),
        pytest.param(429, "slow down", "model_busy", True, False, id="a rate limit passes"),
        pytest.param(408, "", "model_timeout", True, False, id="a gateway's timeout passes"),
        pytest.param(400, VLLM, "context_window_exceeded", False, True, id="vLLM's context length is the model's end"),
        pytest.param(
            400,
            '{"error": {"code": "context_length_exceeded"}}',
            "context_window_exceeded",
            False,
            True,
            id="OpenAI's context length too",
        ),
        pytest.param(
            400,
            "The decoder prompt (length 40001) is longer than the maximum model length of 32768.",
            "context_window_exceeded",
            False,
            True,
            id="and vLLM's other wording",
        ),
        pytest.param(400, "bad tool", "model_refused", False, False, id="another 400 is nobody's success later"),
        pytest.param(401, "who?", "model_unauthorized", False, False, id="a wrong key stays wrong"),
        pytest.param(404, "no such model", "model_not_found", False, False, id="a missing model stays missing"),
    ],
)
def test_error_answers(status, text, cause, passing, overflow):
    trouble = classify(status, text)
    assert (trouble.cause, trouble.passing, trouble.overflow) == (cause, passing, overflow)


def test_max_tokens_beyond_the_window_is_the_specs_mistake_and_not_the_models():
    assert classify(400, VLLM, max_tokens=40000).cause == "max_tokens_too_large"
    assert classify(400, VLLM, max_tokens=8000).overflow
    newer = (
        "max_tokens=4096 cannot be greater than max_model_len=max_model_len=2048. Please request fewer output tokens."
    )
    assert classify(400, newer, max_tokens=4096).cause == "max_tokens_too_large"


@pytest.mark.parametrize(
    ("header", "pause"), [("7", 7.0), ("-1", 0.0), ("Fri, 20 Nov 2026 12:00:00 GMT", None), (None, None)]
)
def test_retry_after(header, pause):
    assert classify(429, "", header).pause == pause


def test_an_answer_is_read_with_usage_and_who_served_it(complete):
    answer = parse_answer(json.dumps(complete(None, [("look", '{"a": 1}'), ("stop", "")])).encode())
    assert [(c.name, c.arguments) for c in answer.reply.tool_calls] == [("look", {"a": 1}), ("stop", {})]
    assert (answer.reply.content, answer.served, answer.prompt_tokens, answer.completion_tokens) == (
        None,
        "tiny",
        10,
        3,
    )


@pytest.mark.parametrize("arguments", ["{broken", "[1]", '"text"', "3"])
def test_arguments_that_are_no_object_are_the_models_doing(complete, arguments):
    with pytest.raises(InvalidReplyError, match="look"):
        parse_answer(json.dumps(complete(None, [("look", arguments)])).encode())


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": null}]}'])
def test_a_body_that_is_no_completion_is_the_servers_doing(body):
    with pytest.raises(NotACompletionError):
        parse_answer(body)
