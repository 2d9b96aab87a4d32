"""Many plans, some at a time: learns the references, judges each outcome, and keeps what failed for a replay."""

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass, field
from io import StringIO

import pytest
from fault_plan import FaultPlan
from oracles import LIVENESS, judge, judge_end, judge_quiet, learn
from rich.console import Console
from rich.table import Table
from workloads import WORKLOADS

AT_ONCE = 12
"""Plans mostly wait: so many keep two cores at work."""
LESSONS = 2
"""Runs without faults of each workload: what differs between them is no violation."""
WIDTH = 120
"""Letters of a line of the table."""
TABLE = pytest.StashKey()
"""Where a test session keeps the table for its end."""
AGAIN = 12
"""Plans that may be played once more, by themselves; where more are late, it is not the machine."""


@dataclass
class Verdict:
    """How one plan came out."""

    plan: object
    violations: list
    has_fired: bool
    seconds: float
    first: list = field(default_factory=list)
    """Violations of a first play, where there was a second one, with the machine for itself."""

    @property
    def may_be_late(self):
        """Whether all that is wrong may come of a machine that is busy."""
        return bool(self.violations) and all(text.startswith(LIVENESS) for text in self.violations)


@dataclass
class Campaign:
    """Plans in one arena; `folder` gets plan and trace of what fails."""

    arena: object
    folder: object
    is_strict: bool = True
    """Whether a violation counts that is no lateness and does not come again: a race that is rarely lost."""
    at_once: int = AT_ONCE
    references: dict = field(default_factory=dict)

    async def learn(self, names=tuple(WORKLOADS)):
        """Learn the references of workloads."""
        lessons = [FaultPlan(f"reference-{name}-{n}", name) for name in names for n in range(LESSONS)]
        outcomes = await self._each(lessons, self._take_lesson)
        for number, outcome in enumerate(outcomes):
            if outcome.late:
                outcomes[number] = await self._take_lesson(lessons[number])
        for name in names:
            own = [o for o in outcomes if o.workload == name]
            wrong = [o.late or o.broken for o in own if o.late or o.broken]
            assert not wrong, f"{name} goes wrong without any fault: {wrong}"
            self.references[name] = learn(own)

    async def _take_lesson(self, plan):
        return await self.arena.run_plan(plan, is_end=rests_twice)

    async def run(self, plans):
        """Return the verdicts on plans, in their order."""
        verdicts = await self._each(plans, self.run_one)
        doubtful = [n for n, v in enumerate(verdicts) if v.may_be_late or (v.violations and not self.is_strict)]
        for number in doubtful if len(doubtful) <= AGAIN else ():
            if not verdicts[number].may_be_late:
                self._keep_first(plans[number])
            again = await self.run_one(plans[number])
            again.first = verdicts[number].violations
            verdicts[number] = again
        return verdicts

    def _keep_first(self, plan):
        for ending in ("json", "trace", "violations"):
            shutil.copy(self.folder / f"{plan.name}.{ending}", self.folder / f"{plan.name}.first.{ending}")

    async def run_one(self, plan):
        """Play one plan and return the verdict on it."""
        reference, trace = self.references[plan.workload], self.folder / f"{plan.name}.trace"

        def is_end(outcome):
            return not judge_end(reference, outcome) and not judge_quiet(reference, outcome)

        outcome = await self.arena.run_plan(plan, trace, seconds=reference.seconds, is_end=is_end)
        found, said = judge(plan, reference, outcome), self.folder / f"{plan.name}.violations"
        if found:
            plan.save(self.folder)
            said.write_text("\n".join([*found, *map(str, outcome.logs)]) + "\n")
        else:
            for path in (trace, said, self.folder / f"{plan.name}.json"):
                path.unlink(missing_ok=True)
        shutil.rmtree(outcome.folder, ignore_errors=True)
        return Verdict(plan, found, bool(outcome.fired), outcome.seconds)

    async def _each(self, plans, play):
        turns = asyncio.Semaphore(self.at_once)

        async def one(plan):
            async with turns:
                return await play(plan)

        return await asyncio.gather(*map(one, plans))


def rests_twice(outcome):
    """Tell whether an operator rested in two looks, one after the other: what is learnt is the end."""
    return len(outcome.quiet) > 1 and not any(writes for writes, _ in outcome.quiet[-2:])


def build_table(matrix, verdicts):
    """Return a table of plans and violations by class; `matrix` are the plans by class."""
    by_name = {v.plan.name: v for v in verdicts}
    table = Table("class", "plans", "fired", "violations", "what", "once only")
    for kind, plans in matrix.items():
        add_row(table, kind, [by_name[p.name] for p in plans if p.name in by_name])
    add_row(table, "total", verdicts)
    return table


def add_row(table, kind, verdicts):
    """Add the row of one class."""
    failed = [v for v in verdicts if v.violations]
    oracles = Counter(text.split()[0] for v in failed for text in v.violations)
    what = ", ".join(f"{oracle} {n}" for oracle, n in sorted(oracles.items()))
    fired = sum(v.has_fired for v in verdicts)
    once = Counter(text.split()[0] for v in verdicts if not v.violations for text in v.first)
    told = ", ".join(f"{oracle} {n}" for oracle, n in sorted(once.items()))
    table.add_row(kind, str(len(verdicts)), str(fired), str(len(failed)), what, told)


def render(table):
    """Return a table as plain text."""
    console = Console(width=WIDTH, file=StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()
