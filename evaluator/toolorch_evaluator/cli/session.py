"""One `toolorch run` from start to end: open the folder, bring up pools, advance all until the run is settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx

from toolorch_api.evalrun import EvalRun
from toolorch_api.modelpool import ModelPool
from toolorch_evaluator.cli.children import Children
from toolorch_evaluator.cli.display import Display
from toolorch_evaluator.cli.folder import RunFolder, write_whole
from toolorch_evaluator.cli.keeping import describe_servers, let_go, take_over
from toolorch_evaluator.cli.machine import Machine
from toolorch_evaluator.cli.pools import LocalPool, Tools
from toolorch_evaluator.cli.replicas import Ground, Replica
from toolorch_evaluator.cli.resuming import take_up
from toolorch_evaluator.cli.runs import LocalRun
from toolorch_evaluator.cli.teller import Teller
from toolorch_operator import programs
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.settled import is_settled
from toolorch_operator.modelpool.instances import instance_names
from toolorch_operator.modelpool.observed import RunUse
from toolorch_operator.prober import Prober

LAUNCHER = programs.FOLDER / "launcher.py"
# A look costs milliseconds; every second of delay between attempts, report and end is waited for.
_LOOK_SECONDS = 0.2
_PROBE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Setting:
    """All that a session starts from; nothing in it is read again."""

    run: EvalRun
    pools: Mapping[str, ModelPool]
    machine: Machine
    output: Path
    scratch: Path
    notes: Path
    """Folder of the notes of kept servers."""
    keep_servers: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended: the run and its pools, with the status that a cluster would show."""

    run: EvalRun
    pools: tuple[ModelPool, ...]
    is_new: bool
    """False where the run had been finished by an earlier command."""
    servers: Mapping[str, str] = field(default_factory=dict)
    """By pool: where its servers come from, if not from this command."""


async def run_session(setting: Setting, display: Display) -> Outcome:
    """Carry a run to its end, or return at once where it is finished; raises RunFailedError for hopeless pools."""
    folder = RunFolder(setting.output, setting.run)
    folder.open()
    try:
        created = setting.run.metadata.model_copy(update={"creation_timestamp": folder.created_at()})
        run = take_up(setting.run.model_copy(update={"metadata": created}), folder, display)
        if is_settled(run.status):
            return Outcome(run, tuple(setting.pools.values()), is_new=False)
        return await _advance_all(run, setting, folder, display)
    finally:
        folder.close()


async def _advance_all(run: EvalRun, setting: Setting, folder: RunFolder, display: Display) -> Outcome:
    defaults = Defaults(vllm_image="vllm", evaluator_image="toolorch", output_uri=folder.path.parent.as_uri())
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=_PROBE_SECONDS, trust_env=False))
        children = await stack.enter_async_context(Children(setting.scratch))
        input_dir = _write_keys(setting)
        use = RunUse(run.metadata.name, run.metadata.creation_timestamp or datetime.now(UTC))
        tools = Tools(client, defaults, _write_templates(setting), use)
        opener = partial(_open_pool, setting=setting, folder=folder, children=children, tools=tools, stack=stack)
        pools = {name: await opener(pool) for name, pool in setting.pools.items()}
        local = LocalRun(run, folder, input_dir, children, defaults)
        if setting.keep_servers:
            stack.callback(_keep, pools, setting, display)
        # Entered last, so left first: shards give back their units while their servers still answer.
        stack.push_async_callback(local.stop)
        told = Teller(display)
        while not local.is_settled:
            for name, pool in pools.items():
                others = [other.document for key, other in pools.items() if key != name]
                await pool.advance(others, datetime.now(UTC))
                told.pool(pool)
            told.events(await local.advance(pools, datetime.now(UTC)))
            display.show(local.document)
            await asyncio.sleep(_LOOK_SECONDS)
        servers = {name: describe_servers(pool) for name, pool in pools.items()}
        return Outcome(local.document, tuple(pool.document for pool in pools.values()), True, servers)


async def _open_pool(
    pool: ModelPool, setting: Setting, folder: RunFolder, children: Children, tools: Tools, stack: AsyncExitStack
) -> LocalPool:
    name, machine = pool.metadata.name, setting.machine
    born = {"uid": name, "generation": 1, "creation_timestamp": datetime.now(UTC)}
    metadata = pool.metadata.model_copy(update=born)
    ground = Ground(children, LAUNCHER, setting.scratch)
    replicas = {
        instance: Replica(
            instance, folder.log(instance), machine.gpus.get(instance, ()), machine.environments[name], ground
        )
        for instance in instance_names(pool)
    }
    spec = pool.spec
    if not any(replica.has_gpus for replica in replicas.values()):
        # Without a GPU there is no memory of its last user to wait for.
        spec = spec.model_copy(update={"startup": spec.startup.model_copy(update={"settle_seconds": 0})})
    environment = machine.environments.get(name, {})
    prober = await _open_prober(machine.keys.get(name, ""), stack)
    document = pool.model_copy(update={"metadata": metadata, "spec": spec})
    opened = LocalPool(document, replicas, tools, prober, environment)
    take_over(opened, machine.kept, setting.notes)
    return opened


async def _open_prober(key: str, stack: AsyncExitStack) -> Prober:
    """Return who asks a pool's servers, with its key where it has one."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    client = await stack.enter_async_context(httpx.AsyncClient(headers=headers, trust_env=False))
    prober = Prober(client, None, time.monotonic, lambda _: None)
    stack.push_async_callback(prober.close)
    return prober


def _keep(pools: Mapping[str, LocalPool], setting: Setting, display: Display) -> None:
    asks = setting.machine.asks
    kept = [name for key, pool in pools.items() if key in asks for name in let_go(pool, asks[key], setting.notes)]
    if kept:
        display.say(f"{', '.join(kept)} run on for the next run with the same pools (toolorch servers lists them)")


def _write_keys(setting: Setting) -> Path:
    input_dir = setting.scratch / "input"
    for pool, key in setting.machine.keys.items():
        write_whole(input_dir / "keys" / pool, key.encode())
    return input_dir


def _write_templates(setting: Setting) -> dict[str, Path]:
    paths = {pool: setting.scratch / "templates" / f"{pool}.jinja" for pool in setting.machine.templates}
    for pool, path in paths.items():
        write_whole(path, setting.machine.templates[pool].encode())
    return paths
