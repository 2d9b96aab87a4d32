"""Each field of a spec changes and changes back: the world ends as if only the last spec had ever been there.

They are played with --all-faults: each takes three namespaces and some seconds.
"""

import asyncio
import json

import pytest
import pytest_asyncio
from homes import Homes
from transitions import BASES, OUTSIDE, changing, find_transition

pytestmark = pytest.mark.faults

AT_ONCE = 12
"""Transitions at a time: more would only wait for each other."""
COMPARED = {
    ("EvalRun", "suspend"): r"\[Suspended\]",
    ("EvalRun", "shards"): "^Job/",
    ("ModelPool", "idleAfterSeconds"): r"^(?!.*\[MemoryFit\])",
}
"""Part of the state in which a changed object is like a new one, where that is not all.

What was planned stays so, a pretended shard that is told to go does not take back how many units it runs, and a pool
that sleeps has not forgotten that its model fitted.
"""
NAMES = {"ModelPool": "pool", "EvalRun": "run"}
FIELDS = [(kind, path) for kind in BASES for path in changing(kind)]


def chosen(config):
    """Return the fields that are played."""
    return FIELDS if config.getoption("--all-faults") else []


def pytest_generate_tests(metafunc):
    if "field" in metafunc.fixturenames:
        fields = chosen(metafunc.config)
        metafunc.parametrize("field", fields, ids=[f"{kind} {'.'.join(path)}" for kind, path in fields])


class World:
    """Plays transitions: each in a home of its own, beside one that has known but the other spec."""

    def __init__(self, homes):
        self._homes = homes
        self._turns = asyncio.Semaphore(AT_ONCE)
        self.bases, self.found = {}, {}
        """Homes that know but one good spec; differences by kind and field, and by what was done."""

    async def settle(self):
        """Open the homes that the others are to come back to; all names are of one length, as texts are cut at some."""
        named = [(kind, name, spec) for kind, specs in BASES.items() for name, spec in specs.items()]
        for number, (kind, name, spec) in enumerate(named):
            self.bases[kind, name] = await self.open(f"b{number:02}a", kind, spec)

    async def open(self, namespace, kind, spec):
        """Return a home in which a spec is the first one."""
        home = await self._homes.open(namespace, kind, NAMES[kind], holds_shards=True)
        if kind == "EvalRun":
            outside = {"model": "m/outside", "engine": "external", "external": {"baseURL": self._homes.external}}
            await home.create("ModelPool", OUTSIDE, outside)
        assert not await self.apply(home, spec)
        await home.seen()
        return home

    async def apply(self, home, spec):
        """Apply a spec to what lives in a home; return the refusal."""
        text = json.dumps(spec).replace("HOME", home.namespace)
        text = text.replace("file://OUTPUT", home.output).replace("http://EXTERNAL", self._homes.external)
        return await home.apply(json.loads(text))

    async def play(self, number, it):
        """Play the transitions of one field."""
        async with self._turns:
            said = self.found[it.kind, it.field] = {}
            try:
                await self._play(f"t{number:02}", it, said)
            except TimeoutError as error:
                said["in time"] = [str(error)]

    async def _play(self, namespace, it, said):
        good, base = BASES[it.kind][it.good], self.bases[it.kind, it.good]
        home, fresh = await asyncio.gather(
            self.open(f"{namespace}a", it.kind, good), self.open(f"{namespace}b", it.kind, it.other)
        )
        await home.rest()
        refusal = await self.apply(home, it.other)
        part = COMPARED.get((it.kind, it.field), "")
        said["to another"] = [refusal] if refusal else await home.resemble(fresh, part)
        await self.apply(home, good)
        said["and back"] = await home.resemble(base)
        if it.bad is not None:
            await self.apply(home, it.bad)
            await home.rest()
            await self.apply(home, good)
            said["from one that cannot work"] = await home.resemble(base)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played(request, ground, operators, tmp_path_factory):
    """Differences by kind and field, and by what was done."""
    drawn = [find_transition(*field) for field in chosen(request.config)]
    async with Homes(ground, operators, tmp_path_factory.mktemp("runs")).ruled() as homes:
        world = World(homes)
        await world.settle()
        async with asyncio.TaskGroup() as group:
            for number, it in enumerate(drawn):
                group.create_task(world.play(number, it))
        assert not homes.broken
    return world.found


def test_what_was_before_leaves_nothing_behind(field, played):
    kind, path = field
    found = played[kind, ".".join(path)]
    assert {"to another", "and back"} <= found.keys()
    assert not {how: apart[:5] for how, apart in found.items() if apart}
