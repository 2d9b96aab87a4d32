"""`toolorch-evaluator {plan,shard,report,score}`: what a run's pods run, as `toolorch_api.shard` agrees it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import structlog
import typer

from toolorch_api.shard import ExitCode, RunInput
from toolorch_evaluator.benchmarks.base import Benchmark
from toolorch_evaluator.benchmarks.registry import benchmark as benchmark_named
from toolorch_evaluator.exits import BadInputError, StepError, leave, leave_word
from toolorch_evaluator.reading import reader
from toolorch_evaluator.results import Results, open_store
from toolorch_evaluator.retrieval import verbs
from toolorch_evaluator.settings import Settings, read_run, read_settings, termination_log
from toolorch_evaluator.small_store import SmallStore

log = structlog.get_logger(__name__)

STOPS = (signal.SIGTERM, signal.SIGINT)

Step = Callable[[RunInput, Settings, Results], Awaitable[ExitCode]]


@dataclass(frozen=True, slots=True)
class Commands:
    """The verbs, over the benchmarks that `named` knows and the folders that `opened` opens by their URIs."""

    named: Callable[[str], Benchmark]
    opened: Callable[[str, Mapping[str, str]], Results]

    def plan(self) -> None:
        """List the run's units and write the manifest."""
        from toolorch_evaluator.history import open_history
        from toolorch_evaluator.plan_step import plan

        async def step(run: RunInput, settings: Settings, results: Results) -> ExitCode:
            await plan(
                run, self._benchmark(run), results, datetime.now(UTC), open_history(run, os.environ), reader(os.environ)
            )
            return ExitCode.OK

        _run(step, self.opened)

    def shard(self) -> None:
        """Run this shard's units; SIGTERM drains."""
        # The kernel drops a signal to a container's first process that has no handler yet, unless it is blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        from toolorch_evaluator.shard_step import run_shard

        async def step(run: RunInput, settings: Settings, results: Results) -> ExitCode:
            stop = asyncio.Event()
            for number in STOPS:
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
            return await run_shard(run, settings, self._benchmark(run), results, stop, read=reader(os.environ))

        _run(step, self.opened)

    def report(self) -> None:
        """Summarise the run's results and write the report."""
        from toolorch_evaluator.gate import baseline_opener
        from toolorch_evaluator.history import open_history
        from toolorch_evaluator.report_step import report

        async def step(run: RunInput, settings: Settings, results: Results) -> ExitCode:
            opener, history = baseline_opener(os.environ), open_history(run, os.environ)
            await report(run, results, datetime.now(UTC), opener, history, settings.attempt)
            return ExitCode.OK

        _run(step, self.opened)

    def score(
        self,
        file: Annotated[Path, typer.Argument(help="Transcripts, one JSON per line; - is standard input.")],
        benchmark: Annotated[str, typer.Option(help="Whose rules grade.")] = "tau2",
    ) -> None:
        """Grade transcripts; one result per line, in the same order."""
        from toolorch_evaluator.score import score_file

        sys.exit(score_file(benchmark, file, sys.stdout))

    def sandbox_check(self) -> None:
        """Try the sandbox where this runs: its layers, and programs that try to get out; exit 1 where one does."""
        from toolorch_evaluator.sandbox.check import main

        sys.exit(main(sys.stdout))

    def _benchmark(self, run: RunInput) -> Benchmark:
        try:
            return self.named(run.spec.benchmark.name)
        except ValueError as error:
            raise BadInputError("BadBenchmark", f"spec.benchmark: {error}") from error


def open_results(root: str, env: Mapping[str, str]) -> Results:
    """Open a run's folder with all the patience that a pod has."""
    return Results(SmallStore(open_store(root, env)))


def build_app(
    named: Callable[[str], Benchmark] = benchmark_named,
    opened: Callable[[str, Mapping[str, str]], Results] = open_results,
) -> typer.Typer:
    """Build the command line."""
    app = typer.Typer(
        add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help="The steps of an EvalRun."
    )
    commands = Commands(named, opened)
    steps = (commands.plan, commands.shard, commands.report, commands.score)
    for command in (*steps, commands.sandbox_check, verbs.index, verbs.retrieve):
        app.command()(command)
    return app


def _run(step: Step, opened: Callable[[str, Mapping[str, str]], Results]) -> None:
    """Run a step to its exit code."""
    _log_json_lines()
    asyncio.run(_live(step, opened))


async def _live(step: Step, opened: Callable[[str, Mapping[str, str]], Results]) -> NoReturn:
    """End the process with the step's code, past the loop's own end too.

    That would take back the handlers of signals, so that a second SIGTERM would kill, and wait for threads that hang in
    a look-up of a name.
    """
    try:
        settings = read_settings(os.environ)
        run = read_run(settings.input_dir)
        code = await step(run, settings, opened(run.root, os.environ))
    except StepError as error:
        leave_word(error, termination_log(os.environ))
        code = error.code
    except Exception as error:
        log.exception("step_broke")
        leave_word(StepError("InternalError", f"{type(error).__name__}: {error}"), termination_log(os.environ))
        code = ExitCode.INFRA
    leave(code)


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
    build_app()()


if __name__ == "__main__":
    main()
