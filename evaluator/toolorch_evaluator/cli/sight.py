"""One sight of a run on the cluster: the run, its pools, the pods of its present step, its Events. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pydantic

from toolorch_api import evalrun, modelpool
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.meta import LABEL_ATTEMPT, LABEL_STEP
from toolorch_api.roles import Roles

# Set by the Job controller on the pods of an Indexed Job.
INDEX = "batch.kubernetes.io/job-completion-index"
_ENDED = frozenset(("Succeeded", "Failed"))

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """The EvalRun."""

    name: str
    namespace: str
    benchmark: str
    pools: tuple[str, ...]
    status: EvalRunStatus


@dataclass(frozen=True, slots=True)
class Pool:
    """A ModelPool of the run's roles."""

    name: str
    ready: str
    """Such as 3/4; empty where it does not exist, or nobody has looked at it yet."""
    reason: str


@dataclass(frozen=True, slots=True)
class Shard:
    """What works on one index of the present attempt, or on planning or the report."""

    name: str
    """Index, or plan, or report."""
    state: str
    node: str
    tries: int
    """Pods of it that are still there: ended ones and the newest."""
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Happening:
    """A Kubernetes Event about the run or one of its pools."""

    at: datetime | None
    about: str
    reason: str
    message: str
    is_warning: bool


@dataclass(frozen=True, slots=True)
class Sight:
    """All of it at one moment."""

    run: Run
    pools: tuple[Pool, ...] = ()
    shards: tuple[Shard, ...] = ()
    events: tuple[Happening, ...] = ()
    """Oldest first."""
    notes: tuple[str, ...] = ()
    """What could not be read."""


def parse_run(raw: Raw) -> Run:
    """Return the view of an EvalRun; raises pydantic.ValidationError for one of another version."""
    meta, spec = raw["metadata"], raw.get("spec") or {}
    return Run(
        name=meta["name"],
        namespace=meta.get("namespace", ""),
        benchmark=(spec.get("benchmark") or {}).get("name", ""),
        pools=_pool_names(spec.get("roles") or {}),
        status=EvalRunStatus.model_validate(raw.get("status") or {}),
    )


def parse_pools(run: Run, owners: Iterable[Raw]) -> tuple[Pool, ...]:
    """Return the run's pools in the order of its roles; one that does not exist says so."""
    known = {o["metadata"]["name"]: o.get("status") or {} for o in owners if o.get("kind") == modelpool.KIND}
    return tuple(
        Pool(name, str(known[name].get("ready", "")), str(known[name].get("reason", "")))
        if name in known
        else Pool(name, "", "does not exist")
        for name in run.pools
    )


def parse_shards(run: Run, pods: Iterable[Raw]) -> tuple[Shard, ...]:
    """Return a row per shard of the newest attempt, and per pod that plans or reports and has not ended."""
    rows: dict[str, list[Raw]] = {}
    for pod in sorted(pods, key=lambda p: str(p["metadata"].get("creationTimestamp") or "")):
        meta, phase = pod["metadata"], (pod.get("status") or {}).get("phase", "")
        labels = meta.get("labels") or {}
        if labels.get(LABEL_ATTEMPT) == str(run.status.attempt):
            index = labels.get(INDEX) or (meta.get("annotations") or {}).get(INDEX) or meta["name"]
            rows.setdefault(str(index), []).append(pod)
        elif LABEL_ATTEMPT not in labels and phase not in _ENDED:
            rows.setdefault(labels.get(LABEL_STEP) or meta["name"], []).append(pod)
    return tuple(_parse_shard(name, rows[name]) for name in sorted(rows, key=_by_index))


def parse_events(run: Run, events: Iterable[Raw]) -> tuple[Happening, ...]:
    """Return the Events about the run and its pools, oldest first."""
    about = {(evalrun.KIND, run.name)} | {(modelpool.KIND, name) for name in run.pools}
    own = [e for e in events if (_subject(e).get("kind"), _subject(e).get("name")) in about]
    parsed = [
        Happening(
            at=_parse_time(e.get("lastTimestamp") or e.get("eventTime") or e.get("firstTimestamp")),
            about=str(_subject(e).get("name")),
            reason=str(e.get("reason") or ""),
            message=" ".join(str(e.get("message") or "").split()),
            is_warning=e.get("type") == "Warning",
        )
        for e in own
    ]
    return tuple(sorted(parsed, key=lambda e: (e.at is not None, e.at, e.about, e.message)))


def _subject(event: Raw) -> Raw:
    found: Raw = event.get("involvedObject") or {}
    return found


def _pool_names(roles: Raw) -> tuple[str, ...]:
    try:
        return tuple(Roles.model_validate(roles).pools())
    except pydantic.ValidationError:
        # Roles of a newer version: what is known of them tells nothing that could be trusted.
        return ()


def _by_index(name: str) -> tuple[bool, int, str]:
    return (name.isdecimal(), int(name) if name.isdecimal() else 0, name)


def _parse_shard(name: str, pods: list[Raw]) -> Shard:
    newest = pods[-1]
    spec, status = newest.get("spec") or {}, newest.get("status") or {}
    since = _parse_time(newest["metadata"].get("creationTimestamp"))
    return Shard(name, _describe_pod(newest, status), str(spec.get("nodeName") or ""), len(pods), since)


def _describe_pod(pod: Raw, status: Raw) -> str:
    phase = str(status.get("phase") or "Pending")
    if pod["metadata"].get("deletionTimestamp") and phase not in _ENDED:
        return "Terminating"
    statuses: list[Raw] = list(status.get("containerStatuses") or ())
    container: Raw = (statuses[0].get("state") if statuses else None) or {}
    if phase == "Failed":
        code = (container.get("terminated") or {}).get("exitCode")
        return f"Failed ({code})" if code is not None else "Failed"
    if phase != "Pending":
        return phase
    scheduled: Raw = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {})
    unscheduled = scheduled.get("reason") if scheduled.get("status") == "False" else ""
    return str(unscheduled or (container.get("waiting") or {}).get("reason") or phase)


def _parse_time(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
