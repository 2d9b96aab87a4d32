"""Servers are asked in the background, over a transport and a clock of the test's own."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from structlog.testing import capture_logs

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Exam, Probe, ProbeTarget, ServedModel
from toolorch_operator.owner import Key
from toolorch_operator.prober import ASKS_AT_ONCE, EXAMS_AT_ONCE, LOOKS_PER_SECOND, PROGRESS_SECONDS, Prober

POOL, OTHER = Key("ModelPool", "evals", "pool"), Key("ModelPool", "evals", "other")
EXAM = Exam("m", calls_tools=False, template_kwargs={}, timeout_seconds=20, label="pool")
TARGET = ProbeTarget("pool-0", "http://10.0.0.7:8000/v1", "uid/0", exam=EXAM)
EXTERNAL = ProbeTarget("pool", "https://llm.example/v1", "https://llm.example/v1", external=True)
READY = {"choices": [{"message": {"content": "ready"}, "finish_reason": "stop"}]}


class Time:
    """Seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        end = self.now + seconds
        await settle()
        while due := [s for s in self._sleepers if s[0] <= end]:
            first = min(due, key=lambda s: s[0])
            self._sleepers.remove(first)
            self.now = first[0]
            if not first[1].done():
                first[1].set_result(None)
            await settle()
        self.now = end


async def settle() -> None:
    """Let everything happen that waits for nothing; no request here takes as many steps."""
    for _ in range(100):
        await asyncio.sleep(0)


class Servers:
    """What all servers answer at the moment, and what they were asked."""

    def __init__(self) -> None:
        self.up, self.names, self.chat = True, ["m"], 200
        self.running, self.tokens = 0, 0
        self.asked: list[str] = []
        self.urls: set[str] = set()
        self.open: asyncio.Event | None = None
        self.held: asyncio.Event | None = None
        self.busy = self.busiest = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path.rpartition("/")[2])
        self.urls.add(str(request.url))
        if self.held is not None:
            await self.held.wait()
        if not self.up:
            raise httpx.ConnectError("away")
        if path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": name} for name in self.names]})
        if path.endswith("/metrics"):
            text = f"vllm:num_requests_running {self.running}\nvllm:generation_tokens_total {self.tokens}\n"
            return httpx.Response(200, text=text)
        if path.endswith("/completions"):
            return await self._complete()
        return httpx.Response(200, json={"version": "0.33.0"})

    async def _complete(self) -> httpx.Response:
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            if self.open is not None:
                await self.open.wait()
        finally:
            self.busy -= 1
        return httpx.Response(self.chat, json=READY)

    def count(self, page: str) -> int:
        return self.asked.count(page)


class World:
    def __init__(self, prober: Prober, servers: Servers, time: Time, woken: list[Key]) -> None:
        self.prober, self.servers, self.time, self.woken = prober, servers, time, woken

    def see(self, *targets: ProbeTarget, owner: Key = POOL) -> Probe | None:
        answers = self.prober.answers(owner, "evals", targets)
        return answers.get(targets[0].key) if targets else None


@asynccontextmanager
async def world(*, through_tunnel=False, looks_per_second=LOOKS_PER_SECOND):
    servers, time, woken = Servers(), Time(), []
    async with httpx.AsyncClient(transport=httpx.MockTransport(servers)) as client:
        tunnel = client if through_tunnel else None
        more = {"stall_seconds": 60, "looks_per_second": looks_per_second, "sleep": time.sleep}
        prober = Prober(client, tunnel, time, woken.append, **more)
        try:
            yield World(prober, servers, time, woken)
        finally:
            await prober.close()
            assert not [t for t in asyncio.all_tasks() if t.get_name().startswith("probe ")]


async def test_nothing_is_waited_for_and_the_answer_wakes_its_owner():
    async with world() as w:
        assert w.see(TARGET) is None
        assert w.woken == []
        await w.time.advance(0)
        assert w.woken == [POOL]
        probe = w.see(TARGET)
        assert (probe.models, probe.version) == ((ServedModel("m"),), "0.33.0")
        assert probe.preflight.reason is PoolReason.SERVES_MODEL
        await w.time.advance(800)
        # A plan remembers what has passed, and asks for no exam any more.
        assert w.see(replace(TARGET, exam=None)) == probe
        assert (w.servers.count("completions"), w.woken) == (1, [POOL])


async def test_a_start_that_has_passed_before_is_not_examined():
    async with world() as w:
        w.see(replace(TARGET, exam=None))
        await w.time.advance(0)
        assert w.see(replace(TARGET, exam=None)) == Probe(True, (ServedModel("m"),), "0.33.0")
        assert w.servers.count("completions") == 0


async def test_a_server_that_is_away_is_asked_again_with_growing_pauses():
    async with world() as w:
        w.servers.up = False
        w.see(TARGET)
        await w.time.advance(2 + 4 + 8)
        assert w.servers.count("health") == 4
        assert not w.see(TARGET).healthy
        # The same answer again is no news.
        assert w.woken == [POOL]
        w.servers.up = True
        await w.time.advance(16)
        assert w.see(TARGET).preflight.passed
        assert w.woken == [POOL, POOL]


async def test_what_will_not_change_by_itself_is_asked_again_after_five_minutes():
    async with world() as w:
        w.servers.names = ["another"]
        w.see(TARGET)
        await w.time.advance(299)
        assert w.servers.count("health") == 1
        assert w.see(TARGET).preflight is None
        w.servers.names = ["m"]
        await w.time.advance(1)
        assert w.see(TARGET).preflight.passed


async def test_another_start_is_another_server_and_the_former_is_forgotten():
    async with world() as w:
        w.see(TARGET)
        await w.time.advance(0)
        assert w.see(replace(TARGET, identity="uid/1")) is None
        await w.time.advance(0)
        assert w.servers.count("completions") == 2
        # As if it had never been asked.
        assert w.see(TARGET) is None


async def test_another_exam_of_the_same_start_is_held():
    async with world() as w:
        w.see(TARGET)
        await w.time.advance(0)
        assert w.see(replace(TARGET, exam=replace(EXAM, template_kwargs={"x": 1}))) is None
        await w.time.advance(0)
        assert w.servers.count("completions") == 2


async def test_a_hang_wakes_the_owner_once_when_it_begins_and_once_when_it_ends():
    async with world() as w:
        w.see(TARGET)
        w.servers.running, w.servers.tokens = 1, 7
        await w.time.advance(60)
        assert w.see(TARGET).stalled_seconds == 50
        assert len(w.woken) == 1
        await w.time.advance(30)
        assert w.see(TARGET).stalled_seconds == 80
        assert len(w.woken) == 2
        w.servers.tokens = 8
        await w.time.advance(10)
        assert w.see(TARGET).stalled_seconds == 0
        assert len(w.woken) == 3


@pytest.mark.parametrize(
    ("servers", "pause"),
    [pytest.param(2, PROGRESS_SECONDS, id="few, each often"), pytest.param(30, 60.0, id="many, each more seldom")],
)
async def test_all_servers_together_are_looked_at_so_many_times_a_second(servers, pause):
    async with world(looks_per_second=0.5) as w:
        targets = [replace(TARGET, key=f"pool-{n}", exam=None) for n in range(servers)]
        w.see(*targets)
        await w.time.advance(0)
        for expected in (1, 2):
            await w.time.advance(pause - 1)
            assert w.servers.count("metrics") == (expected - 1) * servers
            await w.time.advance(1)
            assert w.servers.count("metrics") == expected * servers


async def test_servers_that_are_gone_count_no_longer():
    async with world(looks_per_second=0.5) as w:
        w.see(*(replace(TARGET, key=f"pool-{n}", exam=None) for n in range(30)))
        w.see(replace(TARGET, key="other-0", exam=None), owner=OTHER)
        w.prober.forget(POOL)
        await w.time.advance(PROGRESS_SECONDS)
        assert w.servers.count("metrics") == 1


async def test_an_external_server_is_asked_often_until_it_is_there_and_seldom_after():
    async with world(through_tunnel=True) as w:
        w.servers.up = False
        w.see(EXTERNAL)
        await w.time.advance(45)
        assert w.servers.asked == ["models"] * 4
        w.servers.up = True
        await w.time.advance(15 + 120)
        assert w.servers.asked == ["models"] * 7
        assert w.see(EXTERNAL) == Probe(True, (ServedModel("m"),))
        w.servers.up = False
        await w.time.advance(60)
        assert not w.see(EXTERNAL).healthy


async def test_an_external_server_is_examined_once_and_keeps_its_verdict():
    async with world() as w:
        target = replace(EXTERNAL, exam=EXAM)
        w.see(target)
        await w.time.advance(600)
        assert w.see(target).preflight.passed
        assert (w.servers.count("completions"), w.servers.count("models")) == (1, 11)


async def test_the_tunnel_leads_to_the_service_of_the_target():
    async with world(through_tunnel=True) as w:
        w.see(TARGET)
        await w.time.advance(10)
        assert w.see(TARGET).preflight.passed
        service = "http://kubernetes/api/v1/namespaces/evals/services/pool-0:8000/proxy"
        assert w.servers.urls == {
            f"{service}/{page}" for page in ("health", "v1/models", "version", "v1/chat/completions", "metrics")
        }


async def test_so_many_exams_are_held_at_once_and_no_more():
    async with world() as w:
        w.servers.open = asyncio.Event()
        targets = [replace(TARGET, key=f"pool-{i}", identity=f"uid-{i}/0") for i in range(EXAMS_AT_ONCE + 4)]
        w.see(*targets)
        await w.time.advance(0)
        assert w.servers.busiest == EXAMS_AT_ONCE
        w.servers.open.set()
        await w.time.advance(0)
        assert len(w.prober.answers(POOL, "evals", targets)) == EXAMS_AT_ONCE + 4


async def test_so_many_servers_are_asked_at_once_and_no_more():
    async with world() as w:
        w.servers.held = asyncio.Event()
        targets = [replace(TARGET, key=f"pool-{i}", identity=f"uid-{i}/0", exam=None) for i in range(ASKS_AT_ONCE + 4)]
        w.see(*targets)
        await w.time.advance(0)
        assert w.servers.count("health") == ASKS_AT_ONCE
        w.servers.held.set()
        await w.time.advance(0)
        assert len(w.prober.answers(POOL, "evals", targets)) == ASKS_AT_ONCE + 4


async def test_a_pool_that_is_gone_is_asked_no_more():
    async with world() as w:
        w.see(TARGET)
        w.see(replace(TARGET, identity="uid-2/0"), owner=OTHER)
        await w.time.advance(0)
        w.prober.forget(POOL)
        w.servers.asked.clear()
        await w.time.advance(100)
        assert w.servers.asked == ["metrics"] * 10
        # Nobody told that this one is gone, but nobody asks for it either.
        await w.time.advance(3600)
        w.servers.asked.clear()
        await w.time.advance(100)
        assert w.servers.asked == []


async def test_a_bug_with_one_server_does_not_end_the_watch_over_it():
    with capture_logs() as logs:
        async with world() as w:
            w.servers.names = None
            w.see(TARGET)
            await w.time.advance(0)
            assert w.see(TARGET) is None
            assert [(entry["event"], entry["server"]) for entry in logs] == [("bug", "pool-0")]
            w.servers.names = ["m"]
            await w.time.advance(60)
            assert w.see(TARGET).preflight.passed
