"""Rollouts: who takes up changed settings now, who waits for a slot, and whom runs keep as it is."""

from datetime import UTC, datetime, timedelta

import pytest

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import StartView
from toolorch_operator.modelpool.rollout import (
    RollView,
    Step,
    is_forced,
    is_outdated,
    is_rolling,
    plan_rollout,
    template_hash,
    with_template_hash,
)

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
READY, STARTING, CRASHED = InstanceState.READY, InstanceState.STARTING, InstanceState.CRASHED
WAITING, PENDING = InstanceState.WAITING_FOR_SLOT, InstanceState.PENDING
APPLY, WAIT, KEEP = Step.APPLY, Step.WAIT, Step.KEEP
DEFERRED, ROLLING = PoolReason.ROLLOUT_DEFERRED, PoolReason.ROLLING_OUT


def start(name, state, node="node-a"):
    return StartView(f"evals/{name}", node, state, NOON - timedelta(minutes=1), 1, 5)


def old(state=READY, node="node-a", **more):
    return ("old", state, node, more)


def new(state=READY, node="node-a", **more):
    return ("new", state, node, more)


def roll(replicas, others=(), runs=(), forced=False):
    views = [
        RollView(start(f"p-{i}", state, node), is_outdated=age == "old", **more)
        for i, (age, state, node, more) in enumerate(replicas)
    ]
    result = plan_rollout(views, others, runs, NOON, forced=forced)
    return [result.steps[v.start.instance] for v in views], result.reason


@pytest.mark.parametrize(
    ("replicas", "more", "steps", "reason"),
    [
        pytest.param([new(), new(STARTING)], {}, [APPLY, APPLY], None, id="nothing has changed"),
        pytest.param([new()], {"runs": ["r"]}, [APPLY], None, id="nothing has changed and a run uses it"),
        pytest.param([], {}, [], None, id="no replica at all"),
        pytest.param([old(), old()], {"runs": ["r"]}, [KEEP, KEEP], DEFERRED, id="a run keeps servers as they are"),
        pytest.param([old(), old()], {}, [APPLY, WAIT], ROLLING, id="without a run they roll one after another"),
        pytest.param(
            [old(), old()], {"runs": ["r"], "forced": True}, [APPLY, WAIT], ROLLING, id="the annotation overrules runs"
        ),
        pytest.param([old(), old(node="node-b")], {}, [APPLY, APPLY], ROLLING, id="nodes roll side by side"),
        pytest.param([new(STARTING), old()], {}, [APPLY, WAIT], ROLLING, id="the next waits until the last one serves"),
        pytest.param(
            [new(is_rolling=True), old()], {}, [APPLY, WAIT], ROLLING, id="the next waits until the old pod is gone"
        ),
        pytest.param([new(is_rolling=True)], {}, [APPLY], ROLLING, id="the last one's old pod still runs"),
        pytest.param(
            [old()], {"others": [start("q-0", STARTING)]}, [WAIT], ROLLING, id="another pool's start has the slot"
        ),
        pytest.param(
            [old()], {"others": [start("q-0", WAITING)]}, [WAIT], ROLLING, id="who does not serve yet starts first"
        ),
        pytest.param(
            [old(STARTING), old(CRASHED), old(PENDING), old(WAITING)],
            {"runs": ["r"]},
            [APPLY] * 4,
            None,
            id="who does not serve has nothing to lose",
        ),
        pytest.param(
            [old(is_remedied=True), old()],
            {"runs": ["r"]},
            [APPLY, KEEP],
            DEFERRED,
            id="a remedy reaches the one that crashed, although it is up again, and not its sound neighbour",
        ),
        pytest.param(
            [old(is_remedied=True), old()], {}, [APPLY, WAIT], ROLLING, id="the neighbour of a remedied one waits"
        ),
    ],
)
def test_who_takes_up_changed_settings(replicas, more, steps, reason):
    assert roll(replicas, **more) == (steps, reason)


def test_a_deferral_names_the_runs_and_the_way_out():
    views = [RollView(start(f"p-{i}", READY), is_outdated=i > 0) for i in range(3)]
    message = plan_rollout(views, [], ["a", "b", "c", "d", "e"], NOON, forced=False).message
    assert message == (
        "2 of 3 replicas serve on with earlier settings as long as runs use the pool (a, b, c and 2 more);"
        " the annotation toolorch.dev/rollout=now rolls them at once"
    )


def test_a_rollout_that_meets_no_run_ends_with_every_replica_changed_and_one_down_at_a_time():
    ages, states = ["old"] * 4, [READY] * 4
    for _ in range(4):
        steps, reason = roll([(age, state, "node-a", {}) for age, state in zip(ages, states, strict=True)])
        assert reason is ROLLING
        told = [i for i, step in enumerate(steps) if step is APPLY and ages[i] == "old"]
        assert len(told) == 1
        ages[told[0]] = "new"
    assert roll([new()] * 4) == ([APPLY] * 4, None)


@pytest.mark.parametrize(
    ("annotations", "forced"),
    [({}, False), ({"toolorch.dev/rollout": "now"}, True), ({"toolorch.dev/rollout": "later"}, False)],
)
def test_only_the_word_now_forces_a_rollout(annotations, forced):
    document = {"kind": "ModelPool", "metadata": {"name": "p", "annotations": annotations}, "spec": {"model": "m"}}
    assert is_forced(ModelPool.model_validate(document)) is forced


def deployment(image="vllm:1", **annotations):
    template = {"metadata": {"labels": {"a": "b"}, "annotations": annotations}, "spec": {"image": image}}
    return {"kind": "Deployment", "spec": {"replicas": 1, "template": template}}


def test_a_template_carries_its_own_hash_which_does_not_count_itself():
    marked = with_template_hash(deployment(note="kept"))
    template = marked["spec"]["template"]
    assert template_hash(template) == template["metadata"]["annotations"]["toolorch.dev/template-hash"]
    assert template["metadata"]["annotations"]["note"] == "kept"
    assert with_template_hash(marked) == marked


@pytest.mark.parametrize(
    ("live", "outdated"),
    [
        pytest.param(None, False, id="it does not exist yet"),
        pytest.param(with_template_hash(deployment()), False, id="it is as desired"),
        pytest.param(with_template_hash(deployment("vllm:0")), True, id="it has another image"),
        pytest.param(with_template_hash(deployment(note="other")), True, id="it has another annotation"),
        pytest.param(deployment(), True, id="it tells of no hash"),
    ],
)
def test_whether_a_deployment_is_outdated(live, outdated):
    assert is_outdated(live, with_template_hash(deployment())) is outdated


def test_what_the_api_server_adds_to_a_template_is_no_change():
    live = with_template_hash(deployment())
    live["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    assert not is_outdated(live, with_template_hash(deployment()))


@pytest.mark.parametrize(
    ("generation", "status", "rolling"),
    [
        pytest.param(1, {}, False, id="it is new"),
        pytest.param(2, {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}, True, id="not yet seen"),
        pytest.param(2, {"observedGeneration": 2, "replicas": 1}, True, id="the old pod still runs"),
        pytest.param(2, {"observedGeneration": 2, "replicas": 0}, False, id="no pod runs"),
        pytest.param(2, {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1}, False, id="the new pod runs"),
    ],
)
def test_whether_a_deployment_is_rolling(generation, status, rolling):
    assert is_rolling({"metadata": {"generation": generation}, "status": status}) is rolling
    assert not is_rolling(None)
