"""Which tries are under way at which server, and whose they were when it died."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from toolorch_api.shard import Unit

# No model server is back so soon: what says within this time that its engine is dead tells of the same death again.
ECHO_SECONDS = 5.0


@dataclass(eq=False, frozen=True, slots=True)
class Try:
    """One try of a unit's call at a server."""

    unit: Unit
    server: str
    began: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class _Death:
    at: float
    tries: frozenset[Try]


class UnderWay:
    """The tries of a shard."""

    def __init__(self) -> None:
        self._tries: dict[str, set[Try]] = {}
        self._deaths: dict[str, _Death] = {}

    @property
    def servers(self) -> list[str]:
        """Addresses of the servers that are trying to answer something."""
        return list(self._tries)

    @contextlib.contextmanager
    def at(self, server: str, unit: Unit) -> Iterator[Try]:
        """Hold a unit's try among those under way while the block runs."""
        here = Try(unit, server)
        self._tries.setdefault(server, set()).add(here)
        try:
            yield here
        finally:
            tries = self._tries[server]
            tries.discard(here)
            if not tries:
                del self._tries[server]

    def mourn(self, lost: Try) -> frozenset[Unit]:
        """Return the other units that the server had a request of when it died; `lost` is still under way.

        The first try that breaks tells of all that are under way there. They break in the next moments, and are told
        of the same death, although fewer and fewer are left.
        """
        death = self._deaths.get(lost.server)
        if death is None or lost not in death.tries:
            death = self._deaths[lost.server] = _Death(time.monotonic(), frozenset(self._tries[lost.server]))
        return frozenset(each.unit for each in death.tries if each.unit != lost.unit)

    def is_echo(self, lost: Try) -> bool:
        """Whether a try began when its server was dead already, and so has not lost it."""
        death = self._deaths.get(lost.server)
        return death is not None and lost not in death.tries and lost.began - death.at < ECHO_SECONDS
