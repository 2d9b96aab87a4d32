"""The operator as a process that is measured: its memory and CPU from the kernel, the rest from its own /metrics."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import aiohttp
from ground import Ground
from programs import Program, find_free_ports

_SAMPLE = re.compile(r"^(?P<name>\w+)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
P99_LIMIT = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")


class MeasuredOperator:
    """One operator over a ground; it reaches model servers by their pods' addresses, as one in a cluster does."""

    def __init__(self, ground: Ground, output: str, prefix: tuple[str, ...] = ()) -> None:
        (self._port,) = find_free_ports(1)
        environ = {
            "KUBECONFIG": str(ground.kubeconfig()),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            # As in its image.
            "MALLOC_ARENA_MAX": "2",
            "TOOLORCH_HTTP_PORT": str(self._port),
            "TOOLORCH_OUTPUT_URI": output,
        }
        self.log = ground.folder / "operator.log"
        self._program = Program([*prefix, sys.executable, "-m", "toolorch_operator"], self.log, environ)

    @property
    def pid(self) -> int:
        """Its process."""
        return int(self._program.pid)

    async def ready(self) -> None:
        """Wait until it watches."""
        async with aiohttp.ClientSession() as session:
            while True:
                self._program.check()
                try:
                    async with session.get(f"http://127.0.0.1:{self._port}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.2)

    def check(self) -> None:
        """Fail where it has ended."""
        self._program.check()

    def kill(self) -> None:
        """End it."""
        self._program.kill()

    def memory_mib(self, field: str = "VmHWM") -> float:
        """Return its resident memory: the most so far, or with VmRSS that of now."""
        text = Path(f"/proc/{self._program.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith(field))

    def cpu_seconds(self) -> float:
        """Return the CPU that it has used."""
        fields = Path(f"/proc/{self._program.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    async def counters(self) -> Counters:
        """Return what it counts."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self._port}/metrics") as answer,
        ):
            return Counters(await answer.text())


class Counters:
    """One reading of an operator's metrics."""

    def __init__(self, text: str) -> None:
        self._text = text

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over all series of a name that have these labels."""
        return sum(value for of, value in self._series(name) if labels.items() <= of.items())

    def writes(self) -> float:
        """Return the writes to the API server: whatever is no read."""
        reads = self.total("toolorch_api_requests_total", verb="get") + self.total(
            "toolorch_api_requests_total", verb="list"
        )
        return self.total("toolorch_api_requests_total") - reads

    def requests(self) -> dict[str, float]:
        """Return the requests to the API server by verb and resource."""
        found: dict[str, float] = {}
        for of, value in self._series("toolorch_api_requests_total"):
            key = f"{of['verb']} {of['resource']}"
            found[key] = found.get(key, 0.0) + value
        return found

    def percentile(self, kind: str, part: float) -> float:
        """Return the seconds within which this part of a kind's reconciles ended, between the histogram's bounds."""
        bounds = sorted(
            (float(of["le"]), value)
            for of, value in self._series("toolorch_reconcile_seconds_bucket")
            if of["kind"] == kind
        )
        wanted, low, before = part * bounds[-1][1] if bounds else 0.0, 0.0, 0.0
        for bound, count in bounds:
            if count >= wanted and count > before:
                return low + (bound - low) * (wanted - before) / (count - before) if bound < float("inf") else low
            low, before = bound, count
        return 0.0

    def _series(self, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
        for line in self._text.splitlines():
            found = _SAMPLE.match(line) if line.startswith(name) else None
            if found is not None and found["name"] == name:
                yield dict(re.findall(r'(\w+)="([^"]*)"', found["labels"] or "")), float(found["value"])
