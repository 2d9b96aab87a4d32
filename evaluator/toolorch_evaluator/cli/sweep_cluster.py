"""A sweep on the cluster: its EvalRuns are applied through kubectl, and read back as the table shows them."""

from __future__ import annotations

from pydantic import ValidationError

from toolorch_api import evalrun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.meta import GROUP
from toolorch_evaluator.cli.documents import meant
from toolorch_evaluator.cli.errors import BadInputError
from toolorch_evaluator.cli.kubectl import Kubectl, UnreadableError
from toolorch_evaluator.cli.sweep_documents import SweepDocuments, pools_used
from toolorch_evaluator.cli.sweep_table import Row

# Its own: fields that the operator or a person sets are left alone.
FIELD_MANAGER = "toolorch-cli"


async def apply_runs(kubectl: Kubectl, documents: SweepDocuments) -> list[Row]:
    """Apply all runs and return how each stands; raises BadInputError before the first is applied."""
    try:
        await _check_pools(kubectl, documents)
        # The namespace is kubectl's to say: one in the manifest would contradict --namespace.
        manifests = [
            {**each.manifest, "metadata": {k: v for k, v in each.manifest["metadata"].items() if k != "namespace"}}
            for each in documents.runs
        ]
        for for_real in (False, True):
            complaints = await kubectl.apply(manifests, FIELD_MANAGER, for_real=for_real)
            if complaints:
                raise BadInputError([f"kubectl: {line}" for line in complaints])
        found = {raw["metadata"]["name"]: raw for raw in await kubectl.read(f"evalruns.{GROUP}")}
    except UnreadableError as error:
        raise BadInputError([str(error)]) from None
    rows = []
    for each in documents.runs:
        name = each.run.metadata.name
        rows.append(Row(name, each.assignment, each.run.spec.trials, _status(name, found.get(name, {}))))
    return rows


async def _check_pools(kubectl: Kubectl, documents: SweepDocuments) -> None:
    there = [raw["metadata"]["name"] for raw in await kubectl.read(f"modelpools.{GROUP}")]
    missing = [pool for pool in pools_used(documents.runs) if pool not in there]
    if missing:
        known = f"(there: {', '.join(there) or 'none'})"
        where = "on the cluster, and a sweep applies none"
        raise BadInputError([f"there is no ModelPool {pool} {where}{meant(pool, there)} {known}" for pool in missing])


def _status(name: str, raw: dict[str, object]) -> EvalRunStatus:
    try:
        return EvalRunStatus.model_validate(raw.get("status") or {})
    except ValidationError:
        raise BadInputError([f"the status of {evalrun.KIND} {name} is not what this toolorch knows"]) from None
