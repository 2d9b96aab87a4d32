"""Many plans, some at a time: learns the references, judges each outcome, and keeps what failed for a replay."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from s3_matrix import at_least
from s3_oracles import judge
from s3_plan import StoragePlan
from s3_world import Outcome, StorageGround

AT_ONCE = 8
"""Plans mostly wait: so many keep two cores at work."""
LESSONS = 2
"""Runs without faults: a request that not all of them make is none to count on."""
TIMELY = ("verdict: not settled", "exits", "work")
"""What an oracle says begins so, where a slow machine may be the reason."""


@dataclass(frozen=True)
class Verdict:
    """How one plan came out."""

    plan: StoragePlan
    violations: list[str]
    fired: int
    """Requests that met a fault."""

    @property
    def is_late(self) -> bool:
        """Whether all that is wrong may come of a machine that others keep busy, on which requests time out."""
        return bool(self.violations) and all(what.startswith(TIMELY) for what in self.violations)


@dataclass
class StorageCampaign:
    """Plans on one ground; `folder` gets the plan and the trace of each that fails."""

    ground: StorageGround
    folder: Path
    references: dict[str, Outcome] = field(default_factory=dict)
    """By workload, without faults."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Requests by workload and signature, as few as any reference had."""

    async def learn(self, workloads: Iterable[str] = ("run", "report")) -> None:
        """Play each workload without faults."""
        for workload in workloads:
            lessons = await asyncio.gather(*(self.ground.run(StoragePlan(workload=workload)) for _ in range(LESSONS)))
            wrong = [what for lesson in lessons for what in judge(lessons[0], lesson)]
            assert not wrong, f"{workload} goes wrong without any fault: {wrong}"
            self.references[workload] = lessons[0]
            self.counts[workload] = at_least(*(Counter(lesson.seen.counts) for lesson in lessons))

    async def run(self, plans: Sequence[StoragePlan]) -> list[Verdict]:
        """Return the verdicts on plans, in their order; where only time may be to blame, of a second play, alone."""
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(plan: StoragePlan) -> Verdict:
            async with turns:
                return await self.run_one(plan)

        verdicts = await asyncio.gather(*map(one, plans))
        return [await self.run_one(v.plan) if v.is_late else v for v in verdicts]

    async def run_one(self, plan: StoragePlan) -> Verdict:
        """Play one plan and return the verdict on it."""
        outcome = await self.ground.run(plan)
        found = judge(self.references["report" if plan.workload == "report" else "run"], outcome)
        if found:
            name = f"{plan.name[:100].replace(' ', '-').replace(':', '').replace(',', '')}-{plan.seed}"
            (self.folder / f"{name}.json").write_text(plan.to_json())
            logs = [f"--- {end.pod}: {end.code} {end.word}\n{end.log}" for end in outcome.ends]
            (self.folder / f"{name}.txt").write_text("\n".join([*found, *outcome.troubles, *outcome.seen.trace, *logs]))
        return Verdict(plan, found, len(outcome.seen.fired))
