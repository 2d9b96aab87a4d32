"""The files that a command reads: named bare, or after -f as in kubectl. No I/O."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolorch_evaluator.cli.errors import BadInputError

BareFiles = Annotated[list[Path] | None, typer.Argument(metavar="FILE", help="YAML files, with or without -f.")]
NamedFiles = Annotated[list[Path] | None, typer.Option("-f", "--file", metavar="FILE", help="YAML file; repeatable.")]


def join_files(bare: list[Path] | None, named: list[Path] | None, holding: str) -> tuple[Path, ...]:
    """Return all files that were named; BadInputError for none: `holding` says what they are to hold."""
    files = (*(bare or ()), *(named or ()))
    if not files:
        raise BadInputError([f"no file is given: name YAML files with {holding}, as in -f FILE"])
    return files
