"""Fixtures of the fault tests; the ground is one for the whole session, and what uses it runs in the session's loop."""

import inspect

import pytest
import pytest_asyncio
from aiohttp import ClientSession, ClientTimeout
from campaign import TABLE, render
from fault_plan import FaultPlan
from ground import Ground
from operators import Operators
from proxy import Proxy
from small_api import SmallApi

PATIENCE = ClientTimeout(total=5)


def pytest_collection_modifyitems(items):
    """What is open in one loop serves every test that runs in it."""
    for item in items:
        if item.get_closest_marker("faults") and inspect.iscoroutinefunction(item.obj):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_terminal_summary(terminalreporter, config):
    """What became of the plans, by class."""
    if TABLE in config.stash:
        terminalreporter.write_line(render(config.stash[TABLE]))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def ground():
    """A bare Kubernetes."""
    async with Ground() as opened:
        yield opened


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operators(ground, tmp_path_factory):
    """What starts operators."""
    async with Operators(tmp_path_factory.mktemp("operators")) as opened:
        yield opened


@pytest.fixture
async def small_api():
    async with SmallApi() as api:
        yield api


@pytest.fixture
async def proxied(small_api):
    """Start a proxy with faults before the small API server, and a client: `proxy, session = await proxied(...)`."""
    opened = []

    async def start(*faults, **more):
        plan = FaultPlan("plan", "none", faults, seed=1)
        proxy = await Proxy(small_api, "plan", plan, **more).__aenter__()
        session = ClientSession(proxy.url, timeout=PATIENCE, read_bufsize=2**20)
        opened.extend((proxy, await session.__aenter__()))
        return proxy, session

    yield start
    for each in reversed(opened):
        await each.__aexit__(None, None, None)
