"""`toolorch run` between the options and the exit code: read, check, run, print the tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from toolorch_api.conditions import RunCondition, Truth, find_condition, is_true
from toolorch_evaluator.cli.display import open_display, render_end, render_score
from toolorch_evaluator.cli.documents import RunDocuments, load_run
from toolorch_evaluator.cli.errors import GateBreachedError, RunFailedError
from toolorch_evaluator.cli.identity import identified, run_uid, scaled
from toolorch_evaluator.cli.lines import say
from toolorch_evaluator.cli.machine import furnish, point_elsewhere
from toolorch_evaluator.cli.notes import answering, notes_folder, read_notes
from toolorch_evaluator.cli.reuse import KeptServers
from toolorch_evaluator.cli.session import Outcome, Setting, run_session


@dataclass(frozen=True, slots=True)
class Request:
    """What the options of `toolorch run` say."""

    files: tuple[Path, ...]
    output: Path
    name: str | None
    endpoints: Mapping[str, str]
    api_keys: Mapping[str, str]
    uid: str
    """Identity of the run; empty: that of its documents."""
    keep_servers: bool = False


async def carry_out(request: Request, scratch: Path, out: Console, err: Console) -> None:
    """Run what is asked for and print how it went; raises BadInputError or RunFailedError where it is not Complete."""
    documents = load_run(request.files, request.name)
    display = open_display(err)
    try:
        notes = notes_folder()
        alive = read_notes(notes)
        servers = KeptServers(notes, alive, await answering(alive))
        setting = prepare(documents, request, scratch, display.say, servers)
        outcome = await run_session(setting, display)
    finally:
        display.close()
    for line in _describe_end(outcome):
        say(out, line)
    if not is_true(outcome.run.status.conditions, RunCondition.COMPLETE):
        raise RunFailedError(f"{outcome.run.metadata.name} failed: {outcome.run.status.reason}")
    gate = find_condition(outcome.run.status.conditions, RunCondition.GATE_PASSED)
    if gate is not None and gate.status is Truth.FALSE:
        raise GateBreachedError(f"{outcome.run.metadata.name}: the gate is breached: {gate.message}")


def prepare(
    documents: RunDocuments, request: Request, scratch: Path, say: Callable[[str], None], servers: KeptServers
) -> Setting:
    """Fit the documents to this machine; what is done differently than in a cluster is said. Raises BadInputError."""
    uid = request.uid or run_uid(documents.run, documents.pools)
    if documents.run.spec.output is not None:
        say(f"spec.output is for a cluster: results go to {request.output}")
    run = scaled(identified(documents.run, uid), os.cpu_count() or 1)
    spec, wanted = run.spec, documents.run.spec
    if spec.shards != wanted.shards:
        say(
            f"{wanted.shards} shards of {wanted.concurrency_per_shard} units at once run as {spec.shards} of"
            f" {spec.concurrency_per_shard}: this machine has {os.cpu_count()} cores"
        )
    pools = point_elsewhere(documents.pools, request.endpoints)
    machine = furnish(pools, documents.references, request.api_keys, scratch, servers=servers)
    for instance, note in machine.kept.items():
        say(f"{instance}: reuses the server on port {note.port} (pid {note.pid})")
    return Setting(run, pools, machine, request.output, scratch, servers.folder, request.keep_servers)


def _describe_end(outcome: Outcome) -> list[str]:
    now = datetime.now(UTC)
    run = outcome.run.model_dump(mode="json", by_alias=True)
    pools = [
        {**pool.model_dump(mode="json", by_alias=True), "servers": outcome.servers.get(pool.metadata.name, "")}
        for pool in outcome.pools
    ]
    if outcome.is_new:
        return ["", render_end(run, pools, now), "", *render_score(outcome.run)]
    name = outcome.run.metadata.name
    hint = f"{name} was finished by an earlier command; --fresh runs it anew"
    return [render_end(run, [], now), "", *render_score(outcome.run), hint]
