"""Units that kill what runs them: whose death counts, who is set aside, and what is said of it."""

import pytest

from toolorch_api.deaths import Death, LastWord
from toolorch_api.evalrun import spec_hash
from toolorch_api.shard import Manifest
from toolorch_operator.evalrun.deaths import build_death_blobs, died_of_units, learn_quarantine
from toolorch_operator.evalrun.observed import ObservedRun, StorageView, parse_pod

RUNNING = LastWord(running=[12, 15]).model_dump_json()


def pod(name="smoke-a1-0-x", code=137, word=RUNNING, reason="OOMKilled", step="shard", phase="Failed", **more):
    labels = {"toolorch.dev/step": step, "toolorch.dev/attempt": "1"}
    meta = {"name": name, "labels": labels, "annotations": {"batch.kubernetes.io/job-completion-index": "0"}}
    ended = {"exitCode": code, "reason": reason, "message": word}
    status = {"phase": phase, "containerStatuses": [{"imageID": "evaluator@sha256:1", "state": {"terminated": ended}}]}
    return {
        "metadata": meta | more.get("metadata", {}),
        "spec": {"nodeName": "node-a"},
        "status": status | more.get("status", {}),
    }


DISRUPTED = {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}
DEATHS = {
    "out of memory with units under way": (pod(), True),
    "a crash of the program": (pod(code=139, reason="Error"), True),
    "a node that was drained": (pod(status=DISRUPTED), False),
    "somebody who deleted the pod": (pod(metadata={"deletionTimestamp": "2026-11-20T12:00:00Z"}), False),
    "a shard that gave its units back": (pod(code=44), False),
    "an input that was refused": (pod(code=42), False),
    "a shard that had no unit under way": (pod(word=LastWord().model_dump_json()), False),
    "a shard that said why it stops": (pod(code=1, word='{"reason": "StorageAway", "message": "gone"}'), False),
    "a shard that still runs": (pod(phase="Running"), False),
    "a plan that was killed": (pod(step="plan", word=""), False),
}


@pytest.mark.parametrize("name", DEATHS, ids=str)
def test_a_pod_dies_of_its_units_unless_something_else_ended_it(name):
    raw, counts = DEATHS[name]
    assert died_of_units(parse_pod(raw)) is counts


def test_a_death_is_written_once_and_names_units_and_cause(kit):
    run, dead = kit.run(), parse_pod(pod())
    (blob,) = build_death_blobs(run, ObservedRun(pods=(dead,)), [dead])
    assert blob.key == "deaths/1/smoke-a1-0-x.json"
    death = Death.model_validate_json(blob.body)
    assert (death.units, death.why, death.what, death.spec_hash) == ([12, 15], "OOMKilled", "pod", spec_hash(run.spec))
    known = ObservedRun(pods=(dead,), storage=StorageView(deaths={blob.key: death}))
    assert list(build_death_blobs(run, known, [dead])) == []


@pytest.mark.parametrize(
    ("coverage", "condition", "said"),
    [
        (100, "Failed", "9 of 10 scored, 100 % are needed; 1 quarantined: control/retail/3/0"),
        (90, "Complete", "9 of 10 scored, score 0.556 (0.27–0.81); 1 quarantined: control/retail/3/0"),
    ],
)
def test_a_unit_that_kills_its_pod_each_time_is_set_aside_in_one_attempt(kit, coverage, condition, said):
    world = kit.World(acceptance={"minCoverage": coverage})
    world.poison = {3}
    world.settle()
    assert world.condition(condition).status == "True"
    assert world.condition(condition).message == said
    assert world.status.units.quarantined == 1
    assert world.status.units.infra_errors == 0
    assert world.status.quarantined == ["control/retail/3/0"]
    assert world.status.attempt == 1
    # Three settle it; here a pod may begin before the operator has seen how the one before it ended.
    assert len(world.keys("deaths/")) <= 4
    assert world.events.count("UnitsQuarantined") == 1
    assert len(world.executed) == len(set(world.executed)) == 9
    assert world.rests()


def test_deaths_that_nobody_saw_in_time_cost_one_more_attempt(kit):
    world = kit.World()
    while world.status.attempt == 0:
        world.tick()
        world.work()
    world.poison = {3}
    for turn in range(60):
        world.work(turn)
    world.settle()
    assert world.status.attempt == 2
    assert world.status.quarantined == ["control/retail/3/0"]
    assert len(world.executed) == 9
    assert set(world.assigned[1]) <= set(world.assigned[0])


def test_units_that_die_often_together_are_suspects_and_run_again(kit):
    world = kit.World()
    while world.status.attempt == 0:
        world.tick()
        world.work()
    world.lanes, world.poison = 10, {3}
    for turn in range(60):
        world.work(turn)
    world.poison = set()
    world.settle()
    assert world.condition("Complete").status == "True"
    assert world.status.units.quarantined == 0
    assert len(world.keys("deaths/")) == 4


def test_more_patience_takes_a_unit_back_at_the_next_audit(kit):
    world = kit.World()
    world.poison = {3}
    while not world.status.units.quarantined:
        world.tick()
        world.work()
    world.raw["spec"]["retry"] = {"quarantineAfter": 9}
    listed = StorageView(manifest=world.get("manifest.json", Manifest), deaths=world.deaths(), results=frozenset())
    learnt = learn_quarantine(world.run, ObservedRun(storage=listed)).status
    assert (learnt.quarantined, learnt.units.quarantined) == ([], 0)


def test_a_unit_that_kills_model_servers_is_set_aside_by_the_deaths_that_shards_wrote(kit):
    world = kit.World()
    world.infra = {3}
    while world.status.attempt == 0:
        world.tick()
        world.work()
    death = Death(spec_hash=spec_hash(world.run.spec), attempt=1, what="server", units=[3], count=3, why="reset")
    world.storage["deaths/1/p-3.json"] = death.model_dump_json(by_alias=True).encode()
    world.settle()
    assert (world.status.attempt, world.status.quarantined) == (1, ["control/retail/3/0"])
    assert (world.status.units.quarantined, world.status.units.infra_errors) == (1, 0)
    assert world.keys("errors/") == ["errors/control/retail/3/0.json"]


def test_deaths_of_another_configuration_count_for_nothing(kit):
    world = kit.World()
    while world.status.attempt == 0:
        world.tick()
        world.work()
    death = Death(spec_hash="another", attempt=1, what="pod", units=[3], count=9)
    world.storage["deaths/1/p-3.json"] = death.model_dump_json(by_alias=True).encode()
    world.settle()
    assert world.condition("Complete").status == "True"


def test_between_audits_the_pods_that_are_seen_tell(kit):
    world = kit.World()
    world.poison = {0}
    for turn in range(200):
        if "UnitsQuarantined" in world.events:
            break
        world.tick()
        world.work(turn)
    assert world.status.quarantined == ["control/retail/0/0"]
    assert world.condition("Complete").status == "False"
    said = world.condition("Progressing").message
    assert said.endswith("running, 1 quarantined; 3 pods failed, last: OOMKilled while unit 0 ran")
