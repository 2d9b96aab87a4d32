"""Names of a run's children: functions of identity, so that a second creation hits the first. PURE."""

from __future__ import annotations

from toolorch_api.evalrun import EvalRun


def input_config_map(run: EvalRun) -> str:
    """ConfigMap with run.json."""
    return f"{run.metadata.name}-input"


def plan_job(run: EvalRun) -> str:
    """Job that writes the manifest."""
    return f"{run.metadata.name}-plan"


def attempt_job(run: EvalRun, attempt: int) -> str:
    """Indexed Job of an attempt, counted from 1."""
    return f"{run.metadata.name}-a{attempt}"


def report_job(run: EvalRun) -> str:
    """Job that writes the report."""
    return f"{run.metadata.name}-report"


def endpoints_config_map(pool: str) -> str:
    """ConfigMap of a pool with endpoints.json."""
    return f"{pool}-endpoints"
