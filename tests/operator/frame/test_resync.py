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
    assert keys.take() == set()


@pytest.mark.parametrize(
    ("states", "again"),
    [
        pytest.param({"pool": said(Ready="False")}, {POOL}, id="a pool whose replicas do not all serve"),
        pytest.param({"pool": said(Ready="True", Reconciling="True")}, {POOL}, id="one that waits for its rollout"),
        pytest.param({"pool": {}}, {POOL}, id="one that nobody has looked at yet"),
        pytest.param({"cache": {"hostPath": "/models"}}, {POOL}, id="one whose model others fetch too"),
        pytest.param({"external": {"url": "http://x"}}, {POOL}, id="one whose server is not ours"),
        pytest.param(
            {"toolCalling": {"chatTemplate": {"configMapKeyRef": {"name": "t", "key": "k"}}}},
            {POOL},
            id="one whose chat template is the user's",
        ),
        pytest.param({"run": said(Complete="False")}, {RUN}, id="a run that is not over"),
        pytest.param({"run": WAITS}, {RUN}, id="one that waits for its report"),
        pytest.param({"run": SETTLED | {"units": 7}}, {RUN}, id="one whose status nobody can read"),
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
    pod = copy.deepcopy(cluster.objects["Pod", "p"])
    pod["metadata"] |= {"name": "q", "uid": "q"}
    cluster.objects["Pod", "q"] = pod


def resumed(cluster):
    cluster.objects["EvalRun", "run"]["status"] = {}


@pytest.mark.parametrize(
    ("change", "again"),
    [
        pytest.param(changed("ModelPool", "pool"), {POOL}, id="of itself"),
        pytest.param(changed("Pod", "p"), {POOL}, id="of a child"),
        pytest.param(gone("Pod", "p"), {POOL}, id="a child that is gone, which no later listing of a watch tells"),
        pytest.param(added, {POOL}, id="a child more"),
        pytest.param(gone("Job", "j"), {RUN}, id="a settled run's Job that is gone"),
        pytest.param(resumed, {POOL, RUN}, id="a run that uses it again"),
    ],
)
async def test_a_change_that_no_event_told_of_is_found_once(ground, change, again):
    resync, keys, cluster, _ = await ground()
    change(cluster)
    await resync.add_changed()
    assert keys.take() == again
    await resync.add_changed()
    assert keys.take() == (again - {POOL} if RUN in again and POOL in again else set())


async def test_what_was_refused_is_tried_again_though_nothing_changed(ground):
    resync, keys, _, world = await ground()
    world.refused[POOL] = 1
    await resync.add_changed()
    assert keys.take() == {POOL}
    assert not world.refused


async def test_what_the_api_server_does_not_list_is_found_the_next_time(ground):
    resync, keys, cluster, _ = await ground()
    changed("Pod", "p")(cluster)
    cluster.is_away = True
    with pytest.raises(Unavailable):
        await resync.add_changed()
    cluster.is_away = False
    assert keys.take() == set()
    await resync.add_changed()
    assert keys.take() == {POOL}


async def test_thousands_are_spread_over_time_and_cost_a_listing_of_each_kind(frame):
    pools = [{**frame.pool(), "metadata": {**frame.pool()["metadata"], "name": f"p{n}"}} for n in range(3000)]
    cluster, keys = Api(frame.cluster(*pools)), Keys()
    await Resync(World(cluster, {}, frame.defaults, frame.clock, frame.metrics()), keys).add_changed()
    assert len(cluster.asked) == 7
    assert set(cluster.asked.values()) == {1}
    assert len(keys.found) == 3000
    assert SPREAD_SECONDS / 2 < max(keys.found.values()) <= SPREAD_SECONDS < 3000 / KEYS_PER_SECOND
