"""Time that passes as soon as nothing is left to do, and an API server that each operator reaches by its own line."""

from __future__ import annotations

import asyncio
import copy
import selectors

import pytest

from toolorch_operator.elector import Elector
from toolorch_operator.errors import Conflict, Unavailable
from toolorch_operator.metrics import Metrics

START = 1000.0
END = START + 5000
LATENCY = 0.01
LEASE = ("leases", "toolorch")


class Skipping(selectors.DefaultSelector):
    """Waits for nothing: what would be waited is what time gains."""

    now = START

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "nothing will ever happen"
            self.now += timeout
            assert self.now < END, "it goes on for ever"
        return ready


class Loop(asyncio.SelectorEventLoop):
    """An event loop in which an hour takes a moment."""

    def __init__(self):
        self._skipping = Skipping()
        super().__init__(self._skipping)

    def time(self):
        return self._skipping.now


class Server:
    """Objects by resource and name; `writes` are (seconds, who, what)."""

    def __init__(self, *objects):
        self.objects = {}
        self.writes = []
        self.version = 0
        for resource, manifest in objects:
            self.put(resource, manifest, "test")

    def put(self, resource, manifest, who):
        self.version += 1
        made = copy.deepcopy(dict(manifest))
        made["metadata"] = {**made["metadata"], "resourceVersion": str(self.version)}
        self.objects[resource, made["metadata"]["name"]] = made
        if who != "test":
            self.writes.append((asyncio.get_running_loop().time(), who, resource))
        return copy.deepcopy(made)

    def edit_lease(self, **record):
        lease = self.objects[LEASE]
        self.put("leases", {**lease, "spec": {**lease["spec"], **record}}, "test")

    @property
    def record(self):
        return self.objects[LEASE]["spec"]

    def writers(self, since=START, resource="configmaps"):
        """Who wrote since then, each once, in their order."""
        return list(dict.fromkeys(who for at, who, what in self.writes if what == resource and at >= since))


class Line:
    """One client's way to the server. `state` is up, hung, broken (500) or deaf: done, but never answered."""

    def __init__(self, server, who, check=lambda: None):
        self.server, self.who, self._check = server, who, check
        self.state = "up"
        self.asked = 0

    async def _reach(self):
        self.asked += 1
        if self.state == "hung":
            await asyncio.Event().wait()
        await asyncio.sleep(LATENCY)
        if self.state == "broken":
            raise Unavailable("500")

    async def _done(self, answer):
        if self.state == "deaf":
            await asyncio.Event().wait()
        await asyncio.sleep(LATENCY)
        return answer

    async def get(self, resource, namespace, name):
        await self._reach()
        return copy.deepcopy(self.server.objects.get((resource.plural, name)))

    async def list(self, resource, namespace="", selector="", fields=""):
        await self._reach()
        return [copy.deepcopy(o) for (plural, _), o in self.server.objects.items() if plural == resource.plural]

    async def collect(self, resource, view, namespace="", labelSelector="", fieldSelector=""):
        return [view(item) for item in await self.list(resource, namespace, labelSelector, fieldSelector)]

    async def create(self, namespace, manifest):
        self._check()
        await self._reach()
        plural = f"{manifest['kind'].lower()}s"
        if (plural, manifest["metadata"]["name"]) in self.server.objects:
            return None
        return await self._done(self.server.put(plural, manifest, self.who))

    async def replace(self, manifest):
        self._check()
        await self._reach()
        plural, meta = f"{manifest['kind'].lower()}s", manifest["metadata"]
        live = self.server.objects.get((plural, meta["name"]))
        if live is None or live["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise Conflict("changed")
        return await self._done(self.server.put(plural, manifest, self.who))

    async def apply(self, namespace, manifest):
        self._check()
        await self._reach()
        return await self._done(self.server.put(f"{manifest['kind'].lower()}s", manifest, self.who))


class Candidate:
    """An elector and its line; `skew` is what its own clock is ahead of the loop's."""

    def __init__(self, server, who):
        self.metrics = Metrics()
        self.line = Line(server, who)
        self.skew = 0.0
        self.elector = Elector(self.line, "toolorch", "toolorch", who, self.clock, self.metrics)

    def clock(self):
        return asyncio.get_running_loop().time() + self.skew

    def leads(self):
        return self.metrics.registry.get_sample_value("toolorch_leader")


class Stage:
    """What tests of leadership share."""

    start = START
    latency = LATENCY
    server = Server
    line = Line
    candidate = Candidate

    @staticmethod
    def play(scene):
        """Run a coroutine to its end; what it leaves running is cancelled."""
        with asyncio.Runner(loop_factory=Loop) as runner:
            return runner.run(scene)


@pytest.fixture
def stage():
    return Stage
