"""Holds the lease of the one operator that works, and refuses every write once it may be another's. EDGE."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Protocol

import structlog

from toolorch_operator.election import (
    LEAD_SECONDS,
    RETRY_SECONDS,
    Sight,
    build_claim,
    build_release,
    free_in,
    look,
)
from toolorch_operator.errors import Conflict, EdgeError, NotLeading
from toolorch_operator.metrics import Metrics
from toolorch_operator.resources import LEASES, Resource

TRY_SECONDS = LEAD_SECONDS / 2
"""Seconds for one try: an API server that hangs once is asked again before the time is over."""
LEAST_WAIT = 0.1
"""Seconds between two looks at least: a wait may end a moment early."""

log = structlog.get_logger("election")


class LeaseStore(Protocol):
    """The part of the cluster that an election needs."""

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None where there is none."""

    async def create(self, namespace: str, manifest: Mapping[str, Any]) -> dict[str, Any] | None:
        """Create an object and return it; None where its name is taken."""

    async def replace(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Replace an object as it was read; raise Conflict where it has changed since."""


class Alone:
    """An operator that is never elected: it leads from its first moment to its last."""

    has_looked = True

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def check(self) -> None:
        """Let every write pass."""

    async def acquire(self) -> None:
        """Lead at once."""
        self._metrics.leader.set(1)

    async def hold(self) -> None:
        """Never return."""
        await asyncio.Event().wait()

    async def release(self) -> None:
        """Give up what nobody waits for."""


class Elector:
    """One candidate for a Lease; `clock` counts seconds and must go on while the machine sleeps, as the lease does.

    `identity` must be no other process's: whoever finds it in the Lease takes the lease for its own.
    """

    def __init__(
        self,
        store: LeaseStore,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._store = store
        self._namespace, self._name, self._identity = namespace, name, identity
        self._clock = clock
        self._metrics = metrics
        self._sight = Sight()
        self._held: dict[str, Any] | None = None
        self._until = float("-inf")
        self._trouble = ""
        self.has_looked = False
        """Whether it has seen the lease: it could take over."""

    @property
    def _leads(self) -> bool:
        return self._until > float("-inf")

    def check(self) -> None:
        """Raise NotLeading unless nobody else can lead at this moment; every write asks."""
        if self._clock() >= self._until:
            raise NotLeading("another operator may lead")

    async def acquire(self) -> None:
        """Wait until this one leads."""
        while not await self._try(TRY_SECONDS):
            wait = free_in(self._sight, self._identity, self._clock()) or RETRY_SECONDS
            await asyncio.sleep(min(RETRY_SECONDS, max(LEAST_WAIT, wait)))
        self._metrics.leader.set(1)
        log.info("leading", identity=self._identity)

    async def hold(self) -> None:
        """Renew the lease, and return once it is lost or could not be renewed in time."""
        wait = RETRY_SECONDS
        while (left := self._until - self._clock()) > 0:
            await asyncio.sleep(min(wait, left))
            tried = self._clock()
            if tried >= self._until:
                break
            is_renewed = await self._try(min(TRY_SECONDS, self._until - tried))
            # A try that hung has waited long enough.
            wait = RETRY_SECONDS if is_renewed else max(LEAST_WAIT, RETRY_SECONDS - (self._clock() - tried))
        self._metrics.leader.set(0)
        log.error("leading no more", identity=self._identity, holder=self._sight.holder)

    async def release(self) -> None:
        """Lay the lease down, where it is held, for another to lead at once; nothing may be written after."""
        self._until = float("-inf")
        self._metrics.leader.set(0)
        try:
            async with asyncio.timeout(TRY_SECONDS):
                while not await self._lay_down():
                    continue
        except (EdgeError, TimeoutError) as error:
            log.warning("not released: it ends by itself", error=_describe(error))

    async def _lay_down(self) -> bool:
        # Read again: a renewal that was broken off may have been done, or may be just being done.
        lease = await self._store.get(LEASES, self._namespace, self._name)
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            return True
        with suppress(Conflict):
            await self._store.replace(build_release(lease, datetime.now(UTC)))
            log.info("released", identity=self._identity)
            return True
        return False

    async def _try(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                done = await self._claim()
            self._trouble = ""
        except Conflict:
            return False
        except (EdgeError, TimeoutError, ValueError) as error:
            self._complain(_describe(error))
            return False
        return done

    async def _claim(self) -> bool:
        """Claim the lease, or renew it; tell whether it is held now."""
        started = self._clock()
        known, self._held = self._held, None
        if known is not None:
            with suppress(Conflict):
                return await self._write(known, started)
        lease = await self._store.get(LEASES, self._namespace, self._name)
        self._sight = look(self._sight, lease, self._clock())
        self.has_looked = True
        if lease is not None and self._leads and self._sight.holder != self._identity:
            # Who was taken for dead must not lead again as if nothing had been: others may have written.
            self._until = float("-inf")
            return False
        if free_in(self._sight, self._identity, self._clock()) > 0:
            return False
        return await self._write(lease, started)

    async def _write(self, lease: Mapping[str, Any] | None, started: float) -> bool:
        claim = build_claim(lease, self._namespace, self._name, self._identity, datetime.now(UTC))
        held = await (self._store.create(self._namespace, claim) if lease is None else self._store.replace(claim))
        if held is None:
            return False
        self._held, self._sight = held, look(self._sight, held, self._clock())
        self._until = started + LEAD_SECONDS
        return True

    def _complain(self, trouble: str) -> None:
        # Said once, not every two seconds for as long as it lasts.
        if trouble != self._trouble:
            log.warning("cannot reach the lease", error=trouble)
        self._trouble = trouble


def _describe(error: BaseException) -> str:
    return str(error) or type(error).__name__
