"""What a crash carries to the ladder: the launcher's numbers, and the settings that its server was started with."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_api.modelpool import ModelPoolSpec
from toolorch_api.modelpool_status import Effective
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.memory.crashes import Figures, Limits, parse_crashes, parse_limits
from toolorch_operator.modelpool.pods import PodView, Termination

CREATED, FINISHED = "2026-01-01T12:00:00Z", "2026-01-01T12:10:30Z"


def crashes_of(report="", *, run=0, code=84, reason="Error", finished=FINISHED, **pod):
    message = report if isinstance(report, str) else json.dumps(report)
    end = Termination(run, code, reason, message, finished)
    return parse_crashes([PodView("p-0-x", "uid", "p-0", **{"created": CREATED, "terminations": (end,), **pod})])


def test_the_numbers_of_a_report_reach_the_ladder():
    told = {"free": 19.77, "total": 22.05, "need": 16, "avail": 7.43, "want": 19.84, "est": 60832, "mml": 131072}
    [crash] = crashes_of({"v": 1, "class": "KV_SMALL", "phase": "P2", "seqs": 256, "msg": "m", **told})
    assert crash.figures == Figures(**told, seqs=256)
    assert (crash.signature, crash.phase, crash.message, crash.limits) == ("KV_SMALL", "P2", "m", None)


@pytest.mark.parametrize("value", ["7", True, None, -1, [7], 1e12, float("nan"), float("inf"), 10**400])
def test_what_is_no_amount_counts_as_not_told(value):
    [crash] = crashes_of(json.dumps({"class": "KV_SMALL", "need": value}))
    assert crash.figures == Figures()


def test_an_amount_too_small_to_divide_by_counts_as_nothing():
    assert crashes_of({"class": "KV_SMALL", "total": 5e-324, "avail": 1e-7, "need": 0.125})[0].figures == Figures(
        total=0.0, avail=0.0, need=0.125
    )


LIMIT = st.none() | st.integers(1, 10**8)


@settings(max_examples=40, deadline=None)
@given(percent=st.integers(1, 100), lengths=LIMIT, seqs=LIMIT, tokens=LIMIT)
def test_a_crash_has_the_settings_that_its_command_was_made_of(percent, lengths, seqs, tokens):
    spec = ModelPoolSpec(model="12", max_num_batched_tokens=7, extra_args=["--seed", "5"])
    effective = Effective(
        gpu_memory_utilization=percent, max_model_len=lengths, max_num_seqs=seqs, max_num_batched_tokens=tokens
    )
    [crash] = crashes_of({"gmu": 0.5}, command=tuple(serve_command(spec, effective)))
    assert (crash.utilization, crash.limits) == (percent, Limits(lengths, seqs, tokens))


def test_a_command_that_is_cut_off_tells_no_limit():
    assert parse_limits(["vllm", "--max-num-seqs", "many", "--max-model-len"]) == Limits()


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        pytest.param({}, 630.0, id="it is the first"),
        pytest.param({"run": 1}, None, id="it is a later one"),
        pytest.param({"finished": ""}, None, id="its time is not told"),
        pytest.param({"finished": "2026-01-01T12:10:30"}, None, id="its time has no zone"),
    ],
)
def test_how_long_a_pod_lasted_is_known_of_an_end_if(end, seconds):
    assert [c.seconds for c in crashes_of(**end)] == [seconds]


@pytest.mark.parametrize(
    ("end", "counts"),
    [
        pytest.param({"code": 0}, False, id="it went"),
        pytest.param({"code": 143}, False, id="it was told to go"),
        pytest.param({"code": 137, "reason": "OOMKilled"}, False, id="it was killed, by whomever"),
        pytest.param({"code": 85, "report": {"class": "CAPTURE_OOM"}}, True, id="it had crashed before"),
    ],
)
def test_the_end_of_a_pod_that_is_being_deleted_is_a_crash_only_if(end, counts):
    assert bool(crashes_of(**end, deleting=True)) is counts
    assert crashes_of(**end)


def test_a_crash_knows_what_its_pod_was_built_from():
    [crash] = crashes_of(spec_hash="s", template="t")
    assert (crash.spec_hash, crash.template) == ("s", "t")


def test_a_crash_knows_how_often_its_container_was_started():
    assert [c.run for c in crashes_of(run=12)] == [12]
