"""`toolorch report`: what a stored run's report says, its files, and its conversations as Inspect's logs."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog
import typer
from rich.console import Console
from rich.markdown import Markdown

from toolorch_api.evalrun_limits import Retry
from toolorch_evaluator.cli.compare import OpenFolder, open_patiently
from toolorch_evaluator.cli.ends import foreseen
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.lines import plain, say
from toolorch_evaluator.cli.stored import find_run
from toolorch_evaluator.exits import StepError, leave
from toolorch_evaluator.results import Results
from toolorch_evaluator.stored_ends import read_ends
from toolorch_evaluator.stored_runs import read_manifest, read_planned

REPORT_PREFIX = "report/"
MARKDOWN_KEY = "report/report.md"


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What the options of `toolorch report` say."""

    run: str
    output: Path
    copy_to: Path | None = None
    inspect: Path | None = None


async def show_report(request: ReportRequest, open_folder: OpenFolder, out: Console) -> int:
    """Print the report, copy its files, write Inspect's logs: whatever is asked for. Raises BadInputError."""
    try:
        uri = find_run(request.run, request.output)
        results = open_folder(uri)
        if request.copy_to is not None:
            say(out, f"{await _copy(results, request.copy_to)} files in {request.copy_to}")
        if request.inspect is not None:
            say(out, str(await _write_inspect(uri, results, request.inspect)))
        if request.copy_to is None and request.inspect is None:
            await _print(uri, results, out)
    except (StepError, ValueError) as error:
        raise BadInputError([f"{request.run}: {error}"]) from error
    return 0


async def _print(uri: str, results: Results, out: Console) -> None:
    body = await results.get(MARKDOWN_KEY)
    if body is None:
        raise ValueError("it has no report yet: one is written when the run has ended")
    text = plain(body.decode())
    # A terminal gets it set, whoever reads on gets it as it is.
    out.print(Markdown(text) if out.is_terminal else text, markup=False, highlight=False, soft_wrap=not out.is_terminal)
    say(out, f"report.html: {uri}/report/report.html")


async def _copy(results: Results, folder: Path) -> int:
    keys = await results.list_keys(REPORT_PREFIX)
    if not keys:
        raise ValueError("it has no report yet: one is written when the run has ended")
    async for key, body in results.get_all(keys):
        await asyncio.to_thread(_write, folder / key.removeprefix(REPORT_PREFIX), body)
    return len(keys)


def _write(target: Path, body: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(body)


async def _write_inspect(uri: str, results: Results, folder: Path) -> Path:
    # Imported here: it takes seconds, and only this option needs it.
    from toolorch_evaluator.inspect_logs import StoredRun, write_inspect_log

    manifest, document = await read_manifest(results), await read_planned(results)
    retry = Retry.model_validate(document.get("spec", {}).get("retry", {}))
    ends = await read_ends(results, manifest, retry.quarantine_after)
    name = str(document.get("name") or uri.rpartition("/")[2])
    return await write_inspect_log(StoredRun(name, document, manifest, {**ends.errors, **ends.finals}), results, folder)


def report_and_leave(request: ReportRequest) -> NoReturn:
    """Carry the command out and end the program."""
    # Standard output is for the report.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        with foreseen("nothing was changed"):
            code = asyncio.run(show_report(request, open_patiently, Console()))
    except typer.Exit as end:
        code = end.exit_code
    leave(code)
