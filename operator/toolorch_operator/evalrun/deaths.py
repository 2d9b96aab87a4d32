"""Deaths of a run's pods: which of them count, their records in storage, and what they say of units. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from toolorch_api.deaths import Death, Verdict, judge_deaths
from toolorch_api.evalrun import EvalRun, spec_hash
from toolorch_api.evalrun_status import UnitCounts
from toolorch_api.keys import death_key, result_key
from toolorch_api.shard import ExitCode
from toolorch_operator.evalrun.observed import ObservedRun, PodView
from toolorch_operator.evalrun.pods import name_end
from toolorch_operator.evalrun.settled import is_finished
from toolorch_operator.plan import Blob

QUARANTINED_LISTED, QUARANTINED_NAMED = 20, 3
"""Units that status lists, as its schema bounds them, and that a sentence names; the report lists all."""


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


def learn_quarantine(run: EvalRun, observed: ObservedRun) -> EvalRun:
    """Return a run whose status counts and names the units that are set aside, as far as this look can tell.

    Between audits only the pods that are seen tell of deaths: then it never takes one back.
    """
    manifest, results = observed.storage.manifest, observed.storage.results or frozenset()
    if manifest is None or is_finished(run.status):
        return run
    judged = [i for i in judge_units(run, observed).quarantined if i < len(manifest.units)]
    units = [manifest.unit(i) for i in sorted(judged)]
    set_aside = [unit.key for unit in units if result_key(unit) not in results]
    if observed.storage.deaths is None and len(set_aside) <= run.status.units.quarantined:
        return run
    counts = run.status.units.model_copy(update={"quarantined": len(set_aside)})
    status = run.status.model_copy(update={"units": counts, "quarantined": set_aside[:QUARANTINED_LISTED]})
    return run.model_copy(update={"status": status})


def describe_quarantine(units: UnitCounts, names: Sequence[str]) -> str:
    """Return "; 1 quarantined: control/retail/12/0" for the end of a sentence; empty where no unit is."""
    if not units.quarantined:
        return ""
    named = ", ".join(names[:QUARANTINED_NAMED])
    more = units.quarantined - min(len(names), QUARANTINED_NAMED)
    return f"; {units.quarantined} quarantined: {named}" + (f" and {more} more" if more > 0 else "")


def _pod_deaths(run: EvalRun, pods: Iterable[PodView]) -> dict[str, Death]:
    hash_ = spec_hash(run.spec)
    return {death_key(p.attempt, p.name): _build_death(p, hash_) for p in pods if died_of_units(p)}


def _build_death(pod: PodView, hash_: str) -> Death:
    why = name_end(pod.exit_code, pod.reason)
    return Death(spec_hash=hash_, attempt=pod.attempt, what="pod", units=list(pod.running), why=why)
