"""How servers pass from one command to the next: taken over at the start, let go at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Instance, InstanceState, Ladder
from toolorch_evaluator.cli.notes import KeptServer, Note, start_ticks, write_note
from toolorch_evaluator.cli.pools import LocalPool
from toolorch_evaluator.cli.reuse import Ask
from toolorch_operator.modelpool.memory.changes import RESTART
from toolorch_operator.modelpool.targets import proof


def take_over(pool: LocalPool, kept: Mapping[str, Note], notes: Path) -> None:
    """Put servers that run already into their places, with the settings that the ladder had come to."""
    mine = {name: kept[name] for name in pool.replicas if name in kept}
    for name, note in mine.items():
        _remember(pool, effective=note.effective, ladder=note.ladder)
        replica = pool.replicas[name]
        replica.port = note.port
        replica.take_over(KeptServer(note, notes), pool.command(replica), pool.annotations())
    seen = [(name, view) for name in mine if (view := pool.replicas[name].view()) is not None]
    # It has shown the command before what it must, and waits for no start slot.
    _remember(
        pool,
        instances=[
            Instance(name=name, node=view.node, state=InstanceState.READY, proven=proof(pool.document, view))
            for name, view in seen
        ],
    )


def _remember(pool: LocalPool, **change: Any) -> None:
    status = pool.document.status.model_copy(update=change)
    pool.document = pool.document.model_copy(update={"status": status})


def let_go(pool: LocalPool, ask: Ask, notes: Path) -> list[str]:
    """Let the servers that serve run on when the command ends; return the names of those that this one started."""
    useful = {i.name for i in pool.document.status.instances if i.state is InstanceState.READY}
    released = {name: found for name in useful & set(pool.replicas) if (found := pool.replicas[name].let_go())}
    for name, (pid, gpus) in released.items():
        replica = pool.replicas[name]
        write_note(notes, _build_note(pool.document, name, pid, replica.port, gpus, ask, replica.log))
    return sorted(released)


def describe_servers(pool: LocalPool) -> str:
    """Say how many of a pool's servers an earlier command started; empty: none."""
    reused = sum(replica.is_reused for replica in pool.replicas.values())
    return f"{reused}/{len(pool.replicas)} reused" if reused else ""


def _build_note(pool: ModelPool, instance: str, pid: int, port: int, gpus: list[str], ask: Ask, log: Path) -> Note:
    return Note(
        pool=pool.metadata.name,
        instance=instance,
        pid=pid,
        started=start_ticks(pid) or 0,
        port=port,
        asked=list(ask.command),
        environment=ask.environment,
        gpus=gpus,
        log=str(log),
        keeper=os.getpid(),
        effective=pool.status.effective,
        ladder=_without_crashes(pool.status.ladder),
    )


def _without_crashes(ladder: Ladder) -> Ladder:
    """Forget what belongs to single pods: the next command gives their names to others, each with its own restarts."""
    steps = {name: count for name, count in ladder.steps.items() if f"/{RESTART}" not in name}
    return ladder.model_copy(update={"counted": [], "last_crash": "", "steps": steps})
