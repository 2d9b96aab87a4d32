"""What a shard needs before its first question: the sandbox for programs, and a search service that is ready."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httpx
import structlog

from toolorch_api.evalrun import EvalRunSpec
from toolorch_evaluator.benchmarks.questions.search import SearchService
from toolorch_evaluator.exits import BadInputError, StepError
from toolorch_evaluator.sandbox.errors import SandboxUnavailableError
from toolorch_evaluator.sandbox.sandbox import Sandbox

log = structlog.get_logger(__name__)

# An index of millions of documents takes minutes to load; who waits longer has a service that never comes.
PATIENCE_SECONDS = 900.0
LOOK_SECONDS = 2.0
# Programs at a time in one shard; each may take a core.
PROGRAMS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Equipment:
    """The tools' ground, open until it is closed."""

    sandbox: Sandbox
    searches: SearchService | None
    client: httpx.AsyncClient

    async def close(self) -> None:
        """Let go of the service's connections."""
        await self.client.aclose()


async def open_equipment(
    spec: EvalRunSpec, patience: float = PATIENCE_SECONDS, look: float = LOOK_SECONDS
) -> Equipment:
    """Open sandbox and search service; raises BadInputError or StepError with what is missing."""
    weaker = spec.benchmark.options.sandbox == "Weaker"
    try:
        sandbox = await Sandbox.open(concurrency=PROGRAMS_AT_ONCE, allow_weaker=weaker)
    except SandboxUnavailableError as error:
        raise BadInputError("SandboxUnavailable", str(error)) from error
    client = httpx.AsyncClient(trust_env=False)
    place = spec.roles.retrieval
    if place is None:
        return Equipment(sandbox, None, client)
    service = SearchService(place.url, client)
    await _await_health(service, place.url, patience, look)
    return Equipment(sandbox, service, client)


async def _await_health(service: SearchService, url: str, patience: float, look: float) -> None:
    clock = asyncio.get_running_loop()
    end = clock.time() + patience
    while not await service.is_healthy():
        if clock.time() >= end:
            why = f"the search service {url} was not ready within {patience:g} s: is it deployed, and its index there?"
            raise StepError("RetrievalUnavailable", why)
        log.info("waiting_for_retrieval", url=url)
        await asyncio.sleep(look)
