"""Model servers that die in the middle of a call: what a unit makes of it, and how often it goes on."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from toolorch_api.shard import Unit
from toolorch_evaluator.benchmarks.base import ModelError, ModelServerLostError
from toolorch_evaluator.clients import KEEP_ALIVE_SECONDS
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.under_way import UnderWay
from toolorch_evaluator.unit_chat import UnitChat

UNIT = Unit("control", "retail", "task 1", 0)
MESSAGES = [{"role": "user", "content": "hi"}]
DIED = "EngineCore encountered an issue. See stack trace (above) for the root cause."


@pytest.fixture
async def dying_server():
    """A server that reads each request and breaks the connection, as one does that is killed; counts requests."""

    class Server:
        url = ""
        requests = 0

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        Server.requests += 1
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    Server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield Server
    server.close()


@pytest.mark.parametrize("allowed", [1, 3])
async def test_a_call_is_given_up_when_so_many_servers_died_of_it(make_world, open_chat, dying_server, quick, allowed):
    world = make_world()
    world.point(dying_server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelServerLostError, match="pool-a-0") as caught:
            await UnitChat(chat, UNIT, losses_allowed=allowed)("agent", MESSAGES)
    assert (caught.value.cause, caught.value.losses, dying_server.requests) == ("model_server_lost", allowed, allowed)


async def test_a_server_that_closes_idle_connections_is_not_lost(make_world, open_chat, complete, quick):
    """As vLLM does after 5 s; this one after 20 ms."""
    body = json.dumps(complete()).encode()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    world = make_world()
    world.point(SimpleNamespace(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"))
    async with open_chat(world, quick) as chat:
        ask = UnitChat(chat, UNIT, losses_allowed=1)
        for _ in range(3):
            await ask("agent", MESSAGES)
            await asyncio.sleep(0.06)
    server.close()
    assert [event["tries"] for event in parse_events(chat.profile.close())] == [1, 1, 1]


def test_this_side_closes_idle_connections_before_vllm_does():
    assert KEEP_ALIVE_SECONDS < 5


async def test_an_engine_that_says_it_died_is_a_lost_server(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers(lambda body, headers: (500, DIED, {}))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelServerLostError):
            await UnitChat(chat, UNIT, losses_allowed=1)("agent", MESSAGES)
    assert len(server.requests) == 1


async def test_a_refused_connection_and_an_error_are_no_losses(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers(lambda body, headers: (500, "boom", {}))
    away = await model_servers()
    away.url = "http://127.0.0.1:9/v1"
    world.point(server, away)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError) as caught:
            await UnitChat(chat, UNIT, losses_allowed=1)("agent", MESSAGES)
    assert not isinstance(caught.value, ModelServerLostError)


async def test_a_call_goes_on_at_another_replica_after_a_loss(
    make_world, open_chat, model_servers, dying_server, quick
):
    world = make_world()
    world.point(dying_server, await model_servers())
    async with open_chat(world, quick) as chat:
        for n in range(4):
            ask = UnitChat(chat, Unit("control", "retail", str(n), 0))
            assert (await ask("agent", MESSAGES)).content == "hello"
    assert dying_server.requests >= 1


@pytest.fixture
async def sharing_server():
    """A server that breaks all its connections at once when so many requests have come."""
    came = []

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        came.append(writer)
        if len(came) == 3:
            for each in came:
                each.transport.abort()
            came.clear()

    class Server:
        url = ""

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    Server.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield Server
    server.close()


async def test_each_unit_is_told_who_else_was_there_when_the_server_died(make_world, open_chat, sharing_server, quick):
    world = make_world()
    world.point(sharing_server)
    units = [Unit("control", "retail", str(n), 0) for n in range(3)]
    async with open_chat(world, quick) as chat:
        calls = [UnitChat(chat, unit, losses_allowed=1)("agent", MESSAGES) for unit in units]
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [error.beside for error in errors] == [set(units) - {unit} for unit in units]


async def test_who_was_alone_is_told_of_nobody(make_world, open_chat, dying_server, model_servers, quick):
    world = make_world()
    elsewhere = await model_servers(delay=0.1)
    world.point(dying_server, elsewhere)
    async with open_chat(world, quick) as chat:
        other, unit = Unit("control", "retail", "0", 0), Unit("control", "retail", "1", 0)
        chat.load["pool-a"]["pool-a-0"] = 1
        call = asyncio.create_task(UnitChat(chat, other)("agent", MESSAGES))
        await elsewhere.asked(1)
        chat.load["pool-a"]["pool-a-0"] = 0
        with pytest.raises(ModelServerLostError) as caught:
            await UnitChat(chat, unit, losses_allowed=1)("agent", MESSAGES)
        assert caught.value.beside == frozenset()
        await call


def test_a_try_that_began_after_the_engine_died_has_not_lost_it():
    under_way = UnderWay()
    with under_way.at("s", UNIT) as first, under_way.at("s", UNIT) as second:
        assert not under_way.is_echo(first)
        under_way.mourn(first)
        assert not under_way.is_echo(second), "it was there"
    with under_way.at("s", UNIT) as late, under_way.at("t", UNIT) as elsewhere:
        assert under_way.is_echo(late)
        assert not under_way.is_echo(elsewhere)


async def test_an_engine_that_is_dead_already_dies_once(make_world, open_chat, model_servers, quick):
    """Until its API server has ended too, it refuses everybody with the same words."""
    world = make_world()
    server = await model_servers(lambda body, headers: (500, DIED, {}))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError) as caught:
            await UnitChat(chat, UNIT, losses_allowed=2)("agent", MESSAGES)
    assert caught.value.cause == "model_server_error"
    (event,) = parse_events(chat.profile.close())
    assert event["failed"] == ["model_server_lost"] + ["model_server_error"] * (quick.tries - 1)


async def test_the_shard_knows_what_it_has_spent_and_when_it_last_got_an_answer(
    make_world, open_chat, model_servers, quick
):
    world = make_world()
    world.point(await model_servers())
    async with open_chat(world, quick) as chat:
        assert (chat.spent.calls, chat.last_answer_at) == (0, None)
        for n in range(2):
            await UnitChat(chat, Unit("control", "retail", str(n), 0))("agent", MESSAGES)
    assert (chat.spent.prompt_tokens, chat.spent.completion_tokens, chat.spent.calls) == (20, 6, 2)
    assert chat.last_answer_at is not None
