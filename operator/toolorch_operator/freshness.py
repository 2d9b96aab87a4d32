"""What the looks at each object have read of the cluster, kept until something says that it has changed. EDGE.

It saves requests and decides nothing: what is kept is what the API server itself answered, never a watch event's body.
An event marks what it is about, and that is read again; so is all of it after a write of a child, an error, a resync,
and in time by itself, since an event can be lost. It is kept packed: as a dict an object takes twenty times the memory,
and around the pools and runs of a large cluster there are tens of thousands.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from toolorch_operator.glances import view_of
from toolorch_operator.owner import Key
from toolorch_operator.quick_json import dumps, loads
from toolorch_operator.resources import JOBS, PODS, Objects, Resource

WORK_AGE = 60.0
"""Seconds that Jobs and pods are believed without an event: so long a lost one holds up a run."""
OTHER_AGE = 300.0
"""Seconds for the rest, which changes seldom, and which a resync reads as often."""

_FAST = 1
"""zlib's level: objects of one owner are so alike that the slower ones hardly gain."""

T = TypeVar("T")
Part = tuple[Resource, str, str]
"""Resource, namespace, and selector or name."""


class Reader(Protocol):
    """The part of the cluster that is read."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None where there is none."""

    async def list(self, resource: Resource, namespace: str = "", selector: str = "", fields: str = "") -> Objects:
        """Return all objects of a namespace that a label selector selects."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """One answer, when it was asked for, and how its reader's brain sees each object in it, by name."""

    began: float
    packed: bytes
    views: Mapping[str, object]


@dataclass(slots=True)
class Surroundings:
    """What one object's looks have read; a reading that is under way when it is marked is used once and not kept."""

    kind: str
    uid: str
    reader: Reader
    clock: Callable[[], float]
    asked: Callable[[Part], None] = lambda part: None
    """Told of each object that is read by its name."""
    _kept: dict[Part, _Kept] = field(default_factory=dict)
    _under_way: dict[Part, object] = field(default_factory=dict)

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object as it was last read; one that was not there is asked for again."""
        part = (resource, namespace, name)
        self.asked(part)
        return await self._read(part, lambda: self.reader.get(resource, namespace, name))

    async def list(self, resource: Resource, namespace: str, selector: str) -> Objects:
        """Return the objects of a namespace that a selector selects, as they were last listed."""
        part = (resource, namespace, selector)
        return await self._read(part, lambda: self.reader.list(resource, namespace, selector))

    def mark(self, *resources: Resource) -> None:
        """Have what was read of these resources, of all where none is named, read again."""
        for part in {*self._kept, *self._under_way}:
            if not resources or part[0] in resources:
                self.mark_one(part)

    def mark_one(self, part: Part) -> None:
        """Have one part read again."""
        self._kept.pop(part, None)
        self._under_way.pop(part, None)

    def find(self, resource: Resource, namespace: str, name: str) -> object | None:
        """Return how the brain sees an object as last read; None where it does not, or it is to be read again."""
        for (of, place, _), kept in self._kept.items():
            if (of, place) == (resource, namespace) and name in kept.views:
                return kept.views[name]
        return None

    async def _read(self, part: Part, fetch: Callable[[], Awaitable[T]]) -> T:
        began, held = self.clock(), self._kept.get(part)
        if held is not None and began - held.began < (WORK_AGE if part[0] in (JOBS, PODS) else OTHER_AGE):
            unpacked: T = loads(zlib.decompress(held.packed))
            return unpacked
        token = self._under_way[part] = object()
        value = await fetch()
        if self._under_way.get(part) is token:
            del self._under_way[part]
            if value is not None:
                self._kept[part] = self._keep(began, part[0], value)
        return value

    def _keep(self, began: float, resource: Resource, value: Any) -> _Kept:
        objects = value if isinstance(value, list) else [value]
        seen = ((raw, view_of(self.kind, resource.kind, raw)) for raw in objects)
        views = {raw["metadata"]["name"]: view for raw, view in seen if view is not None}
        slim = [_without_managers(raw) for raw in objects]
        text = dumps(slim if isinstance(value, list) else slim[0])
        return _Kept(began, zlib.compress(text, _FAST), views)


def _without_managers(raw: Any) -> Any:
    """Return an object without who owns which of its fields: a third of it, and nobody here asks."""
    match raw:
        case {"metadata": {"managedFields": _, **meta}}:
            return {**raw, "metadata": meta}
    return raw


class Freshness:
    """The surroundings of every object that is looked at."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._around: dict[Key, Surroundings] = {}
        self._readers: dict[Part, set[Key]] = {}
        self._parts: dict[Key, set[Part]] = {}

    def around(self, key: Key, uid: str, reader: Reader) -> Surroundings:
        """Return what is known around an object; nothing is taken over from an earlier one of its name."""
        held = self._around.get(key)
        if held is None or held.uid != uid:
            held = self._around[key] = Surroundings(
                key.kind, uid, reader, self._clock, lambda part: self._note(key, part)
            )
        return held

    def _note(self, key: Key, part: Part) -> None:
        self._readers.setdefault(part, set()).add(key)
        self._parts.setdefault(key, set()).add(part)

    def mark(self, key: Key, *resources: Resource) -> None:
        """Have what was read around an object read again: of these resources, of all where none is named."""
        if key in self._around:
            self._around[key].mark(*resources)

    def mark_one(self, key: Key, part: Part) -> None:
        """Have one part of what was read around an object read again."""
        if key in self._around:
            self._around[key].mark_one(part)

    def readers(self, part: Part) -> set[Key]:
        """Return the objects that have asked for an object by its name."""
        return self._readers.get(part, set())

    def find(self, key: Key, resource: Resource, namespace: str, name: str) -> object | None:
        """Return how an object's brain sees another as it was last read; None where that is not known, or no longer."""
        return self._around[key].find(resource, namespace, name) if key in self._around else None

    def forget(self, key: Key) -> None:
        """Keep nothing of an object that is gone, or of which nothing is left to be done."""
        self._around.pop(key, None)
        for part in self._parts.pop(key, ()):
            self._readers[part].discard(key)
            if not self._readers[part]:
                del self._readers[part]
