"""All plans: each fault at each signature's first, middle and last request, as a run without faults shows them."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping

from s3_plan import OPERATOR, Fault, StoragePlan

WRITES = ("CREATE", "PUT")
SOME = 3
"""Plans of a class in the short tier."""
ANYWHERE = ("slow_down", "reset_before", "skew", "hang_after")
ACTIONS: Mapping[str, tuple[str, ...]] = {
    "CREATE": (*ANYWHERE, "error_after", "reset_after", "conflict", "precondition", "kill_before", "kill_after"),
    "PUT": (*ANYWHERE, "error_after", "reset_after", "conflict", "kill_after"),
    "GET": (*ANYWHERE, "truncate"),
    "LIST": (*ANYWHERE, "truncate", "hide_newest"),
    "DELETE": ("slow_down", "reset_before", "skew", "error_after", "kill_after"),
}
"""What is tried at which operation."""
TIMES = {"slow_down": 3, "skew": 3}
"""More than one: the storage library tries some of them again by itself, and those that ask must do so too."""
OUTAGE_SECONDS = 4.0
RANDOM = 60
"""Plans of several faults."""
SHORT_PATIENCE = 1.0
"""Less than an outage; the usual one is far more, as 300 s are of 60 s."""


def build_matrix(counts: Mapping[str, Mapping[str, int]]) -> dict[str, list[StoragePlan]]:
    """Return all plans by class; `counts` are the references' requests by workload and signature."""
    return {
        "one fault": build_single(counts["run"]),
        "one fault of the report": build_single(counts["report"], "report"),
        "outage": build_outages(counts["run"]),
        "race": build_races(),
        "several faults": build_random(counts["run"]),
    }


def pick(matrix: Mapping[str, list[StoragePlan]]) -> dict[str, list[StoragePlan]]:
    """Return the short tier: of each class some plans, among them each action of a single fault."""
    chance = random.Random(0)
    by_action: dict[str, list[StoragePlan]] = {}
    for plan in matrix["one fault"]:
        by_action.setdefault(plan.faults[0].action, []).append(plan)
    some = {kind: chance.sample(plans, min(SOME, len(plans))) for kind, plans in matrix.items()}
    return {**some, "one fault": [chance.choice(plans) for _, plans in sorted(by_action.items())]}


def occurrences(count: int) -> list[int]:
    """Return the first, the middle and the last request of so many."""
    return sorted({1, (count + 1) // 2, count})


def build_single(counts: Mapping[str, int], workload: str = "run") -> list[StoragePlan]:
    """Return one plan per signature, action and occurrence; `counts` are the reference's requests by signature."""
    return [
        StoragePlan((Fault(signature, number, action, TIMES.get(action, 1)),), workload)
        for signature, count in sorted(counts.items())
        for action in find_actions(signature)
        for number in occurrences(count)
    ]


def find_actions(signature: str) -> Iterator[str]:
    """Return what can happen to a signature's requests."""
    _, operation, what = signature.split()
    for action in ACTIONS[operation]:
        # A probe's key is fresh: that it cannot be made is an answer like any other.
        if action == "precondition" and what == "probe":
            continue
        yield action


def build_outages(counts: Mapping[str, int]) -> list[StoragePlan]:
    """Return plans in which storage is away: for less long than a pod waits, and for longer."""
    return [
        StoragePlan((Fault(signature, (count + 1) // 2, "outage", seconds=OUTAGE_SECONDS),), patience=patience)
        for signature, count in sorted(counts.items())
        for patience in (StoragePlan().patience, SHORT_PATIENCE)
    ]


def build_races() -> list[StoragePlan]:
    """Return plans whose storage lets two writers win: always, or now and then, so that a probe cannot show it."""
    always = tuple(
        Fault(f"{who} CREATE {what}", 1, "both_win", times=10**6)
        for who in (OPERATOR, "plan", "shard")
        for what in ("probe", "manifest", "claims", "transcripts", "results", "assignment")
    )
    rarely = [
        StoragePlan((Fault(f"shard CREATE {what}", n, "both_win", times=4),), workload)
        for what in ("claims", "transcripts", "results")
        for n in (1, 5, 11)
        for workload in ("run", "twice")
    ]
    return [StoragePlan(always), StoragePlan(always, "twice"), StoragePlan(workload="twice"), *rarely]


def build_random(counts: Mapping[str, int]) -> list[StoragePlan]:
    """Return seeded plans of two to four faults."""
    return [_build_random(random.Random(seed), counts, seed) for seed in range(RANDOM)]


def _build_random(chance: random.Random, counts: Mapping[str, int], seed: int) -> StoragePlan:
    faults = []
    for signature in chance.sample(sorted(counts), chance.randint(2, 4)):
        action = chance.choice(list(find_actions(signature)))
        faults.append(Fault(signature, chance.randint(1, counts[signature]), action, TIMES.get(action, 1)))
    return StoragePlan(tuple(faults), seed=seed)


def at_least(*counts: Counter[str]) -> dict[str, int]:
    """Return how often each signature came in every one of some runs; what not all have is left out."""
    return {s: min(c[s] for c in counts) for s in counts[0] if all(c[s] for c in counts)}
