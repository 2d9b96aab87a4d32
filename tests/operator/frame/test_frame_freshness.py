"""What is kept of the cluster between looks: only what the API server answered, and never past an event about it."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from toolorch_operator.errors import Conflict, Unavailable
from toolorch_operator.freshness import OTHER_AGE, WORK_AGE, Freshness
from toolorch_operator.observation import Observation
from toolorch_operator.owner import Key
from toolorch_operator.plan import Plan, Ref
from toolorch_operator.reconcile import Brain, World, reconcile
from toolorch_operator.resources import CONFIG_MAPS, DEPLOYMENTS, JOBS, MODEL_POOLS, PODS, SECRETS

POOL = Key("ModelPool", "default", "pool")
OTHER = Key("ModelPool", "default", "other")


class Reader:
    """Answers each request with its number, and may be made to wait."""

    def __init__(self):
        self.count, self.go_on = 0, asyncio.Event()
        self.go_on.set()
        self.absent = False

    async def _answer(self):
        self.count += 1
        answer = self.count
        await self.go_on.wait()
        return answer

    async def list(self, resource, namespace="", selector="", fields=""):
        return [await self._answer()]

    async def get(self, resource, namespace, name):
        return None if self.absent and await self._answer() else {"answer": await self._answer()}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def kept():
    clock = Clock()
    return Freshness(clock), Reader(), clock


async def test_what_was_read_is_not_asked_for_again(kept):
    freshness, reader, _ = kept
    near = freshness.around(POOL, "uid", reader)
    assert [await near.list(PODS, "default", "a") for _ in range(3)] == [[1]] * 3
    assert [await near.get(SECRETS, "default", "s") for _ in range(3)] == [{"answer": 2}] * 3


class Fixed:
    """Answers with these objects."""

    def __init__(self, *items):
        self.items = items

    async def list(self, resource, namespace="", selector="", fields=""):
        return list(self.items)


async def test_what_was_read_comes_back_whole_but_for_who_manages_its_fields():
    item = {"metadata": {"name": "p", "labels": {"k": "v"}}, "spec": {"a": [1, None, "ä", {}]}}
    managed = {**item, "metadata": {**item["metadata"], "managedFields": [{"manager": "m"}]}}
    near = Freshness().around(POOL, "uid", Fixed(managed))
    await near.list(PODS, "default", "")
    (again,) = await near.list(PODS, "default", "")
    assert again == item
    again["spec"].clear()
    assert await near.list(PODS, "default", "") == [item], "who reads it may change it"


async def test_what_is_kept_of_many_children_takes_little_memory(frame):
    template = {
        "spec": {"containers": [{"name": "c", "env": [{"name": f"E{n}", "value": "v" * 20} for n in range(40)]}]}
    }
    children = [frame.child("Deployment", f"pool-{n}", spec={"template": template}) for n in range(8)]
    near = Freshness().around(POOL, "uid", Fixed(*children))
    await near.list(DEPLOYMENTS, "default", "")
    tracemalloc.start()
    first = await near.list(DEPLOYMENTS, "default", "")
    near.mark()
    before = tracemalloc.get_traced_memory()[0]
    await near.list(DEPLOYMENTS, "default", "")
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(first) == 8
    assert kept < 10_000, "as dicts they are 150,000 bytes"


@pytest.mark.parametrize(
    ("marked", "again"),
    [
        pytest.param((PODS,), [3, 2], id="pods alone"),
        pytest.param((JOBS,), [1, 3], id="Jobs alone"),
        pytest.param((PODS, JOBS), [3, 4], id="both"),
        pytest.param((), [3, 4], id="all, where nothing is named"),
        pytest.param((SECRETS,), [1, 2], id="what was not read: nothing"),
    ],
)
async def test_an_event_has_only_what_it_is_about_read_again(kept, marked, again):
    freshness, reader, _ = kept
    near = freshness.around(POOL, "uid", reader)
    await near.list(PODS, "default", "")
    await near.list(JOBS, "default", "")
    freshness.mark(POOL, *marked)
    assert [*await near.list(PODS, "default", ""), *await near.list(JOBS, "default", "")] == again


async def test_an_event_about_one_object_leaves_the_others_alone(kept):
    freshness, reader, _ = kept
    one, two = freshness.around(POOL, "uid", reader), freshness.around(OTHER, "uid", reader)
    await one.list(PODS, "default", "")
    await two.list(PODS, "default", "")
    freshness.mark(POOL)
    assert (await one.list(PODS, "default", ""), await two.list(PODS, "default", "")) == ([3], [2])


async def test_an_event_that_comes_while_it_is_read_has_it_read_once_more(kept):
    freshness, reader, _ = kept
    near = freshness.around(POOL, "uid", reader)
    reader.go_on.clear()
    look = asyncio.create_task(near.list(PODS, "default", ""))
    await asyncio.sleep(0)
    freshness.mark(POOL, PODS)
    reader.go_on.set()
    assert await look == [1], "this look goes by what it was told"
    assert await near.list(PODS, "default", "") == [2]
    assert await near.list(PODS, "default", "") == [2]


@pytest.mark.parametrize(
    ("resource", "age"), [(PODS, WORK_AGE), (CONFIG_MAPS, OTHER_AGE), (MODEL_POOLS, OTHER_AGE), (SECRETS, OTHER_AGE)]
)
async def test_an_event_that_was_lost_is_made_up_for_in_time(kept, resource, age):
    freshness, reader, clock = kept
    near = freshness.around(POOL, "uid", reader)
    await near.list(resource, "default", "")
    clock.now = age - 0.1
    assert await near.list(resource, "default", "") == [1]
    clock.now = age
    assert await near.list(resource, "default", "") == [2]
    clock.now = 2 * age - 0.1
    assert await near.list(resource, "default", "") == [2], "the age counts from the last reading"


async def test_the_age_counts_from_when_the_question_was_sent(kept):
    freshness, reader, clock = kept
    near = freshness.around(POOL, "uid", reader)
    reader.go_on.clear()
    look = asyncio.create_task(near.list(PODS, "default", ""))
    await asyncio.sleep(0)
    clock.now = 20.0
    reader.go_on.set()
    await look
    clock.now = WORK_AGE
    assert await near.list(PODS, "default", "") == [2]


async def test_what_is_not_there_is_asked_for_each_time(kept):
    freshness, reader, _ = kept
    near, reader.absent = freshness.around(POOL, "uid", reader), True
    assert await near.get(SECRETS, "default", "s") is None
    reader.absent = False
    assert await near.get(SECRETS, "default", "s") == {"answer": 2}


async def test_a_reading_that_fails_is_not_kept(kept):
    freshness, _, _ = kept
    tries = []

    class Broken(Reader):
        async def list(self, resource, namespace="", selector="", fields=""):
            tries.append(resource)
            if len(tries) == 1:
                raise Unavailable("500")
            return []

    near = freshness.around(POOL, "uid", Broken())
    with pytest.raises(Unavailable):
        await near.list(PODS, "default", "")
    assert await near.list(PODS, "default", "") == []


async def test_nothing_is_taken_over_from_an_earlier_object_of_the_name(kept):
    freshness, reader, _ = kept
    await freshness.around(POOL, "uid", reader).list(PODS, "default", "")
    assert await freshness.around(POOL, "another", reader).list(PODS, "default", "") == [2]
    freshness.forget(POOL)
    assert await freshness.around(POOL, "another", reader).list(PODS, "default", "") == [3]


def config_map():
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {}}


def status(reason):
    return {"observedGeneration": 1, "reason": reason}


@pytest.mark.parametrize(
    ("plan", "failure", "lists"),
    [
        pytest.param(Plan(status=status("A")), {}, 1, id="own status: the children are as they were"),
        pytest.param(Plan(create=(config_map(),)), {}, 2, id="a child was made"),
        pytest.param(Plan(apply=(config_map(),)), {}, 2, id="a child was applied"),
        pytest.param(Plan(delete=(Ref("Job", "old"),)), {}, 2, id="a child was deleted"),
        pytest.param(Plan(status=status("A")), {"status A": Conflict("409")}, 2, id="somebody else wrote"),
        pytest.param(Plan(status=status("A")), {"status A": Unavailable("500")}, 2, id="nobody knows what was written"),
        pytest.param(
            Plan(create=(config_map(),)), {"create ConfigMap/settings": Unavailable("500")}, 2, id="a lost create"
        ),
    ],
)
async def test_after_a_look_its_children_are_read_again_where(frame, plan, failure, lists):
    resource = JOBS if plan.delete else CONFIG_MAPS
    cluster, freshness, count = frame.cluster(frame.pool()), Freshness(), 0

    class Counting(Reader):
        async def list(self, resource, namespace="", selector="", fields=""):
            nonlocal count
            count += 1
            return []

    async def observe(pool):
        near = freshness.around(POOL, frame.uid, Counting())
        await near.list(resource, "default", "")
        return Observation(None)

    cluster.failures = failure
    brain = Brain(lambda raw: raw, observe, lambda *_: plan)
    world = World(cluster, {"ModelPool": brain}, frame.defaults, frame.clock, frame.metrics(), freshness=freshness)
    for _ in range(2):
        try:
            await reconcile(POOL, world)
        except (Conflict, Unavailable):
            plan = Plan()
    assert count == lists


async def test_nothing_is_kept_of_an_object_that_is_gone(frame):
    freshness, reader = Freshness(), Reader()
    await freshness.around(POOL, frame.uid, reader).list(PODS, "default", "")
    world = World(frame.cluster(), {}, frame.defaults, frame.clock, frame.metrics(), freshness=freshness)
    await reconcile(POOL, world)
    assert await freshness.around(POOL, frame.uid, reader).list(PODS, "default", "") == [2]
