"""One bare Kubernetes for many plans at once: each plays a workload through a fault proxy, and its outcome is kept."""

import asyncio
import itertools
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from chronicle import Chronicle
from ground import Ground
from kubelet import Kubelet, Script
from model_servers import ModelServers, external_server
from operators import Operators
from proxy import Proxy
from stage import Absences, Stage
from supervisor import Supervisor
from together import Together
from tracing import Trace
from workloads import WORKLOADS

NODES = {"gpu-1": 8, "gpu-2": 8}
"""GPUs by node: more than any workload asks for."""
RESYNC_SECONDS = 2
"""Users have 300: what no event tells is noticed within seconds here."""
GRACE, QUIET = 0.4, 2.5
"""Seconds from the end to the look for quiet, and of that look: a resync, which spreads by a fifth, lies in it."""
WINDOWS = 4
"""Looks for quiet at least before an operator counts as restless: a fault may be in time for the first ones."""
PATIENCE = 60.0
"""Seconds that a workload, and the rest after it, may take where the reference took less than a third of it."""


@dataclass
class Outcome:
    """All that the oracles judge of one plan."""

    workload: str
    story: object
    trace: object
    folder: Path
    seconds: float = 0.0
    """From the first change by the user to the end of the workload."""
    first_change: int = 0
    """Number of the record of the trace at which the user first changed something."""
    fired: list = field(default_factory=list)
    """Faults that happened."""
    late: str = ""
    """What did not come about in time."""
    quiet: list = field(default_factory=list)
    """(effective writes, requests) of each look for quiet."""
    logs: list = field(default_factory=list)
    """Lines of all lives of the operator."""
    codes: list = field(default_factory=list)
    """Exit codes of lives that nobody ended, and of the last one, which was told to go."""
    broken: list = field(default_factory=list)
    """What went wrong in the pretended world itself."""


class Arena:
    """The ground, and what all plans share on it."""

    def __init__(self):
        self._stack = AsyncExitStack()
        self._numbers = itertools.count(1)

    async def __aenter__(self):
        async with AsyncExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
            self.ground = await stack.enter_async_context(Ground())
            for name, gpus in NODES.items():
                await self.ground.make_node(name, gpus)
            self.chronicle = await stack.enter_async_context(Chronicle(self.ground.session))
            self.operators = await stack.enter_async_context(Operators(self.folder))
            self.external = await stack.enter_async_context(external_server())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_):
        await self._stack.aclose()

    async def run_plan(
        self, plan, path=None, *, workload=None, seconds=0.0, is_end=lambda outcome: True, in_order=False, several=1,
        environ=None,
    ):  # fmt: skip
        """Play a plan's workload, or another, through a proxy of its own; return the outcome; `path` gets the trace.

        `seconds` are what the reference took; `is_end(outcome)` tells whether what rests is the end. `in_order`: the
        operator is told to end, and has its time for it; else it is killed. `several` operators run at once, with more
        of an `environ`, whose NAMESPACE is the plan's.
        """
        namespace = f"p{next(self._numbers)}"
        workload = workload or WORKLOADS[plan.workload]
        await self.ground.make_namespace(namespace)
        story = self.chronicle.open(namespace)
        script = Script(workload.crash)
        if workload.holds_shards:
            script.may_finish.clear()
        kubelet = Kubelet(self.ground.session, story, script)
        trace = Trace(path)
        outcome = Outcome(plan.workload, story, trace, self.folder / namespace)
        supervisor = Supervisor(self._starter(namespace, lambda: proxy.url, several, environ or {}))
        proxy = Proxy(self.ground, namespace, plan, supervisor.kill, trace, ModelServers(story))
        try:
            async with proxy:
                await supervisor.begin()
                limit = max(PATIENCE, 3 * seconds)
                stage = Stage(self.ground, story, kubelet, script, Absences(plan, supervisor, trace), limit)
                stage.external, stage.output = self.external, f"file://{outcome.folder}/runs"
                stage.operators = supervisor.lives[-1]
                await play(workload, stage, outcome, is_end)
                outcome.fired = [*proxy.fired, *stage.absences.fired]
                outcome.codes = [*supervisor.codes, await supervisor.end(in_order=in_order)]
                outcome.logs = [line for life in supervisor.lives for line in life.lines()]
        finally:
            await kubelet.close()
            outcome.broken = kubelet.errors
            self.chronicle.close(namespace)
        return outcome

    def _starter(self, namespace, url, several, environ):
        own = {name: value.replace("NAMESPACE", namespace) for name, value in environ.items()}

        async def start_one():
            config = self.ground.kubeconfig(url())
            return await self.operators.start(config, namespace, own, resync_seconds=RESYNC_SECONDS)

        async def start_several():
            return Together([await start_one() for _ in range(several)])

        return start_one if several == 1 else start_several


async def play(workload, stage, outcome, is_end=lambda outcome: True):
    """Play a workload to its end, and then watch until the operator rests there, as long as there is time."""
    clock = asyncio.get_running_loop().time
    began = clock()
    try:
        await workload.play(stage)
    except TimeoutError as error:
        outcome.late = str(error)
        return
    finally:
        outcome.seconds = clock() - began
        outcome.first_change = stage.absences.first
    await asyncio.sleep(GRACE)
    while len(outcome.quiet) < WINDOWS or stage.has_time:
        known = len(outcome.trace.records)
        await asyncio.sleep(QUIET)
        # Who leads says so, at work and at rest.
        seen = [r for r in outcome.trace.records[known:] if not r.key.startswith("leases/")]
        writes = [r for r in seen if r.effective]
        outcome.quiet.append((writes, [r for r in seen if r.status]))
        if not writes and is_end(outcome):
            return
