"""Many plans, some at a time: learns the references, judges each outcome, and keeps what failed for a replay."""

import asyncio
import shutil
from collections import Counter
from dataclasses import dataclass, field

from fault_plan import FaultPlan
from oracles import judge, learn
from rich.table import Table
from workloads import WORKLOADS

AT_ONCE = 8
"""Plans mostly wait: so many keep two cores at work."""
LESSONS = 2
"""Runs without faults of each workload: what differs between them is no violation."""


@dataclass
class Verdict:
    """How one plan came out."""

    plan: object
    violations: list
    has_fired: bool
    seconds: float


@dataclass
class Campaign:
    """Plans in one arena; `folder` gets plan and trace of what fails."""

    arena: object
    folder: object
    references: dict = field(default_factory=dict)

    async def learn(self, names=tuple(WORKLOADS)):
        """Learn the references of workloads."""
        lessons = [FaultPlan(f"reference-{name}-{n}", name) for name in names for n in range(LESSONS)]
        outcomes = await self._each(lessons, self.arena.run_plan)
        for name in names:
            own = [o for o in outcomes if o.workload == name]
            late = [o.late or o.broken for o in own if o.late or o.broken]
            assert not late, f"{name} goes wrong without any fault: {late}"
            self.references[name] = learn(own)

    async def run(self, plans):
        """Return the verdicts on plans, in their order."""
        return await self._each(plans, self.run_one)

    async def run_one(self, plan):
        """Play one plan and return the verdict on it."""
        reference, trace = self.references[plan.workload], self.folder / f"{plan.name}.trace"
        outcome = await self.arena.run_plan(plan, reference.seconds, trace)
        found = judge(plan, reference, outcome)
        if found:
            plan.save(self.folder)
            (self.folder / f"{plan.name}.violations").write_text("\n".join([*found, *map(str, outcome.logs)]) + "\n")
        else:
            trace.unlink()
        shutil.rmtree(outcome.folder, ignore_errors=True)
        return Verdict(plan, found, bool(outcome.fired), outcome.seconds)

    async def _each(self, plans, play):
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(plan):
            async with turns:
                return await play(plan)

        return await asyncio.gather(*map(one, plans))


def build_table(matrix, verdicts):
    """Return a table of plans and violations by class; `matrix` are the plans by class."""
    by_name = {v.plan.name: v for v in verdicts}
    table = Table("class", "plans", "fired", "violations", "what")
    for kind, plans in matrix.items():
        own = [by_name[p.name] for p in plans if p.name in by_name]
        failed = [v for v in own if v.violations]
        oracles = Counter(text.split()[0] for v in failed for text in v.violations)
        what = ", ".join(f"{oracle} {n}" for oracle, n in sorted(oracles.items()))
        table.add_row(kind, str(len(own)), str(sum(v.has_fired for v in own)), str(len(failed)), what)
    failed = sum(bool(v.violations) for v in verdicts)
    table.add_row("total", str(len(verdicts)), str(sum(v.has_fired for v in verdicts)), str(failed), "")
    return table
