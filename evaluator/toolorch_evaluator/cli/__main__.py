"""`toolorch`: evaluates models on this machine from the same documents that a cluster takes."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from toolorch_evaluator.cli.ends import foreseen, until_terminated
from toolorch_evaluator.cli.file_arguments import BareFiles, NamedFiles, join_files
from toolorch_evaluator.cli.pairs import read_pairs
from toolorch_evaluator.cli.server_verbs import servers
from toolorch_evaluator.cli.sweep_verb import sweep

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(servers, name="servers")
app.command()(sweep)


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
    bare: BareFiles = None,
    named: NamedFiles = None,
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
    """Run an evaluation on this machine, without a cluster: the files hold ModelPool and EvalRun documents.

    Pools become local model servers, which end with the run unless --keep-servers is given. The same command again
    resumes an interrupted run, and shows a finished one.

    Exit codes: 0 complete, 1 complete and its gate is breached, 2 bad input, 3 failed, 130 interrupted.
    """
    with foreseen():
        # Imported here: --help and --version need none of it.
        from toolorch_evaluator.cli.command import Request, carry_out

        request = Request(
            files=join_files(bare, named, "ModelPool and EvalRun documents"),
            output=output,
            name=name,
            endpoints=read_pairs("--endpoint", endpoints or ()),
            api_keys=read_pairs("--api-key", api_keys or ()),
            uid=uuid.uuid4().hex if fresh else "",
            keep_servers=keep_servers,
        )
        with tempfile.TemporaryDirectory(prefix="toolorch-", ignore_cleanup_errors=True) as scratch:
            work = carry_out(request, Path(scratch), Console(), Console(stderr=True))
            asyncio.run(until_terminated(work))


@app.command()
def watch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="EvalRun on the cluster.")],
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", metavar="NAMESPACE", help="Its namespace, if not the context's.")
    ] = "",
    context: Annotated[str, typer.Option("--context", metavar="CONTEXT", help="Context of the kubeconfig.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Show how the run stands now, and end.")] = False,
) -> None:
    """Follow a run on the cluster, through kubectl: its pools, shards, pace and Events, until it has ended.

    Exit codes: 0 complete, 2 it cannot be watched, 3 failed, 130 interrupted. With --once, 0 also while it goes on.
    """
    with foreseen("the run goes on"):
        from toolorch_evaluator.cli.kubectl import Kubectl
        from toolorch_evaluator.cli.watch import watch_run

        kubectl = Kubectl("kubectl", namespace, context)
        asyncio.run(until_terminated(watch_run(kubectl, name, Console(), once=once)))


@app.command()
def compare(
    before: Annotated[str, typer.Argument(metavar="A", help="Run to compare with: name, folder or URI.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Run that may be better or worse.")],
    max_drop: Annotated[
        float | None, typer.Option("--max-drop", metavar="POINTS", min=0, max=100, help="Gate: points that B may lose.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder in which names are.")] = Path(
        "toolorch-runs"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Compare two stored runs over the tasks that both have scored: the paired difference with a 95 % interval.

    A run on a cluster is given by its URI, which stands in the column RESULTS of kubectl get evalruns -o wide; the
    storage's credentials come from the environment.

    Exit codes: 0; 1 the drop is larger than --max-drop, the whole interval says so; 2 bad input. Where the interval
    covers both, the words say inconclusive and the code is 0.
    """
    from toolorch_evaluator.cli.compare import CompareRequest, compare_and_leave

    compare_and_leave(CompareRequest(before, after, output, max_drop, as_json))


@app.command()
def report(
    name: Annotated[str, typer.Argument(metavar="RUN", help="Stored run: name, folder or URI.")],
    copy_to: Annotated[
        Path | None, typer.Option("--copy-to", metavar="DIR", help="Copy report.html, its charts and tables here.")
    ] = None,
    inspect: Annotated[
        Path | None, typer.Option("--inspect", metavar="DIR", help="Write a log for `inspect view` here.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder in which names are.")] = Path(
        "toolorch-runs"
    ),
) -> None:
    """Print a stored run's report, or copy it, or write its conversations as a log of Inspect.

    A run on a cluster is given by its URI, which stands in the column RESULTS of kubectl get evalruns -o wide; the
    storage's credentials come from the environment.
    """
    from toolorch_evaluator.cli.report import ReportRequest, report_and_leave

    report_and_leave(ReportRequest(name, output, copy_to, inspect))


def main() -> None:
    """Run the command line."""
    app(prog_name="toolorch")


if __name__ == "__main__":
    main()
