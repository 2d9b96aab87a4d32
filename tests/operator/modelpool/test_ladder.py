"""Laws of the ladder: bounded, each crash once, one step for crashes at one setting, and always an end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_operator.modelpool.crashes import Crash
from toolorch_operator.modelpool.memory import climb, find_stall, initial_effective, spec_hash, start
from toolorch_operator.modelpool.rungs import LADDER

CLASSES = ["CAPTURE_OOM", "RUN_OOM", "CUDA_OOM", "LOAD_OOM", "HOST_OOM", "NONE"]


def spec_of(**spec):
    return ModelPoolSpec.model_validate({"model": "m", **spec})


def crash(key, utilization, signature="CAPTURE_OOM", spec_hash=""):
    return Crash(key, f"p-{key}", signature, 85, utilization, spec_hash)


def begin(spec):
    return start(spec, Ladder(), Effective(), 1)


@pytest.mark.parametrize("signature", sorted(LADDER))
def test_out_of_memory_after_kv_sizing_or_at_an_unknown_phase_lowers_by_one_step(signature, noon):
    spec = spec_of(gpuMemoryUtilization=95)
    at = climb(spec, begin(spec), [crash("a/0", 95, signature)], noon)
    assert at.effective.gpu_memory_utilization == 90
    assert [(r.from_, r.to) for r in at.records] == [("95", "90")]


def test_two_replicas_that_crash_at_the_same_setting_are_one_step(noon):
    spec = spec_of(gpuMemoryUtilization=95)
    at = climb(spec, begin(spec), [crash("a/0", 95), crash("b/0", 95), crash("a/1", 95)], noon)
    assert (at.effective.gpu_memory_utilization, at.ladder.attempts) == (90, 1)


def test_a_crash_of_an_earlier_spec_says_nothing_about_this_one(noon):
    spec = spec_of(gpuMemoryUtilization=95)
    at = climb(spec, begin(spec), [crash("a/0", 95, spec_hash="of-another-spec")], noon)
    assert at.records == ()


def test_the_last_step_stops_at_the_minimum(noon):
    spec = spec_of(gpuMemoryUtilization=52)
    at = climb(spec, begin(spec), [crash("a/0", 52)], noon)
    assert at.effective.gpu_memory_utilization == 50
    assert climb(spec, at, [crash("a/1", 50)], noon).records == at.records


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"replicas": 7}, True, id="scaling keeps the ladder"),
        pytest.param({"preflight": {"toolCalling": "Off"}}, True, id="another preflight keeps the ladder"),
        pytest.param({"remediation": {"maxAttempts": 9}}, True, id="more attempts go on from where it stands"),
        pytest.param({"gpuMemoryUtilization": 80}, False, id="another utilization starts afresh"),
        pytest.param({"maxModelLen": 1024}, False, id="another context length starts afresh"),
        pytest.param({"extraArgs": ["--enforce-eager"]}, False, id="another argument starts afresh"),
        pytest.param({"env": [{"name": "A", "value": "b"}]}, False, id="another variable starts afresh"),
        pytest.param({"remediation": {"gpuMemoryUtilization": {"step": 1}}}, False, id="another step starts afresh"),
    ],
)
def test_which_spec_changes_matter(change, same):
    assert (spec_hash(spec_of(**change)) == spec_hash(spec_of())) is same


@st.composite
def ladders(draw):
    low = draw(st.integers(1, 100))
    high = draw(st.integers(low, 100))
    return spec_of(
        gpuMemoryUtilization=draw(st.integers(low, high)),
        remediation={
            "maxAttempts": draw(st.integers(0, 20)),
            "gpuMemoryUtilization": {"min": low, "max": high, "step": draw(st.integers(1, 50))},
        },
    )


HISTORY = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(1, 100), st.sampled_from(CLASSES)))


@settings(max_examples=150, deadline=None)
@given(spec=ladders(), history=HISTORY)
def test_any_history_stays_within_bounds_and_counts_each_crash_once(spec, history, noon):
    crashes = [crash(f"{pod}/{run}", at, signature) for pod, run, at, signature in history]
    first = climb(spec, begin(spec), crashes, noon)
    bounds = spec.remediation.gpu_memory_utilization
    assert bounds.min <= first.effective.gpu_memory_utilization <= spec.gpu_memory_utilization
    assert first.ladder.attempts == len(first.records) <= spec.remediation.max_attempts
    assert len(set(first.ladder.counted)) == len(first.ladder.counted) == first.ladder.attempts
    assert all(int(r.to) < int(r.from_) for r in first.records)


@settings(max_examples=100, deadline=None)
@given(spec=ladders(), signature=st.sampled_from(CLASSES))
def test_a_server_that_always_dies_ends_in_a_stall_after_at_most_the_attempts(spec, signature, noon):
    at = begin(spec)
    for n in range(spec.remediation.max_attempts + 1):
        newest = crash(f"pod-{n}/0", at.effective.gpu_memory_utilization, signature)
        before, at = at, climb(spec, at, [newest], noon)
        if at.ladder == before.ladder:
            break
    stall = find_stall(spec, at, newest)
    assert at.ladder == before.ladder
    assert stall.reason
    assert newest.instance in stall.message


def test_without_a_remedy_the_settings_are_those_of_the_spec():
    spec = spec_of(gpuMemoryUtilization=80, maxModelLen=4096, resources={"memory": "1Gi"})
    assert initial_effective(spec) == Effective(gpu_memory_utilization=80, max_model_len=4096, memory="1Gi")
