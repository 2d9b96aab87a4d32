"""Evidence of failed pods: how each ended and what it printed last, kept before the cluster forgets it. PURE.

exit.json is written after everything else that a failed pod leaves: where it is, nothing is left to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.keys import exit_key, pod_log_key
from toolorch_api.pod_exit import PodExit
from toolorch_operator.evalrun.deaths import build_death_blobs
from toolorch_operator.evalrun.observed import ObservedRun, PodLog, PodView
from toolorch_operator.plan import Blob, Plan

LOG_LINES, LOG_BYTES = 2000, 256 * 1024
"""Of a log this end is kept: what a program says last tells why it died, and storage is not a log store."""
LOGS_PER_LOOK = 16
"""Logs that one look reads: 4 MiB in memory at most, and a look that others wait for stays short."""
NEXT_LOGS = timedelta(seconds=1)
"""Until the look at the rest, or at what has been written by now."""
STORAGE_LOOK = timedelta(seconds=5)
"""Until the next try where storage does not tell what it has; that it is back is told by nobody."""


def evidence_is_kept(observed: ObservedRun) -> bool:
    """Whether nothing is lost where the Jobs of a run and their pods go now.

    True as well where there is nowhere to keep it, as where the output's Secret is gone.
    """
    return not _unkept(observed)


def wanted_exits(observed: ObservedRun) -> frozenset[str]:
    """Return the keys by which storage tells which failed pods need no more looking after."""
    return frozenset(_exit_key(pod) for pod in observed.pods if pod.has_failed)


def wanted_logs(observed: ObservedRun) -> list[PodView]:
    """Return the pods whose logs are to be read in this look; none where nobody knows what storage has."""
    return [] if observed.storage.exits is None else _unkept(observed)[:LOGS_PER_LOOK]


def keep_evidence(run: EvalRun, observed: ObservedRun, decided: Plan) -> Plan:
    """Return a plan with all that is to be kept of failed pods; it takes no Job away before that is in storage."""
    unkept, known = _unkept(observed), observed.storage.exits is not None
    if not unkept:
        return decided
    blobs = (*build_death_blobs(run, observed, unkept), *_build_blobs(run, observed, unkept)) if known else ()
    looks = [look for look in (decided.requeue_after, NEXT_LOGS if known else STORAGE_LOOK) if look is not None]
    kept = replace(decided, blobs=(*blobs, *decided.blobs), requeue_after=min(looks))
    # What is left of the plan goes by what it deletes: it is made again in the next look.
    takes_jobs = any(ref.kind == "Job" for ref in decided.delete)
    return Plan(blobs=kept.blobs, apply=kept.apply, requeue_after=kept.requeue_after) if takes_jobs else kept


def _unkept(observed: ObservedRun) -> list[PodView]:
    if not (observed.has_storage and observed.secret_exists):
        return []
    kept = observed.storage.exits or frozenset()
    return [pod for pod in observed.pods if pod.has_failed and _exit_key(pod) not in kept]


def _build_blobs(run: EvalRun, observed: ObservedRun, pods: list[PodView]) -> Iterator[Blob]:
    for pod in pods:
        log = observed.logs.get(pod.name)
        if log is None:
            continue
        if log.text:
            yield Blob(pod_log_key(pod.attempt, _folder(pod), pod.name), log.text.encode())
        yield Blob(
            _exit_key(pod), _build_exit(run, pod, log).model_dump_json(by_alias=True, exclude_none=True).encode()
        )


def _build_exit(run: EvalRun, pod: PodView, log: PodLog) -> PodExit:
    return PodExit(
        spec_hash=spec_hash(run.spec),
        attempt=pod.attempt,
        step=pod.step,
        shard=pod.index,
        pod=pod.name,
        exit_code=pod.exit_code,
        reason=pod.reason,
        message=pod.message,
        running=list(pod.running),
        disrupted=pod.is_disrupted,
        node=pod.node,
        image_id=pod.image_id,
        started_at=pod.started_at,
        finished_at=pod.finished_at,
        log=log.problem,
    )


def _exit_key(pod: PodView) -> str:
    return exit_key(pod.attempt, _folder(pod), pod.name)


def _folder(pod: PodView) -> str:
    return pod.step if pod.index is None else str(pod.index)
