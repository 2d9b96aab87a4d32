"""Progress of a server that runs: a hang is told from work and from rest."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolorch_operator.modelpool.preflight.progress import Progress, note_progress, parse_progress

TEXT = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a}b"} 2.0
vllm:num_requests_running{engine="1",model_name="a}b"} 1.0
vllm:num_requests_waiting{engine="0",model_name="a}b"} 7.0
vllm:prompt_tokens_total{engine="0",model_name="a}b"} 1.5e+03
vllm:prompt_tokens_total{engine="1",model_name="a}b"} 500.0
vllm:prompt_tokens_created{engine="1",model_name="a}b"} 1.7e+09
vllm:generation_tokens_total{engine="0",model_name="a}b"} 40.0 1700000000000
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="a}b"} 9.0
vllm:iteration_tokens_total_sum{engine="0",model_name="a}b"} 99.0
vllm:iteration_tokens_total_count{engine="0",model_name="a}b"} 12.0
"""


def test_engines_are_summed():
    assert parse_progress(TEXT) == Progress(3, (2000, 40, 12))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("process_open_fds 3\n", None, id="another program"),
        pytest.param("vllm:num_requests_running 1.0\n", None, id="no counters"),
        pytest.param("vllm:generation_tokens_total 1.0\n", None, id="nobody knows whether it is busy"),
        pytest.param(
            "vllm:num_requests_running 1\nvllm:generation_tokens_total 5\n", Progress(1, (0, 5, 0)), id="no labels"
        ),
        pytest.param(
            "vllm:num_requests_running{}\nvllm:generation_tokens_total{} x\n", Progress(0, (0, 0, 0)), id="no numbers"
        ),
    ],
)
def test_metrics_are_read_of(text, expected):
    assert parse_progress(text) == expected


def stalled(*samples):
    """Seconds of stall after looks ten seconds apart, each (running, counter)."""
    note = None
    for n, (running, tokens) in enumerate(samples):
        note = note_progress(note, Progress(running, (tokens,)), n * 10.0)
    return note.stalled_seconds


@pytest.mark.parametrize(
    ("samples", "seconds"),
    [
        pytest.param([(1, 5)], 0, id="a first look"),
        pytest.param([(1, 5), (1, 5), (1, 5)], 20, id="busy, and nothing moves"),
        pytest.param([(1, 5), (1, 5), (1, 6)], 0, id="it moves again"),
        pytest.param([(1, 5), (1, 5), (1, 1)], 0, id="it has restarted"),
        pytest.param([(0, 5), (0, 5), (0, 5)], 0, id="idle"),
        pytest.param([(0, 5), (1, 5), (1, 5)], 10, id="stuck since its first request"),
        pytest.param([(1, 5), (0, 5), (1, 5)], 0, id="another request in between"),
    ],
)
def test_the_stall_of_a_server_that_is(samples, seconds):
    assert stalled(*samples) == seconds


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), min_size=1))
def test_a_server_whose_tokens_move_is_never_stalled(looks):
    totals = [(running, sum(step for _, step in looks[: n + 1])) for n, (running, _) in enumerate(looks)]
    assert stalled(*totals) == 0
