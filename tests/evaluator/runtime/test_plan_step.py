"""The plan: written once, the same for whoever comes again, refused where it is another's."""

from datetime import UTC, datetime

import pytest

from toolorch_evaluator.exits import BadInputError, leave_word
from toolorch_evaluator.plan_step import plan
from toolorch_evaluator.settings import read_run, read_settings

NOW = datetime(2026, 11, 20, tzinfo=UTC)


async def test_a_plan_says_units_and_where_they_come_from(make_world, scripted):
    world, benchmark = make_world(), scripted(3)
    await plan(world.run, benchmark, world.results, NOW)
    manifest, provenance = world.object("manifest.json"), world.object("run.json")
    assert manifest["units"][2] == ["control", "retail", "task 2", 0]
    assert manifest["specHash"] == provenance["specHash"] == world.run.spec_hash
    assert provenance["createdAt"] == NOW.isoformat()
    assert provenance["packages"]["inspect-evals"]
    assert provenance["pools"]["pool-a"]["servedModelName"] == "tiny"


async def test_a_plan_keeps_what_models_are_told_once_and_nothing_where_nothing_is_told(make_world, scripted):
    world, benchmark = make_world(), scripted(3)
    await plan(world.run, benchmark, world.results, NOW)
    assert world.keys("") == ["manifest.json", "run.json"]
    for text in ("first", "second"):
        benchmark.told = {"texts": {"agent": text}}
        await plan(world.run, benchmark, world.results, NOW)
    assert world.object("prompts.json") == {"v": 1, "texts": {"agent": "first"}}


async def test_a_second_plan_changes_nothing(make_world, scripted):
    world, benchmark = make_world(), scripted(3)
    await plan(world.run, benchmark, world.results, NOW)
    first = world.object("run.json")
    await plan(world.run, benchmark, world.results, NOW.replace(year=2027))
    assert world.object("run.json") == first


async def test_anothers_plan_in_the_folder_is_refused(make_world, scripted):
    world = make_world()
    await plan(world.run, scripted(3), world.results, NOW)
    with pytest.raises(BadInputError, match="another list of units"):
        await plan(world.run, scripted(4), world.results, NOW)
    await world.results.put("manifest.json", b"{}")
    with pytest.raises(BadInputError, match="no manifest"):
        await plan(world.run, scripted(4), world.results, NOW)


async def test_a_plan_of_nothing_is_refused(make_world, scripted):
    world = make_world()
    with pytest.raises(BadInputError, match="no task is left"):
        await plan(world.run, scripted(0), world.results, NOW)
    assert world.keys("") == []


def test_the_input_is_read_from_where_the_environment_says(make_world):
    world = make_world()
    settings = read_settings({"TOOLORCH_INPUT_DIR": str(world.settings.input_dir), "TOOLORCH_SHARD": "3"})
    assert (settings.shard, settings.attempt) == (3, 1)
    assert read_run(settings.input_dir) == world.run


def test_broken_input_names_the_field(make_world):
    world = make_world()
    path = world.settings.input_dir / "run.json"
    path.write_text(path.read_text().replace('"trials":1', '"trials":"many"'))
    with pytest.raises(BadInputError, match=r"run.json: spec.trials: "):
        read_run(world.settings.input_dir)
    with pytest.raises(BadInputError, match="whole numbers"):
        read_settings({"TOOLORCH_SHARD": "one"})


def test_a_last_word_needs_no_termination_log(tmp_path, capsys):
    leave_word(BadInputError("NoTasks", "there are none"), tmp_path / "no" / "folder")
    assert '"reason": "NoTasks"' in capsys.readouterr().err
