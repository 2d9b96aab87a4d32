"""`toolorch`: evaluates models on this machine from the same documents that a cluster takes."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from toolorch_evaluator.cli.errors import BadInputError, CommandExit, RunFailedError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
servers = typer.Typer(add_completion=False)
app.add_typer(servers, name="servers")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"toolorch {version('toolorch')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Serve open models and evaluate tool-calling agents on them: the same ModelPool and EvalRun documents that a
    cluster takes, run on this machine.
    """


@app.command()
def run(
    files: Annotated[
        list[Path],
        typer.Option(
            "-f", "--file", metavar="FILE", help="YAML file with ModelPool and EvalRun documents; repeatable."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of all runs.")] = Path(
        "toolorch-runs"
    ),
    name: Annotated[
        str | None, typer.Option("--name", metavar="RUN", help="Which EvalRun, where the files hold several.")
    ] = None,
    endpoints: Annotated[
        list[str] | None,
        typer.Option("--endpoint", metavar="POOL=URL", help="A server of the pool runs already; repeatable."),
    ] = None,
    api_keys: Annotated[
        list[str] | None,
        typer.Option(
            "--api-key", metavar="POOL=VARIABLE", help="Environment variable with an external pool's key; repeatable."
        ),
    ] = None,
    keep_servers: Annotated[
        bool,
        typer.Option(
            "--keep-servers", help="Leave the model servers running; the same pools use them again in a later run."
        ),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run anew, though a run of these documents is there.")] = False,
) -> None:
    """Run an evaluation on this machine, without a cluster.

    Pools become local model servers, which end with the run unless --keep-servers is given. The same command again
    resumes an interrupted run, and shows a finished one.

    Exit codes: 0 complete, 2 bad input, 3 failed, 130 interrupted.
    """
    with _foreseen():
        # Imported here: --help and --version need none of it.
        from toolorch_evaluator.cli.command import Request, carry_out

        request = Request(
            files=tuple(files),
            output=output,
            name=name,
            endpoints=_pairs("--endpoint", endpoints or ()),
            api_keys=_pairs("--api-key", api_keys or ()),
            uid=uuid.uuid4().hex if fresh else "",
            keep_servers=keep_servers,
        )
        with tempfile.TemporaryDirectory(prefix="toolorch-", ignore_cleanup_errors=True) as scratch:
            work = carry_out(request, Path(scratch), Console(), Console(stderr=True))
            asyncio.run(_until_terminated(work))


@servers.callback(invoke_without_command=True)
def _list_servers(context: typer.Context) -> None:
    """List the model servers that `toolorch run --keep-servers` left running on this machine."""
    if context.invoked_subcommand is not None:
        return
    with _foreseen():
        from toolorch_evaluator.cli.notes import notes_folder
        from toolorch_evaluator.cli.servers import list_servers

        _print(asyncio.run(list_servers(notes_folder())))


@servers.command("stop")
def _stop_servers(
    pools: Annotated[list[str] | None, typer.Argument(metavar="[POOL]...", help="Pools whose servers end.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="End all kept servers.")] = False,
) -> None:
    """End kept model servers."""
    with _foreseen():
        from toolorch_evaluator.cli.notes import notes_folder
        from toolorch_evaluator.cli.servers import stop_servers

        _print(asyncio.run(stop_servers(notes_folder(), pools or (), everything)))


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)


async def _until_terminated(work: Coroutine[Any, Any, None]) -> None:
    """Let SIGTERM and a closed terminal end the work as Ctrl-C does: everything that it started is stopped."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    await task


def _pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read repeated NAME=VALUE options."""
    for text in texts:
        if not all(text.partition("=")):
            raise BadInputError([f"{option}: {text!r} must have the form POOL=VALUE"])
    return dict(text.split("=", 1) for text in texts)


@contextmanager
def _foreseen() -> Iterator[None]:
    """Turn every foreseen end into sentences and an exit code."""
    try:
        yield
    except BadInputError as error:
        _end(CommandExit.BAD_INPUT, *error.sentences)
    except RunFailedError as error:
        _end(CommandExit.FAILED, str(error))
    except KeyboardInterrupt:
        _end(CommandExit.INTERRUPTED, "interrupted; the same command resumes the run")
    except asyncio.CancelledError:
        _end(CommandExit.TERMINATED, "terminated; the same command resumes the run")


def _end(code: CommandExit, *sentences: str) -> NoReturn:
    for sentence in sentences:
        print(f"toolorch: {sentence}", file=sys.stderr)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line."""
    app(prog_name="toolorch")


if __name__ == "__main__":
    main()
