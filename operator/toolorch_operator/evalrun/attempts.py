"""From what is missing to the next attempt: the missing set, its split over shards, and when to stop. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from toolorch_api.evalrun import EvalRun
from toolorch_api.keys import assignment_key, error_key, result_key
from toolorch_api.shard import Assignment, Manifest
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.plan import Blob


def missing_units(manifest: Manifest, results: frozenset[str]) -> list[int]:
    """Return the indexes of units without a final result, in the manifest's order."""
    return [i for i in range(len(manifest.units)) if result_key(manifest.unit(i)) not in results]


def count_errors(manifest: Manifest, missing: Sequence[int], errors: frozenset[str]) -> int:
    """Count the missing units whose newest outcome is an infra error."""
    return sum(error_key(manifest.unit(i)) in errors for i in missing)


def by_length(missing: Sequence[int], manifest: Manifest | None) -> list[int]:
    """Return units with the longest expected first, equal ones in the manifest's order."""
    estimates = manifest.estimates if manifest is not None else []
    return sorted(missing, key=lambda i: -estimates[i] if i < len(estimates) else 0.0)


def split_units(missing: Sequence[int], shards: int) -> list[list[int]]:
    """Deal units out to at most `shards` shards, one by one, so that each gets its part of every domain and length."""
    count = min(shards, len(missing))
    return [list(missing[i::count]) for i in range(count)]


def build_assignment(run: EvalRun, attempt: int, missing: Sequence[int], spec_hash: str) -> Assignment:
    """Return the assignment of an attempt at the missing units."""
    return Assignment(spec_hash=spec_hash, attempt=attempt, shards=split_units(missing, run.spec.shards))


def build_assignment_blob(assignment: Assignment) -> Blob:
    """Return the object that tells each shard its units."""
    body = assignment.model_dump_json(by_alias=True)
    return Blob(assignment_key(assignment.attempt), body.encode())


def current_attempt(run: EvalRun, observed: ObservedRun) -> int:
    """Return the newest attempt: from status, or from a Job where status has lost it; 0: none yet."""
    return max([run.status.attempt, *(job.attempt for job in observed.jobs.values())])


def stored_attempt(observed: ObservedRun) -> int:
    """Return the newest attempt whose shards wrote progress; it is above the current one where status was lost."""
    return max((p.attempt for p in observed.storage.progress), default=0)


def may_retry(run: EvalRun, attempt: int) -> bool:
    """Whether spec.retry allows one more attempt after this one; a resumed run has its retries anew."""
    return attempt - run.status.attempts_before < 1 + run.spec.retry.infra
