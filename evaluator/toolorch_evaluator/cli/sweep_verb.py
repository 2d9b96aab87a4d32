"""`toolorch sweep`: its options, and which of its three ways they mean."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from toolorch_evaluator.cli.ends import foreseen, until_terminated
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.file_arguments import BareFiles, NamedFiles, join_files
from toolorch_evaluator.cli.pairs import read_pairs


def sweep(
    bare: BareFiles = None,
    named: NamedFiles = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of all runs.")] = Path(
        "toolorch-runs"
    ),
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
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table here too.")] = None,
    as_manifests: Annotated[bool, typer.Option("--print", help="Print the EvalRuns as YAML, and run nothing.")] = False,
    on_cluster: Annotated[
        bool, typer.Option("--cluster", help="Apply the EvalRuns with kubectl, and show how far they are.")
    ] = False,
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="With --cluster: their namespace.")
    ] = "",
    context: Annotated[str, typer.Option("--context", metavar="CONTEXT", help="With --cluster: kubectl's.")] = "",
) -> None:
    """Expand a matrix into EvalRuns, run them one after the other on this machine, and print one table of all.

    The files hold ModelPools and one Sweep. The same command again adds only what is missing. Servers are kept from
    one run to the next that uses their pool. With --cluster the pools must be there already; given again, the command
    shows the table as it stands then.

    Exit codes: 0 all complete (with --cluster: none failed), 1 a gate is breached, 2 bad input, 3 a run failed, 130
    interrupted.
    """
    with foreseen("the same command adds what is missing"):
        # Imported here: --help needs none of it.
        from toolorch_evaluator.cli.sweep import SweepRequest, carry_out

        if as_manifests and on_cluster:
            raise BadInputError(["--print applies nothing, --cluster does: choose one of them"])
        if (namespace or context) and not on_cluster:
            raise BadInputError(["--namespace and --context say where on a cluster: add --cluster"])
        request = SweepRequest(
            files=join_files(bare, named, "ModelPools and one Sweep"),
            output=output,
            endpoints=read_pairs("--endpoint", endpoints or ()),
            api_keys=read_pairs("--api-key", api_keys or ()),
            csv=csv,
            as_manifests=as_manifests,
            on_cluster=on_cluster,
            namespace=namespace,
            context=context,
        )
        with tempfile.TemporaryDirectory(prefix="toolorch-", ignore_cleanup_errors=True) as scratch:
            work = carry_out(request, Path(scratch), Console(), Console(stderr=True))
            asyncio.run(until_terminated(work))
