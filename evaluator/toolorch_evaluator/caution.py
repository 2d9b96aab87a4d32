"""Care with units that may kill what runs them: who runs alone, who is not begun, and the deaths of model servers.

Deaths lie in storage: the operator writes those of pods, a shard those of model servers in the middle of a call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import structlog
from pydantic import ValidationError

from toolorch_api.deaths import Death, Verdict, judge_deaths
from toolorch_api.keys import DEATHS_PREFIX, death_key
from toolorch_api.shard import Manifest, Unit
from toolorch_evaluator.leases import Place
from toolorch_evaluator.results import Results

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Caution:
    """What the deaths in storage say of units."""

    results: Results
    place: Place
    manifest: Manifest
    quarantine_after: int
    verdict: Verdict = field(default_factory=Verdict)
    _read: dict[str, Death | None] = field(default_factory=dict)
    """Deaths by key: they never change. None: nobody can read it."""

    async def look(self) -> None:
        """Read the deaths that are new, and judge all of them."""
        keys = await self.results.list_keys(DEATHS_PREFIX)
        async for key, body in self.results.get_all(key for key in keys if key not in self._read):
            self._read[key] = _parse(body)
        deaths = [death for death in self._read.values() if death is not None]
        before, self.verdict = self.verdict, judge_deaths(deaths, self.place.spec_hash, self.quarantine_after)
        if self.verdict != before:
            suspects, quarantined = sorted(self.verdict.suspects), sorted(self.verdict.quarantined)
            log.info("deaths_judged", deaths=len(deaths), suspects=suspects[:20], quarantined=quarantined[:20])

    async def note_server(self, index: int, beside: Collection[Unit], losses: int, why: str) -> None:
        """Store that model servers died of a unit's call, `losses` times; `beside` were in calls to them then."""
        place = self.place
        others = sorted(i for i, row in enumerate(self.manifest.units) if Unit(*row) in beside)
        death = Death(
            spec_hash=place.spec_hash,
            attempt=place.attempt,
            what="server",
            units=[index, *(i for i in others if i != index)],
            count=losses,
            why=why,
        )
        key = death_key(place.attempt, f"{place.pod}-{index}")
        await self.results.put_new(key, death.model_dump_json(by_alias=True).encode())
        log.warning("model_server_died", units=death.units, losses=losses, why=why)


def _parse(body: bytes) -> Death | None:
    try:
        return Death.model_validate_json(body)
    except ValidationError:
        return None


class Solitude:
    """The room that units run in: a suspect waits until it is empty, and nobody enters beside it."""

    def __init__(self) -> None:
        self.door = asyncio.Lock()
        """Held by whoever asks for a unit, and by a suspect for as long as it runs: meanwhile no other is begun."""
        self._inside = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def is_empty(self) -> bool:
        """Whether nobody is inside but who holds the door."""
        return not self._inside

    async def wait_empty(self) -> None:
        """Return when nobody is inside any more."""
        await self._empty.wait()

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Be inside, among others, while the block runs."""
        self._inside += 1
        self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()
