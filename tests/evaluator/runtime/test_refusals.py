"""What error answers mean."""

from datetime import UTC, datetime

import pytest

from toolorch_evaluator.overflow import is_enough
from toolorch_evaluator.refusals import classify, parse_pause

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
WINDOW = "This model's maximum context length is 32768 tokens."
VLLM = (
    "This model's maximum context length is 32768 tokens. However, you requested 80034 tokens in the messages. "
    "Please reduce the length of the messages."
)


@pytest.mark.parametrize(
    ("status", "text", "cause", "passing", "overflow"),
    [
        pytest.param(500, "unexpected tokens", "model_server_error", True, False, id="a server's crash passes"),
        pytest.param(503, "", "model_server_error", True, False, id="a server that starts passes"),
        pytest.param(429, "slow down", "model_busy", True, False, id="a rate limit passes"),
        pytest.param(408, "", "model_timeout", True, False, id="a gateway's timeout passes"),
        pytest.param(400, VLLM, "context_window_exceeded", False, True, id="vLLM's context length is the model's end"),
        pytest.param(
            400,
            '{"error": {"code": "context_length_exceeded"}}',
            "context_window_exceeded",
            False,
            True,
            id="OpenAI's context length too",
        ),
        pytest.param(
            400,
            "The decoder prompt (length 40001) is longer than the maximum model length of 32768.",
            "context_window_exceeded",
            False,
            True,
            id="and vLLM's other wording",
        ),
        pytest.param(400, "bad tool", "model_refused", False, False, id="another 400 is nobody's success later"),
        pytest.param(401, "who?", "model_unauthorized", False, False, id="a wrong key stays wrong"),
        pytest.param(404, "no such model", "model_not_found", False, False, id="a missing model stays missing"),
    ],
)
def test_error_answers(status, text, cause, passing, overflow):
    trouble = classify(status, text, NOON)
    assert (trouble.cause, trouble.passing, trouble.overflow) == (cause, passing, overflow)


def test_max_tokens_beyond_the_window_is_the_specs_mistake_and_not_the_models():
    assert classify(400, VLLM, NOON, max_tokens=40000).cause == "max_tokens_too_large"
    assert classify(400, VLLM, NOON, max_tokens=8000).overflow
    newer = (
        "max_tokens=4096 cannot be greater than max_model_len=max_model_len=2048. Please request fewer output tokens."
    )
    assert classify(400, newer, NOON, max_tokens=4096).cause == "max_tokens_too_large"


def test_an_answer_as_long_as_the_window_is_cut_where_the_server_tells_the_prompt():
    told = classify(400, f"{WINDOW} However, your request has 30000 input tokens.", NOON, max_tokens=32768)
    assert (told.overflow, told.left) == (True, 2768)
    silent = classify(400, f"{WINDOW} However, you requested 62768 tokens.", NOON, max_tokens=32768)
    assert silent.cause == "max_tokens_too_large", "nobody can tell whether the prompt fits"
    assert classify(400, f"{WINDOW} However, your request has 33000 input tokens.", NOON, max_tokens=32768).overflow


@pytest.mark.parametrize(
    ("header", "pause"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param("-1", 0.0, id="less than none"),
        pytest.param("Fri, 20 Nov 2026 12:00:09 GMT", 9.0, id="a date"),
        pytest.param("Fri, 20 Nov 2026 11:00:00 GMT", 0.0, id="a date that is over"),
        pytest.param("Fri, 20 Nov 2026 12:00:09", 9.0, id="a date of no zone is UTC"),
        pytest.param("soon", None, id="words"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_when_to_come_again(header, pause):
    assert parse_pause(header, NOON) == pause
    assert classify(429, "", NOON, header).pause == pause


def test_a_redirect_is_refused():
    trouble = classify(307, "", NOON)
    assert (trouble.cause, trouble.passing) == ("model_redirects", False)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("EngineCore encountered an issue. See stack trace (above) for the root cause.", True),
        ("vllm.v1.engine.exceptions.EngineDeadError", True),
        ("Internal Server Error", False),
    ],
)
def test_an_engine_says_that_it_died(text, lost):
    assert classify(500, text, NOON).lost is lost
    assert not classify(400, text, NOON).lost


@pytest.mark.parametrize(
    ("text", "left"),
    [
        pytest.param(
            f"'max_tokens' or 'max_completion_tokens' is too large: 4096. {WINDOW[:-1]} and your request has 30000 "
            "input tokens (4096 > 32768 - 30000).",
            2768,
            id="vLLM, both numbers",
        ),
        pytest.param(
            f"{WINDOW} However, you requested 34096 tokens (30000 in the messages, 4096 in the completion).",
            2768,
            id="older vLLM, both parts",
        ),
        pytest.param(
            f"{WINDOW} However, you requested 4096 output tokens and your prompt contains 30000 input tokens, for a "
            "total of 34096 tokens. Please reduce the length of the input prompt.",
            2768,
            id="newer vLLM, counted to the end",
        ),
        pytest.param(
            f"{WINDOW} However, you requested 4096 output tokens and your prompt contains at least 28673 input tokens, "
            "for a total of at least 32769 tokens.",
            2048,
            id="newer vLLM, not counted to the end: half",
        ),
        pytest.param(
            f"{WINDOW} However, you requested 4096 output tokens and your prompt contains 300000 characters (more than "
            "286720 characters, which is the upper bound for 28672 input tokens).",
            2048,
            id="newer vLLM, not counted at all: half",
        ),
        pytest.param(
            f"{WINDOW} However, your request has 33000 input tokens. Please reduce the length of the input messages.",
            None,
            id="the prompt alone is too long",
        ),
        pytest.param(
            f"{WINDOW} However, you requested 4096 output tokens and your prompt contains at least 32769 input tokens",
            None,
            id="the prompt alone is too long, not counted to the end",
        ),
        pytest.param(f"{WINDOW} However, you requested 34096 tokens.", None, id="nobody knows the prompt"),
        pytest.param(f"{WINDOW} Your request has 100 input tokens.", None, id="what was asked for fits"),
    ],
)
def test_tokens_that_an_answer_may_have_after_all(text, left):
    trouble = classify(400, text, NOON, max_tokens=4096)
    assert (trouble.overflow, trouble.left) == (True, left)
    assert classify(400, text, NOON).left is None, "what was not asked for cannot be cut"


@pytest.mark.parametrize(
    ("left", "asked", "enough"),
    [(256, 8000, True), (255, 8000, False), (13, 100, True), (12, 100, False), (1, 8, True)],
)
def test_a_shorter_answer_is_worth_having_from_256_tokens_or_an_eighth(left, asked, enough):
    assert is_enough(left, asked) is enough
