"""The place where a workload plays: its namespace, the user's hands, and the disturbances that a plan asks for."""

import asyncio
from contextlib import asynccontextmanager

API = "toolorch.dev/v1alpha1"
PATHS = {"ModelPool": f"apis/{API}", "EvalRun": f"apis/{API}", "Pod": "api/v1", "Secret": "api/v1"}
AWAY_SECONDS = 0.5
"""How long an operator stays away after what it is to miss: the controllers have done their part by then."""


class Stage:
    """What a workload may do and see; `limit` are the seconds that it may take in all."""

    def __init__(self, ground, story, kubelet, script, supervisor, limit):
        self._ground, self._supervisor = ground, supervisor
        self.story, self.kubelet, self.script = story, kubelet, script
        self._ends = asyncio.get_running_loop().time() + limit

    async def create(self, kind, name, spec):
        """Create a ModelPool or an EvalRun."""
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self._ground.create(self._path(kind), body)

    async def patch(self, kind, name, spec):
        """Change a spec, as kubectl patch does."""
        await self._ground.patch(f"{self._path(kind)}/{name}", {"spec": spec})

    async def delete(self, kind, name):
        """Delete an object, as kubectl delete does."""
        await self._ground.delete(f"{self._path(kind)}/{name}")

    async def until(self, is_it, what):
        """Wait until the namespace is such; TimeoutError where the workload's time is over before."""
        left = self._ends - asyncio.get_running_loop().time()
        return await self.story.until(is_it, max(0.1, left), what)

    @asynccontextmanager
    async def change(self):
        """Mark a change from outside: where the plan says so, the operator is down while it is made."""
        down = self._supervisor.misses_changes
        if down:
            await self._supervisor.leave()
        yield
        if down:
            await asyncio.sleep(AWAY_SECONDS)
            self._supervisor.come_back()

    def _path(self, kind):
        return f"/{PATHS[kind]}/namespaces/{self.story.namespace}/{kind.lower()}s"


class Supervisor:
    """Keeps one operator running, as a Deployment does: one that ended, however, is started again."""

    def __init__(self, start, *, misses_changes=False):
        self._start, self.misses_changes = start, misses_changes
        self.lives = []
        """All operators, in their order."""
        self.is_killed = False
        self.codes = []
        """Exit codes of lives that nobody ended on purpose."""
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._task = None

    async def begin(self):
        """Start the first one and wait until it watches."""
        await self._launch()
        await self.lives[-1].started()
        self._task = asyncio.create_task(self._keep())

    def kill(self):
        """Kill the one that runs."""
        self.is_killed = True
        self.lives[-1].kill()

    async def leave(self):
        """Kill the one that runs and start no other."""
        self._may_run.clear()
        self.kill()
        await self.lives[-1].wait()

    def come_back(self):
        """Let one run again."""
        self._may_run.set()

    async def end(self, *, in_order):
        """End the last one, in order or at once, and return its exit code, None where it was killed."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if in_order:
            self.lives[-1].terminate()
        else:
            self.lives[-1].kill()
        code = await self.lives[-1].wait()
        return code if in_order else None

    async def _keep(self):
        while True:
            code = await self.lives[-1].wait(seconds=None)
            if not self.is_killed:
                self.codes.append(code)
            self.is_killed = False
            await self._may_run.wait()
            await self._launch()

    async def _launch(self):
        self.lives.append(await self._start())
