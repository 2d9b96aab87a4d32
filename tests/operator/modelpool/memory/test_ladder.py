"""Laws of the ladder: bounded, each crash once, one change for crashes at one setting, and always an end."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import Effective, Ladder
from toolorch_operator.modelpool.memory.bracket import TOO_HIGH, TOO_LOW
from toolorch_operator.modelpool.memory.climb import climb, find_stall, initial_effective, is_current, spec_hash, start
from toolorch_operator.modelpool.memory.crashes import Crash, Figures, Limits
from toolorch_operator.modelpool.memory.rungs import LADDER

CLASSES = [*sorted(LADDER), "NONE", "NEW_CLASS"]
# More than any ladder takes: attempts, the restarts of all replicas, and a crash that ends it.
FOR_EVER = 40


def spec_of(**spec):
    return ModelPoolSpec.model_validate({"model": "m", **spec})


def crash(key, utilization=None, signature="CAPTURE_OOM", spec_hash="", **more):
    return Crash(key, more.pop("instance", f"p-{key[0]}"), signature, 85, utilization, spec_hash, **more)


def begin(spec):
    return start(spec, Ladder(), Effective(), 1)


def look(spec, at, crashes, now):
    """Look once more, as the operator does with what status holds."""
    return climb(spec, start(spec, at.ladder, at.effective, 1), crashes, now)


def limits_of(effective):
    return Limits(effective.max_model_len, effective.max_num_seqs, effective.max_num_batched_tokens)


def crash_now(at, key, signature="CAPTURE_OOM", **more):
    """A crash of a server that runs with the settings that hold."""
    now = at.effective
    return crash(key, now.gpu_memory_utilization, signature, at.ladder.spec_hash, limits=limits_of(now), **more)


def test_replicas_that_crash_at_the_same_setting_are_one_step(noon):
    spec = spec_of(gpuMemoryUtilization=95)
    at = climb(spec, begin(spec), [crash("a/0", 95), crash("b/0", 95), crash("a/1", 95)], noon)
    assert (at.effective.gpu_memory_utilization, at.ladder.attempts) == (90, 1)


def test_replicas_that_crash_for_want_of_host_memory_at_once_are_one_step(noon):
    """Memory is no argument of the command: only the pod's template tells which limit it lived with."""
    spec = spec_of(resources={"memory": "2Gi"})
    fallen = [crash_now(begin(spec), f"{pod}/0", "HOST_OOM", template="old") for pod in "abc"]
    at = look(spec, climb(spec, begin(spec), fallen[:2], noon), fallen, noon)
    assert (at.effective.memory, at.ladder.attempts, at.records) == ("3072Mi", 1, ())
    at = look(spec, at, [crash_now(at, "d/0", "HOST_OOM", template="new")], noon)
    assert at.effective.memory == "4608Mi"


def test_a_restart_supersedes_no_pod(noon):
    spec = spec_of()
    at = look(spec, begin(spec), [crash_now(begin(spec), "a/0", "RACE", template="same")], noon)
    assert is_current(spec, at, crash_now(at, "a/1", "RACE", template="same"))


def test_replicas_that_are_restarted_as_they_were_take_each_round_together(noon):
    spec, rounds = spec_of(), []
    at = begin(spec)
    for run in range(4):
        for pod in "abc":
            at = look(spec, at, [crash_now(at, f"{pod}/{run}", "RACE")], noon)
            rounds.append(len(at.records))
    assert rounds == [1, 0, 0] * 3 + [0, 0, 0]
    assert (at.ladder.attempts, at.effective) == (3, initial_effective(spec))
    assert find_stall(spec, at, crash_now(at, "c/3", "RACE")).reason == "RemediationExhausted"


def test_a_restart_of_one_replica_is_not_lost_on_another_that_crashes_later(noon):
    spec = spec_of(gpuMemoryUtilization=90)
    free = {"figures": Figures(free=15.0, total=20.0)}
    at = look(spec, begin(spec), [crash_now(begin(spec), "a/0", "FREE_LT", **free)], noon)
    late = crash_now(at, "b/0", "FREE_LT", **free)
    at = look(spec, at, [late], noon)
    assert (at.effective.gpu_memory_utilization, find_stall(spec, at, late)) == (90, None)
    assert look(spec, at, [crash_now(at, "b/1", "FREE_LT", **free)], noon).effective.gpu_memory_utilization == 73


def test_a_thousand_replicas_that_lose_a_race_leave_status_small_and_at_rest(noon):
    spec = spec_of(replicas=1000, remediation={"maxAttempts": 1})
    fallen = [crash_now(begin(spec), f"{n}/0", "RACE", instance=f"p-{n}") for n in range(1000)]
    at = climb(spec, begin(spec), fallen, noon)
    assert Ladder.model_validate(at.ladder.model_dump()) == at.ladder
    assert (at.ladder.attempts, len(at.ladder.counted)) == (1, 64)
    assert look(spec, at, fallen, noon).ladder == at.ladder
    assert not any(find_stall(spec, at, c) for c in fallen)


@pytest.mark.parametrize(
    "earlier",
    [
        pytest.param({"spec_hash": "of-another-spec"}, id="another spec"),
        pytest.param({"utilization": 90}, id="another utilization"),
        pytest.param({"limits": Limits(max_model_len=4096)}, id="another context length"),
        pytest.param({"limits": Limits(max_num_seqs=8)}, id="another number of sequences"),
        pytest.param({"limits": Limits(max_num_batched_tokens=512)}, id="another size of batches"),
    ],
)
def test_a_crash_says_nothing_about_the_settings_that_hold_if_it_comes_of(noon, earlier):
    spec = spec_of(gpuMemoryUtilization=95)
    at = climb(spec, begin(spec), [crash("a/0", **earlier)], noon)
    assert (at.records, is_current(spec, at, crash("a/0", **earlier))) == ((), False)


def test_a_crash_of_just_these_settings_counts(noon):
    spec = spec_of(gpuMemoryUtilization=95, maxNumSeqs=8)
    now = crash("a/0", 95, limits=Limits(max_num_seqs=8), template="t")
    assert len(climb(spec, begin(spec), [now], noon).records) == 1


def test_settings_that_an_earlier_operator_did_not_know_are_those_of_the_spec():
    spec = spec_of(maxNumBatchedTokens=8192, gpuMemoryUtilization=95)
    known = Ladder(spec_hash=spec_hash(spec), attempts=1)
    at = start(spec, known, Effective(gpu_memory_utilization=90), 2)
    assert (at.ladder, at.effective.gpu_memory_utilization, at.effective.max_num_batched_tokens) == (known, 90, 8192)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        pytest.param({"replicas": 7}, True, id="scaling keeps the ladder"),
        pytest.param({"preflight": {"toolCalling": "Off"}}, True, id="another preflight keeps the ladder"),
        pytest.param({"startup": {"settleSeconds": 9}}, True, id="another pause before a start keeps the ladder"),
        pytest.param({"placement": {"strategy": "Spread"}}, True, id="another strategy of placement keeps the ladder"),
        pytest.param({"chatTemplateKwargs": {"a": 1}}, True, id="another field of requests keeps the ladder"),
        pytest.param({"remediation": {"maxAttempts": 9}}, True, id="more attempts go on from where it stands"),
        pytest.param({"remediation": {"allow": []}}, True, id="fewer remedies go on from where it stands"),
        pytest.param({"gpuMemoryUtilization": 80}, False, id="another utilization starts afresh"),
        pytest.param({"maxModelLen": 1024}, False, id="another context length starts afresh"),
        pytest.param({"extraArgs": ["--enforce-eager"]}, False, id="another argument starts afresh"),
        pytest.param({"env": [{"name": "A", "value": "b"}]}, False, id="another variable starts afresh"),
        pytest.param({"placement": {"gpuProducts": ["H100"]}}, False, id="another kind of GPU starts afresh"),
        pytest.param({"startup": {"timeoutSeconds": 60}}, False, id="another time to start starts afresh"),
        pytest.param({"servedModelName": "x"}, False, id="another name in the command starts afresh"),
        pytest.param({"remediation": {"gpuMemoryUtilization": {"step": 1}}}, False, id="another step starts afresh"),
    ],
)
def test_which_spec_changes_matter(change, same):
    assert (spec_hash(spec_of(**change)) == spec_hash(spec_of())) is same


@st.composite
def specs(draw):
    low = draw(st.integers(1, 100))
    high = draw(st.integers(low, 100))
    limits = {"maxModelLen": 65536, "maxNumSeqs": 1024, "maxNumBatchedTokens": 65536}
    return spec_of(
        gpuMemoryUtilization=draw(st.integers(low, high)),
        remediation={
            "maxAttempts": draw(st.integers(0, 20)),
            "gpuMemoryUtilization": {"min": low, "max": high, "step": draw(st.integers(1, 50))},
        },
        **{name: draw(st.integers(1, most)) for name, most in limits.items() if draw(st.booleans())},
    )


AMOUNT = st.none() | st.integers(0, 20_000).map(lambda n: n / 100)
FIGURES = st.builds(
    Figures, AMOUNT, AMOUNT, AMOUNT, AMOUNT, AMOUNT, *[st.none() | st.integers(0, 99999).map(float)] * 3
)
ENDS = st.tuples(st.sampled_from(CLASSES), st.sampled_from(["", "P2", "P3"]), FIGURES, st.sampled_from("ab"))
NUMBERS = ("gpuMemoryUtilization", "maxModelLen", "maxNumSeqs", "maxNumBatchedTokens")


def run(spec, ends, noon):
    """Let servers end, each with the settings that hold then; return what is so after each end, and its crash."""
    at, steps = begin(spec), []
    for n, (signature, phase, figures, pod) in enumerate(ends):
        newest = crash_now(at, f"{n}/0", signature, phase=phase, figures=figures, instance=f"p-{pod}")
        at = look(spec, at, [newest], noon)
        steps.append((at, newest))
    return steps


@settings(max_examples=40, deadline=None)
@given(spec=specs(), ends=st.lists(ENDS, max_size=25))
def test_any_story_stays_within_the_bounds_and_counts_each_crash_once(spec, ends, noon):
    steps = run(spec, ends, noon)
    bounds = spec.remediation.gpu_memory_utilization
    for at, newest in steps:
        assert bounds.min <= at.effective.gpu_memory_utilization <= bounds.max
        assert look(spec, at, [newest], noon).ladder == at.ladder
        assert len(at.records) <= at.ladder.counted.count(newest.key) <= 1
    changes = [record for at, _ in steps for record in at.records]
    assert len(changes) <= spec.remediation.max_attempts
    assert len(changes) == (steps[-1][0].ladder.attempts if steps else 0)


@settings(max_examples=40, deadline=None)
@given(spec=specs(), ends=st.lists(ENDS, max_size=25))
def test_utilization_goes_up_only_for_the_cache_and_down_only_for_the_rest_and_never_to_what_was_too_high(
    spec, ends, noon
):
    too_high = 101
    for at, newest in run(spec, ends, noon):
        for change in at.records:
            if change.field in NUMBERS[1:]:
                assert change.from_ == "unset" or int(change.to) < int(change.from_)
            if change.field != "gpuMemoryUtilization":
                continue
            assert (int(change.to) > int(change.from_)) is (newest.signature in TOO_LOW)
            assert int(change.to) < too_high
        if newest.signature in TOO_HIGH:
            too_high = min(too_high, newest.utilization)


@settings(max_examples=30, deadline=None)
@given(spec=specs(), end=ENDS)
def test_a_server_that_always_dies_ends_in_a_stall_that_says_what_to_do(spec, end, noon):
    at, newest = run(spec, [end] * FOR_EVER, noon)[-1]
    stall = find_stall(spec, at, newest)
    assert at.records == ()
    assert stall.reason
    assert stall.message.startswith(newest.instance)
    assert len(stall.message) < 600


@settings(max_examples=30, deadline=None)
@given(
    spec=specs(),
    low=st.sampled_from(["KV_NONE", "KV_SMALL", "AUTOFIT"]),
    high=st.sampled_from(sorted(TOO_HIGH)),
    figures=FIGURES,
    first=st.booleans(),
)
def test_too_low_and_too_high_in_turn_always_end_in_a_closed_bracket(spec, low, high, figures, first, noon):
    pair = [(low, "P2", figures, "a"), (high, "P3", Figures(), "a")]
    steps = run(spec, (pair if first else pair[::-1]) * (FOR_EVER // 2), noon)
    reasons = {find_stall(spec, at, newest).reason for at, newest in steps[-2:]}
    if steps[-1][0].ladder.attempts == spec.remediation.max_attempts:
        reasons -= {"RemediationExhausted"}
    assert reasons <= {"MemoryBracketClosed"}


@settings(max_examples=15, deadline=None)
@given(spec=specs(), ends=st.lists(ENDS, min_size=1, max_size=8))
def test_a_spec_change_forgets_everything(spec, ends, noon):
    at, newest = run(spec, ends, noon)[-1]
    other = spec.model_copy(update={"extra_args": ["--enforce-eager"]})
    again = climb(other, start(other, at.ladder, at.effective, 2), [newest], noon)
    assert again.ladder == Ladder(generation=2, spec_hash=spec_hash(other))
    assert again.effective == initial_effective(other)


def test_without_a_remedy_the_settings_are_those_of_the_spec():
    spec = spec_of(gpuMemoryUtilization=80, maxModelLen=4096, maxNumBatchedTokens=64, resources={"memory": "1Gi"})
    assert initial_effective(spec) == Effective(
        gpu_memory_utilization=80, max_model_len=4096, max_num_batched_tokens=64, memory="1Gi"
    )
