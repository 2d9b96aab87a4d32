"""`toolorch servers`: the model servers that earlier commands left running, listed and ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from toolorch_evaluator.cli.ends import foreseen

servers = typer.Typer(add_completion=False)


@servers.callback(invoke_without_command=True)
def _list_servers(context: typer.Context) -> None:
    """List the model servers that `toolorch run --keep-servers` left running on this machine."""
    if context.invoked_subcommand is not None:
        return
    with foreseen():
        from toolorch_evaluator.cli.notes import notes_folder
        from toolorch_evaluator.cli.servers import list_servers

        _print(asyncio.run(list_servers(notes_folder())))


@servers.command("stop")
def _stop_servers(
    pools: Annotated[list[str] | None, typer.Argument(metavar="[POOL]...", help="Pools whose servers end.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="End all kept servers.")] = False,
) -> None:
    """End kept model servers."""
    with foreseen():
        from toolorch_evaluator.cli.notes import notes_folder
        from toolorch_evaluator.cli.servers import stop_servers

        _print(asyncio.run(stop_servers(notes_folder(), pools or (), everything)))


def _print(lines: Sequence[str]) -> None:
    for line in lines:
        typer.echo(line)
