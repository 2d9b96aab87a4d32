"""`toolorch-evaluator {plan,shard,report,score}`: what a run's pods run, as `toolorch_api.shard` agrees it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import structlog
import typer

from toolorch_api.shard import ExitCode, RunInput
from toolorch_evaluator.benchmarks.base import Benchmark
from toolorch_evaluator.benchmarks.registry import benchmark
from toolorch_evaluator.exits import BadInputError, StepError, leave_word
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.settings import Settings, read_run, read_settings, termination_log

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The steps of an EvalRun.")


@app.command("plan")
def plan_command() -> None:
    """List the run's units and write the manifest."""

    async def step(run: RunInput, settings: Settings, results: Results) -> ExitCode:
        from toolorch_evaluator.plan_step import plan

        await plan(run, _benchmark(run), results, datetime.now(UTC))
        return ExitCode.OK

    _run(step)


@app.command("shard")
def shard_command() -> None:
    """Run this shard's units; SIGTERM drains."""

    async def step(run: RunInput, settings: Settings, results: Results) -> ExitCode:
        from toolorch_evaluator.shard_step import run_shard

        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await run_shard(run, settings, _benchmark(run), results, stop)

    _run(step)


@app.command("report")
def report_command() -> None:
    """Summarise the run's results and write the report."""

    async def step(run: RunInput, settings: Settings, results: Results) -> ExitCode:
        from toolorch_evaluator.report_step import report

        await report(run, results, datetime.now(UTC))
        return ExitCode.OK

    _run(step)


@app.command("score")
def score_command(
    file: Annotated[Path, typer.Argument(help="Transcripts, one JSON per line.", dir_okay=False)],
    name: Annotated[str, typer.Option("--benchmark", help="Whose rules grade.")] = "tau2",
) -> None:
    """Grade transcripts; one result per line, in the same order."""
    from toolorch_evaluator.score import score_file

    score_file(name, file, sys.stdout)


def _run(step: Callable[[RunInput, Settings, Results], Awaitable[ExitCode]]) -> None:
    """Run a step to its exit code."""
    _log_json_lines()
    try:
        settings = read_settings(os.environ)
        run = read_run(settings.input_dir)
        code = asyncio.run(_step(step, run, settings))
    except StepError as error:
        leave_word(error, termination_log(os.environ))
        code = error.code
    sys.exit(int(code))


async def _step(
    step: Callable[[RunInput, Settings, Results], Awaitable[ExitCode]], run: RunInput, settings: Settings
) -> ExitCode:
    return await step(run, settings, Results(open_store(run.root)))


def _benchmark(run: RunInput) -> Benchmark:
    try:
        return benchmark(run.spec.benchmark.name)
    except ValueError as error:
        raise BadInputError("BadBenchmark", f"spec.benchmark: {error}") from error


def _log_json_lines() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def main() -> None:
    """Entry of the command `toolorch-evaluator`."""
    app()


if __name__ == "__main__":
    main()
