"""Where a run's numbers come from, and results that are not its own."""

import json

import pytest

from toolorch_api.keys import SUMMARY_KEY
from toolorch_api.provenance import AttemptProvenance
from toolorch_api.shard import RunInput
from toolorch_operator.evalrun.observed import parse_pool
from toolorch_operator.evalrun.serving import parse_serving

IMAGE = "docker.io/vllm/vllm-openai@sha256:" + "ab" * 32
SERVED = {"id": "orchestrator", "engineVersion": "0.33.0", "imageId": IMAGE, "arguments": ["vllm", "serve", "m"]}


@pytest.fixture
def world(kit):
    made = kit.World()
    made.pools["orchestrator"]["status"] |= {"served": SERVED, "effective": {"gpuMemoryUtilization": 95}}
    return made


def told(world):
    return RunInput.model_validate_json(world.config_maps["smoke-input"]["data"]["run.json"])


def begin(world, attempt=1):
    for _ in range(30):
        if f"smoke-a{attempt}" in world.jobs:
            return
        world.work()
        world.tick()
    raise AssertionError("no attempt began")


def see_image(world, image="toolorch@sha256:1"):
    for pod in world.pods.values():
        pod["status"] = {**pod["status"]}
        containers = pod["status"].get("containerStatuses") or [{}]
        pod["status"]["containerStatuses"] = [{**containers[0], "imageID": image}]


def test_each_attempt_begins_with_a_record_of_what_serves_its_models(world):
    begin(world)
    record = AttemptProvenance.model_validate_json(world.storage["attempts/1/provenance.json"])
    assert (record.attempt, record.spec_hash) == (1, world.status.spec_hash)
    serving = record.pools["orchestrator"].serving
    assert (serving.image_id, serving.engine_version, serving.arguments) == (IMAGE, "0.33.0", ["vllm", "serve", "m"])
    assert serving.effective == {"gpuMemoryUtilization": 95}
    assert record.pools["user-sim"].serving.image_id == ""


@pytest.mark.parametrize("crash_after", range(6))
def test_a_record_is_never_missing_where_the_operator_dies_and_never_overwritten(world, crash_after):
    for _ in range(30):
        world.work()
        if "manifest.json" in world.storage:
            break
        world.tick()
    world.tick(crash_after=crash_after)
    first = world.storage.get("attempts/1/provenance.json")
    world.pools["orchestrator"]["status"]["effective"] = {"gpuMemoryUtilization": 90}
    begin(world)
    assert "attempts/1/provenance.json" in world.storage
    assert first in (None, world.storage["attempts/1/provenance.json"])


def test_run_json_follows_the_servers_and_no_job_does(world):
    begin(world)
    jobs = json.dumps(world.jobs, sort_keys=True)
    before = told(world)
    see_image(world)
    world.pools["orchestrator"]["status"]["effective"] = {"gpuMemoryUtilization": 90}
    world.tick()
    after = told(world)
    assert after.pools["orchestrator"].serving.effective == {"gpuMemoryUtilization": 90}
    assert (before.evaluator_image, after.evaluator_image) == ("", "toolorch@sha256:1")
    assert (before.spec, before.spec_hash) == (after.spec, after.spec_hash)
    assert json.dumps(world.jobs, sort_keys=True) == jobs
    kept = world.config_maps["smoke-input"]
    world.tick()
    assert world.config_maps["smoke-input"] is kept, "the same servers are the same text"


@pytest.mark.parametrize("served", [None, {}, {"imageId": 7}, {"arguments": None}])
def test_what_an_older_operator_knew_of_its_servers_does_no_harm(kit, served):
    raw = kit.pool("orchestrator")
    raw["status"]["served"] = served
    assert parse_serving(raw).image_id == ""
    assert parse_pool(raw).ready


def refuse(world, count, refusal):
    """Have the report refuse so many results."""
    summary = world.get_json(SUMMARY_KEY)
    summary |= {"scored": summary["scored"] - count, "refused": count, "refusal": refusal}
    world.storage[SUMMARY_KEY] = json.dumps(summary).encode()


def finish(world):
    for _ in range(200):
        world.work()
        if SUMMARY_KEY in world.storage:
            return
        world.tick()
    raise AssertionError("no report was written")


def test_a_foreign_result_leaves_its_unit_unscored_and_the_end_says_so(world):
    begin(world)
    key = "results/control/retail/0/0.json"
    world.storage[key] = b"foreign"
    finish(world)
    assert world.condition("Complete").status == "False", "counts of shards and keys do not agree: the report decides"
    refuse(world, 1, f"1 result object refused: 1 of another configuration ({key})")
    world.tick()
    failed = world.condition("Failed")
    assert (failed.status, failed.reason) == ("True", "CoverageBelowMinimum")
    assert failed.message.startswith("9 of 10 scored, 100 % are needed")
    assert "1 of another configuration" in failed.message
    assert "1 of another configuration" in world.condition("ResultsComplete").message
    assert world.status.units.done == 9
    assert world.condition("ResultsSuspect").status == "False"


def test_results_that_were_swapped_after_the_count_make_the_score_suspect(world):
    begin(world)
    finish(world)
    assert world.condition("Complete").status == "True"
    refuse(world, 2, "2 result objects refused: 2 unreadable (a, b)")
    world.tick()
    suspect = world.condition("ResultsSuspect")
    assert suspect.status == "True"
    assert "shards counted 10 results, 8 can be read: 2 result objects refused" in suspect.message
