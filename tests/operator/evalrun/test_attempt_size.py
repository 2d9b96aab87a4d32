"""spec.shards changed while an attempt runs: its Job is fitted once, and stays as it was asked for."""

import pytest

from toolorch_api.shard import Manifest
from toolorch_operator.evalrun.attempts import by_length
from toolorch_operator.evalrun.size import Size, fit_size


@pytest.mark.parametrize(
    ("size", "asked", "remaining", "fitted"),
    [
        pytest.param(Size(4, 4), 4, 100, None, id="nothing was changed"),
        pytest.param(Size(8, 3), 8, 100, None, id="an attempt at few units has fewer shards than asked for"),
        pytest.param(Size(4, 4), 8, 100, Size(8, 8), id="more"),
        pytest.param(Size(4, 4), 8, 6, Size(8, 6), id="more, but no more than there are units left"),
        pytest.param(Size(4, 4), 8, 2, Size(8, 4), id="more, and few units are left: none goes for that"),
        pytest.param(Size(4, 4), 2, 100, Size(2, 2), id="fewer"),
        pytest.param(Size(8, 3), 5, 100, Size(5, 5), id="fewer than asked for, more than there are"),
    ],
)
def test_the_size_of_an_attempt_follows_the_spec(size, asked, remaining, fitted):
    assert fit_size(size, asked, remaining) == fitted


def run_to_attempt(kit, **more):
    world = kit.World(**more)
    while world.status.attempt == 0:
        world.tick()
        world.work()
    world.tick()
    return world


@pytest.mark.parametrize("shards", [5, 2])
def test_a_running_job_is_fitted_once_to_a_new_number_of_shards(kit, shards):
    world = run_to_attempt(kit)
    assert world.jobs["smoke-a1"]["spec"]["completions"] == 3
    world.raw["spec"]["shards"] = shards
    world.tick()
    spec = world.jobs["smoke-a1"]["spec"]
    assert (spec["completions"], spec["parallelism"], spec["maxFailedIndexes"]) == (shards,) * 3
    before = world.writes
    world.tick()
    assert world.plan().apply[0]["kind"] == "ConfigMap"
    assert world.writes == before


def test_suspending_says_the_size_again_for_what_is_left_out_would_be_removed(kit):
    world = run_to_attempt(kit)
    world.raw["spec"]["shards"] = 5
    world.tick()
    world.raw["spec"]["suspend"] = True
    suspended = [m for m in world.plan().apply if m["kind"] == "Job"]
    assert [(m["spec"]["suspend"], m["spec"]["completions"]) for m in suspended] == [(True, 5)]


def test_a_job_of_an_older_operator_keeps_its_size(kit):
    world = run_to_attempt(kit)
    del world.jobs["smoke-a1"]["metadata"]["annotations"]
    world.raw["spec"]["shards"] = 5
    assert [m["kind"] for m in world.plan().apply] == ["ConfigMap"]


def test_the_longest_expected_units_are_dealt_out_first():
    manifest = Manifest(spec_hash="h", dataset_hash="d", units=[], estimates=[1, 5, 1, 9])
    assert by_length([0, 1, 2, 3], manifest) == [3, 1, 0, 2]
    assert by_length([2, 0, 1], manifest.model_copy(update={"estimates": []})) == [2, 0, 1]
