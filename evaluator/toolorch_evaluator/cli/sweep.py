"""`toolorch sweep` between the options and the exit code: read, expand, run here or on the cluster, print the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console

from toolorch_api.conditions import RunCondition, Truth, find_condition, is_true
from toolorch_evaluator.cli.errors import BadInputError, GateBreachedError, RunFailedError
from toolorch_evaluator.cli.folder import write_whole
from toolorch_evaluator.cli.kubectl import Kubectl
from toolorch_evaluator.cli.lines import say
from toolorch_evaluator.cli.sweep_cluster import apply_runs
from toolorch_evaluator.cli.sweep_documents import load_sweep
from toolorch_evaluator.cli.sweep_local import LocalSweep, run_here
from toolorch_evaluator.cli.sweep_table import Row, render_csv, render_sweep


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What the options of `toolorch sweep` say."""

    files: tuple[Path, ...]
    output: Path
    endpoints: Mapping[str, str]
    api_keys: Mapping[str, str]
    csv: Path | None = None
    as_manifests: bool = False
    on_cluster: bool = False
    namespace: str = ""
    context: str = ""


async def carry_out(request: SweepRequest, scratch: Path, out: Console, err: Console) -> None:
    """Do what is asked for; raises BadInputError, RunFailedError where a run failed, or GateBreachedError."""
    is_local = not (request.as_manifests or request.on_cluster)
    documents = load_sweep(request.files, with_pools=is_local)
    if request.as_manifests:
        manifests = [each.manifest for each in documents.runs]
        # Not through the console, which folds long lines.
        out.file.write(yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True))
        return
    if request.on_cluster:
        place = Kubectl("kubectl", request.namespace or documents.namespace, request.context)
        rows = await apply_runs(place, documents)
    else:
        here = LocalSweep(request.output, request.endpoints, request.api_keys, scratch)
        rows = await run_here(documents, here, err)
    for line in render_sweep(list(documents.sweep.matrix), rows):
        say(out, line)
    if request.csv is not None:
        _write_csv(request.csv, render_csv(list(documents.sweep.matrix), rows))
    _judge(rows, is_local)


def _write_csv(file: Path, text: str) -> None:
    try:
        write_whole(file, text.encode())
    except OSError as error:
        raise BadInputError([f"--csv: {file} cannot be written: {error.strerror}"]) from None


def _judge(rows: Sequence[Row], is_local: bool) -> None:
    """Raise what the whole ends with; on this machine a run that has not come to its end counts as failed."""
    failed = [row.name for row in rows if _has_failed(row, is_local)]
    if failed:
        raise RunFailedError(f"{len(failed)} of {len(rows)} runs failed: {', '.join(failed)}")
    gates = {row.name: find_condition(row.status.conditions, RunCondition.GATE_PASSED) for row in rows}
    breached = [name for name, gate in gates.items() if gate is not None and gate.status is Truth.FALSE]
    if breached:
        raise GateBreachedError(f"the gate of {', '.join(breached)} is breached")


def _has_failed(row: Row, is_local: bool) -> bool:
    conditions = row.status.conditions
    return is_true(conditions, RunCondition.FAILED) or (is_local and not is_true(conditions, RunCondition.COMPLETE))
