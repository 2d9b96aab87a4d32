"""Which events wake whom: none that only tells of an own write, or of nothing that a brain reads."""

from __future__ import annotations

import copy

import pytest

from toolorch_operator.carry_out import Target, write_status
from toolorch_operator.echoes import VERSIONS_KEPT, Echoes
from toolorch_operator.errors import Unavailable
from toolorch_operator.freshness import Freshness
from toolorch_operator.owner import Key
from toolorch_operator.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, MODEL_POOLS, PODS
from toolorch_operator.watch import BURST, COALESCE, END, Watch

POOL = Key("ModelPool", "default", "pool")
RUN = Key("EvalRun", "default", "run")


class Queue:
    def __init__(self):
        self.added = []

    def add(self, key, after=0.0):
        self.added.append((key, after))


class Marks(Freshness):
    """Remembers what was marked."""

    def __init__(self):
        super().__init__()
        self.marked = []

    def mark(self, key, *resources):
        self.marked.append((key, *resources))
        super().mark(key, *resources)

    def mark_one(self, key, part):
        self.marked.append((key, part[0]))
        super().mark_one(key, part)


class Reader:
    """Answers with one object, or that there is none."""

    def __init__(self, item=None):
        self.item = item

    async def list(self, resource, namespace="", selector="", fields=""):
        return [self.item] if self.item else []

    async def get(self, resource, namespace, name):
        return self.item


@pytest.fixture
def watch():
    queue, marks, woken = Queue(), Marks(), []
    echoes = Echoes(woken.append)
    made = Watch(queue, freshness=marks, echoes=echoes)
    return made, queue, marks, echoes, woken


def version(raw, number, **status):
    changed = copy.deepcopy(raw)
    changed["metadata"]["resourceVersion"] = number
    return changed | ({"status": status} if status else {})


def child(frame, kind, name, **more):
    made = frame.child(kind, name, **more)
    made["metadata"]["labels"] |= {"toolorch.dev/kind": "EvalRun", "toolorch.dev/name": "run"}
    return made


async def test_the_event_of_an_own_status_write_wakes_no_run(frame, watch):
    made, queue, marks, echoes, woken = watch
    with echoes.writing(RUN) as write:
        write.version = "7"
    await made.own(body=version(frame.run(), "7"), type="MODIFIED")
    assert RUN not in {key for key, _ in queue.added}, "only its pools learn who uses them"
    assert ((RUN,) in marks.marked, woken) == (False, [])
    await made.own(body=version(frame.run(), "8"), type="MODIFIED")
    assert queue.added[-1] == (RUN, 0.0)
    assert marks.marked[-1] == (RUN,)


@pytest.mark.parametrize("type_", [None, "ADDED", "DELETED"])
async def test_a_listing_a_creation_and_a_deletion_are_never_taken_for_an_echo(frame, watch, type_):
    made, queue, _, echoes, _ = watch
    with echoes.writing(RUN) as write:
        write.version = "7"
    await made.own(body=version(frame.run(), "7"), type=type_)
    assert (RUN, 0.0) in queue.added


@pytest.mark.parametrize(
    ("seen", "answer", "woken"),
    [
        pytest.param(["7"], "7", [], id="the event of the write itself"),
        pytest.param(["7", "8"], "7", [RUN], id="and somebody else's after it"),
        pytest.param(["6"], "", [RUN], id="a write that was refused since somebody else wrote"),
        pytest.param([], "7", [], id="none"),
    ],
)
async def test_an_event_that_is_ahead_of_the_answer_waits_for_it(frame, watch, seen, answer, woken):
    made, queue, _, echoes, told = watch
    with echoes.writing(RUN) as write:
        for number in seen:
            await made.own(body=version(frame.run(), number), type="MODIFIED")
        assert (RUN, 0.0) not in queue.added
        write.version = answer
    assert told == woken


async def test_a_status_write_tells_its_version_and_one_that_fails_lets_the_event_through(frame):
    woken = []
    cluster, echoes = frame.cluster(frame.run()), Echoes(woken.append)
    target = Target(RUN, await cluster.get(type("R", (), {"kind": "EvalRun"}), "", "run"), cluster, frame.metrics())
    target.echoes = echoes
    await write_status(target, {"reason": "Planning"})
    assert echoes.is_own(RUN, cluster.find("EvalRun", "run")["metadata"]["resourceVersion"])
    cluster.failures["status Running"] = Unavailable("timeout")

    class Racing:
        async def write_status(self, manifest, status):
            assert echoes.is_own(RUN, "9")
            return await cluster.write_status(manifest, status)

    target.cluster = Racing()
    with pytest.raises(Unavailable):
        await write_status(target, {"reason": "Running"})
    assert woken == [RUN]


def test_few_versions_are_remembered_and_none_of_an_object_that_is_gone():
    echoes = Echoes()
    for number in range(VERSIONS_KEPT + 1):
        with echoes.writing(RUN) as write:
            write.version = str(number)
    assert [echoes.is_own(RUN, str(n)) for n in range(VERSIONS_KEPT + 1)] == [False, *[True] * VERSIONS_KEPT]
    echoes.forget(RUN)
    assert not echoes.is_own(RUN, str(VERSIONS_KEPT))


async def test_a_pool_looks_at_its_own_status_and_keeps_its_children(frame, watch):
    made, queue, marks, echoes, _ = watch
    with echoes.writing(POOL) as write:
        write.version = "7"
    await made.own(body=version(frame.pool(), "7"), type="MODIFIED")
    assert queue.added == [(POOL, 0.0)]
    assert marks.marked == []


def pod(frame, phase="Pending", version="1", **state):
    made = child(frame, "Pod", "run-a1-0")
    made["metadata"]["resourceVersion"] = version
    return made | {"status": {"phase": phase, "containerStatuses": [{"state": state}] if state else []}}


async def test_of_a_pods_events_those_wake_its_run_that_show_what_the_brain_reads(frame, watch):
    made, queue, marks, *_ = watch
    events = [
        (pod(frame), "ADDED", BURST),
        (pod(frame, version="2"), "MODIFIED", None),
        (pod(frame, waiting={"reason": "ContainerCreating"}), "MODIFIED", None),
        (pod(frame, "Running", running={}), "MODIFIED", BURST),
        (pod(frame, "Running", "9", running={}), "MODIFIED", None),
        (pod(frame, "Failed", terminated={"exitCode": 137}), "MODIFIED", END),
        (pod(frame, "Failed", terminated={"exitCode": 137}), "MODIFIED", None),
        (pod(frame, "Failed", terminated={"exitCode": 137}), None, None),
        (pod(frame, "Failed", terminated={"exitCode": 137}), "DELETED", COALESCE),
    ]
    reader = Reader()
    near = marks.around(RUN, frame.uid, reader)
    for body, type_, after in events:
        queue.added.clear()
        marks.marked.clear()
        await made.child(body=body, type=type_)
        assert queue.added == ([] if after is None else [(RUN, after)])
        assert marks.marked == ([] if after is None else [(RUN, PODS)])
        reader.item = body
        await near.list(PODS, "default", "")


async def test_an_event_says_nothing_new_only_beside_what_was_read_and_still_counts(frame, watch):
    made, queue, marks, *_ = watch
    near = marks.around(RUN, frame.uid, Reader(pod(frame)))
    for _ in range(2):
        await made.child(body=pod(frame), type="MODIFIED")
    assert queue.added == [(RUN, BURST)] * 2, "nobody has looked since"
    await near.list(PODS, "default", "")
    await made.child(body=pod(frame), type="MODIFIED")
    assert len(queue.added) == 2
    await made.child(body=pod(frame, "Running"), type="MODIFIED")
    await made.child(body=pod(frame), type="MODIFIED")
    assert len(queue.added) == 4, "what was read is out of date by now"


@pytest.mark.parametrize(
    ("kind", "marked"),
    [
        pytest.param("Job", (JOBS, PODS), id="a Job's event: its pods may be told of later"),
        pytest.param("ConfigMap", (CONFIG_MAPS,), id="a ConfigMap's: each, since all of it counts"),
    ],
)
async def test_what_an_event_puts_out_of_date(frame, watch, kind, marked):
    made, queue, marks, *_ = watch
    await made.child(body=child(frame, kind, "c"), type="MODIFIED")
    assert marks.marked == [(RUN, *marked)]
    assert [key for key, _ in queue.added] == [RUN]


def owned_by_pool(frame, kind, name, container="server", phase="Pending", **more):
    made = frame.child(kind, name, spec={"containers": [{"name": container}]}, status={"phase": phase, **more})
    made["metadata"]["labels"] |= {"toolorch.dev/kind": "ModelPool", "toolorch.dev/name": "pool"}
    return made


FULL = {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}


@pytest.mark.parametrize(
    ("kind", "before", "after", "wakes"),
    [
        pytest.param("Deployment", {}, {"updatedReplicas": 1}, False, id="how far a rollout is"),
        pytest.param("Deployment", {}, {"conditions": [FULL]}, True, id="that a Deployment may make no pod"),
        pytest.param("Pod", {}, {"conditions": [{"type": "Initialized", "status": "True"}]}, False, id="a pod's step"),
        pytest.param("Pod", {}, {"podIP": "10.0.0.1"}, True, id="where a pod is reached"),
        pytest.param("Pod", {}, {"phase": "Running"}, True, id="that a pod runs"),
        pytest.param(
            "Pod", {"container": "fetch"}, {"container": "fetch", "x": 1}, True, id="all that fetches a model"
        ),
    ],
)
async def test_of_a_pools_children_only_what_its_brain_reads_wakes_it(frame, watch, kind, before, after, wakes):
    made, queue, marks, *_ = watch
    near = marks.around(POOL, frame.uid, Reader(owned_by_pool(frame, kind, "pool-0", **before)))
    await near.list({"Pod": PODS, "Deployment": DEPLOYMENTS}[kind], "default", "")
    await made.child(body=owned_by_pool(frame, kind, "pool-0", **after), type="MODIFIED")
    assert queue.added == [(POOL, COALESCE)] * wakes


async def test_a_deployment_that_somebody_else_changes_wakes_its_pool(frame, watch):
    made, queue, marks, *_ = watch
    live = owned_by_pool(frame, "Deployment", "pool-0")
    await marks.around(POOL, frame.uid, Reader(live)).list(DEPLOYMENTS, "default", "")
    for part, field in (("spec", "replicas"), ("metadata", "annotations"), ("metadata", "deletionTimestamp")):
        await made.child(body={**live, part: {**live[part], field: "other"}}, type="MODIFIED")
        assert queue.added.pop() == (POOL, COALESCE)
        await marks.around(POOL, frame.uid, Reader(live)).list(DEPLOYMENTS, "default", "")


async def test_an_event_that_cannot_be_read_wakes_all_the_same(frame, watch):
    made, queue, *_ = watch
    for _ in range(2):
        await made.child(body=child(frame, "Pod", "p", status={"phase": "Running", "conditions": 1}), type="MODIFIED")
    assert queue.added == [(RUN, COALESCE)] * 2


async def test_an_event_of_who_knows_what_puts_everything_out_of_date(frame, watch):
    made, queue, marks, *_ = watch
    body = child(frame, "Pod", "p")
    del body["kind"]
    await made.child(body=body, type=None)
    assert (queue.added, marks.marked) == ([(RUN, COALESCE)], [(RUN,)])


async def test_runs_wake_where_their_view_of_a_pool_changed(frame, watch):
    made, queue, marks, *_ = watch
    await made.own(body=frame.run(), type="ADDED")
    ready = {"type": "Ready", "status": "True", "observedGeneration": 1}
    events = [
        (version(frame.pool(), "1"), "ADDED", True),
        (version(frame.pool(), "2", leases=[{"run": "run"}]), "MODIFIED", False),
        (version(frame.pool(), "3", readyReplicas=1, conditions=[ready]), "MODIFIED", True),
        (version(frame.pool(), "4", readyReplicas=1, conditions=[ready]), "MODIFIED", False),
        (version(frame.pool(), "5"), "DELETED", True),
    ]
    reader = Reader()
    near = marks.around(RUN, frame.uid, reader)
    for body, type_, wakes in events:
        queue.added.clear()
        marks.marked.clear()
        await made.own(body=body, type=type_)
        assert ((RUN, COALESCE) in queue.added) == wakes
        assert ((RUN, MODEL_POOLS) in marks.marked) == wakes
        reader.item = body
        await near.get(MODEL_POOLS, "default", "pool")


async def test_a_run_tells_its_pools_and_the_inventory_when_it_takes_or_leaves_them(frame):
    queue, told = Queue(), []
    made = Watch(queue, expire_run=told.append)
    used = {(Key("ModelPool", "default", name), COALESCE) for name in ("pool", "user")}
    ended = version(frame.run(), "3", conditions=[{"type": "Complete", "status": "True"}])
    for body, type_, news in [
        (frame.run(), "ADDED", True),
        (version(frame.run(), "2"), "MODIFIED", False),
        (ended, "MODIFIED", True),
        (ended, "DELETED", False),
    ]:
        queue.added.clear()
        told.clear()
        await made.own(body=body, type=type_)
        assert (told == [RUN]) == news
        assert set(queue.added) - {(RUN, 0.0)} == (used if news else set())


async def test_a_pool_that_changes_reaches_only_runs_that_use_or_have_read_it(frame, watch):
    made, queue, marks, *_ = watch
    for number in range(3):
        run = frame.run()
        run["metadata"]["name"] = f"other-{number}"
        run["spec"]["roles"] = {role: {"pool": "elsewhere"} for role in run["spec"]["roles"]}
        await made.own(body=run, type="ADDED")
    rests = Key("EvalRun", "default", "rests")
    await marks.around(rests, "uid", Reader(frame.pool())).get(MODEL_POOLS, "default", "pool")
    queue.added.clear()
    marks.marked.clear()
    await made.own(body=version(frame.pool(), "9", readyReplicas=1), type="MODIFIED")
    assert queue.added == [(POOL, 0.0)]
    assert marks.marked == [(POOL,), (rests, MODEL_POOLS)]
    marks.forget(rests)
    await made.own(body=version(frame.pool(), "10", readyReplicas=0), type="MODIFIED")
    assert marks.marked[2:] == [(POOL,)]


async def test_a_pod_that_is_gone_wakes_who_waits_for_room_and_nobody_else(frame):
    queue, expired = Queue(), []
    made = Watch(queue, lambda: expired.append(True))
    for name, reason in (("full", "InsufficientGPU"), ("queued", "WaitingForSlot"), ("fine", "Ready")):
        pool = version(frame.pool(), "1", reason=reason)
        pool["metadata"]["name"] = name
        await made.own(body=pool, type="ADDED")
    queue.added.clear()
    await made.child(body=child(frame, "Pod", "p"), type="DELETED")
    assert {key for key, _ in queue.added} == {RUN, Key("ModelPool", "default", "full")}
    assert expired == [True]
