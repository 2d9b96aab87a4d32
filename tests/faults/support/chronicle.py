"""What really happens on the ground, whoever asks: one watch per kind for all plans, split by namespace."""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field

from aiohttp import ClientTimeout

WATCHED = {
    "ModelPool": "apis/toolorch.dev/v1alpha1/modelpools",
    "EvalRun": "apis/toolorch.dev/v1alpha1/evalruns",
    "Deployment": "apis/apps/v1/deployments",
    "Job": "apis/batch/v1/jobs",
    "Pod": "api/v1/pods",
    "Service": "api/v1/services",
    "ConfigMap": "api/v1/configmaps",
}
OWNERS = ("ModelPool", "EvalRun")


@dataclass
class Story:
    """One namespace: what is there, what came and went, and each version of the two kinds."""

    namespace: str
    objects: dict = field(default_factory=dict)
    """By kind and name."""
    births: Counter = field(default_factory=Counter)
    """By kind and name, over all lives."""
    versions: list = field(default_factory=list)
    """Of ModelPools and EvalRuns, each as it was after a change."""
    most_gpus: Counter = field(default_factory=Counter)
    """Most GPUs that living pods on a node asked for at one time."""
    executed: Counter = field(default_factory=Counter)
    """How often each unit was worked on to its end."""
    tampered: list = field(default_factory=list)
    """Objects in storage that were written twice with different content."""
    listeners: list = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def find(self, kind, name):
        """Return an object as it is now, or None."""
        return self.objects.get((kind, name))

    def all(self, kind):
        """Return all objects of a kind."""
        return [each for (of, _), each in self.objects.items() if of == kind]

    def take(self, type_, kind, item):
        """Take one watch event."""
        key = (kind, item["metadata"]["name"])
        if type_ == "DELETED":
            self.objects.pop(key, None)
        else:
            if type_ == "ADDED":
                self.births[key] += 1
            self.objects[key] = item
            if kind in OWNERS:
                self.versions.append(item)
        if kind == "Pod":
            self._count_gpus()
        for listener in self.listeners:
            listener(type_, kind, item)
        self.stir()

    def stir(self):
        """Have those who wait look again."""
        self._news.set()

    async def until(self, is_it, seconds, what):
        """Wait until a condition on this story holds; TimeoutError says what did not."""
        try:
            async with asyncio.timeout(seconds):
                while not (answer := is_it()):
                    self._news.clear()
                    await self._news.wait()
                return answer
        except TimeoutError:
            raise TimeoutError(f"{what} did not happen within {seconds:.0f} s") from None

    def _count_gpus(self):
        asked = Counter()
        for pod in self.all("Pod"):
            node = pod["spec"].get("nodeName")
            if node and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
                asked[node] += count_gpus(pod)
        for node, gpus in asked.items():
            self.most_gpus[node] = max(self.most_gpus[node], gpus)


def count_gpus(pod):
    """Return the GPUs that a pod asks for."""
    containers = pod["spec"]["containers"]
    return sum(int(c.get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0)) for c in containers)


class Chronicle:
    """All stories; an async context manager that watches from its start."""

    def __init__(self, session):
        self._session = session
        self._tasks = []
        self.stories = {}

    def open(self, namespace):
        """Return the story of a new namespace."""
        story = self.stories[namespace] = Story(namespace)
        return story

    def close(self, namespace):
        """Follow a namespace no longer."""
        self.stories.pop(namespace, None)

    async def __aenter__(self):
        versions = [await self._version(path) for path in WATCHED.values()]
        watches = zip(WATCHED.items(), versions, strict=True)
        self._tasks = [asyncio.create_task(self._watch(kind, path, v)) for (kind, path), v in watches]
        return self

    async def __aexit__(self, *_):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _version(self, path):
        async with self._session.get(f"/{path}", params={"limit": 1}) as answer:
            return (await answer.json())["metadata"]["resourceVersion"]

    async def _watch(self, kind, path, version):
        # Longer than any session: a watch that ended early would have to begin again without a gap.
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": 86400}
        forever = ClientTimeout(total=None)
        async with self._session.get(f"/{path}", params=query, timeout=forever) as answer:
            async for line in lines_of(answer.content):
                event = json.loads(line)
                story = self.stories.get(event["object"]["metadata"].get("namespace", ""))
                if story is not None:
                    story.take(event["type"], kind, event["object"])


async def lines_of(content):
    """Yield whole lines of a stream, however long they are."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
