"""The eight workloads of the matrix, and four that pods' own troubles disturb: what a user does, and how it ends."""

import json
from dataclasses import dataclass

from kubelet import Crash, always_serves
from stage import Stage

POOL, RUN, OUTSIDE = "pool", "run", "outside"
LIVE = ("Pending", "Running")
CHILDREN = ("Deployment", "Job", "Pod", "Service", "ConfigMap")


@dataclass(frozen=True)
class Workload:
    """`play(stage)` is done when the operator has nothing left to do; `crash` scripts the starts of servers."""

    name: str
    play: object
    crash: object = always_serves
    holds_shards: bool = False


def pool_spec(**more):
    """Return the spec of a pool whose replicas start one after another."""
    room = {"cpu": "1", "memory": "4Gi", "sharedMemory": "64Mi"}
    startup = {"maxConcurrentPerNode": 1, "settleSeconds": 1}
    return {"model": "m/a", "image": "vllm:1", "resources": room, "startup": startup, **more}


def run_spec(**more):
    """Return the spec of a run over the pool outside."""
    roles = {"agent": {"pool": OUTSIDE}, "user": {"pool": OUTSIDE}}
    benchmark = {"name": "tau2", "domains": ["retail", "airline"]}
    return {"benchmark": benchmark, "roles": roles, "shards": 3, **more}


async def create_pool(stage: Stage):
    await stage.create("ModelPool", POOL, pool_spec())
    await stage.until(lambda: serves(stage, 1), "a Ready pool")


async def scale_pool(stage: Stage):
    await create_pool(stage)
    for replicas in (3, 1):
        async with stage.change():
            await stage.patch("ModelPool", POOL, {"replicas": replicas})
        await stage.until(lambda n=replicas: serves(stage, n), f"a pool of {replicas}")


async def change_pool(stage: Stage):
    await create_pool(stage)
    async with stage.change():
        await stage.patch("ModelPool", POOL, {"image": "vllm:2", "extraArgs": ["--enforce-eager"]})
    await stage.until(lambda: serves(stage, 1, image="vllm:2"), "a pool of the new image")


async def stall_pool(stage: Stage):
    await stage.create("ModelPool", POOL, pool_spec(remediation={"maxAttempts": 2}, gpuMemoryUtilization=95))
    await stage.until(lambda: is_so(stage, "ModelPool", POOL, "Stalled"), "a Stalled pool")


async def climb_pool(stage: Stage):
    await stage.create("ModelPool", POOL, pool_spec(gpuMemoryUtilization=95))
    await stage.until(lambda: serves(stage, 1), "a Ready pool")


async def delete_pool(stage: Stage):
    await create_pool(stage)
    async with stage.change():
        await stage.delete("ModelPool", POOL)
    await stage.until(lambda: is_gone(stage, "ModelPool", POOL), "a pool and all its children gone")


async def complete_run(stage: Stage):
    await begin_run(stage)
    await stage.until(lambda: is_complete(stage), "a Complete run with its report")


async def cancel_run(stage: Stage):
    await begin_run(stage)
    await stage.until(lambda: shards_at_work(stage) == 3, "three shards at work")
    async with stage.change():
        await stage.patch("EvalRun", RUN, {"suspend": True})
    await stage.until(lambda: is_suspended(stage), "a suspended run without pods")
    async with stage.change():
        await stage.delete("EvalRun", RUN)
    await stage.until(lambda: is_gone(stage, "EvalRun", RUN), "a run and all its children gone")


async def lose_pool_pod(stage: Stage):
    await disturb_pool(stage, lambda name: stage.delete("Pod", name))


async def lose_pool_node(stage: Stage):
    await disturb_pool(stage, stage.kubelet.lose)


async def lose_run_pod(stage: Stage):
    await disturb_run(stage, lambda name: stage.delete("Pod", name))


async def lose_run_node(stage: Stage):
    await disturb_run(stage, stage.kubelet.lose)


async def disturb_pool(stage, strike):
    """Let the pod of a Ready pool come to harm, and wait until there is another."""
    await create_pool(stage)
    [pod] = stage.story.all("Pod")
    async with stage.change():
        await strike(pod["metadata"]["name"])
    uid = pod["metadata"]["uid"]
    await stage.until(lambda: serves(stage, 1) and not has_pod(stage, uid), "a Ready pool of another pod")


async def disturb_run(stage, strike):
    """Let a shard at work come to harm, and let the run go on to its end."""
    await begin_run(stage)
    await stage.until(lambda: shards_at_work(stage) == 3, "three shards at work")
    name = min(p["metadata"]["name"] for p in shards(stage) if p["status"]["phase"] == "Running")
    async with stage.change():
        await strike(name)
    stage.script.may_finish.set()
    await stage.until(lambda: is_complete(stage), "a Complete run with its report")


async def begin_run(stage):
    """Make the pool outside and a run over it."""
    external = {"baseURL": stage.external}
    await stage.create("ModelPool", OUTSIDE, {"engine": "external", "model": "m/outside", "external": external})
    await stage.until(lambda: is_so(stage, "ModelPool", OUTSIDE, "Ready"), "a Ready pool outside")
    await stage.create("EvalRun", RUN, run_spec(output={"uri": stage.output}))


def out_of_memory(highest):
    """Return a script of servers that run out of memory above a percentage."""

    def crash(pod, run):
        command = pod["spec"]["containers"][0]["command"]
        percent = float(command[command.index("--gpu-memory-utilization") + 1])
        report = {"v": 1, "class": "CAPTURE_OOM", "phase": "P3", "gmu": percent, "msg": "CUDA out of memory"}
        return Crash(85, json.dumps(report)) if round(percent * 100) > highest else None

    return crash


def condition(stage, kind, name, type_):
    """Return a condition of an object's newest generation; nothing where there is none."""
    found = stage.story.find(kind, name) or {}
    conditions = found.get("status", {}).get("conditions", ())
    generation = found.get("metadata", {}).get("generation")
    return next((c for c in conditions if c["type"] == type_ and c.get("observedGeneration") == generation), {})


def is_so(stage, kind, name, type_):
    """Tell whether a condition is True."""
    return condition(stage, kind, name, type_).get("status") == "True"


def serves(stage, replicas, image="vllm:1"):
    """Tell whether a pool has so many Ready servers, and nothing else."""
    pods = stage.story.all("Pod")
    are_new = all(p["spec"]["containers"][0]["image"] == image and not is_going(p) for p in pods)
    count = len(stage.story.all("Deployment"))
    ready = (stage.story.find("ModelPool", POOL) or {}).get("status", {}).get("readyReplicas")
    return is_so(stage, "ModelPool", POOL, "Ready") and are_new and len(pods) == count == ready == replicas


def is_complete(stage):
    """Tell whether a run has its score and its report, and no pod works any more."""
    done = is_so(stage, "EvalRun", RUN, "Complete") and is_so(stage, "EvalRun", RUN, "ReportReady")
    return done and all(p["status"].get("phase") not in LIVE for p in stage.story.all("Pod"))


def is_suspended(stage):
    """Tell whether a run rests."""
    return is_so(stage, "EvalRun", RUN, "Suspended") and not shards(stage)


def is_gone(stage, kind, name):
    """Tell whether nothing of an object is left."""
    selected = (c for of in CHILDREN for c in stage.story.all(of))
    labels = (c["metadata"].get("labels", {}) for c in selected)
    there = any((found.get("toolorch.dev/kind"), found.get("toolorch.dev/name")) == (kind, name) for found in labels)
    return stage.story.find(kind, name) is None and not there


def shards(stage):
    """Return the pods of attempts that are not over."""
    pods = stage.story.all("Pod")
    return [p for p in pods if step_of(p) == "shard" and p["status"].get("phase") in LIVE]


def shards_at_work(stage):
    """Return how many shards the operator knows to be at work."""
    return sum(p["status"].get("phase") == "Running" for p in shards(stage))


def has_pod(stage, uid):
    """Tell whether a pod is still there."""
    return any(p["metadata"]["uid"] == uid for p in stage.story.all("Pod"))


def is_going(pod):
    """Tell whether a pod was told to go."""
    return bool(pod["metadata"].get("deletionTimestamp"))


def step_of(pod):
    """Return which step of a run a pod is."""
    return pod["metadata"].get("labels", {}).get("toolorch.dev/step", "")


WORKLOADS = {
    w.name: w
    for w in (
        Workload("pool-create", create_pool),
        Workload("pool-scale", scale_pool),
        Workload("pool-change", change_pool),
        Workload("pool-climb", climb_pool, out_of_memory(85)),
        Workload("pool-stall", stall_pool, out_of_memory(0)),
        Workload("pool-delete", delete_pool),
        Workload("run-complete", complete_run),
        Workload("run-cancel", cancel_run, holds_shards=True),
        Workload("pool-loses-pod", lose_pool_pod),
        Workload("pool-loses-node", lose_pool_node),
        Workload("run-loses-pod", lose_run_pod, holds_shards=True),
        Workload("run-loses-node", lose_run_node, holds_shards=True),
    )
}
MAIN = tuple(WORKLOADS)[:8]
"""Those of the whole matrix; the others are for an operator that is down."""
