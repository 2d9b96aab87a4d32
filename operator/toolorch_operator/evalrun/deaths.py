"""Deaths of a run's pods: which of them count, their records in storage, and what they say of units. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from toolorch_api.deaths import Death, Verdict, judge_deaths
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.keys import death_key
from toolorch_api.shard import ExitCode, Manifest
from toolorch_operator.evalrun.observed import ObservedRun, PodView
from toolorch_operator.evalrun.pods import name_end
from toolorch_operator.plan import Blob

QUARANTINED_NAMED = 20
"""Units that status lists; the report lists all."""


def died_of_units(pod: PodView) -> bool:
    """Whether units may have killed a pod: it worked on some, and nobody took it away nor was its input refused."""
    taken = pod.is_disrupted or pod.is_leaving
    return pod.has_failed and bool(pod.running) and not taken and pod.exit_code != ExitCode.BAD_INPUT


def judge_units(run: EvalRun, observed: ObservedRun) -> Verdict:
    """Return who is suspect and who is set aside, by the deaths in storage and those of the pods that are seen."""
    known: Mapping[str, Death] = {**_pod_deaths(run, observed.pods), **(observed.storage.deaths or {})}
    return judge_deaths(known.values(), spec_hash(run.spec), run.spec.retry.quarantine_after)


def build_death_blobs(run: EvalRun, observed: ObservedRun, pods: Iterable[PodView]) -> Iterator[Blob]:
    """Return the records of those pods that died of units; one that storage is known to have is left out."""
    known = observed.storage.deaths or {}
    for key, death in _pod_deaths(run, pods).items():
        if key not in known:
            yield Blob(key, death.model_dump_json(by_alias=True).encode())


def name_units(manifest: Manifest, indexes: Iterable[int]) -> list[str]:
    """Return the first units that are set aside, as <variant>/<domain>/<task>/<trial>, in the manifest's order."""
    there = [i for i in sorted(indexes) if i < len(manifest.units)]
    return [manifest.unit(i).key for i in there[:QUARANTINED_NAMED]]


def _pod_deaths(run: EvalRun, pods: Iterable[PodView]) -> dict[str, Death]:
    hash_ = spec_hash(run.spec)
    return {death_key(p.attempt, p.name): _build_death(p, hash_) for p in pods if died_of_units(p)}


def _build_death(pod: PodView, hash_: str) -> Death:
    why = name_end(pod.exit_code, pod.reason)
    return Death(spec_hash=hash_, attempt=pod.attempt, what="pod", units=list(pod.running), why=why)
