"""A sweep on this machine: its runs one after the other, over servers that stay as long as the next run needs them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from toolorch_api.conditions import RunCondition, is_true
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_evaluator.cli.children import Children
from toolorch_evaluator.cli.command import Request, prepare
from toolorch_evaluator.cli.display import Display, open_display
from toolorch_evaluator.cli.documents import RunDocuments
from toolorch_evaluator.cli.errors import BadInputError, RunFailedError
from toolorch_evaluator.cli.folder import RunFolder
from toolorch_evaluator.cli.identity import identified, run_uid
from toolorch_evaluator.cli.notes import Note, answering, notes_folder, read_notes, stop
from toolorch_evaluator.cli.reuse import KeptServers
from toolorch_evaluator.cli.session import run_session
from toolorch_evaluator.cli.sweep_documents import SweepDocuments, SweepRun, refuse_unknown_pools
from toolorch_evaluator.cli.sweep_matrix import describe
from toolorch_evaluator.cli.sweep_table import Row


@dataclass(frozen=True, slots=True)
class LocalSweep:
    """Where and how the runs of a sweep are run here."""

    output: Path
    endpoints: Mapping[str, str]
    api_keys: Mapping[str, str]
    scratch: Path


class _Servers:
    """The servers that this command has started and not ended."""

    def __init__(self, notes: Path, children: Children) -> None:
        self.notes = notes
        self._children = children
        # An earlier command may have had this one's number.
        self._earlier = {note.pid for note in read_notes(notes)}
        self._guarded: set[int] = set()

    async def usable(self) -> KeptServers:
        """Return what the next run may use, servers of earlier commands too."""
        alive = read_notes(self.notes)
        return KeptServers(self.notes, alive, await answering(alive))

    async def end_all_but(self, pools: Sequence[str]) -> None:
        """End those of other pools: their GPUs are wanted. The others end with this command, however that ends."""
        own = [n for n in read_notes(self.notes) if n.keeper == os.getpid() and n.pid not in self._earlier]
        for note in own:
            self._guard(note)
        ended = [note for note in own if note.pool not in pools]
        await stop(self.notes, ended)
        for note in ended:
            self._children.guard_no_more(note.pid)
            self._guarded.discard(note.pid)

    def _guard(self, note: Note) -> None:
        if note.pid not in self._guarded:
            self._children.guard_over(note.pid)
            self._guarded.add(note.pid)


async def run_here(documents: SweepDocuments, here: LocalSweep, err: Console) -> list[Row]:
    """Run what is missing and return how every run stands; raises BadInputError before anything starts."""
    refuse_unknown_pools("--endpoint", here.endpoints, documents.runs)
    refuse_unknown_pools("--api-key", here.api_keys, documents.runs)
    missing = _in_order([each for each in documents.runs if not _is_complete(_status(each, here))])
    async with Children(here.scratch / "guarded") as children:
        servers = _Servers(notes_folder(), children)
        await _check_machine(documents, missing, here, servers)
        with _closing(open_display(err)) as display:
            try:
                for number, each in enumerate(missing):
                    display.say(
                        f"{number + 1} of {len(missing)}: {each.run.metadata.name} ({describe(each.assignment)})"
                    )
                    await _run_one(documents, each, here, servers, display)
                    following = missing[number + 1 : number + 2]
                    await servers.end_all_but([pool for run in following for pool in run.pools])
            finally:
                await servers.end_all_but([])
    return [Row(r.run.metadata.name, r.assignment, r.run.spec.trials, _status(r, here)) for r in documents.runs]


@contextmanager
def _closing(display: Display) -> Iterator[Display]:
    try:
        yield display
    finally:
        display.close()


def _in_order(runs: Sequence[SweepRun]) -> list[SweepRun]:
    """Put runs with the same pools one after the other, so that servers start once; else the matrix' order stays."""
    first: dict[tuple[str, ...], int] = {}
    for index, each in enumerate(runs):
        first.setdefault(tuple(sorted(each.pools)), index)
    return sorted(runs, key=lambda each: first[tuple(sorted(each.pools))])


async def _check_machine(
    documents: SweepDocuments, runs: Sequence[SweepRun], here: LocalSweep, servers: _Servers
) -> None:
    """Raise BadInputError for everything that this machine lacks, for any of the runs."""
    usable = await servers.usable()
    mistakes: list[str] = []
    for each in {tuple(sorted(each.pools)): each for each in runs}.values():
        try:
            prepare(_documents(documents, each), _request(each, here), here.scratch / "check", lambda _: None, usable)
        except BadInputError as error:
            mistakes += error.sentences
    if mistakes:
        raise BadInputError(list(dict.fromkeys(mistakes)))


async def _run_one(
    documents: SweepDocuments, each: SweepRun, here: LocalSweep, servers: _Servers, display: Display
) -> None:
    """Run one to its end; that it fails is told, and keeps nobody else from running."""
    name = each.run.metadata.name
    # A folder of its own: its guard removes it when the run has ended.
    scratch = here.scratch / name
    scratch.mkdir(parents=True)
    try:
        usable = await servers.usable()
        setting = prepare(_documents(documents, each), _request(each, here), scratch, display.say, usable)
        outcome = await run_session(setting, display)
    except (RunFailedError, BadInputError) as error:
        display.say(f"{name} failed: {error}")
        return
    if not is_true(outcome.run.status.conditions, RunCondition.COMPLETE):
        display.say(f"{name} failed: {outcome.run.status.reason}")


def _documents(documents: SweepDocuments, each: SweepRun) -> RunDocuments:
    return RunDocuments(each.run, each.pools, documents.references)


def _request(each: SweepRun, here: LocalSweep) -> Request:
    """Return what `toolorch run` would have been asked for; servers stay until it is known who needs them next."""
    return Request(
        files=(),
        output=here.output,
        name=None,
        endpoints={pool: url for pool, url in here.endpoints.items() if pool in each.pools},
        api_keys={pool: variable for pool, variable in here.api_keys.items() if pool in each.pools},
        uid="",
        keep_servers=True,
    )


def _status(each: SweepRun, here: LocalSweep) -> EvalRunStatus:
    return RunFolder(here.output, identified(each.run, run_uid(each.run, each.pools))).read_status()


def _is_complete(status: EvalRunStatus) -> bool:
    return is_true(status.conditions, RunCondition.COMPLETE)
