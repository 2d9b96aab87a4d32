"""The queue and its workers: one key at a time, errors become later tries, a bug stops nobody else."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from toolorch_operator.errors import Conflict, Throttled, Unavailable
from toolorch_operator.metrics import Metrics
from toolorch_operator.owner import Key
from toolorch_operator.workqueue import STUCK_AFTER, WorkQueue, run_worker

A = Key("ModelPool", "default", "a")
B = Key("EvalRun", "default", "b")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def new_queue(clock: Clock | None = None) -> WorkQueue:
    return WorkQueue(clock or asyncio.get_running_loop().time, lambda: 1.0)


async def drain(queue: WorkQueue, reconcile, metrics: Metrics, workers: int = 2) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*(run_worker(queue, reconcile, metrics) for _ in range(workers)))


def errors(metrics: Metrics, kind: str, reason: str) -> float:
    registry: CollectorRegistry = metrics.registry
    return registry.get_sample_value("toolorch_reconcile_errors_total", {"kind": kind, "reason": reason}) or 0.0


async def test_a_burst_of_events_is_one_reconcile_and_one_more_for_what_came_meanwhile():
    queue, seen = new_queue(), []

    async def reconcile(key: Key) -> None:
        seen.append(key)
        if len(seen) == 1:
            for _ in range(5):
                queue.add(key)
            await asyncio.sleep(0.01)
        else:
            queue.close()

    for _ in range(10):
        queue.add(A)
    await drain(queue, reconcile, Metrics())
    assert seen == [A, A]


def test_no_retry_waits_for_longer_than_a_resync_would():
    queue = WorkQueue(Clock(), lambda: 1.0, cap=3.0)
    assert max(queue.retry(A) for _ in range(20)) == 3.0


async def test_one_key_is_never_reconciled_twice_at_once():
    queue, running, most, count = new_queue(), 0, 0, 0

    async def reconcile(key: Key) -> None:
        nonlocal running, most, count
        running, count = running + 1, count + 1
        most = max(most, running)
        queue.add(key)
        await asyncio.sleep(0.001)
        running -= 1
        if count > 20:
            queue.close()

    queue.add(A)
    await drain(queue, reconcile, Metrics(), workers=8)
    assert most == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        pytest.param(Conflict("changed"), "Conflict", id="somebody else wrote"),
        pytest.param(Unavailable("500"), "Unavailable", id="the API server is broken"),
        pytest.param(Throttled("429", 0.01), "Throttled", id="the API server says when to come back"),
        pytest.param(TimeoutError(), "Timeout", id="a reconcile takes too long"),
        pytest.param(KeyError("bug"), "Bug", id="a bug"),
    ],
)
async def test_an_error_is_counted_and_the_key_comes_back(error, reason):
    queue, metrics, tries = new_queue(), Metrics(), 0

    async def reconcile(key: Key) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error
        queue.close()

    queue.add(A)
    await drain(queue, reconcile, metrics)
    assert tries == 2
    assert errors(metrics, "ModelPool", reason) == 1.0


async def test_a_key_that_fails_does_not_hold_up_another():
    queue, seen = new_queue(), []

    async def reconcile(key: Key) -> None:
        if key == A:
            raise Unavailable("away")
        seen.append(key)
        queue.close()

    queue.add(A)
    queue.add(B)
    await drain(queue, reconcile, Metrics(), workers=1)
    assert seen == [B]


async def test_what_reconcile_returns_is_when_it_comes_back():
    queue, times = new_queue(), []

    async def reconcile(key: Key) -> timedelta | None:
        times.append(asyncio.get_running_loop().time())
        if len(times) == 2:
            queue.close()
        return timedelta(seconds=0.05)

    queue.add(A)
    await drain(queue, reconcile, Metrics(), workers=1)
    assert times[1] - times[0] >= 0.05


async def test_liveness_fails_where_a_key_is_overdue_for_too_long():
    clock = Clock()
    queue = new_queue(clock)
    queue.add(A, after=10.0)
    clock.now += 10.0 + STUCK_AFTER
    assert not queue.is_stuck
    clock.now += 1.0
    assert queue.is_stuck


async def test_liveness_fails_where_a_reconcile_never_ends():
    clock = Clock()
    queue = new_queue(clock)
    queue.add(A)
    assert await queue.get() == A
    clock.now += STUCK_AFTER + 1.0
    assert queue.is_stuck
    queue.done(A)
    assert not queue.is_stuck


async def test_a_closed_queue_lets_waiting_workers_go():
    queue = new_queue()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.close()
    assert await waiting is None
