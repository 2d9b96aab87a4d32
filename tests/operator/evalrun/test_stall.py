"""A run in which nothing ends: when it is called stalled, when not any more, and whose pod is replaced."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.conditions import is_true
from toolorch_api.evalrun_status import EvalRunStatus, UnitCounts
from toolorch_api.shard import Progress
from toolorch_operator.evalrun.observed import JobView, ObservedRun, PodView, PoolView, StorageView
from toolorch_operator.evalrun.stall import add_stall, find_patience, find_stragglers, say_stall, span
from toolorch_operator.evalrun.step import go_on

POOLS = {name: PoolView(name, "m", "m", ready=True) for name in ("orchestrator", "user-sim")}
CALL = {"callSeconds": 60, "unitSeconds": 3600, "runSeconds": 86400}
TEN_MINUTES = timedelta(minutes=10)


def ago(kit, minutes):
    return kit.now - timedelta(minutes=minutes)


def shard(kit, number=0, ends=(), seconds=(), answer=None, wrote=0.0, began=60.0, **more):
    """A shard's progress; all times in minutes ago."""
    return Progress(
        **{"running": 2, "attempt": 1, **more}, spec_hash="h", shard=number, pod=f"p{number}", total=9,
        recent_ends=[ago(kit, m) for m in ends], recent_seconds=list(seconds),
        last_answer_at=None if answer is None else ago(kit, answer),
        started_at=ago(kit, began), updated_at=ago(kit, wrote),
    )  # fmt: skip


def condition(kit, type_, status, reason, minutes):
    return {"type": type_, "status": status, "reason": reason, "lastTransitionTime": ago(kit, minutes).isoformat()}


def running(kit, *shards, stalled=None, began=60, reachable=("False", 60), rested=60, replaced=(), pools=None, **spec):
    """A run at work since an hour, with a pod for each shard; times in minutes ago."""
    conditions = [
        condition(kit, "ResultsComplete", reachable[0], "Running", reachable[1]),
        condition(kit, "Suspended", "False", "NotSuspended", rested),
    ]
    conditions += [] if stalled is None else [condition(kit, "Stalled", "True", "NoUnitEnded", stalled)]
    status = {"attempt": 1, "conditions": conditions, "startTime": ago(kit, 60).isoformat(), "replaced": list(replaced)}
    run = kit.run(**{"deadlines": CALL, **spec}).model_copy(update={"status": EvalRunStatus.model_validate(status)})
    pods = tuple(
        PodView(
            f"p{p.shard}", "smoke-a1", "shard", 1, "Running", index=p.shard, uid=f"u{p.shard}", started_at=p.started_at
        )
        for p in shards
    )
    job = JobView(
        name="smoke-a1", uid="u", attempt=1, active=len(shards), created=ago(kit, 60), started_at=ago(kit, began)
    )
    return run, ObservedRun(
        pools=pools or POOLS, jobs={"smoke-a1": job}, pods=pods, storage=StorageView(progress=tuple(shards))
    )


def said(kit, run, observed, done=3):
    units = UnitCounts(total=10, done=done)
    found = say_stall(run, observed, units, find_patience(run, observed, kit.defaults), kit.now)
    return found.truth, found.message


def test_patience_is_the_longest_of_the_floor_the_median_and_one_call(kit):
    run, observed = running(kit, shard(kit, seconds=[10, 20, 3000]))
    assert find_patience(run, observed, kit.defaults) == TEN_MINUTES
    run, observed = running(kit, shard(kit, seconds=[240, 300]), shard(kit, 1, seconds=[3000]))
    assert find_patience(run, observed, kit.defaults) == timedelta(seconds=1500)
    run, observed = running(kit, deadlines={"callSeconds": 1200, "unitSeconds": 3600, "runSeconds": 86400})
    assert find_patience(run, observed, kit.defaults) == timedelta(minutes=20)
    hasty = replace(kit.defaults, run_stall_seconds=5.0)
    assert find_patience(*running(kit), hasty) == timedelta(seconds=60)


STALLS = {
    "nothing ended for too long, in any shard": (
        lambda k: running(k, shard(k, ends=[14], seconds=[120]), shard(k, 1, ends=[20])),
        "no unit ended for 14 min; the median unit takes 2 min",
    ),
    "not a unit has ever ended": (lambda k: running(k, shard(k)), "no unit ended for 60 min"),
    "models answer and still nothing ends": (
        lambda k: running(k, shard(k, ends=[14], answer=3)),
        "no unit ended for 14 min; a model last answered 3 min ago",
    ),
    "a pool went away meanwhile, which is named": (
        lambda k: running(
            k, shard(k, ends=[14]), pools={**POOLS, "user-sim": PoolView("user-sim", "m", "m", reason="Crashed")}
        ),
        "no unit ended for 14 min; user-sim 0/0 ready, Crashed",
    ),
    "one unit since is no recovery": (
        lambda k: running(k, shard(k, ends=[40, 2]), stalled=20), "1 unit ended since the run stalled",
    ),
    "units that ended before it stalled are none since": (
        lambda k: running(k, shard(k, ends=[40, 39, 38]), stalled=20), "no unit ended for 38 min",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STALLS, ids=str)
def test_a_run_is_stalled_when(kit, name):
    arrange, message = STALLS[name]
    assert said(kit, *arrange(kit)) == (True, message)


FLOWING = {
    "one shard of two still ends units": lambda k: running(k, shard(k, ends=[14]), shard(k, 1, ends=[2])),
    "its Job has only just begun": lambda k: running(k, shard(k, ends=[30]), began=5),
    "it was resumed a little while ago": lambda k: running(k, shard(k, ends=[30]), rested=5),
    "storage has only just come back": lambda k: running(k, shard(k, ends=[30]), reachable=("False", 5)),
    "storage comes back in this look": lambda k: running(k, shard(k, ends=[30]), reachable=("Unknown", 50)),
    "its units are long": lambda k: running(k, shard(k, ends=[14], seconds=[600])),
    "three units ended since it stalled": lambda k: running(
        k, shard(k, ends=[3, 2]), shard(k, 1, ends=[1]), stalled=20
    ),
}


@pytest.mark.parametrize("name", FLOWING, ids=str)
def test_a_run_is_not_stalled_when(kit, name):
    assert said(kit, *FLOWING[name](kit)) == (False, "")


def test_the_last_units_end_a_stall_too(kit):
    run, observed = running(kit, shard(kit, ends=[3, 2]), stalled=20)
    assert said(kit, run, observed, done=9)[0] is True
    assert said(kit, run, observed, done=10)[0] is False


def test_a_stall_is_the_headline_a_warning_and_told_once(kit):
    world = kit.World()
    while world.status.units.done < 2:
        world.tick()
        world.work()
    world.now += timedelta(minutes=15)
    for _ in range(3):
        world.tick()
        world.now += timedelta(minutes=1)
    assert world.condition("Stalled").status == "True"
    assert world.condition("Progressing").status == "False"
    assert world.status.reason.startswith("NoUnitEnded: no unit ended for 17 min; attempt 1: 3 of 10 done")
    assert world.events.count("NoUnitEnded") == 1
    world.down = True
    world.tick()
    assert world.condition("Stalled").status == "True"
    assert world.status.reason == "StorageUnavailable: connection refused"
    world.down = False
    for turn in range(3):
        world.work(turn)
    world.tick()
    assert (world.condition("Stalled").status, world.status.reason) == ("False", "Running")
    assert world.condition("ResultsComplete").status == "False"
    assert (world.events.count("NoUnitEnded"), world.events.count("NotStalled")) == (1, 1)
    world.settle()
    assert world.condition("Stalled").reason == "NotStalled"


def test_suspending_a_run_ends_its_stall_and_resuming_begins_none(kit):
    world = kit.World()
    while world.status.units.done < 2:
        world.tick()
        world.work()
    world.now += timedelta(minutes=15)
    world.tick()
    world.raw["spec"]["suspend"] = True
    world.tick()
    assert world.condition("Stalled").status == "False"
    assert "NotStalled" not in world.events
    world.now += timedelta(days=1)
    world.raw["spec"]["suspend"] = False
    for _ in range(3):
        world.tick()
    assert world.condition("Stalled").status == "False"


@settings(max_examples=12, deadline=None, derandomize=True)
@given(gaps=st.lists(st.integers(1, 40), min_size=1, max_size=15))
def test_a_stall_never_comes_back_before_some_units_have_ended(kit, gaps):
    ends, clock = [], 0
    for gap in gaps:
        clock += gap
        ends.append(clock)
    incidents = _watch(kit, ends, until=clock + 60)
    assert len(incidents) <= 1 + len(ends) / 3
    for first, second in pairwise(incidents):
        assert sum(first < end <= second for end in ends) >= 3


def _watch(kit, ends, until):
    """Look every other minute, and return the minutes at which the run became stalled."""
    start, incidents = kit.now, []
    run, observed = running(kit)
    job = replace(observed.jobs["smoke-a1"], started_at=start)
    for minute in range(0, until, 2):
        now = start + timedelta(minutes=minute)
        past = [start + timedelta(minutes=end) for end in ends if end <= minute]
        told = shard(kit, number=0).model_copy(update={"recent_ends": past[-32:], "updated_at": now})
        observed = replace(observed, jobs={"smoke-a1": job}, storage=StorageView(progress=(told,)))
        step = go_on("Running", "at work", units=UnitCounts(total=1000, done=len(past)))
        was = is_true(run.status.conditions, "Stalled")
        status = kit.next_status(run, add_stall(run, observed, kit.defaults, step, now), now)
        run = run.model_copy(update={"status": status})
        if is_true(status.conditions, "Stalled") and not was:
            incidents.append(minute)
    return incidents


# Shards that hang.


def hung(kit, run, observed):
    return [(pod.name, why) for pod, why in find_stragglers(run, observed, TEN_MINUTES, kit.now)]


HUNG = {
    "no unit ended and no model answered": (
        lambda k: running(k, shard(k, ends=[2]), shard(k, 1, ends=[30], answer=14)),
        [("p1", "shard 1 of attempt 1: 2 running, and for 14 min no unit ended and no model answered")],
    ),
    "it writes no progress": (
        lambda k: running(k, shard(k, ends=[2]), shard(k, 1, ends=[30], answer=16, wrote=15)),
        [("p1", "shard 1 of attempt 1: it wrote no progress for 15 min")],
    ),
    "its units end": (lambda k: running(k, shard(k, ends=[2], answer=50)), []),
    "its models answer": (lambda k: running(k, shard(k, ends=[50], answer=2)), []),
    "nothing runs in it": (lambda k: running(k, shard(k, ends=[50], running=0)), []),
    "it has finished": (lambda k: running(k, shard(k, ends=[50], finished=True)), []),
    "its pod is new, and has the old one's progress": (
        lambda k: running(k, shard(k, ends=[50], answer=50, wrote=40, began=3)), [],
    ),
    "it was replaced in this attempt": (lambda k: running(k, shard(k, 1, ends=[50]), replaced=["1-1"]), []),
    "it was replaced in an earlier attempt only": (
        lambda k: running(k, shard(k, 1, ends=[50]), replaced=["0-1"]),
        [("p1", "shard 1 of attempt 1: 2 running, and for 50 min no unit ended and no model answered")],
    ),
    "a pool of the run is not ready": (
        lambda k: running(k, shard(k, ends=[50]), pools={**POOLS, "user-sim": PoolView("user-sim", "m", "m")}), [],
    ),
    "storage was away until lately": (lambda k: running(k, shard(k, ends=[50], wrote=50), reachable=("False", 4)), []),
    "storage comes back in this look": (
        lambda k: running(k, shard(k, ends=[50], wrote=50), reachable=("Unknown", 50)), [],
    ),
    "its progress is of an earlier attempt": (lambda k: running(k, shard(k, attempt=0, began=5)), []),
}  # fmt: skip


@pytest.mark.parametrize("name", HUNG, ids=str)
def test_a_pod_is_replaced_or_not_where(kit, name):
    arrange, expected = HUNG[name]
    assert hung(kit, *arrange(kit)) == expected


NOT_YET = {
    "it is starting": {"started_at": None},
    "it is going already": {"is_leaving": True},
    "it has ended": {"phase": "Failed"},
    "nobody knows which shard it is": {"index": None},
}


@pytest.mark.parametrize("name", NOT_YET, ids=str)
def test_a_pod_is_left_alone_where(kit, name):
    run, observed = running(kit, shard(kit, ends=[50]))
    assert hung(kit, run, observed)
    pods = (replace(observed.pods[0], **NOT_YET[name]),)
    assert hung(kit, run, replace(observed, pods=pods)) == []


def test_a_shard_that_never_wrote_anything_hangs_once_its_pod_is_old(kit):
    run, observed = running(kit, shard(kit, ends=[50]))
    silent = replace(observed, storage=StorageView())
    assert hung(kit, run, silent) == [("p0", "shard 0 of attempt 1: it wrote no progress for 60 min")]


def test_a_replacement_is_written_down_before_it_is_made_and_told(kit):
    run, observed = running(kit, shard(kit, ends=[2]), shard(kit, 1, ends=[50]), replaced=["0-3", "1-0"])
    step = go_on("Running", "at work", units=UnitCounts(total=10, done=3))
    step = add_stall(run, observed, kit.defaults, step, kit.now)
    assert [(ref.kind, ref.name, ref.uid) for ref in step.delete] == [("Pod", "p1", "u1")]
    assert step.status_first
    assert step.changes["replaced"] == ["1-0", "1-1"]
    (event,) = step.events
    assert (event.reason, event.type) == ("StragglerReplaced", "Warning")
    assert event.message.endswith("no model answered; its pod p1 is replaced")


def test_status_never_lists_more_replaced_shards_than_it_may(kit):
    known = [f"1-{n}" for n in range(100, 163)]
    run, observed = running(kit, *(shard(kit, n, ends=[50]) for n in range(3)), replaced=known)
    step = go_on("Running", "at work", units=UnitCounts(total=10, done=3))
    step = add_stall(run, observed, kit.defaults, step, kit.now)
    assert (len(step.changes["replaced"]), len(step.delete)) == (64, 1)


@pytest.mark.parametrize(
    ("minutes", "text"), [(0.75, "45 s"), (14, "14 min"), (210, "3.5 h"), (-1, "0 s")], ids=lambda x: str(x)
)
def test_durations_are_short(minutes, text):
    assert span(timedelta(minutes=minutes)) == text
