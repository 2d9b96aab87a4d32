"""Whatever happens to the ways to the API server, and to those who use them, no two may write at the same time."""

from __future__ import annotations

import asyncio
import random

import pytest

from toolorch_operator.errors import NotLeading

STATES = ("up", "up", "up", "hung", "broken", "deaf")


def may_write(candidate):
    try:
        candidate.elector.check()
    except NotLeading:
        return False
    return True


async def live(stage, server, who, dice, alive):
    """Live as processes do: one after another, each until it loses the lease, is told to end, or dies."""
    life = 0
    while True:
        life += 1
        # A container that starts again keeps its name, a new pod has another.
        made = alive[who] = stage.candidate(server, f"{who}{life // 2}")
        acts = asyncio.create_task(lead_and_hold(made))
        await asyncio.wait([acts], timeout=dice.uniform(5, 90))
        acts.cancel()
        await asyncio.gather(acts, return_exceptions=True)
        if dice.random() < 0.5:
            await made.elector.release()
        del alive[who]


async def lead_and_hold(candidate):
    await candidate.elector.acquire()
    await candidate.elector.hold()


async def disturb(dice, alive):
    while True:
        await asyncio.sleep(dice.uniform(0.1, 9))
        for one in alive.values():
            one.line.state = dice.choice(STATES)


@pytest.mark.parametrize("seed", range(3))
def test_no_two_may_write_at_once(stage, seed):
    dice = random.Random(seed)

    async def scene():
        server, alive, led = stage.server(), {}, set()
        tasks = [asyncio.create_task(live(stage, server, who, dice, alive)) for who in "abc"]
        tasks.append(asyncio.create_task(disturb(dice, alive)))
        for _ in range(600):
            await asyncio.sleep(0.5)
            leaders = [who for who, one in alive.items() if may_write(one)]
            led.update(leaders)
            assert len(leaders) <= 1
            assert not any(task.done() for task in tasks)
        assert len(led) > 1, "nothing happened"

    stage.play(scene())
