"""Which charts a report has, by name, and what each shows in words."""

from __future__ import annotations

from datetime import datetime

from toolorch_evaluator.chart_timeline import draw_timeline
from toolorch_evaluator.charts import draw_histogram, draw_latency, draw_scores
from toolorch_evaluator.occupancy import Spans
from toolorch_evaluator.story import Story

WORDS = {
    "score": "Scores with 95 % intervals",
    "histogram": "Calls by how long they took, by role",
    "latency": "Share of calls answered within a time, by role",
    "timeline": "Units ended, units and calls under way over time",
}


def draw_charts(story: Story) -> dict[str, bytes]:
    """Return the charts that there is something to draw in, as PNG."""
    numbers = story.numbers
    charts = {"score": draw_scores([numbers.groups, numbers.variants, numbers.trials], numbers.whole)}
    if any(row.calls for row in story.latency):
        charts |= {"histogram": draw_histogram(story.latency), "latency": draw_latency(story.latency)}
    if story.results:
        total = len(story.manifest.units)
        charts["timeline"] = draw_timeline(_units_under_way(story), story.calls_under_way, total, _attempts(story))
    return charts


def _units_under_way(story: Story) -> Spans:
    spans = Spans()
    for result in story.results:
        spans.add(result.started_at.timestamp(), (result.ended_at - result.started_at).total_seconds())
    return spans


def _attempts(story: Story) -> list[tuple[int, datetime]]:
    told = story.provenance["attempts"]
    return [(attempt["attempt"], datetime.fromisoformat(attempt["beganAt"])) for attempt in told]
