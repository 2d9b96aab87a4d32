"""A pool's Jobs: how one is built around a pod, and how a listed one is read together with its pods. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolorch_api.meta import LABEL_KIND, LABEL_MANAGED_BY, LABEL_NAME, LABEL_PURPOSE, MANAGED_BY, child_labels
from toolorch_api.modelpool import KIND, ModelPool
from toolorch_operator.modelpool.observed import JobView
from toolorch_operator.owner import build_owner_reference
from toolorch_operator.plan import Manifest
from toolorch_operator.queueing import find_queue, hold_job, queue_labels
from toolorch_operator.raw import find_raw_condition

JOB_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY},{LABEL_KIND}={KIND},{LABEL_PURPOSE}"
"""Selects the Jobs of all pools of a namespace, and their pods."""

LABEL_JOB = "batch.kubernetes.io/job-name"
"""Label that Kubernetes gives the pods of a Job."""

# Restarts that are no disruption; Kubernetes doubles the wait from 10 s.
_BACKOFF_LIMIT = 3
# What the cluster did to a pod is no failure of what ran in it.
_FAILURE_RULES = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
_ROUTINE_WAITS = ("ContainerCreating", "PodInitializing")


def build_job(
    pool: ModelPool, name: str, purpose: str, pod_spec: Mapping[str, Any], deadline_seconds: int | None = None
) -> Manifest:
    """Return a Job of the pool that is kept until the operator deletes it."""
    # The pool's Services select by its name, and must not send requests to a pod that serves nothing.
    pod_labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_KIND: KIND, LABEL_PURPOSE: purpose}
    meta = pool.metadata
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": child_labels(KIND, meta.name, **{LABEL_PURPOSE: purpose}, **queue_labels(meta.labels)),
            "ownerReferences": [build_owner_reference(KIND, meta.name, meta.uid)],
        },
        "spec": {
            **hold_job(meta.labels),
            "backoffLimit": _BACKOFF_LIMIT,
            **({"activeDeadlineSeconds": deadline_seconds} if deadline_seconds else {}),
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {"rules": _FAILURE_RULES},
            "template": {"metadata": {"labels": pod_labels}, "spec": pod_spec},
        },
    }


def container_name(purpose: str) -> str:
    """Return the name of the container in which a Job of this purpose does its work: fetch or probe."""
    return purpose.partition("-")[0]


def parse_job(raw: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], log: str = "") -> JobView:
    """Return the view of a Job manifest; `pods` may hold other Jobs' pods, `log` is the end of what its pod printed."""
    meta = raw.get("metadata") or {}
    labels, status = meta.get("labels") or {}, raw.get("status") or {}
    failed = find_raw_condition(status, "Failed")
    succeeded = find_raw_condition(status, "Complete").get("status") == "True"
    is_over = succeeded or failed.get("status") == "True"
    newest = newest_pod(meta.get("name", ""), pods)
    said = str(_container(newest, "terminated").get("message") or "")
    return JobView(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        pool=labels.get(LABEL_NAME, ""),
        purpose=labels.get(LABEL_PURPOSE, ""),
        succeeded=succeeded,
        failed=is_over and not succeeded,
        message=said or str(failed.get("message") or ""),
        log=log,
        holdup="" if is_over else _find_holdup(raw, newest),
    )


def newest_pod(job: str, pods: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the youngest pod of a Job, empty where it has none: the one that speaks for it."""
    own = [p for p in pods if ((p.get("metadata") or {}).get("labels") or {}).get(LABEL_JOB) == job]
    return max(own, key=lambda p: str(p["metadata"].get("creationTimestamp", "")), default={})


def _find_holdup(job: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    queue = find_queue(job)
    if queue and (job.get("spec") or {}).get("suspend"):
        return f"it waits for Kueue to admit it in queue {queue}"
    if not pod:
        return "it has no pod yet"
    scheduled = find_raw_condition(pod.get("status") or {}, "PodScheduled")
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', '')}: {scheduled.get('message', '')}"
    waiting = _container(pod, "waiting")
    reason = str(waiting.get("reason") or "")
    return f"{reason}: {waiting.get('message', '')}" if reason and reason not in _ROUTINE_WAITS else ""


def _container(pod: Mapping[str, Any], state: str) -> Mapping[str, Any]:
    """Return the end of the pod's own container, or what it waits for: an injected sidecar may stand before it."""
    purpose = ((pod.get("metadata") or {}).get("labels") or {}).get(LABEL_PURPOSE, "")
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    own: Mapping[str, Any] = next((c for c in containers if c.get("name") == container_name(purpose)), {})
    return (own.get("state") or {}).get(state) or {}
