"""The table of a sweep: a row per run, its axes first, then how far it is and the score both ways. No I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

from toolorch_api.conditions import RunCondition, is_true
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_evaluator.cli.sweep_matrix import Assignment
from toolorch_evaluator.cli.table import render_rows

_COLUMNS = ("DONE", "SCORE", "95 % INTERVAL", "OVER ALL", "ERRORS", "REASON")
# A terminal beside another window still shows so many; a wider table is split.
_WIDTH = 100
# Narrower than kubectl's, for the sake of that width.
_GAP = "  "
_CSV_COLUMNS = (
    "done", "total", "passed", "score", "interval", "scoreScheduled", "intervalScheduled", "infraErrors", "reason",
    "results",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One run and how it stands."""

    name: str
    assignment: Assignment
    trials: int
    status: EvalRunStatus


def render_sweep(axes: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Return header and rows; pass^k stands in a table of its own where one of all would be too wide."""
    left = [axis.upper() for axis in axes]
    keys = [[str(row.assignment[axis]) for axis in axes] for row in rows]
    stand = [_stand(row) for row in rows]
    ks = _common_ks(rows)
    marks = [f"PASS^{k}" for k in ks]
    passes = [[row.status.pass_hat_k.get(k, "") for k in ks] for row in rows]
    # REASON is last: it is empty for what is complete, and the longest where it is not.
    header = [*left, *_COLUMNS[:-1], *marks, _COLUMNS[-1]]
    whole = _render(header, [[*a, *b[:-1], *c, b[-1]] for a, b, c in zip(keys, stand, passes, strict=True)])
    if not ks or max(map(len, whole)) <= _WIDTH:
        return whole
    first = _render([*left, *_COLUMNS], [[*a, *b] for a, b in zip(keys, stand, strict=True)])
    return [*first, "", *_render([*left, *marks], [[*a, *c] for a, c in zip(keys, passes, strict=True)])]


def _render(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Leave out what is empty in every row."""
    kept = [i for i in range(len(header)) if i < len(header) - 1 or any(row[i] for row in rows)]
    return render_rows([header[i] for i in kept], [[row[i] for i in kept] for row in rows], _GAP)


def _stand(row: Row) -> list[str]:
    status = row.status
    errors = str(status.units.infra_errors) if status.units.total else ""
    return [status.done, status.score, status.interval, status.score_scheduled, errors, _reason(status)]


def _reason(status: EvalRunStatus) -> str:
    """Return what keeps a run from being complete, or its numbers from being believed."""
    if is_true(status.conditions, RunCondition.RESULTS_SUSPECT):
        return RunCondition.RESULTS_SUSPECT
    return "" if is_true(status.conditions, RunCondition.COMPLETE) else status.reason or "not begun"


def _common_ks(rows: Sequence[Row]) -> list[str]:
    """Return each k that pass^k is known for in every run; none where some run has a single trial."""
    trials = min((row.trials for row in rows), default=1)
    return [str(k) for k in range(1, trials + 1)] if trials > 1 else []


def render_csv(axes: Sequence[str], rows: Sequence[Row]) -> str:
    """Return the table as CSV, with a run's name, counts one by one, and where its results lie."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    ks = _common_ks(rows)
    writer.writerow(["run", *axes, *_CSV_COLUMNS, *(f"pass^{k}" for k in ks)])
    for row in rows:
        status, units = row.status, row.status.units
        figures = [
            units.done, units.total, units.passed, status.score, status.interval, status.score_scheduled,
            status.interval_scheduled, units.infra_errors, _reason(status) or status.reason, status.results,
        ]  # fmt: skip
        passes = [status.pass_hat_k.get(k, "") for k in ks]
        writer.writerow([row.name, *row.assignment.values(), *figures, *passes])
    return text.getvalue()
