"""Two whole operators over one API server: one works, the other takes over when it dies, hangs or ends in order."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_operator.defaults import Defaults
from toolorch_operator.lifecycle import Operator
from toolorch_operator.observation import Observation
from toolorch_operator.plan import Plan
from toolorch_operator.reconcile import Brain, World
from toolorch_operator.settings import Settings
from toolorch_operator.workqueue import WorkQueue

POOL = {
    "apiVersion": "toolorch.dev/v1alpha1",
    "kind": "ModelPool",
    "metadata": {"name": "pool", "namespace": "default", "uid": "1", "generation": 1},
    "spec": {"model": "m"},
}
DEFAULTS = Defaults("vllm:1", "evaluator:1")
SETTINGS = Settings(DEFAULTS, http_port=0)
BEAT = timedelta(seconds=0.5)


async def watch(events, on_ready, stop):
    on_ready()
    await stop.wait()


class Process:
    """An operator that writes one object at each look, twice a second; `ended` is its exit code, None while it runs."""

    def __init__(self, stage, server, who, looks=0.0):
        self.candidate = stage.candidate(server, who)
        self.line = stage.line(server, who, self.candidate.elector.check)
        self._looks, self._beats = looks, 0
        self.ended = None
        queue = WorkQueue(asyncio.get_running_loop().time, lambda: 1.0)
        brain = Brain(ModelPool.model_validate, self._observe, self._plan)
        metrics = self.candidate.metrics
        world = World(self.line, {"ModelPool": brain}, DEFAULTS, lambda: datetime.now(UTC), metrics)
        self.operator = Operator(SETTINGS, world, queue, self.candidate.elector, watch, self._end)
        self.running = asyncio.create_task(self._run())

    async def _observe(self, _):
        await asyncio.sleep(self._looks)
        return Observation(None)

    def _plan(self, *_):
        self._beats += 1
        said = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "beat"}, "data": {"n": str(self._beats)}}
        return Plan(apply=(said,), requeue_after=BEAT)

    async def _run(self):
        self._end(await self.operator.run())

    def _end(self, code):
        self.ended = code

    def cut(self, state):
        """Leave it without an answer, or dead: no request of it arrives any more."""
        self.line.state = self.candidate.line.state = state


async def start_two(stage, **more):
    server = stage.server(("modelpools", POOL))
    first = Process(stage, server, "a", **more)
    await asyncio.sleep(1)
    second = Process(stage, server, "b", **more)
    await asyncio.sleep(30)
    assert server.writers() == ["a"]
    return server, first, second


def now():
    return asyncio.get_running_loop().time()


async def until(is_so):
    while not is_so():  # noqa: ASYNC110 - it costs nothing here
        await asyncio.sleep(0.05)


async def until_written_by(server, who, since):
    await until(lambda: who in server.writers(since))
    return now() - since


def test_one_works_and_the_other_stands_by_without_a_request_but_for_the_lease(stage):
    async def scene():
        server, first, second = await start_two(stage)
        before = second.candidate.line.asked
        await asyncio.sleep(60)
        assert server.writers() == ["a"]
        assert (first.candidate.leads(), second.candidate.leads()) == (1, 0)
        assert second.line.asked == 0
        assert second.candidate.line.asked - before <= 31
        assert (first.ended, second.ended) == (None, None)

    stage.play(scene())


@pytest.mark.parametrize("state", ["hung", "broken"])
def test_a_leader_that_reaches_nobody_ends_before_the_other_writes(stage, state):
    async def scene():
        server, first, _ = await start_two(stage)
        cut = now()
        first.cut(state)
        await until(lambda: first.ended is not None)
        assert first.ended == 1
        assert now() - cut <= 10
        # Whatever it still does, a line that works again takes nothing from it.
        first.cut("up")
        ended = now()
        assert await until_written_by(server, "b", cut) < 20
        await asyncio.sleep(30)
        assert server.writers(ended) == ["b"]

    stage.play(scene())


@pytest.mark.parametrize("looks", [0.0, 4.0], ids=["idle", "with reconciles that last"])
def test_who_ends_in_order_hands_over_at_once(stage, looks):
    async def scene():
        server, first, _ = await start_two(stage, looks=looks)
        first.operator.stop()
        await first.running
        assert first.ended == 0
        ended = now()
        assert await until_written_by(server, "b", ended) < 3 + looks
        assert server.record["leaseTransitions"] == 1
        assert server.writers(ended) == ["b"], "what ran had ended before"

    stage.play(scene())


def test_who_breaks_off_a_reconcile_lets_the_lease_end_by_itself(stage):
    async def scene():
        server, first, _ = await start_two(stage)
        first.line.state = "deaf"
        await asyncio.sleep(3)
        first.operator.stop()
        await first.running
        assert server.record["holderIdentity"] == "a"
        ended = now()
        assert 10 < await until_written_by(server, "b", ended) < 20

    stage.play(scene())


def test_who_stands_by_ends_when_it_is_told_and_takes_nothing_along(stage):
    async def scene():
        server, _, second = await start_two(stage)
        second.operator.stop()
        await asyncio.wait_for(second.running, 1)
        assert second.ended == 0
        assert server.record["holderIdentity"] == "a"

    stage.play(scene())
