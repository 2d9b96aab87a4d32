"""The metrics of pools: counted where a status changes, bounded by what exists, gone with the pool."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from toolorch_operator.owner import Key

POOL, OTHER = Key("ModelPool", "evals", "orchestrator"), Key("ModelPool", "evals", "qwen")
OWN = ("evals", "orchestrator")
LABELS = ("namespace", "name")


def instance(state, since="2026-01-02T03:00:00Z", name="p-0", node="node-a"):
    return {"name": name, "state": state, "since": since, "node": node}


def condition(type_, status, reason="r"):
    return {"type": type_, "status": status, "reason": reason, "lastTransitionTime": "2026-01-02T03:00:00Z"}


def remediation(to, signature="CAPTURE_OOM"):
    at = "2026-01-02T03:00:00Z"
    field = "gpuMemoryUtilization"
    return {"time": at, "instance": "p-0", "signature": signature, "field": field, "from": "95", "to": to}


@pytest.fixture
def metrics(frame):
    return frame.metrics()


@pytest.fixture
def counted(frame, metrics):
    return lambda name, *labels: frame.samples(metrics, f"toolorch_{name}", (*LABELS, *labels))


@pytest.fixture
def slots(frame, metrics):
    return lambda: frame.samples(metrics, "toolorch_start_slots", ("node", "state"))


def test_each_remedy_is_counted_once_by_signature_and_field(frame, metrics, counted):
    history = [[], [remediation("90")], [remediation("90"), remediation("85")], [remediation("85")]]
    for before, after in pairwise(history):
        metrics.show_transition(POOL, {"remediations": before}, {"remediations": after}, frame.now)
    several = {"remediations": [remediation("80"), remediation("75", "RUN_OOM")]}
    metrics.show_transition(POOL, {"remediations": history[-1]}, several, frame.now)
    assert counted("pool_remediations_total", "signature", "field") == {
        (*OWN, "CAPTURE_OOM", "gpuMemoryUtilization"): 3.0,
        (*OWN, "RUN_OOM", "gpuMemoryUtilization"): 1.0,
    }


@pytest.mark.parametrize(
    ("before", "after", "starts", "seconds"),
    [
        pytest.param(instance("Starting"), instance("Ready", "2026-01-02T03:01:30Z"), 1, 90, id="it became ready"),
        pytest.param(instance("Starting"), instance("Starting"), 0, 0, id="it is starting still"),
        pytest.param(instance("Ready"), instance("Ready"), 0, 0, id="it was ready before"),
        pytest.param(instance("Starting"), instance("Crashed", "2026-01-02T03:01:30Z"), 0, 0, id="it crashed"),
        pytest.param(instance("Starting"), instance("Ready", name="p-1"), 0, 0, id="another one is ready"),
        pytest.param(instance("Starting", None), instance("Ready"), 0, 0, id="nobody knows since when it was starting"),
        pytest.param(
            instance("Starting"), instance("Ready", "2026-01-02T02:00:00Z"), 1, 0, id="the clock was set back"
        ),
    ],
)
def test_a_start_is_timed_from_starting_to_ready(frame, metrics, counted, before, after, starts, seconds):
    metrics.show_transition(POOL, {"instances": [before]}, {"instances": [after]}, frame.now)
    assert counted("pool_start_seconds_count").get(OWN, 0.0) == starts
    assert counted("pool_start_seconds_sum").get(OWN, 0.0) == seconds


def test_time_without_any_ready_replica_adds_up_between_looks(frame, metrics, counted):
    story = [(0, 2, 0), (10, 2, 0), (15, 2, 1), (40, 2, 1), (50, 2, 0), (57, 0, 0), (99, 0, 0), (98, 2, 0), (90, 2, 2)]
    told = []
    for second, wanted, ready in story:
        status = {"replicas": wanted, "readyReplicas": ready}
        metrics.show_transition(POOL, {}, status, frame.now + timedelta(seconds=second))
        told.append(counted("pool_unready_seconds_total")[OWN])
    assert told == [0, 10, 15, 15, 15, 22, 22, 22, 22]


@pytest.mark.parametrize(
    ("type_", "metric"),
    [("Placed", "placement_failures_total"), ("PreflightPassed", "preflight_failures_total")],
)
def test_a_failure_is_counted_when_it_begins_and_when_its_reason_changes(frame, metrics, counted, type_, metric):
    states = [
        {},
        condition(type_, "False", "InsufficientGPU"),
        condition(type_, "False", "InsufficientGPU"),
        condition(type_, "False", "QuotaExceeded"),
        condition(type_, "True", "Placed"),
        condition("Ready", "False", "Starting"),
        condition(type_, "False", "InsufficientGPU"),
    ]
    statuses = [{"conditions": [c] if c else []} for c in states]
    for before, after in pairwise(statuses):
        metrics.show_transition(POOL, before, after, frame.now)
    assert counted(metric, "reason") == {(*OWN, "InsufficientGPU"): 2.0, (*OWN, "QuotaExceeded"): 1.0}


def test_slots_add_up_over_pools_and_a_node_that_no_pool_names_is_not_shown(metrics, slots):
    metrics.show_status(POOL, {"instances": [instance("Starting"), instance("WaitingForSlot", name="p-1")]})
    metrics.show_status(OTHER, {"instances": [instance("WaitingForSlot"), instance("Ready", node="node-b")]})
    assert slots() == {
        ("node-a", "held"): 1.0,
        ("node-a", "waiting"): 2.0,
        ("node-b", "held"): 0.0,
        ("node-b", "waiting"): 0.0,
    }
    metrics.show_status(OTHER, {"instances": [instance("Starting")]})
    assert slots() == {("node-a", "held"): 2.0, ("node-a", "waiting"): 1.0}
    metrics.show_status(POOL, {"instances": [instance("Ready")]})
    assert slots() == {("node-a", "held"): 1.0, ("node-a", "waiting"): 0.0}


def go_through_everything(metrics, key, now):
    before = {"instances": [instance("Starting")]}
    after = {
        "replicas": 1,
        "instances": [instance("Ready")],
        "remediations": [remediation("90")],
        "conditions": [condition("Placed", "False"), condition("PreflightPassed", "False")],
    }
    metrics.show_transition(key, before, after, now)
    metrics.show_status(key, after)


def test_nothing_is_left_of_a_pool_that_is_gone_and_everything_of_its_neighbour(frame, metrics, slots):
    for key in (POOL, OTHER):
        go_through_everything(metrics, key, frame.now)
    metrics.forget(POOL)
    assert 'name="orchestrator"' not in metrics.render().decode()
    pools = ("pool_remediations_total", "pool_start_seconds_count", "pool_unready_seconds_total")
    for name in (*pools, "placement_failures_total", "preflight_failures_total"):
        assert list(frame.samples(metrics, f"toolorch_{name}", LABELS)) == [("evals", "qwen")]
    assert slots() == {("node-a", "held"): 0.0, ("node-a", "waiting"): 0.0}
    metrics.forget(OTHER)
    assert slots() == {}
    metrics.show_transition(POOL, {}, {"replicas": 1}, frame.now + timedelta(hours=1))
    assert frame.samples(metrics, "toolorch_pool_unready_seconds_total", LABELS) == {OWN: 0.0}


def test_a_run_of_the_same_name_neither_counts_as_a_pool_nor_takes_its_metrics_along(frame, metrics, slots):
    run = Key("EvalRun", *OWN)
    go_through_everything(metrics, run, frame.now)
    assert frame.samples(metrics, "toolorch_pool_unready_seconds_total", LABELS) == {}
    assert slots() == {}
    go_through_everything(metrics, POOL, frame.now)
    before = frame.samples(metrics, "toolorch_pool_start_seconds_count", LABELS), slots()
    metrics.forget(run)
    assert (frame.samples(metrics, "toolorch_pool_start_seconds_count", LABELS), slots()) == before
