"""The place where a workload plays: its namespace, the user's hands, and the disturbances that a plan asks for."""

import asyncio
from contextlib import asynccontextmanager

from fault_plan import Triggers

API = "toolorch.dev/v1alpha1"
PATHS = {"ModelPool": f"apis/{API}", "EvalRun": f"apis/{API}", "Pod": "api/v1", "Secret": "api/v1"}
AWAY_SECONDS = 0.5
"""How long an operator stays away after what it is to miss: the controllers have done their part by then."""


class Stage:
    """What a workload may do and see; `limit` are the seconds that it may take in all."""

    def __init__(self, ground, story, kubelet, script, absences, limit):
        self._ground, self.absences = ground, absences
        self.story, self.kubelet, self.script = story, kubelet, script
        self._ends = asyncio.get_running_loop().time() + limit

    async def create(self, kind, name, spec):
        """Create a ModelPool or an EvalRun."""
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self._ground.create(self._path(kind), body)

    async def create_secret(self, name, texts):
        """Create a Secret."""
        await self._ground.create(self._path("Secret"), {"metadata": {"name": name}, "stringData": texts})

    async def patch(self, kind, name, spec):
        """Change a spec, as kubectl patch does."""
        await self._ground.patch(f"{self._path(kind)}/{name}", {"spec": spec})

    async def delete(self, kind, name):
        """Delete an object, as kubectl delete does."""
        await self._ground.delete(f"{self._path(kind)}/{name}")

    @property
    def has_time(self):
        """Whether the workload's time is not over."""
        return asyncio.get_running_loop().time() < self._ends

    async def until(self, is_it, what):
        """Wait until the namespace is such; TimeoutError where the workload's time is over before."""
        left = self._ends - asyncio.get_running_loop().time()
        return await self.story.until(is_it, max(0.1, left), what)

    @asynccontextmanager
    async def change(self):
        """Mark a change from outside: where the plan says so, the operator is away while it is made."""
        async with self.absences.take():
            yield

    def _path(self, kind):
        return f"/{PATHS[kind]}/namespaces/{self.story.namespace}/{kind.lower()}s"


class Absences:
    """The changes that a plan's operator misses; `first` is the number of the trace's record at the first change."""

    def __init__(self, plan, supervisor, trace):
        self._triggers, self._supervisor, self._trace = Triggers(plan), supervisor, trace
        self.first = 0

    @property
    def fired(self):
        """Faults that happened."""
        return self._triggers.fired

    @asynccontextmanager
    async def take(self):
        """Let a change happen."""
        self.first = self.first or len(self._trace.records)
        is_away = bool(self._triggers.take("change", ""))
        if is_away:
            await self._supervisor.leave()
        yield
        if is_away:
            await asyncio.sleep(AWAY_SECONDS)
            self._supervisor.come_back()
