"""Logs of failed pods, as far as the cluster still has them: their ends, without secrets. EDGE.

A log that is not to be had must not hold up the run: after some tries the pod's evidence does without it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

from toolorch_operator.errors import ClusterError, Denied, Invalid, NotFound, Throttled
from toolorch_operator.evalrun.evidence import LOG_BYTES, LOG_LINES
from toolorch_operator.evalrun.observed import PodLog, PodView

CHUNK = 64 * 1024
TRIES = 3
"""Looks at a log that nobody answers for, as on a node that is gone: each may take a request's whole timeout."""
PODS_REMEMBERED = 1024
"""Pods whose tries are counted: far more than fail at a time; then counting begins anew."""


class Stream(Protocol):
    """The body of an answer that is still coming."""

    async def read(self, size: int) -> bytes:
        """Return the next bytes, at most so many; empty at the end."""


class LogSource(Protocol):
    """Where logs come from: the API server."""

    async def read_log(self, namespace: str, pod: str, tail_lines: int, most: int) -> str:
        """Return the last lines of a pod's log, of these the last bytes; raise ClusterError where there is none."""


async def read_end(stream: Stream, most: int) -> bytes:
    """Read a stream to its end and return its last bytes, in memory that does not grow with it."""
    end = b""
    while chunk := await stream.read(CHUNK):
        end = (end + chunk)[-most:]
    return end


class PodLogs:
    """Reads the logs of failed pods."""

    def __init__(self, cluster: LogSource) -> None:
        self._cluster = cluster
        self._tries: Counter[tuple[str, str]] = Counter()

    async def read(self, namespace: str, pods: Iterable[PodView], blank: Callable[[str], str]) -> dict[str, PodLog]:
        """Return the logs by pod, `blank` having taken the secrets out; one that is to be tried again is absent."""
        names = [pod.name for pod in pods]
        found = await asyncio.gather(*(self._one(namespace, name, blank) for name in names))
        return {name: log for name, log in zip(names, found, strict=True) if log is not None}

    async def _one(self, namespace: str, name: str, blank: Callable[[str], str]) -> PodLog | None:
        try:
            return PodLog(blank(await self._cluster.read_log(namespace, name, LOG_LINES, LOG_BYTES)))
        except NotFound:
            return PodLog(problem="the pod was gone before its log was read")
        except Invalid:
            return PodLog(problem="its container left no log")
        except Denied:
            return PodLog(problem="the operator may not read logs of pods")
        except Throttled:
            return None
        except ClusterError as error:
            return self._give_up_some_time(namespace, name, blank(str(error)))

    def _give_up_some_time(self, namespace: str, name: str, why: str) -> PodLog | None:
        if len(self._tries) >= PODS_REMEMBERED:
            self._tries.clear()
        self._tries[namespace, name] += 1
        return PodLog(problem=f"nobody gave its log: {why}") if self._tries[namespace, name] >= TRIES else None
