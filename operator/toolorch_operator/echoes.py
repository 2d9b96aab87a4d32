"""Which versions of the objects this operator wrote itself, so that its own writes do not wake it. EDGE.

The event of a write can come before its answer, which alone tells the version: until then events wait, and those that
turn out to be somebody else's wake their object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from toolorch_operator.owner import Key

VERSIONS_KEPT = 8
"""Own versions of an object of which an event may still come: a look writes one or two, and streams lag by less."""


@dataclass(slots=True)
class Write:
    """A write that is under way; who makes it sets `version` from the answer."""

    version: str = ""
    seen: set[str] = field(default_factory=set)


class Echoes:
    """Own versions of all objects; `wake` is called for an object of which somebody else's version came meanwhile."""

    def __init__(self, wake: Callable[[Key], None] = lambda key: None) -> None:
        self._wake = wake
        self._own: dict[Key, deque[str]] = {}
        self._under_way: dict[Key, Write] = {}

    @contextmanager
    def writing(self, key: Key) -> Iterator[Write]:
        """Hold back events of an object while it is written; where no answer comes they count as somebody else's."""
        write = self._under_way[key] = Write()
        try:
            yield write
        finally:
            del self._under_way[key]
            if write.version:
                self._own.setdefault(key, deque(maxlen=VERSIONS_KEPT)).append(write.version)
            if write.seen - {write.version}:
                self._wake(key)

    def is_own(self, key: Key, version: str) -> bool:
        """Tell whether an event's version of an object is one that was written here, or may turn out to be."""
        if version in self._own.get(key, ()):
            return True
        if key not in self._under_way:
            return False
        self._under_way[key].seen.add(version)
        return True

    def forget(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._own.pop(key, None)
