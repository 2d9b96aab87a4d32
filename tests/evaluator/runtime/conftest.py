"""A run's surroundings: a model server on loopback, a scripted benchmark, file storage, input files."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from toolorch_api.evalrun import EvalRunSpec, spec_hash
from toolorch_api.keys import MANIFEST_KEY, assignment_key
from toolorch_api.shard import Assignment, Manifest, PoolInput, RunInput, Unit
from toolorch_evaluator.benchmarks.base import Listing, Packaged, Score
from toolorch_evaluator.chat import Chat, Patience
from toolorch_evaluator.endpoints import PoolFiles
from toolorch_evaluator.profile import Profile
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.settings import Settings
from toolorch_evaluator.shard_step import run_shard


def completion(content: str | None = "hello", calls: list[tuple[str, str]] = (), **more: Any) -> dict[str, Any]:
    tool_calls = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": content, "tool_calls": tool_calls}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "tiny",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
        **more,
    }


@dataclass
class ModelServer:
    """Answers as `answer` says: (request body, headers) to (status, document, response headers)."""

    answer: Callable[[dict, dict], tuple[int, Any, dict]] = lambda body, headers: (200, completion(), {})
    requests: list[tuple[dict, Any]] = field(default_factory=list)
    delay: float = 0.0
    url: str = ""
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def asked(self, count: int) -> None:
        """Return when so many requests have come."""
        async with self.came:
            await self.came.wait_for(lambda: len(self.requests) >= count)

    async def handle(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.requests.append((body, request.headers.copy()))
        async with self.came:
            self.came.notify_all()
        if self.delay:
            await asyncio.sleep(self.delay)
        status, document, headers = self.answer(body, dict(request.headers))
        text = document if isinstance(document, str) else json.dumps(document)
        return web.Response(status=status, text=text, headers=headers, content_type="application/json")


@pytest.fixture
async def model_servers():
    """Start as many model servers as asked for."""
    runners = []

    async def start(answer=None, handler=None, **more) -> ModelServer:
        server = ModelServer(**({"answer": answer} if answer else {}), **more)
        app = web.Application()
        app.router.add_post("/v1/chat/completions", handler or server.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        runners.append(runner)
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return server

    yield start
    for runner in runners:
        await runner.cleanup()


@dataclass
class Scripted(Packaged):
    """A benchmark that asks the agent `turns` times; a unit passes when the last answer is not "wrong"."""

    units: list[Unit]
    turns: int = 2
    name: str = "tau2"
    talks: list[Unit] = field(default_factory=list)
    scores: int = 0
    broken_score: str = ""
    told: dict[str, Any] = field(default_factory=dict)

    def list_units(self, spec: EvalRunSpec) -> Listing:
        return Listing(tuple(self.units), "d" * 64)

    def describe(self, spec: EvalRunSpec) -> dict[str, Any]:
        return self.told

    async def converse(self, unit: Unit, spec: EvalRunSpec, ask: Any) -> dict[str, Any]:
        self.talks.append(unit)
        messages = [{"role": "user", "content": unit.task_id}]
        for _ in range(self.turns):
            reply = await ask("agent", messages, seed=7)
            messages.append({"role": "assistant", "content": reply.content})
        return {"domain": unit.domain, "task_id": unit.task_id, "termination_reason": "user_stop", "messages": messages}

    def score(self, transcript: Any) -> Score:
        self.scores += 1
        if self.broken_score:
            return Score(None, error=self.broken_score)
        reward = 0.0 if transcript["messages"][-1]["content"] == "wrong" else 1.0
        return Score(reward, {"DB": reward})


def make_units(count: int, domain: str = "retail") -> list[Unit]:
    return [Unit("control", domain, f"task {i}", 0) for i in range(count)]


SPEC = {
    "benchmark": {"name": "tau2"},
    "roles": {"agent": {"pool": "pool-a"}, "user": {"pool": "pool-a"}},
    "concurrencyPerShard": 4,
}


@dataclass
class World:
    """A run on this machine: its folder, its input, its storage."""

    folder: Path
    run: RunInput
    settings: Settings
    results: Results

    def point(
        self, *servers: ModelServer, pool: str = "pool-a", ready: bool = True, unready: Collection[int] = ()
    ) -> None:
        """Make these servers the pool's endpoints; those at `unready` are not ready."""
        endpoints = [
            {"name": f"{pool}-{i}", "url": s.url, "ready": ready and i not in unready} for i, s in enumerate(servers)
        ]
        path = self.folder / "input" / "pools" / pool / "endpoints.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps({"model": "m", "servedModelName": "tiny", "endpoints": endpoints}))
        fresh.rename(path)

    async def assign(self, units: list[Unit], attempt: int = 1) -> None:
        """Write manifest and assignment: all units to shard 0."""
        rows = [(u.variant, u.domain, u.task_id, u.trial) for u in units]
        manifest = Manifest(spec_hash=self.run.spec_hash, dataset_hash="d", units=rows)
        await self.results.put(MANIFEST_KEY, manifest.model_dump_json(by_alias=True).encode())
        assignment = Assignment(spec_hash=self.run.spec_hash, attempt=attempt, shards=[list(range(len(units)))])
        await self.results.put(assignment_key(attempt), assignment.model_dump_json(by_alias=True).encode())

    def object(self, key: str) -> Any:
        return json.loads((self.folder / "store" / key).read_text())

    def keys(self, prefix: str) -> list[str]:
        root = self.folder / "store"
        return sorted(str(p.relative_to(root)) for p in (root / prefix).rglob("*") if p.is_file())


@pytest.fixture
def make_world(tmp_path: Path):
    """Build a world with this spec over the standard one."""

    def build(pool: dict | None = None, **spec: Any) -> World:
        parsed = EvalRunSpec.model_validate(SPEC | spec)
        run = RunInput(
            name="run-1",
            namespace="default",
            uid="u" * 36,
            spec=parsed.model_copy(),
            spec_hash=spec_hash(parsed),
            root=f"file://{tmp_path}/store",
            pools={"pool-a": PoolInput(**({"model": "m", "served_model_name": "tiny"} | (pool or {})))},
        )
        (tmp_path / "input").mkdir(exist_ok=True)
        (tmp_path / "input" / "run.json").write_text(run.model_dump_json(by_alias=True))
        settings = Settings(tmp_path / "input", 1, 0, "pod-1", tmp_path / "last-word")
        return World(tmp_path, run, settings, Results(open_store(run.root)))

    return build


@pytest.fixture
def quick() -> Patience:
    """Retries without long pauses."""
    return Patience(tries=4, first_pause=0.01, longest_pause=0.05, poll=0.02)


@pytest.fixture
def open_chat():
    """Open all model access of a world's shard, closed at the end of the block."""

    @contextlib.asynccontextmanager
    async def open_(world: World, patience: Patience):
        chat = Chat(world.run, PoolFiles(world.settings.input_dir), Profile(), 0.0, patience)
        try:
            yield chat
        finally:
            await chat.close()

    return open_


@pytest.fixture
def scripted() -> Callable[..., Scripted]:
    return lambda count=6, **more: Scripted(make_units(count), **more)


@pytest.fixture
def complete() -> Callable[..., dict[str, Any]]:
    """Build a chat completion's document."""
    return completion


@pytest.fixture
def shard(quick):
    """Run a world's shard to its end."""

    async def run(world, benchmark, stop=None, results=None, **place):
        settings = replace(world.settings, **place)
        return await run_shard(world.run, settings, benchmark, results or world.results, stop or asyncio.Event(), quick)

    return run
