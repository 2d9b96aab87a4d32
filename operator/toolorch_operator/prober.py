"""Asks model servers in the background, so that no reconcile waits for them: one task per start of a server. EDGE."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import httpx
import structlog

from toolorch_operator import models
from toolorch_operator.modelpool.observed import Probe, ProbeTarget
from toolorch_operator.modelpool.preflight.patience import is_other_question, is_useful, open_exam, pause_after
from toolorch_operator.modelpool.preflight.progress import ProgressNote, note_progress
from toolorch_operator.owner import Key
from toolorch_operator.proxied import tunnel_url

EXAMS_AT_ONCE = 16
"""Over all pools: each holds a connection for seconds, and the servers of a large pool come up together."""
ASKS_AT_ONCE = 128
"""Likewise, without an exam: after a restart all servers are to be asked, and each takes a file of the process."""
STALL_SECONDS = 180.0
"""No step of an engine takes so long, not even the prefill of the longest context."""
PROGRESS_SECONDS = 10.0
"""Between two looks at a server's counters: a stall is seen soon after its limit, at the price of one small GET."""
LOOKS_PER_SECOND = 20
"""Over all servers: each look costs milliseconds, so that where there are thousands a stall is seen minutes later."""
UNASKED_SECONDS = 900.0
"""Every pool is looked at again within 300 s; one that was not for three times as long is gone."""
_AFTER_BUG_SECONDS = 60.0

log = structlog.get_logger("prober")

_Name = tuple[str, str]
"""Target key and identity of a server's start."""


class _Unwanted(Exception):  # noqa: N818 - no error: nobody wants to know any more
    """The server's owner is gone."""


@dataclass(slots=True)
class _Watch:
    """One server that is asked, and what is known of it."""

    owner: Key
    url: str
    door: httpx.AsyncClient
    target: ProbeTarget
    asked: float
    probe: Probe | None = None
    task: asyncio.Task[None] | None = None


class Prober:
    """Keeps the answers of servers; `wake` is called with the owner whenever one of them has something new to say.

    `tunnel` reaches servers in a cluster that this program is not in; `clock` counts seconds, `sleep` waits for them.
    `wake` is also called when a server's stalled_seconds cross `stall_seconds`.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        tunnel: httpx.AsyncClient | None,
        clock: Callable[[], float],
        wake: Callable[[Key], None],
        *,
        stall_seconds: float = STALL_SECONDS,
        looks_per_second: float = LOOKS_PER_SECOND,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._tunnel = tunnel
        self._clock = clock
        self._wake = wake
        self._stall_seconds = stall_seconds
        self._looks_per_second = looks_per_second
        self._sleep = sleep
        self._exams, self._asks = asyncio.Semaphore(EXAMS_AT_ONCE), asyncio.Semaphore(ASKS_AT_ONCE)
        self._watches: dict[Key, dict[_Name, _Watch]] = {}
        self._count = 0

    def answers(self, owner: Key, namespace: str, targets: Sequence[ProbeTarget]) -> Mapping[str, Probe]:
        """Return what is known of an owner's servers, by target key, and have the rest asked; others are forgotten."""
        wanted = {(t.key, t.identity): t for t in targets}
        for name in self._watches.get(owner, {}).keys() - wanted.keys():
            self._drop(owner, name)
        watches = [self._watch(owner, name, namespace, target) for name, target in wanted.items()]
        return {w.target.key: w.probe for w in watches if w.probe is not None}

    def forget(self, owner: Key) -> None:
        """Ask an owner's servers no more: it is gone."""
        self.answers(owner, "", ())

    async def close(self) -> None:
        """Ask nobody any more, and wait until that is so."""
        names = [(owner, name) for owner, watches in self._watches.items() for name in watches]
        tasks = [task for owner, name in names if (task := self._watches[owner][name].task) is not None]
        for owner, name in names:
            self._drop(owner, name)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _watch(self, owner: Key, name: _Name, namespace: str, target: ProbeTarget) -> _Watch:
        """Return the watch over a server, a new one where there is none or the question has changed."""
        watch = self._watches.get(owner, {}).get(name)
        if watch is None or is_other_question(watch.target, target, watch.probe):
            self._drop(owner, name)
            url, door = target.url, self._client
            if self._tunnel is not None and not target.external:
                url, door = tunnel_url(namespace, target.key), self._tunnel
            watch = _Watch(owner, url, door, target, self._clock())
            self._watches.setdefault(owner, {})[name] = watch
            self._count += 1
            watch.task = asyncio.create_task(self._run(name, watch), name=f"probe {target.key}")
        watch.asked = self._clock()
        return watch

    def _drop(self, owner: Key, name: _Name) -> None:
        watch = self._watches.get(owner, {}).pop(name, None)
        if watch is None:
            return
        self._count -= 1
        if not self._watches[owner]:
            del self._watches[owner]
        if watch.task is not None:
            watch.task.cancel()

    async def _run(self, name: _Name, watch: _Watch) -> None:
        while True:
            try:
                await self._follow(watch)
            except _Unwanted:
                # Only its own entry: another watch may have the name by now.
                if self._watches.get(watch.owner, {}).get(name) is watch:
                    watch.task = None
                    self._drop(watch.owner, name)
                return
            except Exception:  # a bug with one server must not end the watch over it
                log.exception("bug", server=watch.target.key)
                await self._sleep(_AFTER_BUG_SECONDS)

    async def _follow(self, watch: _Watch) -> None:
        """Ask a server until it is useful, then look at its progress; an external one is asked for ever."""
        failures, target = 0, watch.target
        while not is_useful(probe := await self._ask(watch), target.exam) or target.external:
            await self._pause(watch, pause_after(probe, target, failures))
            failures += 1
        note: ProgressNote | None = None
        while True:
            await self._pause(watch, max(PROGRESS_SECONDS, self._count / self._looks_per_second))
            note = await self._look(watch, note)

    async def _pause(self, watch: _Watch, seconds: float) -> None:
        await self._sleep(seconds)
        if self._clock() - watch.asked > UNASKED_SECONDS:
            raise _Unwanted

    async def _ask(self, watch: _Watch) -> Probe:
        """Ask a server once, with the exam that it still has to pass, and tell what is new."""
        target, known = watch.target, watch.probe
        exam = open_exam(target, known)
        if exam is None:
            ask = models.probe_external if target.external else models.probe
            async with self._asks:
                probe = await ask(watch.url, watch.door)
            probe = replace(probe, preflight=known.preflight) if known is not None and probe.healthy else probe
        else:
            async with self._exams:
                probe = await models.examine(watch.url, watch.door, exam, external=target.external)
        if probe != known:
            watch.probe = probe
            self._wake(watch.owner)
        return probe

    async def _look(self, watch: _Watch, note: ProgressNote | None) -> ProgressNote | None:
        """Sample a server's progress; one that does not tell of any is not called stalled."""
        async with self._asks:
            sample = await models.read_progress(watch.url, watch.door)
        if sample is None or watch.probe is None:
            return note
        note = note_progress(note, sample, self._clock())
        before, watch.probe = watch.probe, replace(watch.probe, stalled_seconds=note.stalled_seconds)
        limit = self._stall_seconds
        if (before.stalled_seconds >= limit) != (note.stalled_seconds >= limit):
            self._wake(watch.owner)
        return note
