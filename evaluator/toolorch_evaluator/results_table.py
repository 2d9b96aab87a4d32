"""results.csv: one row per unit that has ended, for whoever wants to count by themselves. PURE."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from toolorch_api.shard import Result

COLUMNS = (
    "variant", "domain", "task_id", "trial", "status", "reward", "termination_reason", "cause", "message",
    "seconds", "calls", "tool_calls", "prompt_tokens", "completion_tokens", "endpoints", "attempt", "pod", "failed_at",
)  # fmt: skip


def write_csv(results: Sequence[Result]) -> str:
    """Return the table of results, with a header."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    for r in results:
        seconds = (r.ended_at - r.started_at).total_seconds()
        cells = (r.variant, r.domain, r.task_id, r.trial, r.status, r.reward, r.termination_reason, r.cause, r.message,
                 f"{seconds:.3f}", r.usage.calls, r.tool_calls, r.usage.prompt_tokens, r.usage.completion_tokens,
                 " ".join(r.endpoints), r.attempt, r.pod, r.endpoint)  # fmt: skip
        writer.writerow(map(_cell, cells))
    return target.getvalue()


def _cell(value: object) -> object:
    # A spreadsheet runs what starts like a formula; models and servers have a say in some cells.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
