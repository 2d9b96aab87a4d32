"""What a pool is asked before it counts as ready, and how models fail at it: formats, cut calls, thoughts, silence."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from jsonschema import Draft202012Validator

from toolorch_mock.brains.schema import minimal_value
from toolorch_mock.dialect import TOOL_FORMATS, Dialect
from toolorch_mock.faults import FaultSettings

FLAGS = ("--enable-auto-tool-choice", "--tool-call-parser", "hermes")
CHECK = {"X-Request-Id": "preflight/a-pool/a-check"}
USEFUL = ("mock/oracle", "mock/user", "mock/idle", "mock/skill-0", "mock/skill-100", "mock/thinking", "Qwen/Qwen3-8B")

CALLED = '{"city": "x", "unit": "celsius"}'
CLIMATE = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
}
ORDER = {
    "type": "object",
    "properties": {
        "customer": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        "items": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "kind": {"enum": ["tea", "cake"]},
                    "count": {"type": "integer", "minimum": 2},
                    "note": {"type": "string"},
                },
                "required": ["kind", "count"],
            },
        },
    },
    "required": ["customer", "items"],
}


def tool(name: str, schema: dict[str, Any], description: str = "") -> Any:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


WEATHER = tool("look_outside", CLIMATE, "Tells the weather of a city.")
PLACE_ORDER = tool("place_order", ORDER)
WEATHER_ASKED: Any = [{"role": "user", "content": "How warm is the weather in Lisbon, in celsius?"}]
ORDERED: Any = [{"role": "user", "content": "Please order two teas and a cake for Ada."}]


async def joined(stream: Any) -> tuple[dict[str, Any], Any]:
    """The message of a stream, and its usage."""
    message: dict[str, Any] = {"content": "", "reasoning": "", "reasoning_content": "", "name": "", "arguments": ""}
    usage = None
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            delta = choice.delta.model_dump()
            for key in ("content", "reasoning", "reasoning_content"):
                message[key] += delta.get(key) or ""
            for call in delta.get("tool_calls") or ():
                message["name"] += call["function"].get("name") or ""
                message["arguments"] += call["function"].get("arguments") or ""
    return message, usage


@pytest.mark.parametrize("model", USEFUL)
async def test_every_check_is_passed_by(running, model):
    async with running(*FLAGS, "--reasoning-parser", "qwen3", model=model) as mock:
        kwargs: Any = {"extra_headers": CHECK, "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}
        assert (await mock.ask(max_tokens=16, **kwargs)).choices[0].message.content

        stream = await mock.ask(
            WEATHER_ASKED, tools=[WEATHER], stream=True, stream_options={"include_usage": True}, **kwargs
        )
        message, usage = await joined(stream)
        assert message["name"] == "look_outside"
        Draft202012Validator(CLIMATE).validate(json.loads(message["arguments"]))
        assert usage.completion_tokens > 0

        function = {"name": "look_outside", "arguments": message["arguments"]}
        turns: Any = [
            *WEATHER_ASKED,
            {"role": "assistant", "tool_calls": [{"id": "call-1", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "call-1", "content": '{"degrees": 31}'},
        ]
        second = (await mock.ask(turns, tools=[WEATHER], **kwargs)).choices[0].message
        assert "31" in second.content
        assert not second.tool_calls

        for choice in ("auto", "required"):
            nested = await mock.ask(ORDERED, tools=[WEATHER, PLACE_ORDER], tool_choice=choice, **kwargs)
            call = nested.choices[0].message.tool_calls[0].function
            assert call.name == "place_order"
            Draft202012Validator(ORDER).validate(json.loads(call.arguments))


@pytest.mark.parametrize(
    ("model", "calls"), [("mock/oracle", True), ("mock/user", True), ("mock/silent", False)], ids=lambda v: str(v)
)
async def test_a_call_is_made_where_the_words_ask_for_one_but_not_by_the_silent(running, model, calls):
    async with running(*FLAGS, model=model) as mock:
        message = (await mock.ask(WEATHER_ASKED, tools=[WEATHER])).choices[0].message
        assert bool(message.tool_calls) is calls
        assert bool(message.content) is not calls
        forced = (await mock.ask(WEATHER_ASKED, tools=[WEATHER], tool_choice="required")).choices[0].message
        assert forced.tool_calls[0].function.name == "look_outside"


@pytest.mark.parametrize(
    ("tool_format", "written"),
    [
        (
            "hermes",
            '<tool_call>\n{"name": "look_outside", "arguments": {"city": "x", "unit": "celsius"}}\n</tool_call>',
        ),
        ("llama3_json", f'{{"name": "look_outside", "parameters": {CALLED}}}'),
        ("pythonic", "[look_outside(city='x', unit='celsius')]"),
        ("mistral", f'[TOOL_CALLS] [{{"name": "look_outside", "arguments": {CALLED}}}]'),
    ],
)
async def test_a_call_leaks_into_the_text_where_the_parser_reads_another_format(running, tool_format, written):
    flags = ("--enable-auto-tool-choice", "--tool-call-parser", "jamba")
    async with running(*flags, faults=FaultSettings(tool_format=tool_format)) as mock:
        leaked = (await mock.ask(WEATHER_ASKED, tools=[WEATHER])).choices[0]
        assert (leaked.message.content, leaked.message.tool_calls, leaked.finish_reason) == (written, [], "stop")
        streamed, _ = await joined(await mock.ask(WEATHER_ASKED, tools=[WEATHER], stream=True))
        assert (streamed["content"], streamed["name"]) == (written, "")
        required = (await mock.ask(WEATHER_ASKED, tools=[WEATHER], tool_choice="required")).choices[0].message
        assert (required.content, json.loads(required.tool_calls[0].function.arguments)["unit"]) == (None, "celsius")


@pytest.mark.parametrize(
    ("tool_format", "parser", "reads"),
    [
        *((name, name, True) for name in TOOL_FORMATS),
        *((name, "jamba", False) for name in TOOL_FORMATS),
        ("llama3_json", "llama4_json", True),
        ("hermes", "", False),
        ("", "jamba", True),
    ],
)
def test_a_parser_reads_its_own_format_and_any_where_none_is_set(tool_format, parser, reads):
    assert Dialect(tool_format, parser).reads_calls is reads


@pytest.mark.parametrize("tool_format", TOOL_FORMATS)
@pytest.mark.parametrize("arguments", ['{"city": "Lisbon", "days": [1, 2]}', '{"city": "Lis'], ids=["whole", "cut off"])
def test_every_format_holds_name_and_arguments(tool_format, arguments):
    written = Dialect(tool_format).write_call("look_outside", arguments)
    assert "look_outside" in written
    assert "Lis" in written


async def test_a_cut_call_is_no_json_unless_a_call_is_required(running):
    async with running(*FLAGS, model="mock/cut") as mock:
        auto = (await mock.ask(WEATHER_ASKED, tools=[WEATHER])).choices[0]
        assert auto.finish_reason == "tool_calls"
        with pytest.raises(json.JSONDecodeError):
            json.loads(auto.message.tool_calls[0].function.arguments)
        required = (await mock.ask(WEATHER_ASKED, tools=[WEATHER], tool_choice="required")).choices[0]
        assert json.loads(required.message.tool_calls[0].function.arguments)


async def test_a_thought_is_in_the_text_where_no_parser_takes_it_out(running):
    async with running(*FLAGS, model="mock/thinking") as mock:
        message = (await mock.ask()).choices[0].message.model_dump()
        assert message["content"].startswith("<think>\n")
        assert message["content"].endswith("</think>\n\nHello, how can I help?")
        assert (message["reasoning"], message["reasoning_content"]) == (None, None)
        called = (await mock.ask(WEATHER_ASKED, tools=[WEATHER])).choices[0].message
        assert called.content.startswith("<think>")
        assert called.tool_calls
        required = (await mock.ask(WEATHER_ASKED, tools=[WEATHER], tool_choice="required")).choices[0].message
        assert required.content is None


async def test_a_thought_is_a_field_of_its_own_where_a_parser_takes_it_out(running):
    async with running(*FLAGS, "--reasoning-parser", "qwen3", model="mock/thinking") as mock:
        message = (await mock.ask()).choices[0].message.model_dump()
        assert message["content"] == "Hello, how can I help?"
        assert message["reasoning"]
        assert message["reasoning"] == message["reasoning_content"]
        streamed, _ = await joined(await mock.ask(WEATHER_ASKED, tools=[WEATHER], stream=True))
        assert (streamed["content"], streamed["name"]) == ("", "look_outside")
        assert streamed["reasoning"] == streamed["reasoning_content"] == message["reasoning"]


@pytest.mark.parametrize("flags", [(), ("--reasoning-parser", "qwen3")], ids=["no parser", "a parser"])
async def test_a_thought_that_is_cut_off_leaves_no_content_of_its_own(running, flags):
    async with running(*flags, model="mock/thinking") as mock:
        choice = (await mock.ask(max_tokens=4)).choices[0]
        message = choice.message.model_dump()
        assert choice.finish_reason == "length"
        leaks = message["content"] is not None and message["content"].startswith("<think>")
        assert (leaks, message["reasoning"] is None) == (not flags, not flags)


async def test_the_template_can_switch_thinking_off(running):
    async with running(model="mock/thinking") as mock:
        answer = await mock.ask(extra_body={"chat_template_kwargs": {"enable_thinking": False}})
        assert answer.choices[0].message.content == "Hello, how can I help?"
        with pytest.raises(openai.BadRequestError, match="chat_template_kwargs"):
            await mock.ask(extra_body={"chat_template_kwargs": "none"})


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(CLIMATE, id="an enum"),
        pytest.param(ORDER, id="objects in an array in an object"),
        pytest.param(
            {
                "$defs": {"size": {"type": "object", "properties": {"w": {"const": 3}}, "required": ["w"]}},
                "type": "object",
                "properties": {"size": {"$ref": "#/$defs/size", "description": "how large"}},
                "required": ["size"],
            },
            id="a reference",
        ),
        pytest.param(
            {
                "allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "boolean"}}}],
                "type": "object",
                "required": ["b"],
                "properties": {"b": {"anyOf": [{"type": "null"}, {"type": "string"}]}},
            },
            id="parts of an object",
        ),
        pytest.param(
            {
                "type": "object",
                "properties": {
                    "low": {"type": "number", "maximum": -5},
                    "high": {"type": "integer", "exclusiveMinimum": 9},
                    "text": {"type": ["string", "null"], "minLength": 4},
                    "any": True,
                    "none": {"type": "array", "items": {"type": "string"}, "minItems": 3},
                },
                "required": ["low", "high", "text", "any", "none", "undescribed"],
            },
            id="bounds",
        ),
    ],
)
def test_the_least_arguments_are_allowed_by_the_schema(schema):
    Draft202012Validator(schema).validate(minimal_value(schema))
