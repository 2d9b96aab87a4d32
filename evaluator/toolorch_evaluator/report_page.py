"""The report as a page that people read: Markdown and HTML from the same context, all foreign text escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2

from toolorch_api.figures import decimals, span
from toolorch_api.run_input import RunInput
from toolorch_evaluator.compared import show_rows
from toolorch_evaluator.provenance_page import show_pools
from toolorch_evaluator.report_charts import WORDS
from toolorch_evaluator.report_tables import (
    Table,
    cost_table,
    effects_table,
    latency_table,
    show_told,
    token_table,
    tool_table,
)
from toolorch_evaluator.story import Story

# A page with thousands of rows is read by nobody; results.csv has them all.
MOST_ROWS = 200
# Of refused objects, which are many only where a whole folder is another run's.
MOST_REFUSED = 20


def render_html(story: Story, charts: Mapping[str, bytes]) -> str:
    """Return report.html: one file that loads nothing from elsewhere."""
    images = {name: b64encode(image).decode() for name, image in charts.items()}
    return _template("report.html.j2", escape=True).render(_context(story), charts=images)


def render_markdown(story: Story) -> str:
    """Return report.md."""
    return _template("report.md.j2", escape=False).render(_context(story))


def _context(story: Story) -> dict[str, Any]:
    passed_not = [r for r in story.results if r.status != "passed"]
    numbers, refused = story.numbers, sorted(story.numbers.refused.items())
    head = numbers.head
    return {
        "story": story,
        "head": head,
        "numbers": numbers,
        "rows": [*numbers.groups, *numbers.variants, *numbers.trials, numbers.whole],
        "roles": _roles(story),
        "gate": story.gate,
        "compared": show_rows(story.gate.comparison) if story.gate and story.gate.comparison else [],
        "deviations": _deviations(story.run),
        "provenance": story.provenance,
        "pools": show_pools(story.provenance),
        "refused": refused[:MOST_REFUSED],
        "unfinished": passed_not[:MOST_ROWS],
        "hidden": max(0, len(passed_not) - MOST_ROWS),
        "unrun": head.total - head.scored - head.infra_errors - head.quarantined,
        "streamed": any(row.first_p50_ms is not None for row in story.latency),
        "tables": _tables(story),
        "told": show_told(story.told),
        "words": WORDS,
        "decimals": decimals,
        "span": span,
    }


def _tables(story: Story) -> dict[str, Table]:
    return {
        "latency": latency_table(story.latency),
        "tokens": token_table(story.latency),
        "effects": effects_table(story.effects),
        "costs": cost_table(story.costs),
        "tools": tool_table(story.numbers.happened),
    }


def _roles(story: Story) -> list[dict[str, str]]:
    """The effective model map: who was asked for, and who answered."""
    return [
        {
            "role": name,
            "pool": role.pool,
            "model": story.run.pools[role.pool].model if role.pool in story.run.pools else "",
            "served": ", ".join(f"{model} in {n} units" for model, n in story.numbers.served.get(name, {}).items())
            or "no call",
        }
        for name, role in story.run.spec.roles.by_name().items()
    ]


def _deviations(run: RunInput) -> list[str]:
    """What differs from the benchmark's own way, and must be said beside a score."""
    roles = run.spec.roles.by_name().items()
    return [f"{name} has toolChoice {role.tool_choice}; the benchmark means auto" for name, role in roles
            if role.tool_choice != "auto"]  # fmt: skip


@cache
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
