"""The children of a run, as manifests: the ConfigMap with run.json, and the Jobs plan, attempt and report. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from toolorch_api.evalrun import KIND, EvalRun
from toolorch_api.meta import LABEL_ATTEMPT, LABEL_STEP, child_labels
from toolorch_api.run_input import Price
from toolorch_api.shard import ExitCode, RunInput
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.names import attempt_job, input_config_map, plan_job, report_job
from toolorch_operator.evalrun.observed import ObservedRun, PoolView
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.provenance import find_evaluator_image
from toolorch_operator.evalrun.serving import build_pool_input
from toolorch_operator.evalrun.size import Size, size_annotations, size_fields
from toolorch_operator.evalrun.template import build_pod_spec
from toolorch_operator.owner import build_owner_reference
from toolorch_operator.plan import Manifest
from toolorch_operator.queueing import hold_job, queue_labels

NO_PRICES: Mapping[str, Price] = MappingProxyType({})
# Restarts of one shard, or of planning and reporting, that are no disruption; Kubernetes doubles the wait from 10 s.
BACKOFF_LIMIT = 3
# First match wins: what the cluster or a SIGTERM did costs no retry; what cannot work is not tried again.
POD_FAILURE_RULES: list[dict[str, Any]] = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
    {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [int(ExitCode.BAD_INPUT)]}},
    {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [int(ExitCode.DRAINED)]}},
]


def build_input(
    run: EvalRun, observed: ObservedRun, root: str, spec_hash: str, prices: Mapping[str, Price] = NO_PRICES
) -> Manifest:
    """Return the ConfigMap with run.json, the same text for the same spec, baseline, prices and servers.

    That it changes while shards run does them no harm: they look only at how many units may run at once.
    """
    told = RunInput(
        name=run.metadata.name,
        namespace=run.metadata.namespace,
        uid=run.metadata.uid,
        spec=run.spec,
        spec_hash=spec_hash,
        root=root,
        pools={name: build_pool_input(observed.pools[name]) for name in run.spec.roles.pools()},
        baseline=observed.baseline,
        prices=_price_pools(run, observed, prices),
        evaluator_image=find_evaluator_image(observed.pods),
    )
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _build_metadata(run, input_config_map(run), {}),
        # Without defaults: pods of a Job that outlives an upgrade are of the older version, and refuse new fields.
        "data": {"run.json": told.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)},
    }


def _price_pools(run: EvalRun, observed: ObservedRun, prices: Mapping[str, Price]) -> dict[str, Price]:
    """Return what tokens cost by pool: under the pool's name, else under its model's."""
    named = ((pool, (pool, observed.pools[pool].model)) for pool in run.spec.roles.pools())
    found = ((pool, next((prices[name] for name in names if name in prices), None)) for pool, names in named)
    return {pool: price for pool, price in found if price is not None}


def build_plan_job(run: EvalRun, defaults: Defaults) -> Manifest:
    """Return the Job that writes the manifest; it asks no model, so it may run before the pools are ready."""
    return _build_single_job(run, defaults, plan_job(run), "plan")


def build_report_job(run: EvalRun, defaults: Defaults, attempt: int) -> Manifest:
    """Return the Job that writes the report; its summary names the newest attempt, which is no label of its pods."""
    return _build_single_job(run, defaults, report_job(run), "report", attempt)


def build_attempt_job(
    run: EvalRun, defaults: Defaults, attempt: int, shards: int, pools: Mapping[str, PoolView]
) -> Manifest:
    """Return the Indexed Job of an attempt, one index per shard of its assignment.

    None is deleted by age: results decide.
    """
    size = Size(run.spec.shards, shards)
    spec = {
        "completionMode": "Indexed",
        **size_fields(size),
        # So that one attempt can find out which unit kills its pod.
        "backoffLimitPerIndex": max(BACKOFF_LIMIT, run.spec.retry.quarantine_after),
        # A second pod of an index starts only when the first has ended.
        "podReplacementPolicy": "Failed",
    }
    used = [pools[name] for name in run.spec.roles.pools()]
    job = _build_job(run, defaults, attempt_job(run, attempt), "shard", attempt, spec, used)
    return {**job, "metadata": {**job["metadata"], "annotations": size_annotations(size)}}


def build_suspension(run: EvalRun, job: str, *, suspend: bool, size: Size | None = None) -> Manifest:
    """Return the fields of a Job that may change; the rest of it is immutable and stays unsaid.

    The size is always said where there is one: a field that was applied once and then left out would be removed.
    """
    metadata: dict[str, Any] = {"name": job, "labels": child_labels(KIND, run.metadata.name)}
    spec: dict[str, Any] = {"suspend": suspend}
    if size is not None:
        metadata["annotations"] = size_annotations(size)
        spec |= size_fields(size)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _build_single_job(run: EvalRun, defaults: Defaults, name: str, step: str, attempt: int = 0) -> Manifest:
    spec = {"backoffLimit": BACKOFF_LIMIT, "podReplacementPolicy": "Failed"}
    return _build_job(run, defaults, name, step, attempt, spec)


def _build_job(
    run: EvalRun,
    defaults: Defaults,
    name: str,
    step: str,
    attempt: int,
    spec: dict[str, Any],
    pools: list[PoolView] | None = None,
) -> Manifest:
    output = resolve_output(run, defaults)
    secret = output.secret if output else ""
    # By this label the pods of an attempt are found: those of the report are none of them.
    labels = {LABEL_STEP: step} | ({LABEL_ATTEMPT: str(attempt)} if step == "shard" else {})
    queued = run.metadata.labels
    pod = build_pod_spec(defaults, step, attempt, secret, input_config_map(run), pools or [])
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _build_metadata(run, name, labels | queue_labels(queued)),
        "spec": {
            **hold_job(queued),
            **spec,
            "podFailurePolicy": {"rules": POD_FAILURE_RULES},
            "template": {
                "metadata": {"labels": child_labels(KIND, run.metadata.name, **labels)},
                "spec": pod,
            },
        },
    }


def _build_metadata(run: EvalRun, name: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": run.metadata.namespace,
        "labels": child_labels(KIND, run.metadata.name, **labels),
        "ownerReferences": [build_owner_reference(KIND, run.metadata.name, run.metadata.uid)],
    }
