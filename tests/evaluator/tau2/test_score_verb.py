"""The `score` verb: one result per transcript, in order; a line that is no transcript is named and ends it."""

import io
import json

import pytest

from toolorch_evaluator.score import score_file

GOOD = {"domain": "airline", "task_id": "0", "termination_reason": "user_stop", "messages": []}
MINIMAL_CALL = {"role": "assistant", "tool_calls": [{"name": "calculate", "arguments": {"expression": "1+1"}}]}


def run(path, *rows, benchmark="tau2"):
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    out, err = io.StringIO(), io.StringIO()
    code = score_file(benchmark, path, out, err)
    return code, [json.loads(line) for line in out.getvalue().splitlines()], err.getvalue()


def test_results_follow_the_transcripts_and_an_ungradable_one_stops_nothing(tmp_path):
    said = {"role": "assistant", "content": "Hello", "tool_calls": None, "extra": 1}
    orphan = {"role": "tool", "id": "7", "content": "x"}
    rows = [{**GOOD, "messages": [said], "variant": "control"}, {**GOOD, "messages": [orphan]}]
    code, results, _ = run(tmp_path / "t.jsonl", *rows, {**GOOD, "termination_reason": "max_steps"})
    assert code == 0
    assert results[0] == {
        "domain": "airline",
        "task_id": "0",
        "reward": 1.0,
        "reward_breakdown": {"DB": 1.0, "COMMUNICATE": 1.0},
        "termination_reason": "user_stop",
    }
    assert results[1]["reward"] is None
    assert "answers no call" in results[1]["error"]
    assert (results[2]["reward"], results[2]["reward_breakdown"]) == (0.0, {})


def test_optional_fields_of_messages_may_be_missing(tmp_path):
    answer = {"role": "tool", "id": "", "content": "2.0"}
    code, results, _ = run(tmp_path / "t.jsonl", {**GOOD, "messages": [MINIMAL_CALL, answer]})
    assert (code, results[0]["reward"]) == (0, 1.0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{", "line 2 is not JSON"),
        ("[]", "line 2: a transcript is an object, not list"),
        ({**GOOD, "domain": "bank"}, "line 2: unknown domain 'bank' of tau2: known are retail, airline, telecom"),
        ({**GOOD, "task_id": "99"}, "line 2: unknown task '99' of airline"),
        ({k: v for k, v in GOOD.items() if k != "task_id"}, "line 2: a transcript needs task_id, as text"),
        ({k: v for k, v in GOOD.items() if k != "messages"}, "line 2: a transcript needs messages, as a list"),
        ({**GOOD, "termination_reason": "bored"}, "line 2: unknown termination_reason 'bored': known are user_stop,"),
        ({**GOOD, "messages": [{"role": "clerk"}]}, "line 2: messages[0]: a message's role is one of assistant, user,"),
        ({**GOOD, "messages": [{"role": "tool"}]}, "line 2: messages[0]: a tool message needs id, as text"),
        ({**GOOD, "messages": [{"role": "user", "content": 1}]}, "line 2: messages[0]: a message's content is text"),
        (
            {**GOOD, "messages": [{"role": "user", "tool_calls": [{"name": "f", "arguments": "{}"}]}]},
            "line 2: messages[0]: the arguments of the call of 'f' are an object, not str",
        ),
    ],
)
def test_a_line_that_is_no_transcript_is_named(tmp_path, row, said):
    code, results, err = run(tmp_path / "t.jsonl", GOOD, row, GOOD)
    assert (code, len(results)) == (2, 1)
    assert said in err


def test_unknown_benchmarks_and_missing_files_are_named(tmp_path):
    assert run(tmp_path / "t.jsonl", GOOD, benchmark="tau9")[0] == 2
    err = io.StringIO()
    assert score_file("tau2", tmp_path / "none.jsonl", io.StringIO(), err) == 2
    assert "none.jsonl" in err.getvalue()
