"""Pretended scheduler and kubelet: binds pods, says what becomes of them, and ends those that are deleted."""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pod_work import Evaluation, NotThere

NODE = "gpu-1"
"""Where a pod goes of which nobody said where."""
DIGEST = "sha256:" + "5" * 64
DRAINED = 44
"""What the evaluator's pods end with after SIGTERM."""
SERVER_STARTS, SERVER_ENDS = 0.15, 0.1
"""Seconds: a start that has stages, and an end that takes time, but little."""
INPUT_WAIT = 0.1
"""Seconds between looks for what a pod mounts."""


@dataclass(frozen=True)
class Crash:
    """How a container ends."""

    code: int
    message: str
    reason: str = "Error"


def always_serves(pod, run):
    """Tell that every server comes up."""


@dataclass
class Script:
    """What a plan's pods do; `crash(pod, run)` says how a server's start ends, None: it serves."""

    crash: object = always_serves
    may_finish: asyncio.Event = field(default_factory=asyncio.Event)
    """Shards end no unit before it is set."""

    def __post_init__(self):
        self.may_finish.set()


class Kubelet:
    """The kubelet of one namespace."""

    def __init__(self, session, story, script):
        self._session, self._story, self._script = session, story, script
        self._path = f"/api/v1/namespaces/{story.namespace}/pods"
        self._tasks, self._ending = {}, {}
        self.errors = []
        story.listeners.append(self._hear)

    async def close(self):
        """Let all go."""
        self._story.listeners.remove(self._hear)
        tasks = [*self._tasks.values(), *self._ending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def lose(self, name):
        """Let a pod vanish without a word, as with its node."""
        pod = self._story.find("Pod", name)
        self._stop(pod["metadata"]["uid"])
        await self._merge(pod, {"metadata": {"finalizers": None}})
        await self._delete(pod)

    def _hear(self, type_, kind, pod):
        uid = pod["metadata"]["uid"]
        if kind != "Pod":
            return
        if type_ == "DELETED":
            self._stop(uid)
        elif pod["metadata"].get("deletionTimestamp"):
            if uid not in self._ending:
                self._stop(uid)
                self._ending[uid] = asyncio.create_task(self._guard(self._end(pod)))
        elif type_ == "ADDED" and uid not in self._tasks:
            self._tasks[uid] = asyncio.create_task(self._guard(self._play(pod)))

    def _stop(self, uid):
        if uid in self._tasks:
            self._tasks[uid].cancel()

    async def _guard(self, play):
        try:
            await play
        except Gone:
            pass
        except Exception as error:  # noqa: BLE001 - a kubelet that breaks must not look like an operator that does
            self.errors.append(f"{type(error).__name__}: {error}")

    async def _play(self, pod):
        meta = pod["metadata"]
        target = {"apiVersion": "v1", "kind": "Node", "name": chosen_node(pod)}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}, "target": target}
        await self._send("POST", f"{meta['name']}/binding", body)
        if "toolorch.dev/step" in meta["labels"]:
            await self._work(pod)
        else:
            await self._serve(pod)

    async def _serve(self, pod, run=0):
        await self._say(pod, running(pod, is_ready=False))
        await asyncio.sleep(SERVER_STARTS)
        crash = self._script.crash(pod, run)
        await self._say(pod, running(pod) if crash is None else crashed(pod, crash))

    async def _work(self, pod):
        await self._say(pod, running(pod, is_ready=False))
        code, message = 0, ""
        try:
            work = Evaluation(self._story, pod, self._script.may_finish)
            await work.run()
        except NotThere as error:
            code, message = 1, str(error)
        await self._say(pod, ended(pod, code, message))

    async def _end(self, pod):
        await asyncio.sleep(SERVER_ENDS)
        is_over = pod["status"].get("phase") in ("Succeeded", "Failed")
        if "toolorch.dev/step" in pod["metadata"]["labels"] and not is_over:
            await self._say(pod, ended(pod, DRAINED, "told to go"))
        await self._delete(pod)

    async def _say(self, pod, status):
        await self._merge(pod, {"status": status}, "/status")

    async def _merge(self, pod, change, sub=""):
        meta = pod["metadata"]
        change = {**change, "metadata": {**change.get("metadata", {}), "uid": meta["uid"]}}
        await self._send("PATCH", f"{meta['name']}{sub}", change, "application/merge-patch+json")

    async def _delete(self, pod):
        meta = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}}
        await self._send("DELETE", meta["name"], {"apiVersion": "v1", "kind": "DeleteOptions", **options})

    async def _send(self, method, path, body, type_="application/json"):
        text, headers = json.dumps(body), {"Content-Type": type_}
        async with self._session.request(method, f"{self._path}/{path}", data=text, headers=headers) as answer:
            # It was deleted, or another of its name is there.
            if answer.status in (404, 409):
                raise Gone(path)
            if answer.status >= 300:
                raise RuntimeError(f"{method} {path}: {answer.status} {(await answer.text())[:500]}")


class Gone(Exception):
    """The pod is not there any more."""


def chosen_node(pod):
    """Return the node that a pod's affinity names."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    fields = [f for term in terms for f in term.get("matchFields", [])]
    with suppress(StopIteration):
        return next(f["values"][0] for f in fields if f["key"] == "metadata.name")
    return NODE


def running(pod, *, is_ready=True):
    """Return the status of a pod whose container runs."""
    state = {"state": {"running": {"startedAt": now()}}, "ready": is_ready, "started": is_ready}
    return status_of(pod, "Running", state, is_ready=is_ready)


def crashed(pod, crash, restarts=0):
    """Return the status of a pod whose container ended and waits to be started again."""
    last = {"exitCode": crash.code, "reason": crash.reason, "message": crash.message, "finishedAt": now()}
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
    state = {"state": waiting, "lastState": {"terminated": last}, "ready": False, "started": False}
    return status_of(pod, "Running", {**state, "restartCount": restarts}, is_ready=False)


def ended(pod, code, message=""):
    """Return the status of a pod that is over."""
    reason = "Error" if code else "Completed"
    end = {"exitCode": code, "reason": reason, "message": message, "startedAt": now(), "finishedAt": now()}
    phase = "Failed" if code else "Succeeded"
    return status_of(pod, phase, {"state": {"terminated": end}, "ready": False, "started": False}, is_ready=False)


def status_of(pod, phase, state, *, is_ready):
    """Return a pod's status around the state of its only container."""
    container = pod["spec"]["containers"][0]
    image = {"image": container["image"], "imageID": f"{container['image'].partition(':')[0]}@{DIGEST}"}
    truth = {"PodScheduled": True, "Initialized": True, "ContainersReady": is_ready, "Ready": is_ready}
    conditions = [{"type": t, "status": str(s), "lastTransitionTime": now()} for t, s in truth.items()]
    known = {"name": container["name"], "restartCount": 0, **image, **state}
    return {
        "phase": phase,
        "podIP": "10.0.0.9",
        "startTime": now(),
        "conditions": conditions,
        "containerStatuses": [known],
    }


def now():
    """Return the time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
