"""What an EvalRun's brain sees: small frozen views of pools, Jobs, pods and storage, parsed at the border. PURE.

The frame fills an `ObservedRun` without storage, asks `wanted_facts` (wants.py) what to read there, and reads storage
last: what a Job's end promises is then in storage already when the brain looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from toolorch_api.deaths import Death
from toolorch_api.shard import Assignment, Baseline, Manifest, Progress, Summary
from toolorch_operator.evalrun.pods import parse_attempt, parse_last_word, parse_pod
from toolorch_operator.evalrun.serving import parse_serving
from toolorch_operator.evalrun.size import parse_size
from toolorch_operator.evalrun.views import JobView, PodLog, PodView, PoolView
from toolorch_operator.queueing import find_queue
from toolorch_operator.raw import find_raw_condition, parse_time

__all__ = [
    "JobView",
    "ObservedRun",
    "PodLog",
    "PodView",
    "PoolView",
    "StorageView",
    "parse_job",
    "parse_last_word",
    "parse_pod",
    "parse_pool",
]


@dataclass(frozen=True, slots=True)
class StorageView:
    """What was read in the run's folder; what was not asked for is None or empty."""

    reachable: bool = True
    error: str = ""
    """Why storage could not be read, without secrets."""
    manifest: Manifest | None = None
    assignment: Assignment | None = None
    """Of the attempt in StorageWants.assignment."""
    progress: tuple[Progress, ...] = ()
    """Of all shards of all attempts."""
    results: frozenset[str] | None = None
    """Keys below the run's folder, such as results/control/retail/7/0.json; None: not listed."""
    errors: frozenset[str] | None = None
    """Keys below the run's folder, such as errors/control/retail/7/0.json; None: not listed."""
    summary: Summary | None = None
    deaths: Mapping[str, Death] | None = None
    """By key; None: not listed."""
    exits: frozenset[str] | None = None
    """Keys of exit.json of failed pods that are there; None: not asked."""


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """The world around one EvalRun."""

    pools: Mapping[str, PoolView] = field(default_factory=dict)
    """By name; a pool that does not exist is absent."""
    secret_exists: bool = True
    """Whether the output's Secret is there; True where none is named."""
    jobs: Mapping[str, JobView] = field(default_factory=dict)
    pods: tuple[PodView, ...] = ()
    config_maps: frozenset[str] = frozenset()
    """Names of the run's own ConfigMaps."""
    namespace_is_going: bool = False
    """Whether the run's namespace is being deleted; looked at where a pod is going."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """By Job: why the API server took no more of its pods, for Jobs that lack some."""
    has_storage: bool = True
    """Whether there is anywhere to write to: an address, and the Secret that it needs."""
    storage: StorageView = StorageView()
    baseline: Baseline | None = None
    """What spec.gate compares with; None without a gate."""
    logs: Mapping[str, PodLog] = field(default_factory=dict)
    """By pod: logs of failed pods, as far as this look read them."""

    def describe_waiting(self, job: str) -> str:
        """Return "; 2 pods wait: Unschedulable" for pods of a Job that cannot start; empty where none is."""
        reasons = [pod.waiting for pod in self.live_pods(job) if pod.waiting]
        if not reasons:
            return ""
        return f"; {len(reasons)} pod{'s wait' if len(reasons) > 1 else ' waits'}: {', '.join(sorted(set(reasons)))}"

    def is_stuck(self, job: str) -> bool:
        """Whether a Job has pods, and none of them works: they cannot start, or have failed and wait for the next."""
        live = self.live_pods(job)
        return all(pod.waiting for pod in live) if live else bool(self.failed_pods(job))

    def failed_pods(self, job: str) -> list[PodView]:
        """Pods of a Job that have failed, by the time of their ends."""
        failed = [pod for pod in self.pods if pod.job == job and pod.has_failed]
        return sorted(failed, key=lambda pod: pod.finished_at.timestamp() if pod.finished_at else 0.0)

    def live_pods(self, job: str) -> list[PodView]:
        """Pods of a Job, there or deleted, in which something may still run."""
        return [pod for pod in self.pods if pod.job == job and not pod.has_ended]


def parse_pool(raw: Mapping[str, Any]) -> PoolView:
    """Return the view of a ModelPool manifest; unknown and missing fields do no harm."""
    spec, status, meta = raw.get("spec", {}), raw.get("status") or {}, raw["metadata"]
    ready = find_raw_condition(status, "Ready")
    external = spec.get("external") or {}
    key = external.get("apiKeySecretRef")
    is_current = ready.get("observedGeneration", 0) >= meta.get("generation", 0)
    return PoolView(
        name=meta["name"],
        model=spec.get("model", ""),
        served_name=spec.get("servedModelName") or spec.get("model", ""),
        ready=ready.get("status") == "True" and is_current,
        ready_replicas=status.get("readyReplicas", 0),
        wanted_replicas=0 if external else spec.get("replicas", 1),
        reason=status.get("reason") or ready.get("reason", ""),
        external=bool(external),
        base_url=external.get("baseURL", ""),
        key_secret=(key["name"], key["key"]) if key else None,
        chat_template_kwargs=spec.get("chatTemplateKwargs") or {},
        serving=parse_serving(raw),
        gpus=0 if external else status.get("gpus", 0),
    )


def parse_job(raw: Mapping[str, Any]) -> JobView:
    """Return the view of a Job manifest."""
    spec, status = raw.get("spec", {}), raw.get("status") or {}
    failed = find_raw_condition(status, "Failed")
    return JobView(
        name=raw["metadata"]["name"],
        uid=raw["metadata"].get("uid", ""),
        active=status.get("active", 0),
        succeeded=status.get("succeeded", 0),
        failed=status.get("failed", 0),
        is_complete=find_raw_condition(status, "Complete").get("status") == "True",
        is_failed=failed.get("status") == "True",
        failure=": ".join(filter(None, (failed.get("reason"), failed.get("message")))),
        is_suspended=bool(spec.get("suspend")),
        queue=find_queue(raw),
        missing_pods=_count_missing(spec, status),
        attempt=parse_attempt(raw),
        size=parse_size(raw),
        created=parse_time(raw["metadata"].get("creationTimestamp")),
        started_at=parse_time(status.get("startTime")),
        stopped_at=_parse_stop(status),
    )


def _parse_stop(status: Mapping[str, Any]) -> datetime | None:
    stops = (find_raw_condition(status, type_) for type_ in ("Complete", "Failed", "Suspended"))
    times = (parse_time(stop.get("lastTransitionTime")) for stop in stops if stop.get("status") == "True")
    return next((time for time in times if time is not None), None)


def _count_missing(spec: Mapping[str, Any], status: Mapping[str, Any]) -> int:
    """Count the pods that a Job lacks; its controller makes them in the very look that sets startTime."""
    is_ending = any(c.get("status") == "True" for c in status.get("conditions") or ())
    if spec.get("suspend") or not status.get("startTime") or is_ending:
        return 0
    made = sum(int(status.get(part, 0)) for part in ("active", "terminating", "succeeded", "failed"))
    return max(0, int(spec.get("parallelism", 1)) - made)


def parse_refusal(events: Sequence[Mapping[str, Any]]) -> str:
    """Return why a Job's pods were refused, from its Events FailedCreate; empty where none tells."""
    newest = max(events, key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""), default={})
    text = str(newest.get("message") or "").strip()
    # Before the reason stands the name of a pod that never was.
    return text.partition(" is forbidden: ")[2] or text.removeprefix("Error creating: ")
