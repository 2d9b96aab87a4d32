"""Turns what changes in pools and runs into lines: each remediation, each pool's readiness, each turn of the run."""

from __future__ import annotations

from collections.abc import Iterable

from toolorch_api.conditions import RunReason
from toolorch_api.modelpool_status import RemediationRecord
from toolorch_evaluator.cli.display import Display
from toolorch_evaluator.cli.pools import LocalPool
from toolorch_operator.plan import Event

# Told by the table and the score at the end, and by the line that shows how far the run is.
_TOLD_ELSEWHERE = frozenset({RunReason.RUN_COMPLETE, RunReason.REPORT_WRITTEN, RunReason.WAITING_FOR_POOLS})


class Teller:
    """Remembers what was told."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._remediations: dict[str, list[RemediationRecord]] = {}
        self._ready: set[str] = set()

    def pool(self, pool: LocalPool) -> None:
        """Tell what is new about a pool."""
        name, status = pool.document.metadata.name, pool.document.status
        before = self._remediations.get(name, [])
        for record in status.remediations:
            if record not in before:
                change = f"{record.field} {record.from_} → {record.to}"
                self._display.say(f"{record.instance}: {record.signature}, {change}")
        self._remediations[name] = status.remediations
        if pool.is_ready and name not in self._ready:
            self._ready.add(name)
            self._display.say(f"{name}: {status.ready} ready" if status.ready else f"{name}: ready")
        elif not pool.is_ready and name in self._ready:
            self._ready.discard(name)
            self._display.say(f"{name}: {status.ready} ready: {status.reason}")

    def events(self, events: Iterable[Event]) -> None:
        """Tell the run's events."""
        for event in events:
            if event.reason not in _TOLD_ELSEWHERE:
                self._display.say(f"{event.reason}: {event.message}")
