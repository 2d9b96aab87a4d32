"""Replicas that come and go while a run lasts: where a unit's calls go, and when it moves."""

import asyncio

import pytest

from toolorch_api.shard import Unit
from toolorch_evaluator.benchmarks.base import ModelError
from toolorch_evaluator.unit_chat import UnitChat

MESSAGES = [{"role": "user", "content": "hi"}]


def unit(n):
    return Unit("control", "retail", str(n), 0)


@pytest.fixture
def replicas(model_servers):
    """Start servers and count what they are asked."""

    class Replicas:
        async def start(self, count):
            self.servers = [await model_servers() for _ in range(count)]
            return self.servers

        def counts(self):
            return [len(server.requests) for server in self.servers]

    return Replicas()


def home(ask):
    """Index of the replica that a unit is at."""
    return int(ask._homes["pool-a"].removeprefix("pool-a-"))


async def test_a_unit_stays_at_its_replica_however_empty_the_others_get(make_world, open_chat, replicas, quick):
    world = make_world()
    servers = await replicas.start(3)
    world.point(*servers[:2])
    async with open_chat(world, quick) as chat:
        asks = [UnitChat(chat, unit(n)) for n in range(4)]
        for ask in asks:
            await ask("agent", MESSAGES)
        homes = [home(ask) for ask in asks]
        assert sorted(homes) == [0, 0, 1, 1]
        world.point(*servers)
        for ask in asks[1:]:
            ask.close()
        for _ in range(3):
            await asks[0]("agent", MESSAGES)
        assert home(asks[0]) == homes[0]
    assert replicas.counts()[2] == 0


async def test_a_replica_that_gets_ready_later_takes_its_share_of_new_units(make_world, open_chat, replicas, quick):
    world = make_world()
    servers = await replicas.start(2)
    world.point(servers[0])
    async with open_chat(world, quick) as chat:
        for n in range(3):
            await UnitChat(chat, unit(n))("agent", MESSAGES)
        world.point(*servers)
        for n in range(3, 8):
            await UnitChat(chat, unit(n))("agent", MESSAGES)
        assert chat.load["pool-a"] == {"pool-a-0": 4, "pool-a-1": 4}


async def test_a_unit_moves_when_its_replica_is_not_ready_and_does_not_come_back(
    make_world, open_chat, replicas, quick
):
    world = make_world()
    servers = await replicas.start(2)
    world.point(*servers)
    async with open_chat(world, quick) as chat:
        ask = UnitChat(chat, unit(1))
        await ask("agent", MESSAGES)
        first = home(ask)
        world.point(*servers, unready=[first])
        await ask("agent", MESSAGES)
        assert home(ask) == 1 - first
        world.point(*servers)
        await ask("agent", MESSAGES)
        assert home(ask) == 1 - first, "its prefix is cached where it was last"
        ask.close()
        assert chat.load["pool-a"].total() == 0


async def test_a_unit_leaves_a_replica_that_vanishes(make_world, open_chat, replicas, quick):
    world = make_world()
    servers = await replicas.start(2)
    world.point(*servers)
    async with open_chat(world, quick) as chat:
        asks = [UnitChat(chat, unit(n)) for n in range(2)]
        for ask in asks:
            await ask("agent", MESSAGES)
        world.point(servers[0])
        for ask in asks:
            await ask("agent", MESSAGES)
        assert [home(ask) for ask in asks] == [0, 0]
    assert replicas.counts() == [3, 1]


async def test_the_client_of_an_address_that_is_gone_is_closed_when_a_new_one_comes(
    make_world, open_chat, replicas, quick
):
    world = make_world()
    servers = await replicas.start(2)
    async with open_chat(world, quick) as chat:
        for server in servers:
            world.point(server)
            await UnitChat(chat, unit(1))("agent", MESSAGES)
        assert chat.clients.servers == [servers[1].url]


async def test_a_call_that_is_under_way_keeps_the_client_of_a_replica_that_vanished(
    make_world, open_chat, model_servers, quick
):
    world = make_world()
    slow, other = await model_servers(delay=0.2), await model_servers()
    world.point(slow)
    async with open_chat(world, quick) as chat:
        call = asyncio.create_task(UnitChat(chat, unit(1))("agent", MESSAGES))
        await slow.asked(1)
        world.point(other)
        await UnitChat(chat, unit(2))("agent", MESSAGES)
        assert (await call).content == "hello"
    assert len(slow.requests) == 1


@pytest.mark.parametrize("text", ["", "{half", '{"endpoints": 3}', None], ids=["empty", "half", "wrong", "gone"])
async def test_a_list_that_nobody_can_read_leaves_what_was_read_before(make_world, open_chat, replicas, quick, text):
    world = make_world()
    servers = await replicas.start(1)
    world.point(*servers)
    async with open_chat(world, quick) as chat:
        ask = UnitChat(chat, unit(1))
        await ask("agent", MESSAGES)
        path = world.folder / "input" / "pools" / "pool-a" / "endpoints.json"
        if text is None:
            path.unlink()
        else:
            path.write_text(text)
        await ask("agent", MESSAGES)
    assert replicas.counts() == [2]


async def test_a_redirect_leads_nowhere(make_world, open_chat, model_servers, quick):
    world = make_world()
    elsewhere = await model_servers()
    server = await model_servers(lambda b, h: (307, "", {"Location": f"{elsewhere.url}/chat/completions"}))
    world.point(server)
    async with open_chat(world, quick) as chat:
        with pytest.raises(ModelError, match="HTTP 307") as caught:
            await UnitChat(chat, unit(1))("agent", MESSAGES)
    assert caught.value.cause == "model_redirects"
    assert (len(server.requests), elsewhere.requests) == (1, [])
