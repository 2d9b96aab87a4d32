"""The six oracles: each holds the outcome of a plan against what the same workload comes to without faults."""

import re
from collections import Counter
from dataclasses import dataclass, field

from arena import NODES
from normal import describe_end
from signatures import mask

SHOWN = 4
"""Differences that a violation names; the rest is counted."""
REQUESTS = 12
"""Requests of a resync of one pool; a loop without a pause makes hundreds in a look for quiet."""
LIVENESS = ("O1", "O4", "O5")
"""Oracles of what comes about in time: these alone may a machine that is busy with something else bring up."""
TERMINATED = 0
LOG_ALLOWED = re.compile(r"^(retry|resync failed|cannot list the kinds|event not posted|refused)$")
"""Warnings that name an API server's trouble; a bug says `bug`."""
RETRIED = re.compile(r"^Request attempt #\d+/\d+ failed; (will retry|TCP closed)")
"""What kopf says as an error of each answer that it bears."""
DEATH = re.compile(
    r"^a part of the operator died$|^(Watcher for|Multidimensional multitasker) .*has failed"
    # What its other watches say as they are let go.
    r"|^Exception in callback stream\.<locals>\.request_cancel_callback"
)
"""Last words of an operator whose watch cannot go on."""


@dataclass
class Reference:
    """A workload without faults, learnt from several runs: what is the same in all of them."""

    workload: str
    end: dict = field(default_factory=dict)
    births: Counter = field(default_factory=Counter)
    volatile: set = field(default_factory=set)
    """Fields and objects that differ between the runs."""
    seconds: float = 0.0
    requests: int = 0
    """Most requests in a look for quiet."""
    runs: list = field(default_factory=list)
    """Records of each run's trace."""
    first_change: int = 0
    """Number of the first run's record at which the user changed something."""


def learn(outcomes):
    """Return the reference that several runs without faults give."""
    ends, births = [describe_end(o.story) for o in outcomes], [count_births(o.story) for o in outcomes]
    volatile = {key for end in ends for key in end if any(other.get(key) != end[key] for other in ends)}
    volatile |= {key for count in births for key in count if any(other[key] != count[key] for other in births)}
    return Reference(
        outcomes[0].workload,
        ends[0],
        births[0],
        volatile,
        max(o.seconds for o in outcomes),
        max(len(requests) for o in outcomes for _, requests in o.quiet),
        [o.trace.records for o in outcomes],
        outcomes[0].first_change,
    )


def judge(plan, reference, outcome):
    """Return all violations of a plan, each as a sentence that begins with its oracle."""
    found = [f"world: {text}" for text in outcome.broken]
    if outcome.late:
        found.append(f"O4 {outcome.late}")
    else:
        found += judge_end(reference, outcome) + judge_births(reference, outcome) + judge_quiet(reference, outcome)
    return found + judge_invariants(outcome) + judge_log(plan, outcome)


def judge_end(reference, outcome):
    """O1: the end is the reference's."""
    end = describe_end(outcome.story)
    keys = sorted(reference.end.keys() | end.keys() - reference.volatile)
    apart = [k for k in keys if k not in reference.volatile and reference.end.get(k) != end.get(k)]
    shown = "; ".join(f"{k} is {end.get(k)!r}, not {reference.end.get(k)!r}" for k in apart[:SHOWN])
    return [f"O1 {len(apart)} fields differ at the end: {shown}"] if apart else []


def judge_births(reference, outcome):
    """O2: each object comes, and goes, as often as in the reference."""
    births = count_births(outcome.story)
    keys = sorted(k for k in (reference.births.keys() | births.keys()) - reference.volatile if is_counted(k, outcome))
    apart = [k for k in keys if births[k] != reference.births[k]]
    return [f"O2 {k} was made {births[k]} times, not {reference.births[k]}" for k in apart]


def judge_quiet(reference, outcome):
    """O5: the operator comes to rest: no write, and no more requests than without faults."""
    writes, requests = outcome.quiet[-1]
    if writes:
        return [f"O5 restless: {len(writes)} writes in the last look, such as {writes[0].signature}"]
    # A resync that falls into one look may fall twice into another, beside what an operator asks that has just begun.
    most = 3 * max(REQUESTS, reference.requests)
    return [f"O5 {len(requests)} requests at rest, at most {most} expected"] if len(requests) > most else []


def judge_invariants(outcome):
    """O3: what holds at every moment, not only at the end."""
    story = outcome.story
    found = [f"O3 {most} GPUs of {node} were asked for" for node, most in story.most_gpus.items() if most > room(node)]
    found += [f"O3 unit {unit} was run {n} times" for unit, n in story.executed.items() if n > 1]
    found += [f"O3 {key} was written with other content" for key in story.tampered]
    jobs = Counter((name, n) for (kind, name), n in story.births.items() if kind == "Job" and n > 1)
    found += [f"O3 Job {name} was made {n} times" for name, n in jobs]
    return found + judge_versions(story.versions)


def judge_versions(versions):
    """O3 of ModelPools and EvalRuns, from one version to the next."""
    found, before = [], {}
    for item in versions:
        meta, status = item["metadata"], item.get("status", {})
        key = (meta["uid"], f"{item['kind']} {meta['name']}")
        last = before.get(key, {})
        seen, known = status.get("observedGeneration", 0), last.get("observedGeneration", 0)
        if seen < known or seen > meta["generation"]:
            found.append(f"O3 {key[1]}: observedGeneration {known} became {seen} at generation {meta['generation']}")
        if meta.get("finalizers"):
            found.append(f"O3 {key[1]} has a finalizer")
        if status.get("attempt", 0) < last.get("attempt", 0):
            found.append(f"O3 {key[1]}: attempt {last['attempt']} became {status['attempt']}")
        if has_moved(last, status) and last["ladder"]["counted"] == status["ladder"]["counted"]:
            found.append(f"O3 {key[1]}: gpuMemoryUtilization moved without a new crash")
        before[key] = status
    return found


def has_moved(last, status):
    """Tell whether the ladder changed settings of the same spec."""
    same = last.get("ladder", {}).get("specHash", "") == status.get("ladder", {}).get("specHash") != ""
    return same and last["effective"] != status["effective"]


def judge_log(plan, outcome):
    """O6: nothing that the operator did not expect, and no end that nobody asked for."""
    loud = [line for line in outcome.logs if line.get("level") not in ("debug", "info") and not is_allowed(line)]
    bad = [line for line in loud if not (may_exit(plan) and DEATH.search(line.get("event", "")))]
    found = [f"O6 {line.get('event')}: {str(line.get('exception') or line)[-300:]}" for line in bad[:SHOWN]]
    unasked, [last] = outcome.codes[:-1], outcome.codes[-1:] or [TERMINATED]
    if unasked and not may_exit(plan):
        found.append(f"O6 the operator ended with {unasked}")
    if last not in (TERMINATED, None):
        found.append(f"O6 told to end, it ended with {last}")
    return found


def is_allowed(line):
    """Tell whether a line above INFO is about the API server's trouble."""
    said = line.get("event", "")
    return RETRIED.match(said) or (line.get("level") == "warning" and LOG_ALLOWED.match(said))


def may_exit(plan):
    """Tell whether one of a plan's faults may end an operator by itself: a watch was told that it cannot go on."""
    errors = (f for f in plan.faults if f.action in ("error", "reply"))
    codes = [(f.action, f.arguments["code"], f.when.signature.startswith("watch ")) for f in errors]
    return any(code == 410 if is_watch else action == "error" and code != 410 for action, code, is_watch in codes)


def count_births(story):
    """Return how often each object was made, by kind and masked name."""
    counted = Counter()
    for (kind, name), n in story.births.items():
        counted[f"{kind}/{mask(name)}"] += n
    return counted


def is_counted(key, outcome):
    """Tell whether it matters how often an object was made: not of what is deleted with its owner.

    An operator that is writing a Service in that very moment makes it once more, and it is deleted once more.
    """
    kind, _, name = key.partition("/")
    owners = [owner for (of, owner) in outcome.story.objects if of in ("ModelPool", "EvalRun")]
    return kind not in ("Service", "ConfigMap") or any(f"{name}-".startswith(f"{owner}-") for owner in owners)


def room(node):
    """Return the GPUs of a node."""
    return NODES.get(node, 0)
