"""Namespaces with a node and a kubelet of their own, over which one operator rules: what happens in one is its own."""

import asyncio
import re
from contextlib import asynccontextmanager

from admin import Answer
from chronicle import Chronicle
from front import front
from kubelet import Kubelet, Script
from model_servers import ModelServers, external_server
from normal import describe_end

API = "toolorch.dev/v1alpha1"
SETTLE_SECONDS = 180.0
"""Longest wait for an end that takes two seconds on an idle machine."""
LOOK, STAYS = 0.2, 1.0
"""Seconds between two looks, and for which an end must stay: an event is looked at within a tenth of one."""
HISTORY = re.compile(r"^(ModelPool|EvalRun)/.*\.status\.(remediations|ladder\.generation|attemptsBefore)\b")
"""Fields that tell what has been, and are to differ."""
BEGUN = re.compile(r"^Job/.*\.spec\.backoffLimitPerIndex$")
"""Fields of what an attempt began with; the next one begins with others."""
HASH = re.compile(r"[./](specHash|spec-hash|template-hash|applied-hash)$")
"""Fields that stand for a spec as a whole, and its namespace is in there."""
IDLE = re.compile(r"^Deployment/.*\.spec\.replicas$")
"""Of a Deployment: one of none is as good as none, and is kept for a replica that had a place before."""
SERVED = ("ModelPool/pool.status.served",)
LEFT_OUT = (HISTORY, BEGUN, HASH)
WORDS = re.compile(r'"generation": ?\d+|(?<=no node may take it): .*|(?<=; free): .*')
"""Parts of a text that count changes, or name the nodes of other homes."""


class Home:
    """One namespace; `kind` and `name` are of the object that lives there."""

    def __init__(self, homes, namespace, kind, name, kubelet, story):
        self._homes, self.namespace, self._kind, self._name = homes, namespace, kind, name
        self._path = f"/apis/{API}/namespaces/{namespace}/{kind.lower()}s/{name}"
        self.kubelet, self.story = kubelet, story
        self._generation, self._changed, self._described = 0, 0.0, None
        story.listeners.append(self._hear)

    async def apply(self, spec):
        """Make the object hold a spec, as kubectl apply does; return the refusal of the API server, or nothing."""
        body = {"apiVersion": API, "kind": self._kind, "metadata": {"name": self._name}, "spec": spec}
        try:
            made = await self._homes.ground.apply(self._path, body)
        except Answer as answer:
            if answer.code != 422:
                raise
            return answer.status
        self._generation = made["metadata"]["generation"]
        return ""

    async def create(self, kind, name, spec):
        """Make another object of ours."""
        body = {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}
        await self._homes.ground.create(f"/apis/{API}/namespaces/{self.namespace}/{kind.lower()}s", body)

    @property
    def is_seen(self):
        """Whether the operator has looked at the newest spec."""
        found = self.story.find(self._kind, self._name) or {}
        return found.get("status", {}).get("observedGeneration", 0) >= self._generation

    @property
    def rests(self):
        """Whether the operator has looked at the newest spec, and nothing has changed lately."""
        return self.is_seen and asyncio.get_running_loop().time() - self._changed >= STAYS

    def describe(self):
        """Return the state of all that lasts and does not hold the namespace's name."""
        if self._described is None:
            end = describe_end(self.story)
            idle = tuple(k.removesuffix("spec.replicas") for k, v in end.items() if IDLE.match(k) and v == 0)
            # What the last server said of itself stays until another speaks.
            idle += () if any(k.endswith(".status.readyReplicas") and v for k, v in end.items()) else SERVED
            kept = {k: v for k, v in end.items() if not k.startswith(idle) and not any(p.search(k) for p in LEFT_OUT)}
            self._described = {k: WORDS.sub("", v) if isinstance(v, str) else v for k, v in kept.items()}
        return self._described

    @property
    def refusal(self):
        """What the operator says where it cannot make what the newest spec asks for; then all stays as it was."""
        status = (self.story.find(self._kind, self._name) or {}).get("status", {})
        if status.get("reason") != "InvalidSpec":
            return ""
        return next(c["message"] for c in status["conditions"] if c["reason"] == "InvalidSpec")

    def compare(self, other, part=""):
        """Return how two homes differ, where a pattern finds `part`; those that refuse in the same words are alike."""
        if self.refusal == other.refusal != "":
            return []
        own, its = self.describe(), other.describe()
        keys = (key for key in sorted(own.keys() | its.keys()) if re.search(part, key))
        apart = [key for key in keys if own.get(key) != its.get(key)]
        return [f"{key} is {own.get(key)!r}, not {its.get(key)!r}" for key in apart]

    async def seen(self):
        """Wait until the operator has looked at the newest spec."""
        await self._until(lambda: self.is_seen, "the operator looks at it")

    async def rest(self):
        """Wait until the operator has looked at the newest spec and nothing changes any more."""
        await self._until(lambda: self.rests, "it rests")

    async def resemble(self, other, part=""):
        """Wait until two homes rest alike; return how they differ where that does not come about."""
        try:
            await self._until(lambda: self.rests and other.rests and not self.compare(other, part), "alike")
        except TimeoutError:
            return self.compare(other, part) or ["one of the two does not rest"]
        return []

    async def _until(self, is_so, what):
        clock = asyncio.get_running_loop().time
        end = clock() + SETTLE_SECONDS
        while not is_so():
            if clock() > end:
                raise TimeoutError(f"{self.namespace}: not so after {SETTLE_SECONDS:.0f} s: {what}")
            await asyncio.sleep(LOOK)

    def _hear(self, *_):
        self._changed, self._described = asyncio.get_running_loop().time(), None


class Homes:
    """All homes on a ground; an async context manager, within which one operator rules over them."""

    def __init__(self, ground, operators, folder):
        self.ground, self._operators, self._folder = ground, operators, folder
        self._homes = {}

    @asynccontextmanager
    async def ruled(self):
        """Run the operator."""
        async with (
            Chronicle(self.ground.session) as self._chronicle,
            external_server() as self.external,
            front(self.ground, self._find_servers) as url,
        ):
            self.operator = await self._operators.start(self.ground.kubeconfig(url), "ruler", resync_seconds=30)
            await self.operator.started()
            try:
                yield self
            finally:
                for home in self._homes.values():
                    await home.kubelet.close()
                self.operator.terminate()
                await self.operator.wait()

    async def open(self, namespace, kind, name, *, holds_shards=False):
        """Make a namespace, and a node that nobody else's pods ask for: it has the namespace's name."""
        await self.ground.make_node(namespace, labels={"home": namespace})
        await self.ground.make_namespace(namespace)
        story, script = self._chronicle.open(namespace), Script()
        if holds_shards:
            script.may_finish.clear()
        kubelet = Kubelet(self.ground.session, story, script)
        home = self._homes[namespace] = Home(self, namespace, kind, name, kubelet, story)
        home.script, home.output = script, f"file://{self._folder}/{namespace}"
        return home

    @property
    def broken(self):
        """What went wrong in the pretended kubelets."""
        return [error for home in self._homes.values() for error in home.kubelet.errors]

    def _find_servers(self, namespace):
        return ModelServers(self._homes[namespace].story)
