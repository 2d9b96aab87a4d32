"""What keeps a Job of a run from having pods: a queue that has not admitted it, or a refusal of its pods. PURE."""

from __future__ import annotations

from toolorch_api.conditions import RunReason
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.step import Says

# The API server's words for a ResourceQuota, which stand in Events only.
_QUOTA = "exceeded quota"
# A webhook's refusal can be long; the start of it tells the cause.
_FOREIGN_CHARACTERS = 300


def find_holdup(observed: ObservedRun, name: str) -> Says | None:
    """Return why a Job has no pod at all; None: it has some, or it only just began."""
    job = observed.jobs.get(name)
    if job is None or job.has_ended:
        return None
    if job.queue and job.is_suspended:
        return Says(False, RunReason.WAITING_FOR_QUEUE, f"Job {name} waits for Kueue to admit it in queue {job.queue}")
    refusal = observed.refusals.get(name, "")
    if not refusal or job.active or observed.live_pods(name):
        return None
    reason = RunReason.QUOTA_EXCEEDED if _QUOTA in refusal else RunReason.PODS_REFUSED
    return Says(False, reason, f"Job {name} gets no pod: {refusal[:_FOREIGN_CHARACTERS]}")


def describe_pods(observed: ObservedRun, name: str) -> str:
    """Return "; 1 pod waits: Unschedulable; 2 pods failed, last: ..." of a Job with pods; empty: all is well."""
    job, refusal = observed.jobs.get(name), observed.refusals.get(name, "")
    lacks = job.missing_pods if job is not None and refusal else 0
    refused = f"; {lacks} pod{'s' if lacks > 1 else ''} refused: {refusal[:_FOREIGN_CHARACTERS]}" if lacks else ""
    return observed.describe_waiting(name) + refused + _describe_failed(observed, name)


def _describe_failed(observed: ObservedRun, name: str) -> str:
    failed = observed.failed_pods(name)
    if not failed:
        return ""
    last = next((pod.message for pod in reversed(failed) if pod.message), "")
    why = f", last: {last[:_FOREIGN_CHARACTERS]}" if last else ""
    return f"; {len(failed)} pod{'s' if len(failed) > 1 else ''} failed{why}"
