"""Tables and charts of a report: each number is written once, and what there is little of can be drawn too."""

from datetime import UTC, datetime
from types import SimpleNamespace

from toolorch_api.run_input import Price
from toolorch_evaluator.breakdown import Row
from toolorch_evaluator.chart_timeline import draw_timeline
from toolorch_evaluator.charts import draw_histogram, draw_latency, draw_scores
from toolorch_evaluator.costs import compute_costs
from toolorch_evaluator.effects import MCNEMAR, Effect
from toolorch_evaluator.latency import LatencySums
from toolorch_evaluator.occupancy import Spans
from toolorch_evaluator.report_tables import (
    cost_table,
    effects_table,
    latency_table,
    show_told,
    token_table,
    tool_table,
)
from toolorch_evaluator.summary_parts import effects_document

PNG = b"\x89PNG"
EFFECT = Effect("anger", 8, 8, 0.75, 0.5, (-0.66, 0.26), None, 3, 0, MCNEMAR, 0.00001, 0.25)


def latency(*roles, **more):
    sums = LatencySums()
    for n, role in enumerate(roles):
        told = {"cause": "", "ms": 1000 + n, "tries": 1, "prompt_tokens": 2_000_000, "completion_tokens": 10}
        sums.add({"role": role, "pool": f"pool-{role}", **told, **more})
    return sums.rows()


def cells(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_every_row_has_a_cell_for_every_column_and_the_evaluator_is_marked():
    rows = latency("agent", "judge")
    assert [row["role"] for row in cells(latency_table(rows))] == ["agent", "judge (evaluator)"]
    assert cells(latency_table(rows))[0]["p99"] == "1.00"
    assert "first token p50 s" not in token_table(rows).columns
    assert cells(token_table(latency("agent", first_ms=120)))[0]["first token p50 s"] == "0.12"


def test_a_sum_over_part_of_the_roles_does_not_look_like_the_whole():
    rows = latency("agent", "judge")
    price = Price(input="3", output="15")
    table = cells(cost_table(compute_costs(rows, {"pool-agent": price})))
    assert [row["USD"] for row in table] == ["6.00", "unknown", "6.00 and more"]
    assert cells(cost_table(compute_costs(rows, {"pool-agent": price, "pool-judge": price})))[-1]["USD"] == "12.00"
    assert cells(cost_table(compute_costs(rows, {})))[-1]["USD"] == "unknown"


def test_effects_say_what_nobody_can_tell_and_documents_hold_the_same():
    (row,) = cells(effects_table([EFFECT]))
    assert (row["points"], row["95 % interval"], row["p"], row["p, Holm"]) == (
        "−25.0", "−66.0 to +26.0", "< 0.0001", "0.2500",
    )  # fmt: skip
    assert (row["Cohen's d"], row["odds"]) == ("–", "0.00")
    (document,) = effects_document([EFFECT])
    assert (document["difference"], document["cohensD"], document["p"], document["tasks"]) == (-0.25, None, 0.00001, 8)


def test_tools_tell_how_calls_ended_and_prompts_are_titled():
    tools = [SimpleNamespace(name="search", calls=5, good=1, others={"retrieval_unavailable": 4})]
    assert tool_table(SimpleNamespace(tools=tools)).rows == [("search", "retrieval_unavailable 4", "5", "1")]
    told = {"texts": {"retail: agent": "Hi"}, "tools": {"retail: agent": [{"name": "look"}]}}
    (first, text), (second, offered) = show_told(told)
    assert (first, text, second) == ("Prompt, retail: agent", "Hi", "Tools, retail: agent")
    assert '"name": "look"' in offered
    assert show_told({}) == []


def test_a_run_of_one_unit_and_of_no_time_can_be_drawn():
    whole, spans = Row("all", 1, 0, 0, 0, 0, 0.0), Spans()
    spans.add(1e9, 0)
    attempts = [(1, datetime.fromtimestamp(1e9, UTC)), (2, datetime.fromtimestamp(1e9 + 60, UTC))]
    assert draw_timeline(spans, Spans(), 1, attempts).startswith(PNG)
    assert draw_scores([[whole], [], []], whole).startswith(PNG)


def test_more_roles_than_colours_can_be_drawn():
    rows = latency(*(f"expert-{n}" for n in range(7)))
    assert draw_latency(rows).startswith(PNG)
    assert draw_histogram(rows).startswith(PNG)
