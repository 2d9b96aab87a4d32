"""One listing for many plans: nobody waits for a second one, and no two plans take the same GPU."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from toolorch_api.modelpool import ModelPool
from toolorch_operator.errors import Denied, Unavailable
from toolorch_operator.inventory import DENIED_FOR, REST, UNFINISHED, Inventory
from toolorch_operator.owner import Key

GPU = "nvidia.com/gpu"


def node(name, gpus=8):
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: str(gpus)}
    status = {"allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": name}, "status": status}


def pool(name, version="1", conditions=(), instances=(), namespace="evals", **spec):
    return {
        "metadata": {"name": name, "namespace": namespace, "resourceVersion": version},
        "spec": {"model": "m", "resources": {"cpu": "1", "memory": "1Gi"}, **spec},
        "status": status(*instances, conditions=conditions),
    }


def status(*instances, conditions=()):
    return {"instances": [dict(i) for i in instances], "conditions": list(conditions)}


def ready(reason):
    return {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": "2026-01-02T03:00:00Z"}


def pod(name, where="a", gpus=1, labels=None, **meta):
    container = {"resources": {"requests": {GPU: str(gpus)}}}
    return {
        "metadata": {"name": name, "namespace": "evals", "labels": labels or {}, **meta},
        "spec": {"nodeName": where, "containers": [container]},
    }


def own_pod(of, number=0, where="a", **more):
    labels = {"toolorch.dev/kind": "ModelPool", "toolorch.dev/name": of, "toolorch.dev/instance": f"{of}-{number}"}
    return pod(f"{of}-{number}-x", where, labels=labels, **more)


class Server:
    """An API server that counts what it is asked; `gate` holds its answers back, `errors` are given instead."""

    def __init__(self, **objects: list[dict[str, Any]]) -> None:
        self.objects = objects
        self.asked: list[str] = []
        self.errors: dict[str, Exception] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def list(self, resource, namespace="", selector="", fields=""):
        self.asked.append(resource.plural)
        assert fields == (UNFINISHED if resource.plural == "pods" else "")
        found = list(self.objects.get(resource.plural, ()))
        await self.gate.wait()
        if resource.plural in self.errors:
            raise self.errors[resource.plural]
        return [o for o in found if namespace in ("", o["metadata"].get("namespace"))]

    async def collect(self, resource, view, namespace="", labelSelector="", fieldSelector=""):
        return [view(item) for item in await self.list(resource, namespace, labelSelector, fieldSelector)]

    async def get(self, resource, namespace, name):
        self.asked.append(f"{resource.plural}/{name}")
        found = [o for o in self.objects[resource.plural] if o["metadata"]["name"] == name]
        await self.gate.wait()
        return found[0] if found else None


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(frame):
    return Clock(frame.now)


@pytest.fixture
def open_inventory(clock):
    async def opened(namespace="", **objects):
        server = Server(**objects)
        inventory = Inventory(server, clock, namespace)
        await inventory.refresh()
        return server, inventory

    return opened


def parse(manifest):
    return ModelPool.model_validate(manifest)


def key(name):
    return Key("ModelPool", "evals", name)


async def test_a_young_listing_is_not_repeated_and_an_old_one_is(open_inventory, clock):
    server, inventory = await open_inventory(nodes=[node("a")])
    assert sorted(server.asked) == ["evalruns", "modelpools", "nodes", "pods", "resourcequotas"]
    clock.wait(2)
    await inventory.refresh()
    assert len(server.asked) == 5
    clock.wait(1)
    await inventory.refresh()
    assert len(server.asked) == 10


async def test_who_comes_during_a_listing_shares_it(clock):
    server = Server()
    server.gate.clear()
    inventory = Inventory(server, clock)
    callers = [asyncio.create_task(inventory.refresh()) for _ in range(3)]
    await asyncio.sleep(0)
    callers[0].cancel()
    await asyncio.sleep(0)
    server.gate.set()
    await asyncio.gather(*callers[1:])
    assert callers[0].cancelled()
    assert len(server.asked) == 5


async def test_what_changes_during_a_listing_asks_for_another(clock):
    server = Server()
    server.gate.clear()
    inventory = Inventory(server, clock)
    first = asyncio.create_task(inventory.refresh())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inventory.expire()
    late = asyncio.create_task(inventory.refresh())
    await asyncio.sleep(0)
    server.gate.set()
    await asyncio.gather(first, late)
    assert server.asked.count("modelpools") == 2


async def test_a_server_that_is_away_is_an_error_of_this_refresh_only(clock):
    server = Server()
    server.errors["pods"] = Unavailable("away")
    inventory = Inventory(server, clock)
    with pytest.raises(Unavailable):
        await inventory.refresh()
    server.errors.clear()
    await inventory.refresh()
    assert inventory.view(parse(pool("p"))).placement is not None


@pytest.mark.parametrize("denied", ["nodes", "pods"])
async def test_where_nodes_or_pods_may_not_be_listed_the_scheduler_decides_and_it_is_asked_again_in_time(clock, denied):
    server = Server(modelpools=[pool("other", instances=[{"name": "other-0", "state": "Starting"}])])
    server.errors[denied] = Denied("403")
    inventory = Inventory(server, clock)
    with capture_logs() as logs:
        for _ in range(3):
            await inventory.refresh()
            clock.wait(3)
    assert [entry["resource"] for entry in logs] == [denied]
    assert server.asked.count(denied) == 1
    assert server.asked.count("modelpools") == 3
    seen = inventory.view(parse(pool("p")))
    assert seen.placement is None
    assert [start.instance for start in seen.starts] == ["evals/other-0"]
    server.errors.clear()
    clock.wait(DENIED_FOR.total_seconds())
    await inventory.refresh()
    assert inventory.view(parse(pool("p"))).placement is not None


async def test_bad_credentials_are_no_reason_to_give_up_on_nodes(clock):
    server = Server(nodes=[node("a")])
    server.errors = {name: Denied("401") for name in ("modelpools", "nodes", "pods", "resourcequotas", "evalruns")}
    inventory = Inventory(server, clock)
    with pytest.raises(Denied):
        await inventory.refresh()
    server.errors = {}
    await inventory.refresh()
    assert inventory.view(parse(pool("p"))).placement.assigned == {"evals/p-0": "a"}


async def test_quotas_that_may_not_be_listed_do_not_bind(clock):
    server = Server(nodes=[node("a")])
    server.errors["resourcequotas"] = Denied("403")
    inventory = Inventory(server, clock)
    await inventory.refresh()
    assert inventory.view(parse(pool("p"))).placement.assigned


async def test_only_the_watched_namespace_counts(open_inventory):
    others = [pool("near", replicas=2), pool("far", namespace="elsewhere")]
    _, inventory = await open_inventory("evals", nodes=[node("a")], modelpools=others)
    assert set(inventory.view(parse(pool("p"))).placement.assigned) == {"evals/p-0", "evals/near-0", "evals/near-1"}


async def test_pods_of_others_hold_what_they_request_and_a_replicas_own_pod_is_not_counted_twice(open_inventory):
    pods = [pod("notebook", gpus=6), own_pod("p"), own_pod("gone"), own_pod("p", 0, "b")]
    mine = pool("p", replicas=2, instances=[{"name": "p-0", "node": "a", "state": "Ready"}])
    _, inventory = await open_inventory(nodes=[node("a"), node("b", 1)], pods=pods, modelpools=[mine])
    found = inventory.view(parse(mine)).placement
    assert found.assigned == {"evals/p-0": "a"}
    why = found.rejected["evals/p-1"].message
    assert "a 0 of 8 (6 held by pod evals/notebook, 1 held by pool gone, 1 by others)" in why
    assert "b 0 of 1 (1 held by pool p)" in why, "a pod that is elsewhere than its replica holds what it has"


async def test_a_replica_that_status_has_no_room_for_is_where_its_pod_is(open_inventory):
    _, inventory = await open_inventory(nodes=[node("a"), node("b", 1)], pods=[own_pod("p")])
    assert inventory.view(parse(pool("p"))).placement.assigned == {"evals/p-0": "a"}


async def test_a_replica_that_was_evicted_from_a_cordoned_node_goes_elsewhere(open_inventory):
    cordoned = {**node("a"), "spec": {"unschedulable": True}}
    mine = pool("p", instances=[{"name": "p-0", "node": "a", "state": "Pending"}])
    gone = own_pod("p", deletionTimestamp="2026-01-02T03:00:00Z")
    _, inventory = await open_inventory(nodes=[cordoned, node("b")], modelpools=[mine], pods=[gone])
    assert inventory.view(parse(mine)).placement.assigned == {"evals/p-0": "b"}


@pytest.mark.parametrize(
    ("other", "takes"),
    [
        (pool("other"), True),
        (pool("other", replicas=0), False),
        (pool("other", conditions=[ready("Idle")]), False),
        (pool("other", engine="external", external={"baseURL": "https://x.test/v1"}), False),
        ({**pool("other"), "spec": {"replicas": "many"}}, False),
        ({**pool("other"), "status": {"effective": {"memory": "lots"}}}, False),
    ],
    ids=["it runs", "it has none", "it sleeps", "it is external", "it breaks the schema", "its status is broken"],
)
async def test_which_other_pools_take_room(open_inventory, other, takes):
    _, inventory = await open_inventory(nodes=[node("a", 1)], modelpools=[other])
    found = inventory.view(parse(pool("p"))).placement
    assert ("evals/other-0" in found.assigned) is takes


async def test_an_idle_pool_is_told_where_it_would_wake_but_takes_nothing_from_others(open_inventory):
    idle = pool("idle", conditions=[ready("Idle")])
    _, inventory = await open_inventory(nodes=[node("a", 1)], modelpools=[idle, pool("z")])
    assert inventory.view(parse(pool("z"))).placement.assigned == {"evals/z-0": "a"}
    assert set(inventory.view(parse(idle)).placement.assigned) == {"evals/idle-0"}
    inventory.note(key("z"), status({"name": "z-0", "node": "a", "state": "Starting"}))
    assert "evals/idle-0" in inventory.view(parse(idle)).placement.rejected


async def test_two_pools_planned_one_after_the_other_take_neither_the_same_gpu_nor_the_same_slot(open_inventory):
    _, inventory = await open_inventory(nodes=[node("a", 1)], modelpools=[])
    first, second = pool("z-first"), pool("a-second")
    assert inventory.view(parse(first)).placement.assigned == {"evals/z-first-0": "a"}
    inventory.note(key("z-first"), status({"name": "z-first-0", "node": "a", "state": "Starting"}))
    seen = inventory.view(parse(second), ["a"])
    assert "evals/a-second-0" in seen.placement.rejected
    assert [(s.instance, s.node, s.state, s.limit) for s in seen.starts] == [("evals/z-first-0", "a", "Starting", 1)]


async def test_a_pool_sees_the_starts_on_its_own_nodes_and_no_others(open_inventory, clock):
    states = {"a": "Starting", "b": "WaitingForSlot", "c": "Crashed", "d": "Starting"}
    room = {"a": 3, "b": 2, "c": 1, "d": 1}
    pools = [pool(f"on-{n}", instances=[{"name": f"on-{n}-0", "node": n, "state": s}]) for n, s in states.items()]
    pools.append(pool("ready", instances=[{"name": "ready-0", "node": "a", "state": "Ready"}]))
    mine = pool("p", replicas=2, instances=[{"name": "p-0", "node": "a", "state": "WaitingForSlot"}])
    _, inventory = await open_inventory(nodes=[node(n, gpus) for n, gpus in room.items()], modelpools=[*pools, mine])
    seen = inventory.view(parse(mine), ["c"])
    assert seen.placement.assigned["evals/p-1"] == "b"
    assert {s.instance for s in seen.starts} == {"evals/on-a-0", "evals/on-b-0", "evals/on-c-0"}
    inventory.view(parse(pools[0]))
    inventory.note(key("on-a"), status({"name": "on-a-0", "node": "a", "state": "Ready"}))
    assert {s.instance for s in inventory.view(parse(mine)).starts} == {"evals/on-b-0"}


async def test_a_note_holds_until_its_write_is_listed(open_inventory, clock):
    server, inventory = await open_inventory(nodes=[node("a", 1)], modelpools=[pool("z", "1"), pool("b", "1")])

    async def who_is_placed():
        clock.wait(3)
        await inventory.refresh()
        return set(inventory.view(parse(pool("b", "1"))).placement.assigned)

    inventory.view(parse(pool("z", "1")))
    inventory.note(key("z"), status({"name": "z-0", "node": "a", "state": "Starting"}))
    assert await who_is_placed() == {"evals/z-0"}, "the write is under way: the listing shows the old version"
    server.objects["modelpools"][0] = pool("z", "2", replicas=0)
    assert await who_is_placed() == {"evals/b-0"}, "the listing is newer than the note"


async def test_a_note_that_is_made_during_a_listing_outlives_it(open_inventory, clock):
    server, inventory = await open_inventory(nodes=[node("a", 1)], modelpools=[pool("z", "1"), pool("b", "1")])
    clock.wait(3)
    server.gate.clear()
    listing = asyncio.create_task(inventory.refresh())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.wait(1)
    inventory.note(key("z"), status({"name": "z-0", "node": "a", "state": "Starting"}))
    server.objects["modelpools"][0]["metadata"]["resourceVersion"] = "2"
    server.gate.set()
    await listing
    assert set(inventory.view(parse(pool("b", "1"))).placement.assigned) == {"evals/z-0"}


async def test_a_note_whose_write_never_came_is_forgotten(open_inventory, clock):
    _, inventory = await open_inventory(nodes=[node("a", 1)], modelpools=[pool("z"), pool("b")])
    inventory.view(parse(pool("z")))
    inventory.note(key("z"), status({"name": "z-0", "node": "a", "state": "Starting"}))
    clock.wait(61)
    await inventory.refresh()
    assert set(inventory.view(parse(pool("b"))).placement.assigned) == {"evals/b-0"}


async def test_a_pool_that_was_scaled_since_the_listing_counts_as_it_was_read(open_inventory):
    _, inventory = await open_inventory(nodes=[node("a")], modelpools=[pool("p")])
    assert len(inventory.view(parse(pool("p"))).placement.assigned) == 1
    assert len(inventory.view(parse(pool("p", replicas=3))).placement.assigned) == 3


async def test_one_placement_serves_all_pools_as_long_as_they_go_where_they_are_told(open_inventory):
    pools = [pool("p"), pool("q")]
    _, inventory = await open_inventory(nodes=[node("a")], modelpools=pools)
    first = inventory.view(parse(pools[0])).placement
    inventory.note(key("p"), status({"name": "p-0", "node": "a", "state": "WaitingForSlot"}))
    assert inventory.view(parse(pools[1])).placement is first
    inventory.note(key("p"), status({"name": "p-0", "node": "b", "state": "WaitingForSlot"}))
    assert inventory.view(parse(pools[1])).placement is not first


async def test_a_quota_is_freed_of_what_the_replicas_own_pods_use(open_inventory):
    used = {"metadata": {"namespace": "evals", "name": "q"}, "status": {
        "hard": {f"requests.{GPU}": "2"}, "used": {f"requests.{GPU}": "1"}}}  # fmt: skip
    mine = pool("p", replicas=3, instances=[{"name": "p-0", "node": "a", "state": "Ready"}])
    _, inventory = await open_inventory(nodes=[node("a")], pods=[own_pod("p")], resourcequotas=[used])
    found = inventory.view(parse(mine)).placement
    assert set(found.assigned) == {"evals/p-0", "evals/p-1"}
    assert found.rejected["evals/p-2"].reason == "QuotaExceeded"


def run(name, roles, conditions=(), **spec):
    return {
        "metadata": {"name": name, "namespace": "evals", "creationTimestamp": "2026-01-02T03:00:00Z"},
        "spec": {"roles": {role: {"pool": used} for role, used in roles.items()}, **spec},
        "status": {"conditions": list(conditions)},
    }


async def test_runs_that_use_a_pool_are_those_under_way_that_name_it(open_inventory):
    runs = [
        run("uses", {"agent": "p", "user": "u"}),
        run("other", {"agent": "q", "user": "u"}),
        run("rests", {"agent": "p", "user": "u"}, suspend=True),
        run("over", {"agent": "p", "user": "u"}, [{"type": "Failed", "status": "True"}]),
        run("broken", {"nobody": "p"}),
    ]
    _, inventory = await open_inventory(evalruns=runs)
    assert [use.name for use in inventory.runs(parse(pool("p")))] == ["uses"]
    assert [use.name for use in inventory.runs(parse(pool("u")))] == ["uses", "other"]


async def test_of_a_run_that_changes_only_the_run_is_read_again(open_inventory):
    runs = [run(name, {"agent": "p", "user": "u"}) for name in ("ends", "goes", "moves", "stays")]
    server, inventory = await open_inventory(evalruns=runs)
    runs[0]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    runs[2]["spec"]["roles"]["agent"]["pool"] = "q"
    del runs[1]
    server.objects["evalruns"], server.asked = runs, []
    for name in ("ends", "goes", "moves", "new"):
        inventory.expire_run(Key("EvalRun", "evals", name))
    await inventory.refresh()
    assert sorted(server.asked) == ["evalruns/ends", "evalruns/goes", "evalruns/moves", "evalruns/new"]
    assert [use.name for use in inventory.runs(parse(pool("p")))] == ["stays"]
    assert {use.name for use in inventory.runs(parse(pool("u")))} == {"moves", "stays"}
    assert [use.name for use in inventory.runs(parse(pool("q")))] == ["moves"]
    await inventory.refresh()
    assert len(server.asked) == 4, "each once"


async def test_a_run_that_changes_while_it_is_read_is_read_once_more(open_inventory):
    server, inventory = await open_inventory(evalruns=[run("r", {"agent": "p", "user": "u"})])
    server.asked = []
    server.gate.clear()
    inventory.expire_run(Key("EvalRun", "evals", "r"))
    early = asyncio.create_task(inventory.refresh())
    for _ in range(3):
        await asyncio.sleep(0)
    server.objects["evalruns"] = []
    inventory.expire_run(Key("EvalRun", "evals", "r"))
    late = asyncio.create_task(inventory.refresh())
    await asyncio.sleep(0)
    server.gate.set()
    await asyncio.gather(early, late)
    assert server.asked == ["evalruns/r", "evalruns/r"]
    assert inventory.runs(parse(pool("p"))) == ()


async def test_a_listing_that_takes_long_is_believed_for_longer(clock):
    server = Server()
    inventory = Inventory(server, clock)
    server.gate.clear()
    listing = asyncio.create_task(inventory.refresh())
    for _ in range(3):
        await asyncio.sleep(0)
    clock.wait(3)
    server.gate.set()
    await listing
    clock.wait(3 * REST)
    await inventory.refresh()
    assert len(server.asked) == 5
    inventory.expire()
    await inventory.refresh()
    assert len(server.asked) == 10, "what has changed is listed at once"


async def test_namesakes_share_namespace_model_and_cache(open_inventory):
    cache = {"cache": {"persistentVolumeClaim": "models"}}
    pools = [
        pool("same", **cache),
        pool("uncached"),
        {**pool("larger", **cache), "spec": {"model": "n", **cache}},
        pool("far", namespace="elsewhere", **cache),
        pool("p", **cache),
    ]
    _, inventory = await open_inventory(modelpools=pools)
    assert [p.metadata.name for p in inventory.namesakes(parse(pool("p", **cache)))] == ["same"]


async def test_fit_is_judged_by_the_listed_nodes(open_inventory):
    small = {**node("small"), "metadata": {"name": "small", "labels": {"nvidia.com/gpu.memory": "23034"}}}
    mine = pool("p")
    mine["metadata"]["annotations"] = {"toolorch.dev/weights-gib": "61"}
    _, inventory = await open_inventory(nodes=[small, node("big")])
    fit = inventory.fit(parse(mine))
    assert (fit.per_gpu_gib, fit.candidates, [r.node for r in fit.rejected]) == ("67.9", ["big"], ["small"])
    assert inventory.view(parse(mine)).placement.assigned == {"evals/p-0": "big"}
