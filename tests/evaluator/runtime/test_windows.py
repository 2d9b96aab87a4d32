"""How long conversations may be: what the servers say, what a spec cannot ask for, and what is left for an answer."""

import asyncio
import json

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from toolorch_api.shard import Serving, Unit
from toolorch_evaluator.benchmarks.base import ContextWindowExceededError
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.shard_step import run_shard
from toolorch_evaluator.unit_chat import UnitChat

UNIT = Unit("control", "retail", "1", 0)
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def listing():
    """Start servers whose list of models is this JSON; each counts how often it was asked, and by which keys."""
    servers = []

    async def start(document, status=200):
        async def handle(request):
            server.keys.append(request.headers.get("Authorization"))
            return web.json_response(document, status=status)

        app = web.Application()
        app.router.add_get("/v1/models", handle)
        server = TestServer(app)
        server.keys = []
        await server.start_server()
        server.url = f"http://127.0.0.1:{server.port}/v1"
        servers.append(server)
        return server

    yield start
    for server in servers:
        await server.close()


def card(model="tiny", **more):
    return {"object": "list", "data": [{"id": "other", "max_model_len": 1}, {"id": model, **more}]}


async def test_the_smallest_window_of_the_ready_servers_counts_and_each_is_asked_once(
    make_world, open_chat, listing, quick
):
    world = make_world()
    long, short = await listing(card(max_model_len=32768)), await listing(card(max_model_len=8192))
    world.point(long, short)
    async with open_chat(world, quick) as chat:
        assert [await chat.window("pool-a") for _ in range(3)] == [8192] * 3
    assert long.keys == short.keys == ["Bearer EMPTY"]


@pytest.mark.parametrize(
    "document",
    [card(), card("another", max_model_len=5), card(max_model_len="8k"), {"data": None}, [], {"error": "?"}],
    ids=str,
)
async def test_a_server_that_says_no_window_is_believed_nothing(make_world, open_chat, listing, quick, document):
    world = make_world()
    world.point(await listing(document))
    async with open_chat(world, quick) as chat:
        assert await chat.window("pool-a") is None


async def test_a_server_that_fails_is_asked_again_when_somebody_wants_to_know(make_world, open_chat, listing, quick):
    world = make_world()
    server = await listing(card(max_model_len=8192), status=500)
    world.point(server)
    async with open_chat(world, quick) as chat:
        assert await chat.window("pool-a") is None
        assert await chat.window("pool-a") is None
    assert len(server.keys) == 2


async def test_an_external_server_is_asked_with_its_own_key(make_world, open_chat, listing, quick):
    world = make_world(pool={"external": True})
    (world.folder / "input" / "keys").mkdir()
    (world.folder / "input" / "keys" / "pool-a").write_text("sk-own")
    server = await listing(card(max_model_len=400_000))
    world.point(server)
    async with open_chat(world, quick) as chat:
        assert await chat.window("pool-a") == 400_000
    assert server.keys == ["Bearer sk-own"]


async def test_a_shard_does_not_begin_where_answers_do_not_fit_the_model(make_world, scripted, listing):
    roles = {"agent": {"pool": "pool-a", "maxTokens": 8193}, "user": {"pool": "pool-a"}}
    world = make_world(roles=roles)
    world.point(await listing(card(max_model_len=8192)))
    benchmark = scripted(2)
    await world.assign(benchmark.units)
    with pytest.raises(BadInputError) as caught:
        await run_shard(world.run, world.settings, benchmark, world.results, asyncio.Event())
    assert caught.value.message == (
        "roles.agent.maxTokens is 8193, but prompt and answer have 8192 tokens in all at pool pool-a"
    )
    assert benchmark.talks == []


async def test_answers_as_long_as_the_window_are_as_long_as_what_is_left(make_world, open_chat, listing, quick):
    roles = {"agent": {"pool": "pool-a", "maxTokens": 8192}, "user": {"pool": "pool-a"}}
    world = make_world(roles=roles)
    world.point(await listing(card(max_model_len=8192)))
    async with open_chat(world, quick) as chat:
        await chat.check_answers()


async def test_what_the_operator_knows_of_a_server_needs_no_question(make_world, open_chat, listing, quick):
    roles = {"agent": {"pool": "pool-a", "maxTokens": 101}, "user": {"pool": "pool-a"}}
    world = make_world(pool={"serving": Serving(max_model_len=100)}, roles=roles)
    server = await listing(card(max_model_len=8192))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(BadInputError, match="100 tokens in all"):
            await chat.check_answers()
    assert server.keys == []


async def test_a_role_that_asks_for_no_length_asks_no_server(make_world, open_chat, listing, quick):
    world = make_world()
    server = await listing(card(max_model_len=10))
    world.point(server)
    async with open_chat(world, quick) as chat:
        await chat.check_answers()
    assert server.keys == []


def window_of(size, prompt, complete, counts=True):
    """A server with this window that every prompt takes so much of; one that does not count names a lower bound."""

    def answer(body, headers):
        asked = body["max_tokens"]
        if prompt + asked <= size:
            return 200, complete(), {}
        told = f"{prompt}" if counts else f"at least {size - asked + 1}"
        return (
            400,
            (
                f"This model's maximum context length is {size} tokens. However, you requested {asked} output tokens "
                f"and your prompt contains {told} input tokens"
            ),
            {},
        )

    return answer


@pytest.mark.parametrize(
    ("counts", "sent"),
    [
        pytest.param(True, [4000, 1000], id="a server that counts the prompt is asked for what is left"),
        pytest.param(False, [4000, 2000, 1000], id="one that does not is asked for half and half again"),
    ],
)
async def test_a_conversation_that_fits_gets_a_shorter_answer(
    make_world, open_chat, model_servers, quick, complete, counts, sent
):
    roles = {"agent": {"pool": "pool-a", "maxTokens": 4000}, "user": {"pool": "pool-a"}}
    world = make_world(roles=roles)
    server = await model_servers(window_of(32000, 31000, complete, counts))
    world.point(server)
    async with open_chat(world, quick) as chat:
        assert (await UnitChat(chat, UNIT)("agent", MESSAGES)).content == "hello"
    assert [body["max_tokens"] for body, _ in server.requests] == sent
    (event,) = parse_events(chat.profile.close())
    assert (event["cut_tokens"], event["cause"], event["tries"]) == (3000, "", len(sent))
    assert event["failed"] == ["context_window_exceeded"] * (len(sent) - 1)


@pytest.mark.parametrize(
    ("prompt", "counts", "requests"),
    [
        pytest.param(31900, True, 1, id="too little is left"),
        pytest.param(32100, True, 1, id="the prompt alone is too long"),
        pytest.param(31900, False, 4, id="nothing that is worth having fits"),
    ],
)
async def test_a_conversation_that_has_outgrown_the_model_ends(
    make_world, open_chat, model_servers, quick, complete, prompt, counts, requests
):
    roles = {"agent": {"pool": "pool-a", "maxTokens": 4000}, "user": {"pool": "pool-a"}}
    world = make_world(roles=roles)
    server = await model_servers(window_of(32000, prompt, complete, counts))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ContextWindowExceededError):
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert len(server.requests) == requests
    (event,) = parse_events(chat.profile.close())
    assert event["cause"] == "context_window_exceeded"


async def test_every_call_asks_for_the_whole_answer_first(make_world, open_chat, model_servers, quick, complete):
    """What one conversation's end leaves is no limit for what comes after."""
    roles = {"agent": {"pool": "pool-a", "maxTokens": 4000}, "user": {"pool": "pool-a"}}
    world = make_world(roles=roles)
    server = await model_servers(window_of(32000, 31000, complete))
    world.point(server)
    async with open_chat(world, quick) as chat:
        for n in range(2):
            await UnitChat(chat, Unit("control", "retail", str(n), 0))("agent", MESSAGES)
    assert [json.dumps(body["max_tokens"]) for body, _ in server.requests] == ["4000", "1000"] * 2
