"""Each class of plans catches an operator that is wrong in a way of its own, and finds nothing in the right one."""

import asyncio
from dataclasses import dataclass

import pytest
import pytest_asyncio
from fault_plan import Fault, FaultPlan, When
from small_world import SmallWorld

pytestmark = pytest.mark.faults

STATUS = "write evalruns/run/status"
LAG = {"events": 3, "seconds": 1.5, "agent": "*"}
"""Back to the version before the change, for longer than it takes to be wrong about it."""

LONG, SHORT = 60, 8
"""Seconds for what a change takes, which is one: on a busy machine, and for who is expected never to get there."""


@dataclass(frozen=True)
class Case:
    """A habit, the class of plans that catches it, the fault, and the oracle that tells."""

    habit: str
    kind: str
    fault: Fault
    oracle: str

    def patience(self, habit):
        """Return how many seconds somebody has to come to an end."""
        return SHORT if habit == self.habit and self.oracle == "O4" else LONG

    def __str__(self):
        return f"{self.habit} is caught by {self.kind}"


JOB = When("create jobs/*", effective=True)
EVERY_CHANGE = When("MODIFIED evalruns/run", times=0)
CASES = (
    Case("names-by-chance", "a crash after a write", Fault(JOB, "after", "kill"), "O2"),
    Case("names-by-chance", "a lost reply", Fault(JOB, "after", "reset"), "O2"),
    Case("begins-afresh", "a crash before a write", Fault(When(STATUS, 2), "before", "kill"), "O2"),
    Case("shrugs-at-conflicts", "409", Fault(When(STATUS, 2), "before", "reply", {"code": 409}), "O4"),
    Case("counts-events", "a line that comes twice", Fault(EVERY_CHANGE, "line", "dup"), "O1"),
    Case("lists-once", "ERROR 410 in a watch", Fault(EVERY_CHANGE, "line", "error", {"code": 410}), "O4"),
    Case("believes-the-watch", "a stale restart", Fault(When(STATUS, 2, effective=True), "after", "kill", LAG), "O3"),
    Case("forgets-the-generation", "an operator that is down", Fault(When(), "change", "away"), "O4"),
)
HABITS = ("right", "never-rests", *sorted({case.habit for case in CASES}))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def violations(ground, tmp_path_factory):
    """What oracles say, by habit and kind of fault; none: nothing goes wrong. All is played at once, mostly waiting."""
    async with SmallWorld(ground, tmp_path_factory.mktemp("small")) as world:

        async def learn(habit):
            patience = SHORT if habit == "never-rests" else LONG
            reference, found[habit, None] = await world.learn(habit, patience)
            for case in (case for case in CASES if habit in ("right", case.habit)):
                group.create_task(judge(habit, case, reference))

        async def judge(habit, case, reference):
            plan = FaultPlan("plan", "small", (case.fault,))
            found[habit, case.kind] = await world.judge(habit, plan, reference, case.patience(habit))

        found = {}
        async with asyncio.TaskGroup() as group:
            for habit in HABITS:
                group.create_task(learn(habit))
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_wrong_operator_is_caught_by_the_class_of_plans_that_is_for_it(violations, case):
    caught = {text.split()[0] for text in violations[case.habit, case.kind]}
    assert case.oracle in caught


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
async def test_the_right_operator_bears_it(violations, case):
    assert violations["right", case.kind] == []


@pytest.mark.parametrize("habit", [habit for habit in HABITS if habit != "never-rests"])
async def test_without_faults_nothing_tells_wrong_from_right(violations, habit):
    assert violations[habit, None] == []


async def test_an_operator_that_never_rests_is_caught_without_any_fault(violations):
    assert [text.split()[0] for text in violations["never-rests", None]] == ["O5"]
