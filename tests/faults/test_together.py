"""Two operators at once: with a lease one works, and the other once that one dies; without it, by mistake, both do."""

import asyncio

import pytest
import pytest_asyncio
from arena import Arena
from campaign import rests_twice
from fault_plan import FaultPlan
from oracles import judge, judge_end, judge_quiet, learn
from workloads import Workload, begin_run, is_complete, shards_at_work

pytestmark = pytest.mark.faults

ALONE = ("pool-scale", "run-complete")
"""Workloads that two operators without a lease play."""
LONG = 60
"""Seconds that a workload counts as taking, a third of what it may: on a machine that is busy."""
TIMES = 2
"""So many times the writes of one operator do two make at most, each of which may see the other's too late."""
LEASE = {"TOOLORCH_LEADER_ELECTION": "true", "TOOLORCH_NAMESPACE": "NAMESPACE"}


async def outlive_leader(stage):
    """Kill the leader while shards are at work, and let the run go on to its end once another leads."""
    await begin_run(stage)
    await stage.until(lambda: shards_at_work(stage) == 3, "three shards at work")
    leader, other = stage.operators.each
    if not leads(leader):
        leader, other = other, leader
    assert leads(leader)
    assert not leads(other)
    leader.kill()
    await other.started(LONG)
    stage.script.may_finish.set()
    await stage.until(lambda: is_complete(stage), "a Complete run with its report")


def leads(operator):
    """Tell whether an operator has begun to watch: only a leader does."""
    return any(line.get("event") == "started" for line in operator.lines())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played():
    """Reference and outcome by workload, `handover`: with a lease, whose holder is killed."""
    async with Arena() as arena:

        async def play(name):
            lesson = FaultPlan("alone", name)
            alone = await asyncio.gather(*(arena.run_plan(lesson, seconds=LONG, is_end=rests_twice) for _ in range(2)))
            reference = learn(alone)
            # Each of the two asks for itself.
            reference.requests *= 2

            def is_end(outcome):
                return not judge_end(reference, outcome) and not judge_quiet(reference, outcome)

            plan = FaultPlan("together", name)
            return reference, await arena.run_plan(plan, seconds=LONG, is_end=is_end, several=2, in_order=True)

        handover = Workload("run-complete", outlive_leader, holds_shards=True)
        plan = FaultPlan("handover", handover.name)
        led = arena.run_plan(
            plan, workload=handover, seconds=LONG, is_end=rests_twice, several=2, environ=LEASE, in_order=True
        )
        *found, led = await asyncio.gather(*map(play, ALONE), led)
    by_name = dict(zip(ALONE, found, strict=True))
    return by_name | {"handover": (by_name[handover.name][0], led)}


@pytest.mark.parametrize("name", [*ALONE, "handover"])
async def test_two_come_to_the_end_of_one_make_nothing_twice_and_rest(played, name):
    reference, outcome = played[name]
    assert judge(FaultPlan("together", outcome.workload), reference, outcome) == []


@pytest.mark.parametrize("name", ALONE)
async def test_two_do_not_answer_each_other_with_writes(played, name):
    reference, outcome = played[name]
    alone = max(sum(record.effective for record in records) for records in reference.runs)
    assert len(outcome.trace.effective()) <= TIMES * alone
