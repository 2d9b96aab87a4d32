"""What happened in a run's conversations, summed up."""

from types import SimpleNamespace

import pytest

from toolorch_evaluator.counted import find_tools, sum_up


@pytest.mark.parametrize(
    ("counts", "tools"),
    [
        pytest.param({"look_ok": 3, "look_error": 1}, [("look", 4, 3, {"error": 1})], id="ok and errors"),
        pytest.param(
            {"get_ok": 1, "get_more_ok": 2, "get_more_error": 3},
            [("get_more", 5, 2, {"error": 3}), ("get", 1, 1, {})],
            id="a name that begins like another",
        ),
        pytest.param(
            {"search_ok": 1, "search_retrieval_unavailable": 4},
            [("search", 5, 1, {"retrieval_unavailable": 4})],
            id="outcomes of two words",
        ),
        pytest.param({"wasted_rounds": 2, "leaked_thoughts_agent": 1}, [], id="what no tool did"),
    ],
)
def test_tools_are_told_by_how_their_calls_came_out(counts, tools):
    assert [(t.name, t.calls, t.good, t.others) for t in find_tools(counts)] == tools


def test_counts_of_all_ends_are_summed_up_and_experts_told_per_turn_of_the_agent():
    results = [
        SimpleNamespace(counts={"look_ok": 1, "search_retrieval_unavailable": 2}, calls={"agent": 6, "expert-1": 2}),
        SimpleNamespace(counts={"look_ok": 1}, calls={"agent": 2, "user": 9}),
        SimpleNamespace(counts={}, calls={}),
    ]
    happened = sum_up(results, ("expert-1", "expert-2"))
    assert happened.counts == {"look_ok": 2, "search_retrieval_unavailable": 2}
    assert happened.others == {"search_retrieval_unavailable": 2}, "nothing that was counted is silent"
    assert (happened.experts.calls, happened.experts.rate) == ({"expert-1": 2, "expert-2": 0}, 0.25)
    assert sum_up(results, ()).experts is None
