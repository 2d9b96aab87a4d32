"""Asks one external server with its key and leaves the answer as a termination message: what a probe Job runs. EDGE."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import httpx

from toolorch_operator import models
from toolorch_operator.bounded import open_client
from toolorch_operator.modelpool.external.report import ENV_KEY, ENV_QUESTION, dump_probe, parse_question
from toolorch_operator.modelpool.observed import Exam, Probe

ENV_REPORT = "TOOLORCH_TERMINATION_LOG"
REPORT = "/dev/termination-log"
# The exam keeps its own time; this is for an answer that trickles in and never ends.
SPARE_SECONDS = 30


class Examine(Protocol):
    """Asks a server all questions of an exam."""

    def __call__(
        self, url: str, client: httpx.AsyncClient, exam: Exam, *, api_key: str, external: bool
    ) -> Awaitable[Probe]:
        """Return what the server answered."""


async def ask(environ: Mapping[str, str], examine: Examine, now: Callable[[], datetime]) -> str:
    """Return the answer to the question in the environment as JSON, whatever goes wrong, and without the key."""
    url, exam = parse_question(environ[ENV_QUESTION])
    # Secrets made with `echo` or an editor end in a line break, which no header may hold.
    key = environ.get(ENV_KEY, "").strip()
    try:
        async with open_client() as client, asyncio.timeout(exam.timeout_seconds + SPARE_SECONDS):
            probe = await examine(url, client, exam, api_key=key, external=True)
    except TimeoutError:
        probe = Probe(False, error=f"no answer within {exam.timeout_seconds} s")
    except Exception as error:  # noqa: BLE001
        # What broke is named here and not by a traceback, in which the key might stand.
        probe = Probe(False, error=f"the question could not be asked: {type(error).__name__}")
    return dump_probe(probe, exam.served_name, key, now())


def main() -> None:
    """Ask, and leave the answer where the kubelet looks for it."""
    report = asyncio.run(ask(os.environ, models.examine, lambda: datetime.now(UTC).replace(microsecond=0)))
    Path(os.environ.get(ENV_REPORT, REPORT)).write_text(report)


if __name__ == "__main__":
    main()
