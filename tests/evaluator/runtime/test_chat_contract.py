"""Calls against real HTTP servers: what they receive, and what a unit sees of their troubles."""

import asyncio
import time

import pytest

from toolorch_api.shard import Unit
from toolorch_evaluator.benchmarks.base import ContextWindowExceededError, ModelError
from toolorch_evaluator.chat import Patience
from toolorch_evaluator.exits import BadInputError
from toolorch_evaluator.profile import parse_events
from toolorch_evaluator.unit_chat import UnitChat

UNIT = Unit("control", "retail", "task 1", 0)
MESSAGES = [{"role": "user", "content": "hi"}]
DEAD = "http://127.0.0.1:9/v1"


async def test_the_server_receives_the_run_and_unit_and_role_and_number(make_world, open_chat, model_servers, quick):
    world = make_world(pool={"chat_template_kwargs": {"enable_thinking": False}})
    server = await model_servers()
    world.point(server)
    async with open_chat(world, quick) as chat:
        ask = UnitChat(chat, UNIT)
        await ask("agent", MESSAGES, seed=300)
        await ask("user", MESSAGES)
        await ask("agent", MESSAGES)
    assert [h["X-Request-Id"] for _, h in server.requests] == [
        f"run-1/{UNIT.key}/agent/1",
        f"run-1/{UNIT.key}/user/1",
        f"run-1/{UNIT.key}/agent/2",
    ]
    assert server.requests[0][0] == {
        "model": "tiny",
        "messages": MESSAGES,
        "temperature": 0.0,
        "seed": 300,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert ask.account.usage.calls == 3
    assert ask.account.endpoints == {"pool-a/pool-a-0"}


async def test_an_external_pool_gets_its_own_key_and_may_answer_with_a_dated_name(
    make_world, open_chat, model_servers, quick, complete
):
    world = make_world(pool={"external": True})
    (world.folder / "input" / "keys" / "pool-a").mkdir(parents=True)
    (world.folder / "input" / "keys" / "pool-a" / "apiKey").write_text("sk-secret\n")
    server = await model_servers(lambda body, headers: (200, complete(model="tiny-2026-01-01"), {}))
    world.point(server)
    async with open_chat(world, quick) as chat:
        ask = UnitChat(chat, UNIT)
        await ask("agent", MESSAGES)
    assert server.requests[0][1]["Authorization"] == "Bearer sk-secret"
    assert ask.account.served == {"agent": "tiny-2026-01-01"}


async def test_a_servers_echo_of_the_key_goes_nowhere(make_world, open_chat, model_servers, quick):
    world = make_world(pool={"external": True})
    (world.folder / "input" / "keys").mkdir()
    (world.folder / "input" / "keys" / "pool-a").write_text("sk-secret")
    world.point(await model_servers(lambda body, headers: (401, "bad key sk-secret", {})))
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError, match="bad key") as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert caught.value.cause == "model_unauthorized"
    assert "sk-secret" not in str(caught.value)


async def test_an_external_pool_without_its_key_is_not_called(make_world, open_chat, model_servers, quick):
    world = make_world(pool={"external": True})
    server = await model_servers()
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(BadInputError, match="API key is not mounted"):
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert server.requests == []


async def test_a_call_moves_on_from_a_failing_endpoint_and_a_unit_stays_with_its_own(
    make_world, open_chat, model_servers, quick
):
    world = make_world()
    good = await model_servers()
    bad = await model_servers(lambda body, headers: (500, "boom", {}))
    world.point(good, bad)
    async with open_chat(world, quick) as chat:
        for n in range(12):
            ask = UnitChat(chat, Unit("control", "retail", str(n), 0))
            await ask("agent", MESSAGES)
            await ask("agent", MESSAGES)
    assert len(good.requests) == 24
    assert 0 < len(bad.requests) <= 12, "a unit that has moved stays where it was answered"
    assert len(chat.clients.servers) == 2, "one client per endpoint, whatever the number of calls"


async def test_units_spread_over_endpoints_and_each_keeps_to_one(make_world, open_chat, model_servers, quick):
    world = make_world()
    servers = [await model_servers() for _ in range(3)]
    world.point(*servers)
    async with open_chat(world, quick) as chat:
        for n in range(12):
            ask = UnitChat(chat, Unit("control", "retail", str(n), 0))
            for _ in range(2):
                await ask("agent", MESSAGES)
            assert len(ask.account.endpoints) == 1
        assert [len(server.requests) for server in servers] == [8, 8, 8]
        ask.close()
        assert sorted(chat.load["pool-a"].values()) == [3, 4, 4]


async def test_tries_are_bounded_and_the_cause_names_endpoint_and_error(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers(lambda body, headers: (500, "unexpected tokens", {}))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError, match=r"agent at pool-a/pool-a-0: HTTP 500: unexpected tokens") as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert caught.value.cause == "model_server_error"
    assert len(server.requests) == quick.tries
    assert len({h["X-Request-Id"] for _, h in server.requests}) == 1, "tries keep the call's number"


async def test_a_permanent_refusal_is_not_tried_again(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers(lambda body, headers: (400, "no such parameter", {}))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError) as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert (caught.value.cause, len(server.requests)) == ("model_refused", 1)


async def test_an_outgrown_context_is_an_end_of_its_own(make_world, open_chat, model_servers, quick):
    world = make_world()
    world.point(await model_servers(lambda b, h: (400, "This model's maximum context length is 10 tokens", {})))
    async with open_chat(world, quick) as chat:
        with pytest.raises(ContextWindowExceededError):
            await UnitChat(chat, UNIT)("agent", MESSAGES)


async def test_an_answer_by_another_model_fails_the_call(make_world, open_chat, model_servers, quick, complete):
    world = make_world()
    world.point(await model_servers(lambda body, headers: (200, complete(model="gemma"), {})))
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError, match="asked for tiny, answered by gemma") as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert caught.value.cause == "served_model_mismatch"


async def test_a_servers_wish_for_a_pause_is_obeyed(make_world, open_chat, model_servers, complete):
    world = make_world()
    answers = iter([(429, "slow", {"Retry-After": "0.3"}), (200, complete(), {})])
    world.point(await model_servers(lambda body, headers: next(answers)))
    began = time.monotonic()
    async with open_chat(world, Patience(first_pause=0.001)) as chat:
        await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert time.monotonic() - began >= 0.3


async def test_a_hanging_server_is_left_at_the_call_deadline(make_world, open_chat, model_servers):
    world = make_world()
    spec = world.run.spec
    # Shorter than a spec can say: a test's second is long.
    deadlines = spec.deadlines.model_copy(update={"call_seconds": 0.1})
    world.run = world.run.model_copy(update={"spec": spec.model_copy(update={"deadlines": deadlines})})
    world.point(await model_servers(delay=0.5))
    async with open_chat(world, Patience(tries=2, first_pause=0.001)) as chat:
        with pytest.raises(ModelError) as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert caught.value.cause == "model_timeout"
    (event,) = parse_events(chat.profile.close())
    assert event["failed"] == ["model_timeout"] * 2, "a slow answer is no lost server, and is asked for again"


async def test_a_dead_endpoint_is_unreachable(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers()
    server.url = DEAD
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError) as caught:
            await UnitChat(chat, UNIT)("agent", MESSAGES)
    assert caught.value.cause == "model_unreachable"


async def test_a_call_waits_until_an_endpoint_is_ready(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers()
    world.point(server, ready=False)
    async with open_chat(world, quick) as chat:
        call = asyncio.create_task(UnitChat(chat, UNIT)("agent", MESSAGES))
        await asyncio.sleep(0.1)
        assert not call.done()
        assert server.requests == []
        world.point(server)
        assert (await asyncio.wait_for(call, 2)).content == "hello"
    (event,) = parse_events(chat.profile.close())
    assert event["tries"] == 1
    assert event["waited_ms"] >= event["unready_ms"] > 0


async def test_events_tell_of_every_call_and_hold_none_of_its_text(
    make_world, open_chat, model_servers, quick, complete
):
    world = make_world()
    answers = iter([(503, "starting", {}), (429, "later", {}), (200, complete("a secret answer"), {}), (400, "no", {})])
    world.point(await model_servers(lambda body, headers: next(answers)))
    async with open_chat(world, quick) as chat:
        ask = UnitChat(chat, UNIT)
        await ask("agent", MESSAGES)
        with pytest.raises(ModelError):
            await ask("user", MESSAGES)
    first, second = parse_events(chat.profile.close())
    assert (first["unit"], first["role"], first["n"], first["tries"], first["cause"]) == (UNIT.key, "agent", 1, 3, "")
    assert (first["failed"], first["first_ms"]) == (["model_server_error", "model_busy"], None)
    assert (first["served"], first["prompt_tokens"], first["completion_tokens"]) == ("tiny", 10, 3)
    assert (second["role"], second["cause"], second["endpoint"]) == ("user", "model_refused", "pool-a-0")
    assert second["failed"] == ["model_refused"]
    assert "secret" not in str(first)


async def test_a_call_that_is_cut_off_leaves_its_event(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers(delay=0.5)
    world.point(server)
    async with open_chat(world, quick) as chat:
        call = asyncio.create_task(UnitChat(chat, UNIT)("agent", MESSAGES))
        await server.asked(1)
        call.cancel()
        await asyncio.wait([call])
        world.point(server, ready=False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(UnitChat(chat, UNIT)("agent", MESSAGES), 0.2)
    under_way, waiting = parse_events(chat.profile.close())
    assert (under_way["cause"], under_way["tries"], under_way["endpoint"]) == ("cut_off", 1, "pool-a-0")
    assert (waiting["cause"], waiting["tries"], waiting["ms"]) == ("cut_off", 0, 0)
    assert waiting["waited_ms"] >= waiting["unready_ms"] > 0


async def test_a_role_that_nobody_plays_calls_nobody(make_world, open_chat, model_servers, quick):
    world = make_world()
    server = await model_servers()
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError, match="no pool for role judge"):
            await UnitChat(chat, UNIT)("judge", MESSAGES)
    assert server.requests == []
