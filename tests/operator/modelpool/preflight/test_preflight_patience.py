"""How soon a server is asked again, and what is still to be asked."""

from dataclasses import replace

import pytest

from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Exam, Probe, ProbeTarget, ServedModel, Verdict
from toolorch_operator.modelpool.preflight.patience import is_other_question, is_useful, open_exam, pause_after

EXAM = Exam("m", calls_tools=True, template_kwargs={}, timeout_seconds=9, label="pool")
OWN = ProbeTarget("pool-0", "http://10.0.0.7:8000/v1", "uid/0", exam=EXAM)
EXTERNAL = ProbeTarget("pool", "https://x.example/v1", "https://x.example/v1", external=True, exam=EXAM)
AWAY, UP = Probe(False, error="away"), Probe(True, (ServedModel("m"),))


def judged(reason, passed=False):
    return replace(UP, preflight=Verdict(passed, reason, "words"))


PASSED = judged(PoolReason.CALLS_TOOLS, True)


@pytest.mark.parametrize(
    ("probe", "target", "failures", "seconds"),
    [
        pytest.param(AWAY, OWN, 0, 2, id="it does not answer"),
        pytest.param(AWAY, OWN, 3, 16, id="it does not answer for the fourth time"),
        pytest.param(AWAY, OWN, 5000, 60, id="it has been away for days"),
        pytest.param(judged(PoolReason.PREFLIGHT_TIMED_OUT), OWN, 1, 4, id="it hung"),
        pytest.param(judged(PoolReason.COMPLETION_FAILED), OWN, 0, 2, id="it failed"),
        pytest.param(judged(PoolReason.TOOL_CALLS_NOT_PARSED), OWN, 0, 300, id="its parser is the wrong one"),
        pytest.param(UP, OWN, 0, 300, id="it has another name"),
        pytest.param(AWAY, EXTERNAL, 9, 15, id="an external server is away"),
        pytest.param(PASSED, EXTERNAL, 9, 60, id="an external server is well"),
        pytest.param(UP, replace(EXTERNAL, exam=None), 0, 60, id="an external server needs no exam"),
        pytest.param(judged(PoolReason.API_KEY_REFUSED), EXTERNAL, 0, 300, id="an external server wants a key"),
    ],
)
def test_the_pause_when(probe, target, failures, seconds):
    assert pause_after(probe, target, failures) == seconds


def test_an_exam_is_open_until_it_is_passed():
    assert open_exam(OWN, None) == open_exam(OWN, AWAY) == open_exam(OWN, UP) == EXAM
    assert open_exam(OWN, PASSED) is None
    assert is_useful(PASSED, EXAM)
    assert is_useful(UP, None)
    assert not is_useful(UP, EXAM)
    assert not is_useful(AWAY, None)


@pytest.mark.parametrize(
    ("target", "known", "expected"),
    [
        pytest.param(OWN, None, False, id="the same before its answer"),
        pytest.param(replace(OWN, exam=None), PASSED, False, id="passed, and remembered so"),
        pytest.param(replace(OWN, exam=None), UP, True, id="failed, and excused"),
        pytest.param(replace(OWN, exam=replace(EXAM, calls_tools=False)), PASSED, True, id="an easier exam"),
        pytest.param(replace(OWN, url="http://10.0.0.8:8000/v1"), PASSED, True, id="another address"),
    ],
)
def test_the_question_is_another_one_when(target, known, expected):
    assert is_other_question(OWN, target, known) is expected
