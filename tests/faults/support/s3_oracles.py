"""What must be so whatever goes wrong with storage: each oracle returns what is not, in sentences."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import groupby

from s3_plan import OPERATOR, StoragePlan, name_kind
from s3_scene import SHARDS, UNITS, WIDTH
from s3_server import SECRET
from s3_world import Outcome

ONCE = ("manifest", "run", "prompts", "results", "transcripts", "claims", "assignment", "attempt-provenance", "exit")
"""Kinds of objects that are created and never written again."""
KILLED = -9
OUTAGE_WRITES = 3
"""A read that fails, a write that fails, and the first that fails after one of them has been answered."""


def is_deadly(plan: StoragePlan) -> bool:
    """Whether a plan may cost a pod: it kills one, or storage is away for longer than one waits."""
    kills = any(f.action.startswith("kill") and f.signature.split()[0] != OPERATOR for f in plan.faults)
    return kills or any(f.seconds > plan.patience for f in plan.faults)


def is_racy(plan: StoragePlan) -> bool:
    """Whether storage itself writes over what it should have kept."""
    return any(f.action == "both_win" for f in plan.faults)


def lags(plan: StoragePlan) -> bool:
    """Whether listings lag behind."""
    return any(f.action == "hide_newest" for f in plan.faults)


def check_results(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """Each unit has one result, with the reward of the reference."""
    wanted, found = reference.read("results/"), outcome.read("results/")
    yield from (f"no {key}" for key in sorted(wanted.keys() - found.keys()))
    yield from (f"{key} is no unit's" for key in sorted(found.keys() - wanted.keys()))
    for key in sorted(wanted.keys() & found.keys()):
        for part in ("status", "reward", "taskId", "specHash"):
            if wanted[key][part] != found[key][part]:
                yield f"{key}: {part} is {found[key][part]}, not {wanted[key][part]}"
    yield from (f"{key}: an infra error, although only storage failed" for key in sorted(outcome.read("errors/")))


def check_transcripts(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """Each result is that of the conversation that is stored."""
    for key, result in outcome.read("results/").items():
        there = f"transcripts/{key.removeprefix('results/')}.zst"
        told = outcome.read(there).get(there)
        if told is None:
            yield f"{key} has no transcript"
        elif (told["run"]["pod"], told["run"]["outputs"]) != (result["pod"], result["outputs"]):
            yield f"{key} is of another conversation than the one that is stored"


def check_overwrites(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """Nothing that is written once was overwritten with other content."""
    if is_racy(outcome.plan):
        return
    for key, digests in outcome.seen.commits.items():
        if name_kind(key) in ONCE and len(set(digests)) > 1:
            yield f"{key} was written {len(digests)} times, with other content"


def check_verdict(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """The run is complete with the reference's numbers, and never was said to have failed, nor too early to be so."""
    if not outcome.settled:
        yield f"not settled: {outcome.status.get('reason')}: {outcome.status.get('message', '')}"
    for type_ in ("Complete", "ResultsComplete"):
        if outcome.condition(type_) != "True":
            yield f"{type_} is {outcome.condition(type_) or 'unsaid'}: {outcome.status.get('reason')}"
    for status in outcome.statuses:
        said = {c["type"]: c for c in status.get("conditions", [])}
        if said.get("Failed", {}).get("status") == "True":
            yield f"said to have failed: {said['Failed']['message']}"
        if status.get("units", {}).get("done", 0) > UNITS:
            yield f"{status['units']['done']} units done of {UNITS}"
    yield from (f"too early: {claim}" for claim in outcome.early)
    for field in ("score", "interval"):
        if outcome.status.get(field) != reference.status[field]:
            yield f"{field} is {outcome.status.get(field)!r}, not {reference.status[field]!r}"


def check_exits(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """Each process's exit code says what happened: 0 for its work done, 1 where storage stayed away, nothing else."""
    for end in outcome.ends:
        if end.code in (0, 44 if outcome.plan.workload == "twice" else 0):
            continue
        deadly = is_deadly(outcome.plan)
        if deadly and end.code == KILLED:
            continue
        reason = read_reason(end.word)
        if not (deadly and end.code == 1 and reason in ("StorageUnreachable", "NoPlan")):
            yield f"{end.pod} ended with {end.code}: {end.word[:200] or end.log[-300:]}"


def read_reason(word: str) -> str:
    """Return the reason in a last word, empty for none."""
    try:
        return str(json.loads(word).get("reason", ""))
    except ValueError:
        return ""


def check_work(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """No conversation is held twice because storage stumbled; a pod's death costs those that ran in it."""
    again = sum(count - 1 for count in outcome.calls.values() if count > 1)
    allowed = SHARDS * WIDTH if is_deadly(outcome.plan) else 0
    if outcome.plan.workload != "twice" and again > allowed and not is_racy(outcome.plan):
        yield f"{again} conversations were held again"
    attempts = outcome.status.get("attempt", 0)
    if attempts > 1 and not is_deadly(outcome.plan) and not lags(outcome.plan):
        yield f"{attempts} attempts, although no pod was lost"


def check_rest(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """That storage is away is written down once, not at each look, but for what was asked when it went or came back."""
    for away, statuses in groupby(outcome.statuses, lambda s: s.get("reason", "").startswith("StorageUnavailable")):
        texts = [status["reason"] for status in statuses] if away else []
        if len(texts) > OUTAGE_WRITES:
            yield f"an outage was written down {len(texts)} times: {sorted(set(texts))}"


def check_secrets(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """No text that people read holds a key of the storage."""
    texts = {"status": json.dumps(outcome.statuses)} | {e.pod: e.word + e.log for e in outcome.ends}
    texts |= {key: repr(body) for key, body in outcome.objects.items()}
    yield from (f"{where} holds the secret key" for where, text in texts.items() if SECRET in text)


def check_report(reference: Outcome, outcome: Outcome) -> Iterator[str]:
    """The report says what the reference's does."""
    if outcome.condition("ReportReady") != "True":
        yield f"no report: {outcome.status.get('reason')}"
    wanted, found = (o.read("report/summary.json").get("report/summary.json") for o in (reference, outcome))
    yield from (
        f"summary.json: {k} is {(found or {}).get(k)!r}, not {v!r}"
        for k, v in (wanted or {}).items()
        if (found or {}).get(k) != v and k not in CHANGING
    )
    yield from (f"no {key}" for key in reference.objects if key.startswith("report/") and key not in outcome.objects)


CHANGING = ("createdAt",)
"""Of summary.json: what no two reports on the same results have alike."""

ORACLES: tuple[Callable[[Outcome, Outcome], Iterator[str]], ...] = (
    check_results,
    check_transcripts,
    check_overwrites,
    check_verdict,
    check_exits,
    check_work,
    check_rest,
    check_secrets,
)
"""Of every plan."""


def judge(reference: Outcome, outcome: Outcome) -> list[str]:
    """Return all that is wrong with an outcome; `reference` is one of the same workload without faults."""
    oracles = (*ORACLES, check_report) if outcome.plan.workload == "report" else ORACLES
    return [f"{o.__name__.removeprefix('check_')}: {what}" for o in oracles for what in o(reference, outcome)]
