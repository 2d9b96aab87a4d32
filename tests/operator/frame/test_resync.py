"""What a resync looks at again: all that may need it, and of what is at rest only what has changed."""

import copy
from collections import Counter

import pytest

from toolorch_operator.errors import Unavailable
from toolorch_operator.owner import Key
from toolorch_operator.reconcile import World
from toolorch_operator.resync import KEYS_PER_SECOND, SPREAD_SECONDS, Resync

POOL, RUN = Key("ModelPool", "default", "pool"), Key("EvalRun", "default", "run")


def said(**conditions):
    """Return a status that says each condition."""
    moment = "2026-01-02T03:04:05Z"
    return {
        "conditions": [
            {"type": type_, "status": status, "reason": "R", "message": "", "lastTransitionTime": moment}
            for type_, status in conditions.items()
        ]
    }


READY = said(Ready="True", Reconciling="False")
SETTLED = said(Complete="True", ReportReady="True")
WAITS = {**SETTLED, "conditions": [*SETTLED["conditions"][:1], {**SETTLED["conditions"][1], "reason": "Reporting"}]}


class Api:
    """A cluster that counts listings, and answers none while it is away."""

    def __init__(self, cluster):
        self.cluster, self.objects, self.asked, self.is_away = cluster, cluster.objects, Counter(), False

    async def collect(self, resource, view, namespace="", **select):
        if self.is_away:
            raise Unavailable("away")
        self.asked[resource.plural] += 1
        return await self.cluster.collect(resource, view, namespace, **select)


class Keys:
    """Keys, by how many seconds later they are due."""

    def __init__(self):
        self.found = {}

    def add(self, key, after=0.0):
        self.found[key] = after

    def take(self):
        """Return the keys that came since the last time."""
        taken, self.found = set(self.found), {}
        return taken


@pytest.fixture
def ground(frame):
    """Return a resync over a ready pool with a pod and a settled run with a Job, all of which it has seen once."""

    async def build(pool=READY, run=SETTLED, **spec):
        objects = [frame.pool(), frame.run(), frame.child("Pod", "p"), frame.child("Job", "j")]
        objects[3]["metadata"]["labels"] |= {"toolorch.dev/kind": "EvalRun", "toolorch.dev/name": "run"}
        objects[0]["status"], objects[1]["status"] = pool, run
        objects[0]["spec"] |= spec
        for number, each in enumerate(objects):
            each["metadata"] |= {"resourceVersion": str(number), "uid": str(number)}
        cluster, keys = Api(frame.cluster(*objects)), Keys()
        world = World(cluster, {}, frame.defaults, frame.clock, frame.metrics())
        resync = Resync(world, keys)
        await resync.add_changed()
        assert keys.take() == {POOL, RUN}, "the first time nothing is known"
        return resync, keys, cluster, world

    return build


async def test_what_is_at_rest_and_as_it_was_is_left_alone(ground):
    resync, keys, _, _ = await ground()
    await resync.add_changed()
    assert RUN not in keys.take()


@pytest.mark.parametrize(
    ("states", "again"),
    [
        pytest.param({}, {POOL}, id="a pool, whose servers are watched as long as it is looked at"),
        pytest.param({"run": said(Complete="False")}, {POOL, RUN}, id="a run that is not over"),
        pytest.param({"run": WAITS}, {POOL, RUN}, id="one that waits for its report"),
        pytest.param({"run": SETTLED | {"units": 7}}, {POOL, RUN}, id="one whose status nobody can read"),
    ],
)
async def test_what_wants_something_is_looked_at_each_time(ground, states, again):
    resync, keys, _, _ = await ground(**states)
    await resync.add_changed()
    assert keys.take() == again


def changed(kind, name):
    def change(cluster):
        cluster.objects[kind, name]["metadata"]["resourceVersion"] = "new"

    return change


def gone(kind, name):
    return lambda cluster: cluster.objects.pop((kind, name))


def added(cluster):
    job = copy.deepcopy(cluster.objects["Job", "j"])
    job["metadata"] |= {"name": "k", "uid": "k"}
    cluster.objects["Job", "k"] = job


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(changed("EvalRun", "run"), id="of itself"),
        pytest.param(changed("Job", "j"), id="of a child"),
        pytest.param(gone("Job", "j"), id="a child that is gone, which no later listing of a watch tells"),
        pytest.param(added, id="a child more"),
    ],
)
async def test_a_change_that_no_event_told_of_is_found_once(ground, change):
    resync, keys, cluster, _ = await ground()
    change(cluster)
    await resync.add_changed()
    assert RUN in keys.take()
    await resync.add_changed()
    assert RUN not in keys.take()


async def test_what_was_refused_is_tried_again_though_nothing_changed(ground):
    resync, keys, _, world = await ground()
    world.refused[RUN] = 1
    await resync.add_changed()
    assert RUN in keys.take()
    assert not world.refused


async def test_what_the_api_server_does_not_list_is_found_the_next_time(ground):
    resync, keys, cluster, _ = await ground()
    changed("Job", "j")(cluster)
    cluster.is_away = True
    with pytest.raises(Unavailable):
        await resync.add_changed()
    cluster.is_away = False
    assert keys.take() == set()
    await resync.add_changed()
    assert RUN in keys.take()


async def test_thousands_are_spread_over_time_and_cost_a_listing_of_each_kind(frame):
    pools = [{**frame.pool(), "metadata": {**frame.pool()["metadata"], "name": f"p{n}"}} for n in range(3000)]
    cluster, keys = Api(frame.cluster(*pools)), Keys()
    await Resync(World(cluster, {}, frame.defaults, frame.clock, frame.metrics()), keys).add_changed()
    assert len(cluster.asked) == 7
    assert set(cluster.asked.values()) == {1}
    assert len(keys.found) == 3000
    assert SPREAD_SECONDS / 2 < max(keys.found.values()) <= SPREAD_SECONDS < 3000 / KEYS_PER_SECOND
