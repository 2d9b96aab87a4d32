"""What a run may use up: tokens as its shards count them, GPU time by the clock, and how a run ends at either."""

from dataclasses import replace
from datetime import timedelta

import pytest

from toolorch_api.evalrun_status import EvalRunStatus, Usage
from toolorch_api.keys import SUMMARY_KEY
from toolorch_api.shard import Progress, Summary
from toolorch_operator.evalrun.budget import at_least, count_gpu_seconds, find_overrun, without_mere_count
from toolorch_operator.evalrun.looks import next_look
from toolorch_operator.evalrun.observed import JobView, ObservedRun, PoolView, StorageView
from toolorch_operator.evalrun.verdict import find_room


def begin(world):
    """Take a world to where its first attempt has pods."""
    while not world.status.attempt:
        world.tick()
        world.work()
    world.tick()
    return world


def with_gpus(world, kit, **gpus):
    for name, count in gpus.items():
        pool = kit.pool(name.replace("_", "-"))
        pool["status"]["gpus"] = count
        world.pools[name.replace("_", "-")] = pool
    return world


OVERRUNS = {
    "below the budget there is room": ({"tokens": 100}, (60, 39, 0), None),
    "prompt and completion count together": ({"tokens": 100}, (60, 40, 0), "100 tokens of 100 used"),
    "numbers are readable": (
        {"tokens": 1_000_000}, (1_200_000, 4_311, 0), "1,204,311 tokens of 1,000,000 used",
    ),
    "no budget is none": ({}, (10**12, 10**12, 10**9), None),
    "hours of GPUs": ({"gpuHours": 2}, (0, 0, 7200), "2.0 GPU hours of 2 used"),
    "less than an hour is left": ({"gpuHours": 2}, (0, 0, 7199), None),
    "both at once are both told": (
        {"tokens": 1, "gpuHours": 1}, (1, 0, 5400), "1 tokens of 1 used, 1.5 GPU hours of 1 used",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OVERRUNS, ids=str)
def test_a_budget_is_used_up(kit, name):
    budget, (prompt, completion, gpu), words = OVERRUNS[name]
    spent = Usage(prompt_tokens=prompt, completion_tokens=completion, gpu_seconds=gpu)
    found = find_overrun(kit.run(budget=budget), spent)
    assert (found.message if found else None) == words


def test_an_exhausted_run_stops_its_pods_and_keeps_what_it_has(kit):
    world = begin(kit.World(budget={"tokens": 4}))
    for turn in range(3):
        world.work(turn)
    world.tick()
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True
    assert world.status.reason == "BudgetExhausted: 4 tokens of 4 used: Job smoke-a1 stops"
    world.settle()
    failed = world.condition("Failed")
    assert (failed.reason, failed.message) == ("BudgetExhausted", "4 of 10 scored; 4 tokens of 4 used")
    assert (world.status.score, world.status.tokens, len(world.executed)) == ("0.500", 4, 4)
    assert world.condition("ReportReady").status == "True"
    assert "BudgetExhausted" in world.events


def test_no_further_attempt_is_made_beyond_the_budget(kit):
    world = kit.World(budget={"tokens": 9})
    world.infra = {3}
    world.settle()
    assert world.condition("Failed").reason == "BudgetExhausted"
    assert world.status.attempt == 1


def test_a_run_whose_last_unit_uses_it_up_is_complete(kit):
    world = kit.World(budget={"tokens": 10})
    world.settle()
    assert world.condition("Complete").status == "True"


def test_a_queued_run_gives_its_quota_back(kit):
    world = kit.World(budget={"tokens": 2})
    world.raw["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "team-a"}
    world.tick()
    world.admit("smoke-plan")
    while "smoke-a1" not in world.jobs:
        world.work()
        world.tick()
    world.admit("smoke-a1")
    for turn in range(3):
        world.work(turn)
    decided = world.tick()
    assert [ref.name for ref in decided.delete] == ["smoke-a1"]


def test_the_report_takes_no_spent_token_back(kit):
    world = begin(kit.World())
    while "smoke-report" not in world.jobs:
        world.work()
        world.tick()
    summary = Summary(
        spec_hash="h", total=10, scored=10, passed=5, failed=5, infra_errors=0, score="0.500", score_scheduled="0.500",
        interval="i", usage=Usage(prompt_tokens=3, completion_tokens=8, calls=2), attempt=1,
    )  # fmt: skip
    world.storage[SUMMARY_KEY] = summary.model_dump_json(by_alias=True).encode()
    world.tick()
    assert (world.status.usage.prompt_tokens, world.status.usage.completion_tokens) == (10, 8)


def test_each_figure_is_kept_where_it_is_larger():
    known, found = Usage(prompt_tokens=5, calls=1, gpu_seconds=9), Usage(prompt_tokens=3, completion_tokens=2, calls=4)
    assert at_least(known, found) == Usage(prompt_tokens=5, completion_tokens=2, calls=4, gpu_seconds=9)


# GPU time.


POOLS = {
    "orchestrator": PoolView("orchestrator", "m", "m", gpus=4),
    "user-sim": PoolView("user-sim", "m", "m", gpus=8, external=True),
}


def seen(kit, counted=None, used=0, reason="", gpus=4, **job):
    """A run whose count stands, and its attempt's Job."""
    conditions = [{"type": "Progressing", "status": "True", "reason": reason, "lastTransitionTime": kit.now}]
    status = {"attempt": 1, "gpuCountedAt": counted, "usage": {"gpuSeconds": used}}
    status |= {"conditions": conditions} if reason else {}
    run = kit.run().model_copy(update={"status": EvalRunStatus.model_validate(status)})
    pools = {**POOLS, "orchestrator": replace(POOLS["orchestrator"], gpus=gpus)}
    return run, ObservedRun(pools=pools, jobs={"smoke-a1": JobView(name="smoke-a1", uid="u", attempt=1, **job)})


def at(kit, seconds):
    return kit.now + timedelta(seconds=seconds)


COUNTS = {
    "a Job that just began is counted from its start": (
        lambda kit: seen(kit, active=1, started_at=at(kit, -30)), 0, -30,
    ),
    "a Job that got no pods for long is counted from now": (
        lambda kit: seen(kit, reason="QuotaExceeded", active=1, started_at=at(kit, -3000)), 0, 0,
    ),
    "each GPU counts, those of external pools do not": (
        lambda kit: seen(kit, counted=at(kit, -10), used=100, active=1), 140, 0,
    ),
    "an operator that was away counts on": (
        lambda kit: seen(kit, counted=at(kit, -36000), active=1), 144000, 0,
    ),
    "after the end of the Job nothing counts": (
        lambda kit: seen(kit, counted=at(kit, -100), is_complete=True, stopped_at=at(kit, -70)), 120, None,
    ),
    "while suspended nothing counts": (
        lambda kit: seen(kit, counted=at(kit, -100), is_suspended=True, stopped_at=at(kit, -99)), 4, None,
    ),
    "a Job in a queue does not count": (
        lambda kit: seen(kit, queue="q", is_suspended=True), 0, None,
    ),
    "an end before the last count takes nothing back": (
        lambda kit: seen(kit, counted=at(kit, -10), used=50, is_failed=True, stopped_at=at(kit, -60)), 50, None,
    ),
    "pools without GPUs are not counted": (
        lambda kit: seen(kit, gpus=0, active=1, started_at=at(kit, -30)), 0, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS, ids=str)
def test_gpu_time(kit, name):
    arrange, seconds, until = COUNTS[name]
    assert count_gpu_seconds(*arrange(kit), kit.now) == (seconds, None if until is None else at(kit, until))


def test_a_job_that_is_gone_counts_until_its_shards_wrote_last(kit):
    run, observed = seen(kit, counted=at(kit, -600), active=1)
    wrote = Progress(
        spec_hash="h", attempt=1, shard=0, pod="p", total=1, started_at=at(kit, -900), updated_at=at(kit, -300)
    )
    gone = replace(observed, jobs={}, storage=StorageView(progress=(wrote,)))
    assert count_gpu_seconds(run, gone, kit.now) == (1200, None)


def test_parts_of_seconds_are_not_lost(kit):
    run, observed = seen(kit, counted=kit.now, active=1)
    for _ in range(10):
        now = (run.status.gpu_counted_at or kit.now) + timedelta(seconds=1.9)
        seconds, until = count_gpu_seconds(run, observed, now)
        status = run.status.model_copy(update={"gpu_counted_at": until, "usage": Usage(gpu_seconds=seconds)})
        run = run.model_copy(update={"status": status})
    assert run.status.usage.gpu_seconds == 40
    assert run.status.gpu_counted_at == at(kit, 10)


def test_the_clock_alone_is_written_once_a_minute(kit):
    before = EvalRunStatus(gpu_counted_at=kit.now, usage=Usage(gpu_seconds=8))
    after = EvalRunStatus(gpu_counted_at=at(kit, 59), usage=Usage(gpu_seconds=244))
    assert without_mere_count(before, after) is before
    later = after.model_copy(update={"gpu_counted_at": at(kit, 60)})
    assert without_mere_count(before, later) is later
    moved = after.model_copy(update={"eta": "3m"})
    assert without_mere_count(before, moved) is moved
    stopped = after.model_copy(update={"gpu_counted_at": None})
    assert without_mere_count(before, stopped) is stopped


def test_gpu_time_of_a_whole_run_counts_its_attempts_and_ends_with_them(kit):
    world = with_gpus(begin(kit.World(budget={"gpuHours": 1})), kit, orchestrator=2, user_sim=1)
    world.tick()
    assert world.status.gpu_counted_at is not None
    world.now += timedelta(minutes=10)
    world.tick()
    assert 1800 <= world.status.usage.gpu_seconds <= 1830
    world.raw["spec"]["suspend"] = True
    world.tick()
    world.tick()
    rested = world.status.usage.gpu_seconds
    world.now += timedelta(days=1)
    world.tick()
    assert (world.status.usage.gpu_seconds, world.status.gpu_counted_at) == (rested, None)
    world.raw["spec"]["suspend"] = False
    world.tick()
    world.tick()
    world.now += timedelta(minutes=20)
    world.settle()
    assert world.condition("Failed").reason == "BudgetExhausted"
    assert "GPU hours of 1 used" in world.condition("Failed").message
    assert world.status.gpu_counted_at is None


def test_a_look_at_which_only_the_clock_has_moved_writes_nothing(kit):
    world = with_gpus(begin(kit.World()), kit, orchestrator=2)
    world.work()
    for _ in range(3):
        world.tick()
    before = world.writes
    for _ in range(10):
        world.tick()
    assert world.writes == before
    world.now += timedelta(seconds=60)
    world.tick()
    assert world.writes == before + 1


ROOMS = {
    "tokens at their pace": ({"tokens": 1000}, 900, 0, 10),
    "GPU time at its pace": ({"tokens": 10**9, "gpuHours": 1}, 900, 3000, 18),
    "nothing is limited but time": ({}, 900, 3000, 86400 - 90),
    "nothing is used yet": ({"tokens": 1}, 0, 0, 86400 - 90),
}


@pytest.mark.parametrize("name", ROOMS, ids=str)
def test_the_next_look_is_at_the_limit_that_comes_first(kit, name):
    budget, tokens, gpu, room = ROOMS[name]
    usage = Usage(prompt_tokens=tokens, gpu_seconds=gpu)
    status = EvalRunStatus(attempt=1, start_time=at(kit, -90), usage=usage)
    run = kit.run(budget=budget).model_copy(update={"status": status})
    assert find_room(run, ObservedRun(), kit.now) == pytest.approx(room)
    assert next_look(3600, None, room).total_seconds() == min(60, max(5, room))
