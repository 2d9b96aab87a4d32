"""What is kept between looks changes no decision: not while events come, and not for long where they are lost."""

import asyncio
import copy
import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from toolorch_api.evalrun import KIND
from toolorch_operator.echoes import Echoes
from toolorch_operator.errors import StorageUnavailable
from toolorch_operator.evalrun.plan import plan
from toolorch_operator.freshness import OTHER_AGE, WORK_AGE, Freshness
from toolorch_operator.owner import Key
from toolorch_operator.resources import BY_KIND, CONFIG_MAPS, JOBS, MODEL_POOLS, PODS, SECRETS
from toolorch_operator.run_observer import RunObserver
from toolorch_operator.watch import Watch

RUN = Key(KIND, "lab", "smoke")
OWNER = {"kind": KIND, "name": "smoke", "uid": "0123456789abcdef", "controller": True}

CHANGE = st.one_of(
    st.tuples(st.just("tick"), st.none()),
    st.tuples(st.just("crash"), st.integers(0, 3)),
    st.tuples(st.just("work"), st.integers(0, 5)),
    st.tuples(st.just("kill"), st.integers(0, 5)),
    st.tuples(st.just("delete job"), st.sampled_from(["plan", "a1", "a2", "report"])),
    st.tuples(st.just("delete map"), st.none()),
    st.tuples(st.just("reap"), st.none()),
    st.tuples(st.just("storage"), st.booleans()),
    st.tuples(st.just("lose status"), st.none()),
    st.tuples(st.just("suspend"), st.booleans()),
    st.tuples(st.just("pool"), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([5, WORK_AGE])),
)


class Queue:
    def add(self, key, after=0.0):
        pass


def as_listed(item):
    """An object without what only the world knows of it."""
    return {part: item[part] for part in ("metadata", "spec", "status", "data") if part in item}


class Api:
    """The world's API server."""

    def __init__(self, world):
        self.world = world

    async def list(self, resource, namespace="", selector="", fields=""):
        held = {JOBS: self.world.jobs, PODS: self.world.pods, CONFIG_MAPS: self.world.config_maps}.get(resource, {})
        found = [copy.deepcopy(as_listed(item)) for item in held.values()]
        for item in found:
            item["metadata"]["ownerReferences"] = [OWNER]
        return found

    async def get(self, resource, namespace, name):
        if resource == SECRETS:
            return {"data": {}} if self.world.secret else None
        return copy.deepcopy(self.world.pools.get(name)) if resource == MODEL_POOLS else None

    async def read_log(self, namespace, pod, *most):
        return f"{pod} broke"


class Stored:
    """The world's storage, and a run's folder in it."""

    def __init__(self, world):
        self.world = world

    def open(self, root, secret):
        return self

    def blank(self, text):
        return text

    async def read(self, folder, root, wants):
        if self.world.down and not wants.nothing:
            raise StorageUnavailable("connection refused")
        return self.world.read(wants)


def remembering(base, loop):
    """The world of other tests, looked at by an operator that remembers; `lossy` loses the events of changes."""

    class World(base):
        def __init__(self, **spec):
            super().__init__(**spec)
            self.lossy, self.trusted_from = False, self.now
            self.version, self.shown = 1, {}
            self.start()

        def start(self):
            self.freshness, self.echoes = Freshness(lambda: self.now.timestamp()), Echoes()
            self.watch = Watch(Queue(), freshness=self.freshness, echoes=self.echoes)
            api, stored = Api(self), Stored(self)
            self.observer = RunObserver(api, stored, stored, base.defaults, self.freshness)
            self.shown = {}
            self.tell()

        def observe(self):
            self.tell()
            return loop.run(self.observer.observe(self.run)).seen

        def plan(self):
            decided = super().plan()
            if self.now >= self.trusted_from:
                assert decided == plan(self.run, base.observe(self), self.now, base.defaults)
            return decided

        def tick(self, crash_after=None):
            before = self.objects()
            decided = super().tick(crash_after)
            if crash_after is not None:
                self.start()
            elif before != self.objects():
                self.freshness.mark(RUN)
            return decided

        def _write_status(self, decided, *read):
            before = self.raw.get("status")
            with self.echoes.writing(RUN) as write:
                super()._write_status(decided, *read)
                if before != self.raw.get("status"):
                    self.version += 1
                    write.version = str(self.version)

        # What the watch tells of it.

        def objects(self):
            held = {"Job": self.jobs, "Pod": self.pods, "ConfigMap": self.config_maps, "ModelPool": self.pools}
            found = {(kind, name): as_listed(item) for kind, items in held.items() for name, item in items.items()}
            own = {**self.raw, "metadata": {**self.raw["metadata"], "resourceVersion": str(self.version)}}
            return {name: json.dumps(item) for name, item in {**found, (KIND, "smoke"): own}.items()}

        def tell(self):
            """Deliver the events since the last time, or lose them."""
            now, before, self.shown = self.objects(), self.shown, self.objects()
            for kind, name in sorted(now.keys() | before.keys()):
                was, is_ = before.get((kind, name)), now.get((kind, name))
                if was != is_:
                    self.deliver(
                        kind, json.loads(is_ or was), "DELETED" if is_ is None else "MODIFIED" if was else None
                    )

        def deliver(self, kind, item, type_):
            if self.lossy and kind != KIND:
                age = WORK_AGE if kind in ("Job", "Pod") else OTHER_AGE
                self.trusted_from = max(self.trusted_from, self.now + timedelta(seconds=age))
                return
            meta = {"namespace": "lab", **item["metadata"]}
            body = {"kind": kind, "apiVersion": BY_KIND[kind].api_version, **item, "metadata": meta}
            own = kind in (KIND, "ModelPool")
            loop.run((self.watch.own if own else self.watch.child)(body=body, type=type_))

    return World


@pytest.fixture(scope="module")
def build(kit):
    kit.World.defaults = kit.defaults
    with asyncio.Runner() as loop:
        yield remembering(kit.World, loop)


def act(world, kit, what, how):
    {
        "tick": lambda: world.tick(),
        "crash": lambda: world.tick(crash_after=how),
        "work": lambda: world.work(how),
        "kill": lambda: world.kill(how),
        "delete job": lambda: world.delete_job(f"smoke-{how}"),
        "delete map": lambda: world.config_maps.clear(),
        "reap": lambda: world.reap(),
        "storage": lambda: setattr(world, "down", how),
        "secret": lambda: setattr(world, "secret", how),
        "lose status": lambda: (world.raw.pop("status", None), world.attempts.clear(), bump(world)),
        "suspend": lambda: (world.raw["spec"].update(suspend=how), bump(world)),
        "pool": lambda: world.pools.update({"user-sim": kit.pool("user-sim", ready=how)}),
        "wait": lambda: setattr(world, "now", world.now + timedelta(seconds=how)),
    }[what]()


def bump(world):
    world.version += 1


def change(world, kit, what, how, lossy=False):
    act(world, kit, what, how)
    world.lossy = lossy
    world.tell()
    world.lossy = False


def settle(world):
    for turn in range(400):
        world.tick()
        world.reap()
        world.work(turn)
        if world.report_is_decided():
            break
    assert world.report_is_decided()
    assert len(world.executed) == len(set(world.executed))


@settings(max_examples=10, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])
@given(undisturbed=st.integers(0, 24), changes=st.lists(CHANGE, min_size=5, max_size=30))
def test_what_is_remembered_changes_no_decision(kit, build, undisturbed, changes):
    world = build()
    for turn in range(undisturbed):
        world.tick()
        world.work(turn)
    for what, how in changes:
        change(world, kit, what, how)
        world.plan()
    change(world, kit, "suspend", False)
    change(world, kit, "storage", False)
    change(world, kit, "pool", True)
    settle(world)


@pytest.mark.parametrize(
    ("what", "how", "age"),
    [
        pytest.param("kill", 0, WORK_AGE, id="a pod died"),
        pytest.param("delete job", "a1", WORK_AGE, id="a Job was deleted"),
        pytest.param("delete map", None, OTHER_AGE, id="the input was deleted"),
        pytest.param("pool", False, OTHER_AGE, id="a pool is no longer ready"),
        pytest.param("secret", False, OTHER_AGE, id="the Secret is gone, which is not watched at all"),
    ],
)
@pytest.mark.parametrize("undisturbed", [3, 7])
def test_where_the_event_is_lost_no_decision_is_changed_for_long(kit, build, what, how, age, undisturbed):
    world = build()
    for turn in range(undisturbed):
        world.tick()
        world.work(turn)
    world.plan()
    change(world, kit, what, how, lossy=True)
    world.trusted_from = world.now + timedelta(seconds=age)
    world.plan()
    change(world, kit, "wait", age)
    world.plan()
    change(world, kit, "pool", True)
    change(world, kit, "secret", True)
    settle(world)


def test_a_secret_that_appears_and_a_storage_that_refuses_it_are_seen_at_once(kit, build):
    world = build()
    change(world, kit, "secret", False)
    world.tick()
    change(world, kit, "secret", True)
    world.tick()
    change(world, kit, "storage", True)
    world.plan()
    change(world, kit, "secret", False)
    world.plan()
