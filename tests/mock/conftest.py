"""A mock that runs within the test, asked by the openai client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import httpx
import openai
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from toolorch_mock.arguments import parse_options
from toolorch_mock.brains.registry import find_model
from toolorch_mock.deaths import choose_death
from toolorch_mock.engine import Engine
from toolorch_mock.faults import Crash, FaultSettings
from toolorch_mock.flood import Flood
from toolorch_mock.references import load_reference
from toolorch_mock.server import Server

HELLO: Any = [{"role": "user", "content": "Hello"}]


class Mock:
    """A mock under test: its URL and an openai client."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Nothing is encrypted here: without this, half of a test's time is the reading of certificates.
        plain = httpx.AsyncClient(verify=False)
        self.client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k", max_retries=0, timeout=5, http_client=plain)

    async def ask(self, messages: Any = HELLO, model: str = "served", **more: Any) -> Any:
        return await self.client.chat.completions.create(model=model, messages=messages, **more)

    async def text(self, path: str) -> str:
        async with ClientSession() as session, session.get(self.url + path) as response:
            assert response.status == 200
            return await response.text()

    async def health(self) -> int:
        async with ClientSession() as session, session.get(f"{self.url}/health") as response:
            return response.status

    async def metric(self, name: str) -> float:
        """The one sample of this name."""
        lines = (await self.text("/metrics")).splitlines()
        return float(next(line for line in lines if line.startswith(f"vllm:{name}{{")).split()[-1])


@asynccontextmanager
async def start_mock(
    *arguments: str,
    model: str = "mock/oracle",
    faults: FaultSettings | None = None,
    die: Callable[[], None] = lambda: None,
    token_seconds: float = 1,
) -> AsyncIterator[Mock]:
    options = parse_options(["serve", model, "--served-model-name", "served", "alias", *arguments])
    found = find_model(model)
    assert found is not None
    faults = faults or FaultSettings()
    is_doomed = choose_death(options, faults, 1) is Crash.RUN_OOM
    engine = Engine(faults, (faults.run_oom_after_requests or 0) if is_doomed else None, die, token_seconds)
    flood = Flood(faults.flood_unit, faults.flood_mib)
    app = Server(options, found, engine, load_reference, faults.tool_format, flood).build_app()
    async with AsyncExitStack() as stack:
        server = TestServer(app)
        await server.start_server(shutdown_timeout=0.1)
        stack.push_async_callback(server.close)
        mock = Mock(str(server.make_url("")).rstrip("/"))
        stack.push_async_callback(mock.client.close)
        yield mock


@pytest.fixture
def running() -> Callable[..., AbstractAsyncContextManager[Mock]]:
    """Starts a mock: arguments of the command line, then the model, its faults and who is told of its death."""
    return start_mock
