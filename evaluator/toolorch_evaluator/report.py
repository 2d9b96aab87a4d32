"""A run's report as files: summary.json, results.csv, report.md, report.html and charts, all from the same numbers."""

from __future__ import annotations

import json
from typing import Any

from toolorch_api.figures import decimals, span
from toolorch_api.keys import REPORT_KEY, SUMMARY_KEY
from toolorch_api.shard import Summary
from toolorch_evaluator.breakdown import Row
from toolorch_evaluator.compared import comparison_document
from toolorch_evaluator.report_charts import draw_charts
from toolorch_evaluator.report_page import render_html, render_markdown
from toolorch_evaluator.results_table import write_csv
from toolorch_evaluator.set_aside import SetAside
from toolorch_evaluator.story import Story
from toolorch_evaluator.summary_parts import costs_document, effects_document, happened_document, latency_document

CSV_KEY = "report/results.csv"
MARKDOWN_KEY = "report/report.md"
CHARTS_PREFIX = "report/charts/"


def render(story: Story) -> dict[str, bytes]:
    """Return the report's objects by key; summary.json is the last, since it says that the others are there."""
    charts = draw_charts(story)
    return {
        **{f"{CHARTS_PREFIX}{name}.png": image for name, image in charts.items()},
        CSV_KEY: write_csv(story.results).encode(),
        MARKDOWN_KEY: render_markdown(story).encode(),
        REPORT_KEY: render_html(story, charts).encode(),
        SUMMARY_KEY: json.dumps(summary_document(story), ensure_ascii=False, indent=1).encode(),
    }


def build_head(story: Story) -> Summary:
    """Return the head of summary.json: the run's numbers, and what its gate says of them."""
    return story.numbers.head.model_copy(update={"gate": story.gate.outcome if story.gate else None})


def summary_document(story: Story) -> dict[str, Any]:
    """Build summary.json: the head that the operator reads, then the tables."""
    numbers = story.numbers
    comparison = story.gate.comparison if story.gate else None
    return {
        **build_head(story).model_dump(mode="json", by_alias=True, exclude_none=True),
        "run": story.run.name,
        "benchmark": story.run.spec.benchmark.name,
        "datasetHash": story.manifest.dataset_hash,
        "createdAt": story.now.isoformat(),
        "groups": [_row_document(row) for row in numbers.groups],
        "groupsByVariant": [_row_document(row) for row in numbers.variants],
        "groupsByTrial": [_row_document(row) for row in numbers.trials],
        "passHatKScheduled": {str(p.k): decimals(p.scheduled) for p in numbers.pass_hat_k},
        "causes": dict(numbers.causes),
        "infraErrorsByEndpoint": dict(numbers.culprits),
        "terminationReasons": dict(numbers.terminations),
        "quarantinedUnits": [_aside_document(one) for one in numbers.quarantined],
        "refusedResults": dict(numbers.refused),
        "served": numbers.served,
        "endpoints": dict(numbers.endpoints),
        "latency": latency_document(story.latency),
        "costs": costs_document(story.costs),
        **happened_document(numbers.happened),
        **({"variants": effects_document(story.effects)} if story.effects else {}),
        **({"comparison": comparison_document(comparison)} if comparison else {}),
    }


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "total": row.total,
        "scored": row.scored,
        "passed": row.passed,
        "infraErrors": row.infra_errors,
        "quarantined": row.quarantined,
        "score": decimals(row.score),
        "interval": span(row.interval),
        "scoreScheduled": decimals(row.score_scheduled),
        "intervalScheduled": span(row.interval_scheduled),
    }


def _aside_document(one: SetAside) -> dict[str, Any]:
    return {"unit": one.unit.key, "deaths": one.deaths, "alone": one.alone, "why": one.why}
