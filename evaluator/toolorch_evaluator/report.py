"""A run's report as files: summary.json, results.csv, report.md, report.html and charts, all from the same numbers."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import jinja2

from toolorch_api.figures import decimals, span
from toolorch_api.keys import REPORT_KEY, SUMMARY_KEY
from toolorch_api.shard import Manifest, Result, RunInput, Summary, Unit
from toolorch_evaluator.charts import draw_latency, draw_pace, draw_scores
from toolorch_evaluator.compared import comparison_document, show_rows
from toolorch_evaluator.gate import GateFinding
from toolorch_evaluator.latency import RoleLatency
from toolorch_evaluator.summary import Row, RunNumbers

CSV_KEY = "report/results.csv"
MARKDOWN_KEY = "report/report.md"
CHARTS_PREFIX = "report/charts/"

COLUMNS = (
    "variant", "domain", "task_id", "trial", "status", "reward", "termination_reason", "cause", "message",
    "seconds", "calls", "tool_calls", "prompt_tokens", "completion_tokens", "endpoints", "attempt", "pod",
)  # fmt: skip
# A page with thousands of rows is read by nobody; results.csv has them all.
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Story:
    """All that a report tells."""

    run: RunInput
    manifest: Manifest
    numbers: RunNumbers
    latency: Sequence[RoleLatency]
    results: Sequence[Result]
    """Final results and infra errors, in the manifest's order."""
    packages: Mapping[str, str]
    """Versions that run.json names."""
    now: datetime
    gate: GateFinding | None = None
    """None without spec.gate."""


def render(story: Story) -> dict[str, bytes]:
    """Return the report's objects by key; summary.json is the last, since it says that the others are there."""
    charts = _charts(story)
    shown = _context(story, charts)
    return {
        **{f"{CHARTS_PREFIX}{name}.png": image for name, image in charts.items()},
        CSV_KEY: _csv(story.results).encode(),
        MARKDOWN_KEY: _template("report.md.j2", escape=False).render(shown).encode(),
        REPORT_KEY: _template("report.html.j2", escape=True).render(shown).encode(),
        SUMMARY_KEY: json.dumps(summary_document(story), ensure_ascii=False, indent=1).encode(),
    }


def build_head(story: Story) -> Summary:
    """Return the head of summary.json: the run's numbers, and what its gate says of them."""
    return story.numbers.head.model_copy(update={"gate": story.gate.outcome if story.gate else None})


def summary_document(story: Story) -> dict[str, Any]:
    """Build summary.json: the head that the operator reads, then the tables."""
    numbers = story.numbers
    comparison = story.gate.comparison if story.gate else None
    latency = [{k: v for k, v in asdict(row).items() if k != "curve_ms"} for row in story.latency]
    return {
        **build_head(story).model_dump(mode="json", by_alias=True, exclude_none=True),
        "run": story.run.name,
        "benchmark": story.run.spec.benchmark.name,
        "datasetHash": story.manifest.dataset_hash,
        "createdAt": story.now.isoformat(),
        "groups": [_row_document(row) for row in numbers.groups],
        "passHatKScheduled": {str(p.k): decimals(p.scheduled) for p in numbers.pass_hat_k},
        "passHatKTasks": {str(p.k): p.tasks for p in numbers.pass_hat_k},
        "causes": dict(numbers.causes),
        "terminationReasons": dict(numbers.terminations),
        "served": numbers.served,
        "endpoints": dict(numbers.endpoints),
        "latency": latency,
        **({"comparison": comparison_document(comparison)} if comparison else {}),
    }


def _row_document(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "total": row.total,
        "scored": row.scored,
        "passed": row.passed,
        "infraErrors": row.infra_errors,
        "score": decimals(row.score),
        "scoreScheduled": decimals(row.score_scheduled),
        "interval": span(row.interval),
    }


def _charts(story: Story) -> dict[str, bytes]:
    ends = [r.ended_at for r in story.results]
    return {
        "score": draw_scores(story.numbers.groups, story.numbers.whole),
        **({"latency": draw_latency(story.latency)} if any(row.calls for row in story.latency) else {}),
        **({"pace": draw_pace(ends, len(story.manifest.units))} if ends else {}),
    }


def _context(story: Story, charts: Mapping[str, bytes]) -> dict[str, Any]:
    passed_not = [r for r in story.results if r.status != "passed"]
    return {
        "story": story,
        "head": story.numbers.head,
        "numbers": story.numbers,
        "rows": [*map(_row_document, story.numbers.groups), {**_row_document(story.numbers.whole), "name": "all"}],
        "roles": _roles(story),
        "gate": story.gate,
        "compared": show_rows(story.gate.comparison) if story.gate and story.gate.comparison else [],
        "deviations": _deviations(story.run),
        "charts": {name: b64encode(image).decode() for name, image in charts.items()},
        "unfinished": passed_not[:MOST_ROWS],
        "hidden": max(0, len(passed_not) - MOST_ROWS),
        "unrun": len(story.manifest.units) - len(story.results),
        "decimals": decimals,
    }


def _roles(story: Story) -> list[dict[str, str]]:
    """The effective model map: who was asked for, and who answered."""
    return [
        {
            "role": name,
            "pool": role.pool,
            "model": story.run.pools[role.pool].model if role.pool in story.run.pools else "",
            "served": ", ".join(story.numbers.served.get(name, ())) or "no call",
        }
        for name, role in story.run.spec.roles.by_name().items()
    ]


def _deviations(run: RunInput) -> list[str]:
    """What differs from the benchmark's own way, and must be said beside a score."""
    roles = run.spec.roles.by_name().items()
    return [f"{name} has toolChoice {role.tool_choice}; the benchmark means auto" for name, role in roles
            if role.tool_choice != "auto"]  # fmt: skip


def _csv(results: Sequence[Result]) -> str:
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in results:
        seconds = (r.ended_at - r.started_at).total_seconds()
        cells = (r.variant, r.domain, r.task_id, r.trial, r.status, r.reward, r.termination_reason, r.cause, r.message,
                 f"{seconds:.3f}", r.usage.calls, r.tool_calls, r.usage.prompt_tokens, r.usage.completion_tokens,
                 " ".join(r.endpoints), r.attempt, r.pod)  # fmt: skip
        writer.writerow(map(_cell, cells))
    return target.getvalue()


def _cell(value: object) -> object:
    # A spreadsheet runs what starts like a formula; models and servers have a say in some cells.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def _template(name: str, *, escape: bool) -> jinja2.Template:
    loader = jinja2.PackageLoader("toolorch_evaluator")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=escape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = _markdown_cell
    return environment.get_template(name)


def _markdown_cell(text: object) -> str:
    """Text as one cell of a Markdown table: no line breaks, no column marks, no markup."""
    plain = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "|`*_<>[]\\" else c for c in plain)


def order_results(manifest: Manifest, *found: Mapping[Unit, Result]) -> list[Result]:
    """Return the results of a manifest's units in its order, the first mapping that has one winning."""
    units = (Unit(*u) for u in manifest.units)
    choices = (next((m[u] for m in found if u in m), None) for u in units)
    return [result for result in choices if result is not None]
