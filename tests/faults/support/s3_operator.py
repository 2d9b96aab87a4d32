"""The operator's queue for one run, over its real frame, brain and storage edge; it can be killed and begins anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from s3_api import DictApi, Manifest
from s3_scene import KEY, NAME, build_world

from toolorch_api import evalrun
from toolorch_operator.errors import EdgeError
from toolorch_operator.reconcile import reconcile

LONGEST_LOOK = 0.5
"""Seconds; the operator's own looks are up to 60 s apart, and 5 s where storage is away."""


@dataclass
class Operator:
    """The operator's queue, for one run; what it remembers is lost with each life."""

    api: DictApi
    troubles: list[str]
    _look: asyncio.Future[Any] | None = None

    def kill(self) -> None:
        """End this life in the middle of what it does."""
        if self._look is not None:
            self._look.cancel()

    async def work(self, until: Callable[[Manifest], bool]) -> None:
        """Reconcile the run until its status is as wanted."""
        world = build_world(self.api)
        while not until(self.api.objects[evalrun.KIND, NAME].get("status") or {}):
            self.api.changed.clear()
            self._look = asyncio.ensure_future(reconcile(KEY, world))
            try:
                await asyncio.wait({self._look})
            finally:
                self._look.cancel()
            if self._look.cancelled():
                world = build_world(self.api)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._judge(self._look)):
                    await self.api.changed.wait()
            world.freshness.mark(KEY)

    def _judge(self, look: asyncio.Future[Any]) -> float:
        """Return the seconds until the next look, unless something changes before."""
        try:
            after = look.result()
        except EdgeError as error:
            self.troubles.append(f"{error.reason}: {error}")
            return LONGEST_LOOK
        return LONGEST_LOOK if after is None else min(LONGEST_LOOK, after.total_seconds())


def has_verdict(status: Manifest) -> bool:
    """Whether the run is Complete or Failed."""
    return any(c["type"] in ("Complete", "Failed") and c["status"] == "True" for c in status.get("conditions", []))


def has_report(status: Manifest) -> bool:
    """Whether it is decided that there is a report, or none."""
    return any(c["type"] == "ReportReady" and c["status"] != "Unknown" for c in status.get("conditions", []))
