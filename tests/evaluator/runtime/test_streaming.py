"""Streamed answers: the same as plain ones, with the time of their first piece."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from toolorch_api.shard import Unit
from toolorch_evaluator.benchmarks.base import InvalidReplyError, ModelError, ModelServerLostError
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.sending import Request
from toolorch_evaluator.streaming import Assembly, read_events
from toolorch_evaluator.unit_chat import UnitChat
from toolorch_mock.arguments import parse_options
from toolorch_mock.brains.registry import find_model
from toolorch_mock.engine import Engine
from toolorch_mock.faults import FaultSettings
from toolorch_mock.references import load_reference
from toolorch_mock.server import Server

UNIT = Unit("control", "retail", "1", 0)
MESSAGES = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"properties": {"where": {"type": "string"}}}}}
STREAMED = {"roles": {"agent": {"pool": "pool-a", "stream": True}, "user": {"pool": "pool-a"}}}


def piece(finish=None, **delta):
    return {"model": "tiny", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def call_piece(index, name=None, arguments=None, call_id=None):
    function = {k: v for k, v in (("name", name), ("arguments", arguments)) if v is not None}
    return piece(tool_calls=[{"index": index, "function": function} | ({"id": call_id} if call_id else {})])


USAGE = {"model": "tiny", "choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 3}}


@pytest.fixture
def stream_server(model_servers):
    """Start a server that streams these pieces: documents, raw text, a pause in seconds, or None for a broken line."""

    async def start(*pieces, separator="\n\n"):
        asked = []

        async def handle(request):
            asked.append(json.loads(await request.read()))
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for each in pieces:
                if each is None:
                    request.transport.abort()
                    return response
                if isinstance(each, float):
                    await asyncio.sleep(each)
                    continue
                payload = each if isinstance(each, str) else json.dumps(each)
                await response.write(f"data: {payload}{separator}".encode())
            return response

        server = await model_servers(handler=handle)
        server.asked = asked
        return server

    return start


async def ask_once(world, open_chat, patience, losses=3):
    """Ask the agent once; return the reply and the call's event."""
    async with open_chat(world, patience) as chat:
        reply = await UnitChat(chat, UNIT, losses)("agent", MESSAGES, [TOOL])
    (event,) = parse_events(chat.profile.close())
    return reply, event


async def test_a_streamed_text_is_joined_and_its_first_piece_timed(make_world, open_chat, stream_server, quick):
    world = make_world(**STREAMED)
    opening = piece(role="assistant", content="")
    server = await stream_server(
        opening, 0.1, piece(content="hel"), 0.1, piece(content="lo"), piece("stop"), USAGE, "[DONE]"
    )
    world.point(server)
    reply, event = await ask_once(world, open_chat, quick)
    assert (reply.content, reply.tool_calls) == ("hello", ())
    assert server.asked[0]["stream_options"] == {"include_usage": True}
    assert 90 <= event["first_ms"] <= event["ms"], "the opening words are not the model's"
    assert (event["prompt_tokens"], event["completion_tokens"], event["finish_reason"]) == (10, 3, "stop")


@pytest.mark.parametrize(
    ("delta", "begins"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"tool_calls": [{"index": 0, "id": "a", "function": {}}]}, False),
        ({"content": "h"}, True),
        ({"reasoning": "I"}, True),
        ({"reasoning_content": "I"}, True),
        ({"tool_calls": [{"index": 0, "function": {"name": "look"}}]}, True),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}, True),
    ],
    ids=str,
)
def test_an_answer_begins_with_what_the_model_wrote(delta, begins):
    assembly = Assembly()
    assembly.add(json.dumps(piece(**delta)))
    assert assembly.has_begun is begins


def test_tool_calls_that_nobody_numbers_begin_with_their_id():
    assembly = Assembly()
    pieces = [
        {"id": "a", "function": {"name": "look", "arguments": "{"}},
        {"function": {"arguments": "}"}},
        {"id": "b", "function": {"name": "stop"}},
    ]
    for each in pieces:
        assembly.add(json.dumps(piece(tool_calls=[each])))
    assembly.add(json.dumps(piece("tool_calls")))
    calls = assembly.answer(None).reply.tool_calls
    assert [(call.id, call.name, call.arguments) for call in calls] == [("a", "look", {}), ("b", "stop", {})]


async def test_events_may_be_cut_anywhere_and_comments_are_passed_over():
    async def chunks():
        body = ': ping\n\nevent: x\ndata: {"a": "é"}\r\n\r\ndata:{"b": 1}\n\ndata: [DONE]\n\ndata: more\n\n'.encode()
        for byte in body:
            yield bytes([byte])

    assert [event async for event in read_events(chunks())] == ['{"a": "é"}', '{"b": 1}']


async def test_tool_calls_are_joined_by_their_index(make_world, open_chat, stream_server, quick):
    world = make_world(**STREAMED)
    pieces = [
        piece(reasoning="I think"),
        call_piece(0, "look", call_id="a"),
        call_piece(0, arguments='{"where": '),
        call_piece(1, "stop", "", call_id="b"),
        call_piece(0, arguments='"here"}'),
        piece("tool_calls"),
        USAGE,
        "[DONE]",
    ]
    world.point(await stream_server(*pieces, separator="\r\n\r\n"))
    reply, event = await ask_once(world, open_chat, quick)
    assert [(c.id, c.name, c.arguments) for c in reply.tool_calls] == [
        ("a", "look", {"where": "here"}),
        ("b", "stop", {}),
    ]
    assert reply.content is None
    assert event["finish_reason"] == "tool_calls"


async def test_arguments_that_are_no_object_are_the_models_doing(make_world, open_chat, stream_server, quick):
    world = make_world(**STREAMED)
    world.point(await stream_server(call_piece(0, "look", "{broken", "a"), piece("tool_calls"), USAGE, "[DONE]"))
    async with open_chat(world, quick) as chat:
        with pytest.raises(InvalidReplyError, match="look"):
            await UnitChat(chat, UNIT)("agent", MESSAGES, [TOOL])
    (event,) = parse_events(chat.profile.close())
    assert (event["cause"], event["completion_tokens"], event["tries"]) == ("invalid_reply", 3, 1)
    assert chat.spent.completion_tokens == 3, "what nobody can read has cost its tokens"


async def test_a_stream_that_breaks_has_lost_its_server(make_world, open_chat, stream_server, quick):
    world = make_world(**STREAMED)
    server = await stream_server(piece(content="hel"), None)
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelServerLostError) as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert (caught.value.losses, len(server.asked)) == (3, 3)


@pytest.mark.parametrize(
    ("pieces", "cause"),
    [
        pytest.param(["{half"], "model_server_error", id="what is no JSON"),
        pytest.param([piece(content="hel"), "[DONE]"], "model_server_error", id="a stream without an end"),
        pytest.param([{"error": {"message": "boom", "code": 500}}, "[DONE]"], "model_server_error", id="an error"),
        pytest.param([{"error": {"message": "no", "code": 400}}, "[DONE]"], "model_refused", id="a refusal"),
        pytest.param([{"object": "error", "message": "no", "code": 400}], "model_refused", id="an older one"),
    ],
)
async def test_a_stream_that_is_no_answer_is_trouble(make_world, open_chat, stream_server, quick, pieces, cause):
    world = make_world(**STREAMED)
    world.point(await stream_server(*pieces))
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError) as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert caught.value.cause == cause


async def test_an_engine_that_dies_in_a_stream_is_a_lost_server(make_world, open_chat, stream_server, quick):
    world = make_world(**STREAMED)
    died = {"error": {"message": "EngineCore encountered an issue. See stack trace", "code": 500}}
    world.point(await stream_server(piece(content="hel"), died, "[DONE]"))
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelServerLostError):
            await UnitChat(chat, UNIT, losses_allowed=1)("agent", MESSAGES)


async def test_the_deadline_is_the_whole_calls_and_not_each_pieces(make_world, open_chat, stream_server, quick):
    world = make_world(**STREAMED)
    world.point(await stream_server(*[piece(content="a"), 0.1] * 8))
    async with open_chat(world, quick) as chat:
        (endpoint,) = chat.files.endpoints("pool-a")
        request = Request({"model": "tiny", "messages": MESSAGES}, "id", seconds=0.25, stream=True)
        trouble = await chat.attempt(UNIT, "pool-a", endpoint, request)
    assert (trouble.cause, trouble.lost) == ("model_timeout", False)


async def test_a_server_that_does_not_stream_is_understood(make_world, open_chat, model_servers, quick):
    world = make_world(**STREAMED)
    world.point(await model_servers())
    reply, event = await ask_once(world, open_chat, quick)
    assert (reply.content, event["first_ms"]) == ("hello", None)


@pytest.mark.parametrize("settings", [{}, {"max_tokens": 1}, {"tool_choice": "required"}], ids=str)
@pytest.mark.parametrize("model", ["mock/oracle", "mock/thinking"])
async def test_a_streamed_answer_equals_the_plain_one(make_world, open_chat, quick, model, settings):
    parsers = ["--enable-auto-tool-choice", "--tool-call-parser", "hermes", "--reasoning-parser", "qwen3"]
    options = parse_options(["serve", model, "--served-model-name", "tiny", *parsers])
    engine = Engine(FaultSettings(), None, lambda: None)
    app = Server(options, find_model(model), engine, load_reference).build_app()
    world = make_world()
    async with TestServer(app) as server, open_chat(world, quick) as chat:
        server.url = f"http://127.0.0.1:{server.port}/v1"
        world.point(server)
        (endpoint,) = chat.files.endpoints("pool-a")
        for messages in (MESSAGES, [{"role": "user", "content": "Please look here."}]):
            body = {"model": "tiny", "messages": messages, "tools": [TOOL], **settings}
            request = Request(body, f"run-1/{UNIT.key}/agent/1", 5)
            plain = await chat.attempt(UNIT, "pool-a", endpoint, request)
            streamed = await chat.attempt(UNIT, "pool-a", endpoint, replace(request, stream=True))
            assert plain.first_seconds is None
            # The mock counts the whole request as its prompt.
            assert replace(streamed, first_seconds=None, prompt_tokens=plain.prompt_tokens) == plain
