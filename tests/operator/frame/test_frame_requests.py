"""What a run costs the API server and storage, counted over simulated time: real looks, wakes and readings."""

from __future__ import annotations

import copy
import heapq
from collections import Counter
from datetime import timedelta
from itertools import count

import pytest

from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.keys import MANIFEST_KEY, SUMMARY_KEY, result_key
from toolorch_api.modelpool import ModelPool
from toolorch_api.shard import Manifest, Progress, Summary
from toolorch_operator.defaults import Defaults
from toolorch_operator.echoes import Echoes
from toolorch_operator.errors import Conflict
from toolorch_operator.evalrun.plan import plan as plan_run
from toolorch_operator.evalrun.settled import is_settled
from toolorch_operator.facts import Facts
from toolorch_operator.freshness import Freshness
from toolorch_operator.inventory import Inventory
from toolorch_operator.owner import Key
from toolorch_operator.plan import Plan
from toolorch_operator.pool_observer import PoolObserver
from toolorch_operator.reconcile import Brain, World, reconcile
from toolorch_operator.resync import Resync
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.schedule import Schedule
from toolorch_operator.storage import Entry
from toolorch_operator.watch import Watch

RUN = Key("EvalRun", "default", "run")
PLANNING, REPORTING = 3.0, 20.0
RESYNC = 300.0
DEFAULTS = Defaults("vllm:1", "evaluator:1", output_uri="memory://evals/runs")


class Time:
    """A clock, and what is to happen when."""

    def __init__(self, start):
        self.start, self.now, self._agenda, self._numbers = start, 0.0, [], count()

    def moment(self):
        return (self.start + timedelta(seconds=self.now)).replace(microsecond=0)

    def text(self):
        return self.moment().strftime("%Y-%m-%dT%H:%M:%SZ")

    def at(self, seconds, act):
        heapq.heappush(self._agenda, (self.now + seconds, next(self._numbers), act))

    def next_at(self):
        return self._agenda[0][0] if self._agenda else float("inf")

    def take(self):
        self.now, _, act = heapq.heappop(self._agenda)
        return act


def build_api(frame, time, cluster_side, *objects):
    """An API server that counts its requests and tells the watch of every change a moment later."""

    class Api(frame.cluster):
        def __init__(self):
            super().__init__(*objects)
            self.requests = Counter()

        def tell(self, kind, name, type_="MODIFIED"):
            body = copy.deepcopy(self.objects[kind, name])
            time.at(0.02, lambda: cluster_side.deliver(body, type_))

        async def get(self, resource, namespace, name):
            self.requests[f"get {resource.plural}"] += 1
            return await super().get(resource, namespace, name)

        async def list(self, resource, namespace="", selector="", fields=""):
            self.requests[f"list {resource.plural}"] += 1
            return await super().list(resource, namespace, selector)

        async def create(self, namespace, manifest):
            self.requests[f"create {manifest['kind']}"] += 1
            made = await super().create(namespace, manifest)
            if made is not None and manifest["kind"] != "Event":
                made["metadata"] |= {"creationTimestamp": time.text(), "uid": f"uid-{made['metadata']['name']}"}
                self.tell(manifest["kind"], made["metadata"]["name"], "ADDED")
                if manifest["kind"] == "Job":
                    cluster_side.start(made)
            return made

        async def apply(self, namespace, manifest):
            self.requests[f"apply {manifest['kind']}"] += 1
            made = await super().apply(namespace, manifest)
            self.tell(manifest["kind"], manifest["metadata"]["name"])
            return made

        async def delete(self, namespace, ref):
            self.requests[f"delete {ref.kind}"] += 1
            await super().delete(namespace, ref)

        async def write_status(self, manifest, status):
            self.requests[f"status {manifest['kind']}"] += 1
            made = await super().write_status(manifest, status)
            self.tell(manifest["kind"], manifest["metadata"]["name"])
            return made

    return Api()


class Store:
    """A run's folder, whose shards have written something new at every look; counts requests, a page each."""

    def __init__(self, sim):
        self.sim, self.requests, self.bodies = sim, Counter(), {}

    def open(self, root, secret):
        return self

    def blank(self, text):
        return text

    async def probe(self, token):
        return True

    async def create(self, key, body):
        self.requests["put"] += 1
        return self.bodies.setdefault(key, body) is body

    async def get(self, key, most):
        self.requests["get"] += 1
        return self.sim.progress(int(key.split("-")[-1].split(".")[0])) if "progress/" in key else self.bodies.get(key)

    async def list(self, prefix):
        if prefix == "progress/":
            shards = range(self.sim.shards if self.sim.begun is not None else 0)
            found = [Entry(f"progress/1-{i}.json", str(self.sim.moving())) for i in shards]
        else:
            found = [Entry(key, "") for key in (*self.bodies, *self.sim.results()) if key.startswith(prefix)]
        self.requests["list"] += 1 + max(0, len(found) - 1) // 1000
        return found


class Sim:
    """One run from its creation until it is settled, with an operator that is woken as the real one is."""

    def __init__(self, frame, seconds, shards, units=500):
        self.seconds, self.shards, self.units, self.begun = seconds, shards, units, None
        self.time, self.looks, self.schedule = Time(frame.now), 0, Schedule()
        self.manifest = Manifest(
            spec_hash="h", dataset_hash="d", units=[("control", "retail", str(i), 0) for i in range(units)]
        )
        self.store = Store(self)
        run = frame.run(shards=shards)
        run["metadata"]["creationTimestamp"] = self.time.text()
        self.hash = spec_hash(EvalRun.model_validate(run).spec)
        self.api = build_api(frame, self.time, self, run, ready(frame.pool(), "pool"), ready(frame.pool(), "user"))
        self.world = self._operator(frame)
        self.resync = Resync(self.world, self)
        self.watch = Watch(self, self.world.expire, self.world.expire_run, self.world.freshness, self.world.echoes)

    def _operator(self, frame):
        freshness, inventory = Freshness(lambda: self.time.now), Inventory(self.api, self.time.moment)
        pools = PoolObserver(self.api, Prober(), inventory, freshness)
        runs = RunObserver(self.api, self.store, Facts(lambda: "token"), DEFAULTS, freshness)
        brains = {
            "ModelPool": Brain(ModelPool.model_validate, pools.observe, lambda *_: Plan()),
            "EvalRun": Brain(EvalRun.model_validate, runs.observe, plan_run),
        }
        metrics = frame.metrics()
        return World(
            self.api, brains, DEFAULTS, self.time.moment, metrics,
            expire=inventory.expire, expire_run=inventory.expire_run, freshness=freshness, echoes=Echoes(self.add),
        )  # fmt: skip

    def add(self, key, after=0.0):
        self.schedule.add(key, self.time.now + after)

    async def deliver(self, body, type_):
        own = body["kind"] in ("EvalRun", "ModelPool")
        await (self.watch.own if own else self.watch.child)(body=body, type=type_)

    async def settle(self, resync=RESYNC):
        """Let time pass until the run is settled; return the requests to the API server and to storage."""
        for kind, name in list(self.api.objects):
            self.api.tell(kind, name, None)
        next_resync = resync
        while not is_settled(EvalRun.model_validate(self.api.find("EvalRun", "run")).status):
            assert self.time.now < self.seconds + 600, self.api.find("EvalRun", "run").get("status")
            due = self.schedule.next_due()
            if min(self.time.next_at(), due or float("inf")) > next_resync:
                self.time.now, next_resync = next_resync, next_resync + resync
                await self.resync.add_changed()
            elif due is not None and due <= self.time.next_at():
                self.time.now = max(self.time.now, due)
                await self._look(self.schedule.take(self.time.now))
            else:
                done = self.time.take()()
                if done is not None:
                    await done
        return self.api.requests, self.store.requests

    async def _look(self, key):
        self.looks += key == RUN
        try:
            after = await reconcile(key, self.world)
            if after is not None:
                self.add(key, after.total_seconds())
        except Conflict:
            self.add(key, 0.05)
        self.schedule.done(key)

    # The cluster's side.

    def start(self, job):
        step = job["spec"]["template"]["metadata"]["labels"]["toolorch.dev/step"]
        size = job["spec"].get("completions", 1)
        self.time.at(0.1, lambda: self._make_pods(job, size))
        length = {"plan": PLANNING, "shard": self.seconds, "report": REPORTING}[step]
        if step == "shard":
            self.time.at(2.0, self._begin)
        for index in range(size):
            self.time.at(2.0 + length + 0.05 * index, lambda i=index: self._end_pod(job, step, i, size))

    def _begin(self):
        self.begun = self.time.now

    def _make_pods(self, job, size):
        job["status"] = {"startTime": self.time.text(), "active": size}
        self.api.tell("Job", job["metadata"]["name"])
        for index in range(size):
            name = f"{job['metadata']['name']}-{index}"
            labels = {
                **job["spec"]["template"]["metadata"]["labels"],
                "batch.kubernetes.io/job-name": job["metadata"]["name"],
            }
            meta = {"name": name, "namespace": "default", "labels": labels, "creationTimestamp": self.time.text()}
            self.api.objects["Pod", name] = {
                "apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": {"phase": "Pending"},
            }  # fmt: skip
            self.api.tell("Pod", name, "ADDED")
            for after, change in enumerate(LIFE):
                self.time.at(0.05 + 0.4 * after + 0.03 * index, lambda n=name, c=change: self._change_pod(n, c))

    def _change_pod(self, name, change):
        pod = self.api.find("Pod", name)
        pod.update({part: {**pod[part], **copy.deepcopy(value)} for part, value in change.items()})
        self.api.tell("Pod", name)

    def _end_pod(self, job, step, index, size):
        if step == "plan":
            self.store.bodies[MANIFEST_KEY] = self.manifest.model_dump_json(by_alias=True).encode()
        if step == "report":
            made = Summary(
                spec_hash=self.hash, total=self.units, scored=self.units, passed=self.units, failed=0, infra_errors=0,
                interval="i", score="1.000", score_scheduled="1.000",
            )  # fmt: skip
            self.store.bodies[SUMMARY_KEY] = made.model_dump_json(by_alias=True).encode()
        ended = {
            "phase": "Succeeded",
            "containerStatuses": [{"state": {"terminated": {"exitCode": 0}}, "imageID": "sha256:1"}],
        }
        self.time.at(0.3, lambda: self._change_pod(f"{job['metadata']['name']}-{index}", {"status": ended}))
        self.time.at(0.5, lambda: self._count_end(job, size))

    def _count_end(self, job, size):
        status = job["status"]
        status |= {"active": status["active"] - 1, "succeeded": status.get("succeeded", 0) + 1}
        if status["succeeded"] == size:
            status["conditions"] = [{"type": "Complete", "status": "True"}]
        self.api.tell("Job", job["metadata"]["name"])

    def moving(self):
        """The time, as long as shards work."""
        return min(self.time.now, (self.begun or 0.0) + self.seconds)

    def _part(self):
        return 0.0 if self.begun is None else min(1.0, (self.time.now - self.begun) / self.seconds)

    def results(self):
        return [result_key(self.manifest.unit(i)) for i in range(int(self.units * self._part()))]

    def progress(self, shard):
        total = self.units // self.shards + (shard < self.units % self.shards)
        begun = self.time.start + timedelta(seconds=self.begun or 0.0)
        now = self.time.start + timedelta(seconds=self.time.now)
        made = Progress(
            spec_hash=self.hash, attempt=1, shard=shard, pod="p", total=total, passed=int(total * self._part() + 1e-6),
            failed=0, infra_errors=0, started_at=begun, updated_at=now, finished=self._part() == 1.0,
            recent_ends=[now - timedelta(seconds=i * self.seconds / total) for i in range(32)] if self._part() else [],
        )  # fmt: skip
        return made.model_dump_json(by_alias=True).encode()


LIFE = (
    {"spec": {"nodeName": "node"}},
    {"status": {"containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}},
    {"status": {"conditions": [{"type": "PodReadyToStartContainers", "status": "True"}]}},
    {"status": {"phase": "Running", "containerStatuses": [{"state": {"running": {}}, "imageID": "sha256:1"}]}},
)


class Prober:
    def answers(self, owner, namespace, targets):
        return {}


def ready(pool, name):
    pool["metadata"]["name"] = name
    condition = {"type": "Ready", "status": "True", "reason": "Ready", "observedGeneration": 1}
    condition["lastTransitionTime"] = "2026-01-02T03:00:00Z"
    return pool | {"status": {"readyReplicas": 1, "replicas": 1, "conditions": [condition]}}


@pytest.mark.parametrize(
    ("seconds", "shards", "stored"),
    [
        pytest.param(60, 4, 200, id="a minute, 4 shards"),
        pytest.param(300, 6, 200, id="five minutes, 6 shards"),
        pytest.param(600, 8, 230, id="ten minutes, 8 shards"),
        pytest.param(300, 32, 33 * 20, id="five minutes, 32 shards: their progress is an object each"),
    ],
)
async def test_a_run_of_5000_units_costs_few_requests(frame, seconds, shards, stored):
    sim = Sim(frame, seconds, shards, units=5000)
    api, storage = await sim.settle()
    assert api.total() <= 60 + 20 * shards
    assert storage.total() <= stored
    assert sim.time.now <= 2 + PLANNING + 2 + seconds + 2 + REPORTING + 8, "and is not late for that"


async def test_a_long_run_costs_few_requests_a_minute(frame):
    short, long = Sim(frame, 600, 4), Sim(frame, 2400, 4)
    (api, storage), (more_api, more_storage) = await short.settle(), await long.settle()
    assert long.looks - short.looks <= 31, "a look a minute"
    assert more_api.total() - api.total() <= 30 * 9, "half of it a resync, with or without a run"
    assert more_storage.total() - storage.total() <= 31 * (1 + 4)


def spoil_pool(sim):
    pool = sim.api.find("ModelPool", "user")
    good, pool["status"] = pool["status"], {"readyReplicas": 0, "conditions": []}

    def mend():
        pool["status"] = good
        sim.api.tell("ModelPool", "user")

    sim.time.at(50.0, mend)


def delete_job(sim):
    def delete():
        for name in [n for n in sim.api.objects if n[1].startswith("run-a1")]:
            sim.api.tell(*name, "DELETED")
            del sim.api.objects[name]

    sim.time.at(30.0, delete)


def lose_status(sim):
    def lose():
        run = sim.api.find("EvalRun", "run")
        run["metadata"]["resourceVersion"] = "edited"
        del run["status"]
        sim.api.tell("EvalRun", "run")

    sim.time.at(30.0, lose)


@pytest.mark.parametrize(
    ("trouble", "late", "jobs"),
    [
        pytest.param(spoil_pool, 50, 3, id="a pool that is ready later"),
        pytest.param(delete_job, 32, 4, id="a Job that somebody deletes"),
        pytest.param(lose_status, 2, 3, id="a status that somebody empties"),
    ],
)
async def test_events_alone_wake_a_run_and_no_resync_is_needed(frame, trouble, late, jobs):
    sim = Sim(frame, 60, 3)
    trouble(sim)
    api, _ = await sim.settle(resync=float("inf"))
    assert api["create Job"] == jobs
    assert sim.time.now <= 2 + PLANNING + 2 + 60 + 2 + REPORTING + 8 + late
