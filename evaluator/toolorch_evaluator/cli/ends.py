"""Between a command and the shell: every foreseen end becomes sentences on standard error and an exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from toolorch_evaluator.cli.errors import BadInputError, CommandExit, GateBreachedError, RunFailedError
from toolorch_evaluator.cli.lines import plain


@contextmanager
def foreseen(after: str = "the same command resumes the run") -> Iterator[None]:
    """Turn every foreseen end into sentences and an exit code; `after` says what an interruption leaves."""
    try:
        yield
    except BadInputError as error:
        _end(CommandExit.BAD_INPUT, *error.sentences)
    except RunFailedError as error:
        _end(CommandExit.FAILED, str(error))
    except GateBreachedError as error:
        _end(CommandExit.BREACHED, str(error))
    except KeyboardInterrupt:
        _end(CommandExit.INTERRUPTED, f"interrupted; {after}")
    except asyncio.CancelledError:
        _end(CommandExit.TERMINATED, f"terminated; {after}")


def _end(code: CommandExit, *sentences: str) -> NoReturn:
    for sentence in sentences:
        print(plain(f"toolorch: {sentence}"), file=sys.stderr)
    raise typer.Exit(code)


async def until_terminated(work: Coroutine[Any, Any, None]) -> None:
    """Let SIGTERM and a closed terminal end the work as Ctrl-C does: everything that it started is stopped."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task
