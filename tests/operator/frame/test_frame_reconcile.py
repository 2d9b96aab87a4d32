"""The loop: world in, writes, status and Events out; a second reconcile writes nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_operator.errors import Conflict, Denied, Invalid, NotFound, Throttled, Unavailable
from toolorch_operator.observation import Observation, own_children
from toolorch_operator.owner import Key
from toolorch_operator.plan import Blob, Event, Plan, Ref
from toolorch_operator.reconcile import Brain, World, reconcile
from toolorch_operator.resources import BY_KIND

POOL = Key("ModelPool", "default", "pool")


class Folder:
    def __init__(self) -> None:
        self.blobs = {}

    async def create(self, key, body):
        return self.blobs.setdefault(key, body) is body


def config_map(name="settings", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def job(name="job"):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"completions": 1}}


def status(reason="Ready", **more):
    return {"observedGeneration": 1, "reason": reason, **more}


def build_world(frame, cluster, plan, folder=None, seen=None):
    """A world whose brain plans the same each time; children are observed as the real observers do."""

    async def observe(pool):
        live = {}
        for kind in ("ConfigMap", "Job", "Deployment"):
            resource = BY_KIND[kind]
            items = await cluster.list(resource)
            live |= {(kind, n): o for n, o in own_children(resource, items, pool.metadata.uid).items()}
        return Observation(None, live, folder)

    def remember(pool, observed, now, defaults):
        if seen is not None:
            seen.append((pool, now, defaults))
        return plan(pool) if callable(plan) else plan

    brain = Brain(ModelPool.model_validate, observe, remember)
    return World(cluster, {"ModelPool": brain}, frame.defaults, frame.clock, frame.metrics())


async def test_a_plan_is_carried_out_in_its_order_and_a_second_reconcile_writes_nothing(frame):
    cluster = frame.cluster(frame.pool(), frame.child("Job", "old"))
    folder, seen = Folder(), []
    plan = Plan(
        delete=(Ref("Job", "old", "uid"),),
        blobs=(Blob("attempts/1/assignment.json", b"{}"),),
        create=(job(),),
        apply=(config_map(a="1"),),
        status=status(),
        events=(Event("Ready", "2 of 2 replicas ready"),),
        requeue_after=timedelta(seconds=5),
    )
    world = build_world(frame, cluster, plan, folder, seen)
    assert await reconcile(POOL, world) == timedelta(seconds=5)
    *writes, event = cluster.writes
    assert writes == ["delete Job/old", "create Job/job", "apply ConfigMap/settings", "status Ready"]
    assert event.startswith("create Event/pool.")
    assert folder.blobs == {"attempts/1/assignment.json": b"{}"}
    assert seen[0][0].metadata.uid == frame.uid
    assert seen[0][1:] == (frame.now, frame.defaults)

    cluster.writes.clear()
    quiet = build_world(frame, cluster, Plan(create=(job(),), apply=(config_map(a="1"),), status=status()), folder)
    assert await reconcile(POOL, quiet) is None
    assert cluster.writes == []


async def test_children_get_owner_and_namespace(frame):
    cluster = frame.cluster(frame.pool())
    await reconcile(POOL, build_world(frame, cluster, Plan(create=(job(),), apply=(config_map(),))))
    for kind, name in (("Job", "job"), ("ConfigMap", "settings")):
        meta = cluster.find(kind, name)["metadata"]
        assert meta["namespace"] == "default"
        assert [(r["kind"], r["name"], r["uid"], r["controller"]) for r in meta["ownerReferences"]] == [
            ("ModelPool", "pool", frame.uid, True)
        ]


async def test_a_counter_that_justifies_an_action_is_written_before_it_and_only_once(frame):
    cluster = frame.cluster(frame.pool())
    plan = Plan(create=(job(),), status=status("Remediating"), status_first=True)
    await reconcile(POOL, build_world(frame, cluster, plan))
    assert cluster.writes == ["status Remediating", "create Job/job"]


async def test_nothing_follows_a_status_that_could_not_be_written_first(frame):
    cluster = frame.cluster(frame.pool())
    cluster.failures["status Remediating"] = Unavailable("500")
    plan = Plan(create=(job(),), status=status("Remediating"), status_first=True)
    with pytest.raises(Unavailable):
        await reconcile(POOL, build_world(frame, cluster, plan))
    assert cluster.writes == []


@pytest.mark.parametrize("at", ["delete Job/old", "create Job/job", "apply ConfigMap/settings", "status Ready"])
@pytest.mark.parametrize(
    "error", [Unavailable("500"), Conflict("409"), Throttled("429", 3.0), Denied("403"), NotFound("404")]
)
async def test_a_write_that_fails_is_made_up_for_by_the_next_reconcile(frame, at, error):
    """A crash or error after any prefix of the writes ends in the same world as none."""
    objects = (frame.pool(), frame.child("Job", "old"))

    def plan(_):
        old = (Ref("Job", "old"),) if ("Job", "old") in cluster.objects else ()
        return Plan(delete=old, create=(job(),), apply=(config_map(a="1"),), status=status())

    cluster = frame.cluster(*objects)
    await reconcile(POOL, build_world(frame, cluster, plan))
    expected = {key: o for key, o in cluster.objects.items() if key[0] != "ModelPool"}

    cluster = frame.cluster(*objects)
    cluster.failures[at] = error
    with pytest.raises(type(error)):
        await reconcile(POOL, build_world(frame, cluster, plan))
    await reconcile(POOL, build_world(frame, cluster, plan))
    assert {key: o for key, o in cluster.objects.items() if key[0] != "ModelPool"} == expected
    assert cluster.find("ModelPool", "pool")["status"] == status()


@pytest.mark.parametrize(
    "objects",
    [pytest.param((), id="it does not exist"), pytest.param(("deleted",), id="it is being deleted")],
)
async def test_nothing_is_done_where(frame, objects):
    pool = frame.pool()
    pool["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    cluster = frame.cluster(*([pool] if objects else []))
    assert await reconcile(POOL, build_world(frame, cluster, Plan(create=(job(),), status=status()))) is None
    assert cluster.writes == []


async def test_a_changed_child_is_applied_again_and_one_that_is_going_is_not(frame):
    cluster = frame.cluster(frame.pool())
    world = build_world(frame, cluster, Plan(apply=(config_map(a="1"),)))
    await reconcile(POOL, world)
    live = cluster.find("ConfigMap", "settings")
    live["data"]["a"] = "by hand"
    live["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    cluster.writes.clear()
    await reconcile(POOL, world)
    assert cluster.writes == []
    del live["metadata"]["deletionTimestamp"]
    await reconcile(POOL, world)
    assert cluster.writes == ["apply ConfigMap/settings"]
    assert cluster.find("ConfigMap", "settings")["data"] == {"a": "1"}


async def test_a_child_without_our_labels_is_found_by_its_name(frame):
    child = frame.child("ConfigMap", "settings", data={"a": "0"})
    child["metadata"]["labels"] = {}
    cluster = frame.cluster(frame.pool(), child)
    await reconcile(POOL, build_world(frame, cluster, Plan(apply=(config_map(a="1"),))))
    assert cluster.writes == ["apply ConfigMap/settings"]


@pytest.mark.parametrize("how", ["create", "apply"])
async def test_a_child_of_a_deleted_namesake_is_waited_for(frame, how):
    child = job() if how == "create" else config_map()
    old = frame.child(child["kind"], child["metadata"]["name"], uid="earlier life")
    cluster = frame.cluster(frame.pool(), old)
    plan = Plan(**{how: (child,)}, status=status())
    with pytest.raises(Unavailable, match="still belongs to a deleted ModelPool"):
        await reconcile(POOL, build_world(frame, cluster, plan))
    assert cluster.writes == []


@pytest.mark.parametrize(
    ("owner", "words"),
    [
        pytest.param({}, "is not toolorch's", id="a stranger's"),
        pytest.param(
            {"toolorch.dev/kind": "ModelPool", "toolorch.dev/name": "pool-1"},
            "belongs to the ModelPool pool-1: rename it",
            id="another pool's",
        ),
    ],
)
@pytest.mark.parametrize("how", ["create", "apply"])
async def test_somebody_elses_object_of_that_name_is_left_alone_and_said_in_status(frame, how, owner, words):
    child = job() if how == "create" else config_map()
    stranger = frame.child(child["kind"], child["metadata"]["name"])
    del stranger["metadata"]["ownerReferences"]
    stranger["metadata"]["labels"] = owner
    cluster = frame.cluster(frame.pool(), stranger)
    world = build_world(frame, cluster, Plan(**{how: (child,)}, status=status()))
    assert await reconcile(POOL, world) is None
    assert cluster.writes == ["status InvalidSpec"]
    ready, stalled = cluster.find("ModelPool", "pool")["status"]["conditions"]
    assert (ready["type"], ready["status"], stalled["type"], stalled["status"]) == (
        "Ready",
        "False",
        "Stalled",
        "True",
    )
    assert f"exists and {words}" in ready["message"]


async def test_what_the_server_refuses_is_not_tried_again_until_the_generation_moves(frame):
    cluster = frame.cluster(frame.pool())
    world = build_world(frame, cluster, Plan(apply=(config_map(),), status=status()))
    cluster.failures["apply ConfigMap/settings"] = Invalid("422 data: must be text")
    assert await reconcile(POOL, world) is None
    await reconcile(POOL, world)
    assert cluster.writes == ["status InvalidSpec"]
    cluster.find("ModelPool", "pool")["metadata"]["generation"] = 2
    await reconcile(POOL, world)
    assert cluster.writes == ["status InvalidSpec", "apply ConfigMap/settings", "status Ready"]


async def test_a_child_that_is_deleted_while_it_is_being_changed_is_no_refusal_of_the_spec(frame):
    child = frame.child("ConfigMap", "settings")
    cluster = frame.cluster(frame.pool(), child)
    world = build_world(frame, cluster, Plan(apply=(config_map(),), status=status()))

    async def apply(namespace, manifest):
        cluster.objects.pop(("ConfigMap", "settings"), None)
        raise Invalid("422 spec: required")

    cluster.apply = apply
    with pytest.raises(Unavailable, match="deleted meanwhile"):
        await reconcile(POOL, world)
    assert world.refused == {}


async def test_a_spec_that_this_version_does_not_take_is_said_once(frame):
    cluster = frame.cluster(frame.pool(replicas=-1))
    world = build_world(frame, cluster, Plan(create=(job(),)))
    assert await reconcile(POOL, world) is None
    await reconcile(POOL, world)
    assert cluster.writes == ["status InvalidSpec"]
    written = cluster.find("ModelPool", "pool")["status"]
    assert written["observedGeneration"] == 1
    assert "spec.replicas" in written["conditions"][0]["message"]


async def test_a_status_that_differs_only_by_defaults_or_nulls_is_not_written(frame):
    pool = frame.pool()
    pool["status"] = status(readyReplicas=0, replicas=0, instances=[])
    cluster = frame.cluster(pool)
    await reconcile(POOL, build_world(frame, cluster, Plan(status=status(effective={"memory": None}))))
    assert cluster.writes == []


async def test_an_event_that_cannot_be_posted_stops_nothing(frame):
    cluster = frame.cluster(frame.pool())

    async def refuse(namespace, manifest):
        raise Denied("403")

    cluster.create = refuse
    plan = Plan(status=status(), events=(Event("Ready", "m"),), requeue_after=timedelta(seconds=1))
    assert await reconcile(POOL, build_world(frame, cluster, plan)) == timedelta(seconds=1)


async def test_status_is_shown_in_metrics_until_the_object_is_gone(frame):
    cluster = frame.cluster(frame.pool())
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "AllReplicasReady",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    world = build_world(frame, cluster, Plan(status=status(readyReplicas=2, conditions=[condition])))
    await reconcile(POOL, world)
    labels = ("name", "type")
    assert frame.samples(world.metrics, "toolorch_condition", labels) == {("pool", "Ready"): 1.0}
    cluster.objects.clear()
    await reconcile(POOL, world)
    assert frame.samples(world.metrics, "toolorch_condition", labels) == {}
