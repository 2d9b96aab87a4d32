"""What is expected of a unit: what its task took before, else what the benchmark says, else nothing."""

from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.shard import Durations, Result, Unit
from toolorch_evaluator.estimates import estimate_units, measure_tasks
from toolorch_evaluator.history import RUNS, open_history
from toolorch_evaluator.plan_step import plan

NOW = datetime(2026, 11, 20, tzinfo=UTC)
UNITS = [Unit("control", "retail", str(n), 0) for n in range(3)]


def result(unit, seconds):
    return Result(
        variant=unit.variant,
        domain=unit.domain,
        task_id=unit.task_id,
        trial=unit.trial,
        status="passed",
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=seconds),
        spec_hash="h",
        attempt=1,
        shard=0,
        pod="p",
    )


def test_a_task_took_the_median_of_its_trials_and_variants():
    units = [Unit(variant, "retail", "7", trial) for variant in ("control", "anger") for trial in (0, 1)]
    took = measure_tasks((u, result(u, s)) for u, s in zip(units, (10, 20, 40, 90), strict=True))
    assert took.seconds == {"retail/7": 30.0}


@pytest.mark.parametrize(
    ("weights", "past", "expected"),
    [
        pytest.param([], [], [], id="nobody knows anything"),
        pytest.param([2, 4, 8], [], [0.5, 1, 2], id="the benchmark's own weights"),
        pytest.param([2, 4, 8], [{"retail/0": 30, "retail/1": 10, "retail/2": 5}], [3, 1, 0.5], id="an earlier run"),
        pytest.param([2, 4, 8], [{"retail/0": 30, "retail/1": 10}], [1.5, 0.5, 2], id="a task that is new"),
        pytest.param(
            [],
            [{"retail/0": s * 10, "retail/1": s * n, "retail/2": s * 30} for s, n in ((1, 20), (9, 20), (1, 29))],
            [0.5, 1, 1.5],
            id="runs of other pace count alike",
        ),
        pytest.param([], [{}, {"retail/0": 0, "retail/1": 0}], [], id="runs that tell nothing"),
    ],
)
def test_a_unit_is_expected_to_take_what_its_task_took(weights, past, expected):
    assert estimate_units(UNITS, weights, [Durations(seconds=run) for run in past]) == expected


async def test_a_run_leaves_what_its_tasks_took_and_the_next_plan_reads_it(make_world, scripted):
    world, benchmark = make_world(), scripted(3)
    history = open_history(world.run, {})
    tasks = dict(zip(benchmark.units, (40, 20, 10), strict=True))
    await history.keep(world.run, {unit: result(unit, seconds) for unit, seconds in tasks.items()})
    manifest = await plan(world.run, benchmark, world.results, NOW, history)
    assert manifest.estimates == world.object("manifest.json")["estimates"] == [2, 1, 0.5]


async def test_history_that_is_damaged_or_away_costs_no_plan(make_world, scripted):
    world, benchmark = make_world(), scripted(2)
    folder = world.folder / "durations" / "tau2"
    folder.mkdir(parents=True)
    (folder / "other-run.json").write_text("half")
    manifest = await plan(world.run, benchmark, world.results, NOW, open_history(world.run, {}))
    assert manifest.estimates == []


async def test_only_the_newest_runs_are_read(make_world):
    world = make_world()
    history = open_history(world.run, {})
    unit = UNITS[0]
    for number in range(RUNS + 3):
        root = f"{world.run.root}-{number}"
        await history.keep(world.run.model_copy(update={"root": root}), {unit: result(unit, number + 1)})
    assert len(await history.read("tau2")) == RUNS
