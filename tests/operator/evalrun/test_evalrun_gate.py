"""The gate of a run: which baseline it finds, what GatePassed says when, and which Events tell it."""

import json

import pytest

from toolorch_api.shard import Baseline, GateOutcome
from toolorch_operator.evalrun.gate import parse_baseline

GATE = {"baseline": "old", "maxDrop": 2}
ROOT = "s3://runs/all/old-fedcba98"


def earlier(complete="True", root=ROOT, uid="fedcba98", output=None):
    status = {"results": root, "conditions": [{"type": "Complete", "status": complete}]}
    spec = {"output": output} if output else {}
    return {"metadata": {"name": "old", "uid": uid}, "spec": spec, "status": status}


def gate_passed(world):
    found = world.condition("GatePassed")
    return found.status, found.reason, found.message


@pytest.fixture
def world(kit):
    world = kit.World(gate=GATE)
    world.baseline = earlier()
    return world


BASELINES = {
    "that is complete is found by its results": (earlier(), Baseline(name="old", root=ROOT)),
    "that is gone is missed": (None, "EvalRun old does not exist"),
    "that goes on is not waited for": (earlier(complete="False"), "EvalRun old is not complete"),
    "that an older operator left without a place is none": (earlier(root=""), "EvalRun old is not complete"),
    "that is the run itself is none": (earlier(uid="0123456789abcdef"), "EvalRun old is this run"),
    "whose results take another Secret is out of reach": (
        earlier(output={"uri": "s3://theirs", "secretRef": {"name": "theirs"}}),
        "reached with Secret theirs, those of this run with Secret s3-keys",
    ),
    "whose results take no Secret is out of reach too": (
        earlier(output={"uri": "s3://theirs"}), "reached with no Secret, those of this run with Secret s3-keys",
    ),
    "that names the same Secret is in reach": (
        earlier(output={"uri": "s3://x", "secretRef": {"name": "s3-keys"}}), Baseline(name="old", root=ROOT),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BASELINES, ids=str)
def test_a_baseline(kit, name):
    raw, expected = BASELINES[name]
    found = parse_baseline(kit.run(gate=GATE), raw, kit.defaults)
    if isinstance(expected, Baseline):
        assert found == expected
    else:
        assert found.root == ""
        assert expected in found.problem


OUTCOMES = {
    "that holds is True": (GateOutcome(passed=True, reason="GateHeld", message="m"), "True", "Normal"),
    "that is breached is False, with a warning": (
        GateOutcome(passed=False, reason="GateBreached", message="m"), "False", "Warning",
    ),
    "that cannot tell is Unknown": (GateOutcome(reason="GateInconclusive", message="m"), "Unknown", "Normal"),
    "whose baseline ran something else is Unknown, with a warning": (
        GateOutcome(reason="BaselineDiffers", message="m"), "Unknown", "Warning",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES, ids=str)
def test_a_gate(world, name):
    outcome, status, kind = OUTCOMES[name]
    world.gate = outcome
    told = []
    for turn in range(60):
        told += [event for event in world.tick().events if event.reason == outcome.reason]
        world.work(turn)
    assert gate_passed(world) == (status, outcome.reason, "m")
    assert [(event.type, event.message) for event in told] == [(kind, "m")]
    assert world.condition("Complete").status == "True", "the gate is no part of the verdict on the run itself"


def test_before_the_report_it_says_what_will_be_compared_and_the_pods_are_told_where(world):
    world.tick()
    assert gate_passed(world) == ("Unknown", "NotStarted", "the report will compare with old")
    told = json.loads(world.config_maps["smoke-input"]["data"]["run.json"])
    assert told["baseline"] == {"name": "old", "root": ROOT}


def test_a_baseline_that_is_missing_is_told_at_once_and_one_that_comes_to_its_end_is_taken(world):
    world.baseline = earlier(complete="False")
    world.tick()
    world.tick()
    assert gate_passed(world) == ("Unknown", "BaselineUnavailable", "EvalRun old is not complete")
    assert world.events.count("BaselineUnavailable") == 1
    world.baseline = earlier()
    world.tick()
    assert gate_passed(world)[1] == "NotStarted"
    assert json.loads(world.config_maps["smoke-input"]["data"]["run.json"])["baseline"]["root"] == ROOT


def test_a_report_that_fails_leaves_the_gate_unknown(world):
    while "smoke-report" not in world.jobs:
        world.work()
        world.tick()
    for _ in range(4):
        world.kill(code=1, message="disk full")
    world.tick()
    assert gate_passed(world)[:2] == ("Unknown", "ReportFailed")


def test_a_run_that_ends_without_a_report_leaves_the_gate_unknown(world):
    world.tick()
    world.kill(code=42, message='{"reason": "NoTasks", "message": "no task is left by domains"}')
    world.tick()
    assert world.condition("Failed").status == "True"
    assert gate_passed(world) == ("Unknown", "ReportFailed", "the report compares, and there is none")


def test_an_evaluator_that_knows_no_gates_leaves_it_unknown(world):
    world.settle()
    assert gate_passed(world)[:2] == ("Unknown", "BaselineUnavailable")


def test_a_run_without_a_gate_says_nothing_of_one(kit, world):
    plain = kit.World()
    plain.settle()
    assert plain.condition("GatePassed") is None
    assert "baseline" not in plain.config_maps["smoke-input"]["data"]["run.json"]

    world.tick()
    del world.raw["spec"]["gate"]
    world.tick()
    assert world.condition("GatePassed") is None
