"""The matrix: from what workloads do without faults to the plans that disturb them, class by class."""

import random
from collections import Counter
from dataclasses import dataclass

from fault_plan import Fault, FaultPlan, When
from signatures import WRITES
from workloads import MAIN

ERRORS = {
    "409": {"code": 409},
    "429": {"code": 429, "headers": {"Retry-After": "2"}},
    "500": {"code": 500},
    "504": {"code": 504},
    "403": {"code": 403, "message": "exceeded quota: small, requested: count/x=1, used: count/x=1, limited: count/x=1"},
}
"""Answers of an API server that does nothing."""
OF_WRITES = ("409", "403")
"""Of these a read knows nothing: no two readers are in each other's way, and quotas count what is made."""
WATCHED = {
    "pool-scale": ("modelpools", "deployments", "pods", "services", "configmaps"),
    "pool-climb": ("modelpools", "deployments", "pods", "services", "configmaps"),
    "run-complete": ("evalruns", "jobs", "pods", "configmaps", "modelpools"),
}
LATE = 3
"""Seconds that a line is late: longer than a resync, which then comes first."""
CUT = 2
"""Seconds that a watch lives."""
STALL = 3600
"""Seconds that a watch says nothing: longer than any plan."""
STALE = {"pool-scale": 0.7, "pool-climb": 0.6, "run-complete": 0.5}
"""At which part of its writes an operator is killed that comes back to an API server that lags."""
CATCH_UP = 2
AWAY = {
    "pool-change": 1, "pool-delete": 1, "run-cancel": 2, "pool-loses-pod": 1, "pool-loses-node": 1, "run-loses-pod": 1,
    "run-loses-node": 1,
}  # fmt: skip
"""How many changes of each workload an operator is away for, one in each plan."""
OFTEN = ("crash-after-run-complete", "crash-after-pool-climb")
"""Plans of which the short tier has all: the longest ways, and a crash after each step of them."""
DRAWN = ("random", "lost reply", "error", "crash")
"""Classes of which the short tier has some by chance."""
RANDOM = 200
SEED = 20261121


@dataclass(frozen=True)
class Point:
    """One write of a workload that changed something: its signature, and the how manieth it is of its kind."""

    signature: str
    of_effective: int
    of_all: int


def build_matrix(references):
    """Return all plans by class; `references` are by workload."""
    singles = {
        "crash": [p for name in MAIN for p in plan_crashes(references[name])],
        "lost reply": [p for name in MAIN for p in plan_lost_replies(references[name])],
        "error": plan_errors(references),
        "watch": [p for name, kinds in WATCHED.items() for p in plan_watches(references[name], kinds)],
        "stale restart": [p for name in STALE for p in plan_stale(references[name])],
        "operator down": [p for name, n in AWAY.items() for p in plan_away(name, n)],
    }
    drawn = [plan for plans in singles.values() for plan in plans if plan.workload in MAIN]
    return {**singles, "random": list(draw(drawn, RANDOM))}


def pick(matrix, count):
    """Return about so many plans by class: those that find most, and of the rest some by chance, the same each time."""
    chance = random.Random(SEED)
    chosen = {kind: [] for kind in matrix}
    chosen["crash"] = [p for p in matrix["crash"] if p.name.startswith(OFTEN)]
    chosen["watch"] = [
        chance.choice(plans) for plans in group(matrix["watch"], lambda p: p.name.partition(p.workload)[0])
    ]
    chosen["stale restart"] = [chance.choice(plans) for plans in group(matrix["stale restart"], lambda p: p.workload)]
    chosen["operator down"] = list(matrix["operator down"])
    rest = max(0, count - sum(map(len, chosen.values())))
    left = {kind: [p for p in plans if p not in chosen[kind]] for kind, plans in matrix.items()}
    for number in range(rest):
        kind = DRAWN[number % len(DRAWN)]
        chosen[kind].append(left[kind].pop(chance.randrange(len(left[kind]))))
    return chosen


def group(plans, key):
    """Return plans as lists of those with the same key."""
    groups = {}
    for plan in plans:
        groups.setdefault(key(plan), []).append(plan)
    return groups.values()


def find_points(reference, *, own):
    """Return the effective writes that both runs of a reference have; `own`: only those after the first change.

    What comes before is the same as in the workload that has no change, which has plans of its own.
    """
    counts = [Counter(r.signature for r in records if r.effective) for records in reference.runs]
    effective, every, points = Counter(), Counter(), []
    for number, record in enumerate(reference.runs[0]):
        if record.verb not in WRITES:
            continue
        every[record.signature] += 1
        effective[record.signature] += record.effective
        is_shared = all(effective[record.signature] <= count[record.signature] for count in counts)
        if record.effective and is_shared and (not own or number >= reference.first_change):
            points.append(Point(record.signature, effective[record.signature], every[record.signature]))
    return points


def plan_crashes(reference):
    """Yield a crash before and a crash after each write."""
    for number, point in enumerate(find_points(reference, own=True), start=1):
        before = Fault(When(point.signature, point.of_all), "before", "kill")
        after = Fault(When(point.signature, point.of_effective, effective=True), "after", "kill")
        yield name_plan("crash-before", reference.workload, number, before)
        yield name_plan("crash-after", reference.workload, number, after)


def plan_lost_replies(reference):
    """Yield a connection that breaks after each write was done."""
    for number, point in enumerate(find_points(reference, own=True), start=1):
        lost = Fault(When(point.signature, point.of_effective, effective=True), "after", "reset")
        yield name_plan("lost-reply", reference.workload, number, lost)


def plan_errors(references):
    """Return each error at the first call of each signature, in the first workload that makes such a call."""
    first = {}
    for name in MAIN:
        for record in references[name].runs[0]:
            if record.verb.islower() and record.verb != "watch" and shape(record) not in first:
                first[shape(record)] = (name, record)
    plans = []
    for number, (name, record) in enumerate(first.values(), start=1):
        for error, reply in ERRORS.items():
            if record.verb in WRITES or error not in OF_WRITES:
                fault = Fault(When(record.signature), "before", "reply", reply)
                plans.append(name_plan(f"error-{error}", name, number, fault))
        plans.append(name_plan("error-reset", name, number, Fault(When(record.signature), "before", "reset")))
    return plans


def shape(record):
    """Return verb, resource and subresource of a call, all discovery being one."""
    verb, _, rest = record.signature.partition(" ")
    parts = rest.split("/")
    return (verb, parts[0], *(parts[2:] if parts[0] else ()))


def plan_watches(reference, kinds):
    """Yield what may happen to the watch of each kind."""
    lines = Counter(r.signature.partition("/")[0] for r in reference.runs[0] if r.verb.isupper())
    for number, kind in enumerate(kinds, start=1):
        for name, fault in list_watch_faults(kind, lines):
            yield name_plan(f"watch-{name}", reference.workload, number, fault)


def list_watch_faults(kind, lines):
    """Yield name and fault for one kind; `lines` counts the lines of each type and kind."""
    for type_ in ("ADDED", "MODIFIED", "DELETED"):
        # The last one is what nothing else makes up for.
        if last := lines[f"{type_} {kind}"]:
            yield f"drop-{type_.lower()}", Fault(When(f"{type_} {kind}/*", last), "line", "drop")
    every, watch = When(f"* {kind}/*", times=0), f"watch {kind}"
    yield "dup", Fault(every, "line", "dup")
    yield "delay", Fault(When(f"* {kind}/*", 2), "line", "hold", {"seconds": LATE})
    yield "stall", Fault(When(f"* {kind}/*", 2), "line", "hold", {"seconds": STALL})
    yield "truncate", Fault(When(f"* {kind}/*", 2), "line", "truncate")
    yield "disconnect", Fault(When(watch, times=0), "before", "cut", {"seconds": CUT, "breaks": True})
    yield "error-410", Fault(When(f"* {kind}/*", 2), "line", "error", {"code": 410})
    yield "error-500", Fault(When(f"* {kind}/*", 2), "line", "error", {"code": 500})
    yield "http-410", Fault(When(watch), "before", "reply", {"code": 410})


def plan_stale(reference):
    """Yield a crash after which the API server lags by one to five events."""
    points = find_points(reference, own=False)
    point = points[int(len(points) * STALE[reference.workload])]
    for events in range(1, 6):
        when = When(point.signature, point.of_effective, effective=True)
        lag = {"events": events, "seconds": CATCH_UP}
        yield name_plan("stale", reference.workload, events, Fault(when, "after", "kill", lag))


def plan_away(workload, changes):
    """Yield an operator that is away for each change of a workload."""
    for number in range(1, changes + 1):
        yield name_plan("down", workload, number, Fault(When("*", number), "change", "away"))


def draw(plans, count):
    """Yield plans of two to four faults that stand alone elsewhere."""
    chance = random.Random(SEED)
    by_workload = {name: [p.faults[0] for p in plans if p.workload == name] for name in MAIN}
    for number in range(1, count + 1):
        workload = chance.choice(MAIN)
        faults = tuple(chance.sample(by_workload[workload], chance.randint(2, 4)))
        yield FaultPlan(f"random-{workload}-{number:03}", workload, faults, seed=number)


def name_plan(kind, workload, number, fault):
    """Return a plan of one fault."""
    return FaultPlan(f"{kind}-{workload}-{number:03}", workload, (fault,), seed=number)
