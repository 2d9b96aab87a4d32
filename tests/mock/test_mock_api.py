"""The OpenAI API of a running mock, asked by the openai client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from aiohttp import ClientSession

from toolorch_mock.faults import FaultSettings

TOOL_FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}},
    "required": ["city"],
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}
OTHER: Any = {"type": "function", "function": {"name": "other", "parameters": {"type": "object", "properties": {}}}}
ASKED: Any = [{"role": "user", "content": "Please call get_weather for some city."}]
HELLO: Any = [{"role": "user", "content": "Hello"}]


async def test_models_lists_every_served_name_with_its_context_length(running):
    async with running("--max-model-len", "4096") as mock:
        models = [m.model_dump() async for m in mock.client.models.list()]
        assert [(m["id"], m["root"], m["max_model_len"]) for m in models] == [
            ("served", "mock/oracle", 4096),
            ("alias", "mock/oracle", 4096),
        ]


async def test_health_version_and_metrics_answer(running):
    async with running() as mock:
        answer = await mock.ask()
        assert await mock.text("/health") == ""
        assert json.loads(await mock.text("/version"))["version"]
        lines = (await mock.text("/metrics")).splitlines()
        label = '{engine="0",model_name="served"}'
        assert f"vllm:num_requests_running{label} 0.0" in lines
        assert f"vllm:prompt_tokens_total{label} {float(answer.usage.prompt_tokens)}" in lines
        assert f"vllm:generation_tokens_total{label} {float(answer.usage.completion_tokens)}" in lines


async def test_a_text_answer_has_usage_and_ends_with_stop(running):
    async with running() as mock:
        answer = await mock.ask(model="alias")
        assert answer.model == "alias"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].message.content
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


async def test_a_text_is_cut_at_max_tokens(running):
    async with running() as mock:
        answer = await mock.ask(max_tokens=1)
        assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 1)


async def test_auto_calls_the_tool_that_the_user_names_and_then_tells_its_result(running):
    async with running(*TOOL_FLAGS) as mock:
        first = (await mock.ask(ASKED, tools=[OTHER, WEATHER])).choices[0]
        assert first.finish_reason == "tool_calls"
        call = first.message.tool_calls[0]
        assert json.loads(call.function.arguments) == {"city": {"name": "x"}}
        result = {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}
        second = await mock.ask([*ASKED, first.message, result], tools=[OTHER, WEATHER])
        assert "21 degrees" in second.choices[0].message.content


async def test_auto_without_the_servers_flags_is_refused_in_vllms_words(running):
    async with running() as mock:
        with pytest.raises(openai.BadRequestError, match='"auto" tool choice requires --enable-auto-tool-choice'):
            await mock.ask(ASKED, tools=[WEATHER])
        with pytest.raises(openai.BadRequestError, match='"required" requires --tool-call-parser'):
            await mock.ask(ASKED, tools=[WEATHER], tool_choice="required")


async def test_the_mock_user_has_tools_without_the_servers_flags(running):
    async with running(model="mock/user") as mock:
        assert (await mock.ask(tools=[WEATHER])).choices[0].message.content


@pytest.mark.parametrize(
    ("choice", "called", "reason"),
    [
        ("required", "other", "tool_calls"),
        ({"type": "function", "function": {"name": "get_weather"}}, "get_weather", "stop"),
        ("none", None, "stop"),
    ],
    ids=["required calls some tool", "a named function is called", "none calls no tool"],
)
async def test_tool_choice_is_obeyed(running, choice, called, reason):
    async with running("--enable-auto-tool-choice", "--tool-call-parser", "hermes") as mock:
        answer = (await mock.ask(HELLO, tools=[OTHER, WEATHER], tool_choice=choice)).choices[0]
        calls = answer.message.tool_calls
        assert (calls[0].function.name if calls else None) == called
        assert answer.finish_reason == reason


async def collect(stream: Any) -> tuple[str, list[Any], list[Any]]:
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    text = "".join(delta.content or "" for delta in deltas)
    return text, [call for delta in deltas for call in delta.tool_calls or ()], chunks


async def test_a_streamed_text_joins_to_the_whole_and_tells_usage_last(running):
    async with running() as mock:
        whole = await mock.ask()
        text, _, chunks = await collect(await mock.ask(stream=True, stream_options={"include_usage": True}))
        assert text == whole.choices[0].message.content
        assert len(chunks) > 4
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


async def test_a_streamed_tool_call_joins_to_the_whole(running):
    async with running(*TOOL_FLAGS) as mock:
        _, calls, chunks = await collect(await mock.ask(ASKED, tools=[WEATHER], stream=True))
        assert calls[0].function.name == "get_weather"
        assert json.loads("".join(c.function.arguments or "" for c in calls)) == {"city": {"name": "x"}}
        assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_the_id_of_an_answer_carries_the_requests_id(running):
    async with running() as mock:
        answer = await mock.ask(extra_headers={"X-Request-Id": "r/v/d/t/1/agent/3"})
        assert answer.id == "chatcmpl-r/v/d/t/1/agent/3"


async def test_the_unit_of_the_requests_id_decides_what_the_oracle_does(running):
    tool: Any = {"type": "function", "function": {"name": "find_user_id_by_name_zip", "parameters": SCHEMA}}
    header = {"X-Request-Id": "a-run/control/retail/0/1/agent/1"}
    async with running(*TOOL_FLAGS) as mock:
        call = (await mock.ask(tools=[tool], extra_headers=header)).choices[0].message.tool_calls[0]
        assert json.loads(call.function.arguments) == {"first_name": "Yusuf", "last_name": "Rossi", "zip": "19122"}


@pytest.mark.parametrize("request_id", ["r/control/retail/no-task/1/agent/1", "r/control/no-domain/0/1/agent/1"])
async def test_an_unknown_unit_is_answered_as_any_request(running, request_id):
    async with running() as mock:
        answer = await mock.ask(extra_headers={"X-Request-Id": request_id})
        assert answer.choices[0].message.content == "Hello, how can I help?"


@pytest.mark.parametrize(
    ("request_", "error", "said"),
    [
        ({"model": "other"}, openai.NotFoundError, "The model `other` does not exist."),
        ({"max_tokens": 99}, openai.BadRequestError, "is too large: 99. This model's maximum context length is 100"),
        ({"messages": [{"role": "user", "content": "x" * 500}]}, openai.BadRequestError, "reduce the length"),
        ({"tool_choice": "required"}, openai.BadRequestError, "`tools` must be set"),
    ],
    ids=["an unknown model", "too many tokens wanted", "a prompt that is too long", "a choice without tools"],
)
async def test_errors_have_vllms_form(running, request_: dict[str, Any], error: type[openai.APIStatusError], said: str):
    async with running("--max-model-len", "100") as mock:
        with pytest.raises(error, match=said) as raised:
            await mock.ask(**request_)
        assert raised.value.body["code"] == raised.value.status_code  # type: ignore[index]


async def test_a_server_with_keys_refuses_others(running):
    async with running("--api-key", "secret") as mock:
        with pytest.raises(openai.AuthenticationError):
            await mock.ask()
        assert await mock.text("/health") == ""


async def times(action: Callable[[], Awaitable[Any]]) -> float:
    begun = asyncio.get_running_loop().time()
    await action()
    return asyncio.get_running_loop().time() - begun


async def test_latency_delays_an_answer(running):
    async with running(faults=FaultSettings(latency_ms=100)) as mock:
        assert await times(mock.ask) >= 0.1


async def test_a_failing_server_answers_500_and_stays_healthy(running):
    async with running(faults=FaultSettings(error_percent=100)) as mock:
        with pytest.raises(openai.InternalServerError, match="MOCK_ERROR_PERCENT"):
            await mock.ask()
        assert await mock.text("/health") == ""


async def until_running(mock: Any) -> None:
    """Return when a request is being served; each look is a request, which gives way to the others."""
    while await mock.metric("num_requests_running") < 1:
        pass


async def test_a_hung_request_shows_as_running_while_health_answers_and_its_retry_succeeds(running):
    async with running(faults=FaultSettings(hang_percent=100)) as mock:
        header = {"X-Request-Id": "r/v/d/t/1/agent/1"}
        hung = asyncio.create_task(mock.ask(extra_headers=header))
        await until_running(mock)
        assert await mock.text("/health") == ""
        assert (await mock.ask(extra_headers=header)).choices[0].message.content
        hung.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hung


async def test_a_tool_call_cut_at_max_tokens_leaks_into_the_text(running):
    async with running(*TOOL_FLAGS) as mock:
        answer = (await mock.ask(ASKED, tools=[WEATHER], max_tokens=4)).choices[0]
        assert (answer.finish_reason, answer.message.tool_calls) == ("length", [])
        assert answer.message.content.startswith("<tool_call>")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "though a stream was asked for"])
async def test_a_flood_is_a_completion_larger_than_anybody_wants(running, stream):
    async with (
        running(faults=FaultSettings(flood_unit="control/retail/3/0", flood_mib=3)) as mock,
        ClientSession() as session,
    ):

        async def ask(unit, role):
            identity = f"run/{unit}/{role}/1"
            body = {"model": "served", "messages": HELLO, "stream": stream}
            address = f"{mock.url}/v1/chat/completions"
            async with session.post(address, json=body, headers={"X-Request-Id": identity}) as response:
                return await response.read()

        raw = await ask("control/retail/3/0", "agent")
        answer = json.loads(raw)
        assert 3 * 2**20 <= len(raw) < 3 * 2**20 + 10_000
        assert answer["choices"]
        assert answer["flood"] == [[]] * len(answer["flood"]), "twenty times as large when it is read"
        for other in (("control/retail/3/0", "user"), ("control/retail/3/1", "agent")):
            assert len(await ask(*other)) < 10_000
