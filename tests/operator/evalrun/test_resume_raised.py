"""A run that failed by a limit goes on once that limit is raised, and for no other reason."""

from datetime import timedelta

import pytest

from toolorch_api.keys import SUMMARY_KEY
from toolorch_api.shard import Summary

DEADLINES = {"callSeconds": 10, "unitSeconds": 20, "runSeconds": 60}


def says(world, type_):
    found = world.condition(type_)
    return found.status, found.reason, found.message


def run_until(world, done):
    """Let shards work until so many units are done; one prompt token each."""
    for turn in range(60):
        world.tick()
        if world.status.units.done >= done:
            return world
        world.work(turn)
    raise AssertionError(world.status.reason)


def overdue(kit):
    world = run_until(kit.World(deadlines=DEADLINES), 4)
    world.now += timedelta(seconds=61)
    world.settle()
    return world


def overspent(kit):
    world = kit.World(budget={"tokens": 4})
    world.settle()
    return world


def uncovered(kit):
    world = kit.World(retry={"infra": 1})
    world.infra = {2, 5, 7}
    world.settle()
    return world


RAISED = {
    "a longer deadline": (overdue, "DeadlineExceeded", {"deadlines": {**DEADLINES, "runSeconds": 3600}}),
    "a larger budget": (overspent, "BudgetExhausted", {"budget": {"tokens": 400}}),
    "a budget that is lifted": (overspent, "BudgetExhausted", {"budget": {}}),
    "more retries": (uncovered, "CoverageBelowMinimum", {"retry": {"infra": 2}}),
}


@pytest.mark.parametrize("name", RAISED, ids=str)
def test_a_failed_run_goes_on_with(kit, name):
    arrange, reason, edit = RAISED[name]
    world = arrange(kit)
    before = world.status
    assert says(world, "Failed")[:2] == ("True", reason)
    assert world.rests()
    world.edit(**edit)
    world.infra = set()
    world.tick()
    assert says(world, "Failed")[0] == "False"
    assert (world.status.attempt, world.status.attempts_before) == (before.attempt + 1, before.attempt)
    assert (world.status.completion_time, world.status.score) == (None, "")
    assert world.events[-1] == "Running"
    world.settle()
    assert says(world, "Complete")[0] == "True"
    assert world.status.done == "10/10"
    assert len(world.executed) == len(set(world.executed)) == 10
    assert world.get(SUMMARY_KEY, Summary).attempt == world.status.attempt
    assert world.status.usage.prompt_tokens >= before.usage.prompt_tokens


UNMOVED = {
    "a deadline that has passed as well": (overdue, {"deadlines": {**DEADLINES, "runSeconds": 61}}),
    "another budget that is used up": (overspent, {"budget": {"tokens": 3}}),
    "a deadline where the budget is at fault": (overspent, {"deadlines": {**DEADLINES, "runSeconds": 86400}}),
    "a budget where retries are at fault": (uncovered, {"budget": {"tokens": 400}}),
    "fewer retries": (uncovered, {"retry": {"infra": 0}}),
    "an acceptance that is still not met": (uncovered, {"acceptance": {"minCoverage": 80, "maxInfraErrors": 100}}),
    "an acceptance where time is at fault": (overdue, {"acceptance": {"minCoverage": 0, "maxInfraErrors": 100}}),
    "more shards": (uncovered, {"shards": 9}),
    "another spec": (overspent, {"budget": {}, "userVariants": ["anger"]}),
}


@pytest.mark.parametrize("name", UNMOVED, ids=str)
def test_a_failed_run_is_not_moved_by(kit, name):
    arrange, edit = UNMOVED[name]
    world = arrange(kit)
    world.edit(**edit)
    assert world.rests()


def test_the_same_generation_never_moves_a_failed_run(kit):
    world = overspent(kit)
    world.raw["spec"]["budget"] = {}
    assert world.rests()


def test_a_complete_run_never_goes_on(kit):
    world = kit.World()
    world.settle()
    world.edit(budget={"tokens": 1}, retry={"infra": 9}, acceptance={"minCoverage": 100, "maxInfraErrors": 0})
    assert world.rests()


def test_a_lower_acceptance_completes_a_failed_run_without_another_attempt(kit):
    world = uncovered(kit)
    world.edit(acceptance={"minCoverage": 70, "maxInfraErrors": 30})
    decided = world.tick()
    assert says(world, "Complete")[0] == "True"
    assert says(world, "Complete")[2].startswith("7 of 10 scored, score")
    assert says(world, "ReportReady")[:2] == ("True", "ReportWritten")
    assert (world.status.attempt, decided.create) == (2, ())
    assert world.rests()
    assert world.events[-1] == "RunComplete"


def test_a_limit_raised_before_the_report_is_there_counts_too(kit):
    world = kit.World(budget={"tokens": 4})
    while not world.condition("Failed") or world.condition("Failed").status != "True":
        world.tick()
        world.work()
    assert says(world, "ReportReady")[1] == "Reporting"
    world.edit(budget={})
    world.settle()
    assert says(world, "Complete")[0] == "True"
    assert world.get(SUMMARY_KEY, Summary).attempt == world.status.attempt == 2


def test_a_resumed_run_has_its_retries_anew(kit):
    world = uncovered(kit)
    world.edit(retry={"infra": 2})
    world.infra = {2}
    world.settle()
    assert says(world, "Failed")[:2] == ("True", "CoverageBelowMinimum")
    assert (world.status.attempt, world.status.attempts_before) == (5, 2)
    assert world.rests()


@pytest.mark.parametrize("crash_after", range(3))
@pytest.mark.parametrize("at_tick", range(4))
def test_an_operator_that_dies_while_a_run_is_resumed_finds_its_way(kit, at_tick, crash_after):
    world = overspent(kit)
    world.edit(budget={})
    for turn in range(at_tick):
        world.tick()
        world.work(turn)
    world.tick(crash_after=crash_after)
    world.settle()
    assert says(world, "Complete")[0] == "True"
    assert len(world.executed) == len(set(world.executed)) == 10
    assert world.get(SUMMARY_KEY, Summary).attempt == world.status.attempt == 2


def test_the_report_of_the_earlier_end_is_not_taken_for_the_new_one(kit):
    world = overspent(kit)
    world.edit(budget={})
    world.tick()
    assert "smoke-report" in world.jobs
    decided = world.tick()
    assert [(ref.kind, ref.name) for ref in decided.delete] == [("Job", "smoke-report")]
    while world.condition("Complete").status != "True":
        assert world.status.score == ""
        world.reap()
        world.work()
        world.tick()
    assert says(world, "ReportReady")[:2] == ("Unknown", "Reporting")


def test_an_older_summary_without_an_attempt_counts_while_a_run_was_never_resumed(kit):
    world = kit.World()
    world._told_attempt = lambda pod: 0
    world.settle()
    assert says(world, "ReportReady")[:2] == ("True", "ReportWritten")


def test_what_was_stopped_for_good_is_not_started_again(kit):
    world = overspent(kit)
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True
    world.edit(budget={})
    world.settle()
    assert world.jobs["smoke-a1"]["spec"]["suspend"] is True


def test_a_run_whose_status_was_lost_after_it_was_resumed_ends_with_the_report_of_its_newest_attempt(kit):
    world = overspent(kit)
    world.edit(budget={})
    while "smoke-a2" not in world.jobs:
        world.tick()
        world.reap()
    del world.raw["status"]
    world.settle()
    assert says(world, "Complete")[0] == "True"
    assert world.status.done == "10/10"


def test_a_plan_that_hangs_ends_at_the_deadline_and_an_edit_tries_it_once_more(kit):
    world = kit.World(deadlines=DEADLINES)
    world.tick()
    world.jobs["smoke-plan"]["status"] = {"startTime": world.now.isoformat()}
    world.now += timedelta(seconds=61)
    world.tick()
    failed = ("True", "DeadlineExceeded", "the units were not listed within deadlines.runSeconds of 60 s")
    assert says(world, "Failed") == failed
    assert world.jobs["smoke-plan"]["spec"]["suspend"] is True
    world.edit(deadlines={**DEADLINES, "runSeconds": 3600})
    world.settle()
    assert says(world, "Complete")[0] == "True"
    assert (world.status.attempt, world.status.attempts_before) == (1, 0)
