"""`toolorch run` between the options and the exit code: read, check, run, print the tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from toolorch_api.conditions import RunCondition, is_true
from toolorch_evaluator.cli.display import open_display, render_end, render_score
from toolorch_evaluator.cli.documents import RunDocuments, load_run
from toolorch_evaluator.cli.errors import RunFailedError
from toolorch_evaluator.cli.identity import identified, run_uid, scaled
from toolorch_evaluator.cli.machine import furnish, point_elsewhere
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


async def carry_out(request: Request, scratch: Path, out: Console, err: Console) -> None:
    """Run what is asked for and print how it went; raises BadInputError or RunFailedError where it is not Complete."""
    documents = load_run(request.files, request.name)
    display = open_display(err)
    try:
        setting = _prepare(documents, request, scratch, display.say)
        outcome = await run_session(setting, display)
    finally:
        display.close()
    for line in _describe_end(outcome):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not is_true(outcome.run.status.conditions, RunCondition.COMPLETE):
        raise RunFailedError(f"{outcome.run.metadata.name} failed: {outcome.run.status.reason}")


def _prepare(documents: RunDocuments, request: Request, scratch: Path, say: Callable[[str], None]) -> Setting:
    """Fit the documents to this machine; what is done differently than in a cluster is said."""
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
    machine = furnish(pools, documents.references, request.api_keys, scratch)
    return Setting(run, pools, machine, request.output, scratch)


def _describe_end(outcome: Outcome) -> list[str]:
    now = datetime.now(UTC)
    run = outcome.run.model_dump(mode="json", by_alias=True)
    pools = [pool.model_dump(mode="json", by_alias=True) for pool in outcome.pools]
    if outcome.is_new:
        return ["", render_end(run, pools, now), "", *render_score(outcome.run)]
    name = outcome.run.metadata.name
    hint = f"{name} was finished by an earlier command; --fresh runs it anew"
    return [render_end(run, [], now), "", *render_score(outcome.run), hint]
