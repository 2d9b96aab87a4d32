"""The gate of a run: which stored results are its baseline, and what the report says of the comparison. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.evalrun import EvalRun
from toolorch_api.shard import Baseline, Summary
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.output import resolve_output
from toolorch_operator.evalrun.step import Says
from toolorch_operator.raw import is_raw_true


def parse_baseline(run: EvalRun, raw: Mapping[str, Any] | None, defaults: Defaults) -> Baseline | None:
    """Return the baseline of a run from the EvalRun that its gate names, as read; None without a gate.

    Its results must lie where this run's Secret reaches: the report's pod is shown no other one.
    """
    if run.spec.gate is None:
        return None
    name = run.spec.gate.baseline
    root = str(((raw or {}).get("status") or {}).get("results", ""))
    problem = _find_problem(run, name, raw, root, defaults)
    return Baseline(name=name, problem=problem) if problem else Baseline(name=name, root=root)


def say_baseline(run: EvalRun, observed: ObservedRun) -> dict[RunCondition, Says]:
    """Return what GatePassed says before the report: what it will compare with, or why it could not."""
    if run.spec.gate is None:
        return {}
    problem = observed.baseline.problem if observed.baseline is not None else ""
    reason = RunReason.BASELINE_UNAVAILABLE if problem else RunReason.NOT_STARTED
    words = problem or f"the report will compare with {run.spec.gate.baseline}"
    return {RunCondition.GATE_PASSED: Says(None, reason, words)}


def say_gate(run: EvalRun, summary: Summary | None) -> dict[RunCondition, Says]:
    """Return what GatePassed says once the report is there, or will never be."""
    if run.spec.gate is None:
        return {}
    if summary is None:
        return {RunCondition.GATE_PASSED: Says(None, RunReason.REPORT_FAILED, "the report compares, and there is none")}
    if summary.gate is None:
        words = "the report holds no comparison: an evaluator without gates wrote it"
        return {RunCondition.GATE_PASSED: Says(None, RunReason.BASELINE_UNAVAILABLE, words)}
    return {RunCondition.GATE_PASSED: Says(summary.gate.passed, summary.gate.reason, summary.gate.message)}


def _find_problem(run: EvalRun, name: str, raw: Mapping[str, Any] | None, root: str, defaults: Defaults) -> str:
    if raw is None:
        return f"EvalRun {name} does not exist; toolorch compare takes the URIs of stored runs"
    if raw["metadata"].get("uid") == run.metadata.uid:
        return f"EvalRun {name} is this run: spec.gate.baseline names an earlier one"
    if not is_raw_true(raw.get("status"), RunCondition.COMPLETE) or not root:
        return f"EvalRun {name} is not complete"
    own, theirs = resolve_output(run, defaults), _secret(raw, defaults)
    if own is not None and own.secret != theirs:
        secrets = [f"Secret {secret}" if secret else "no Secret" for secret in (theirs, own.secret)]
        return f"results of EvalRun {name} are reached with {secrets[0]}, those of this run with {secrets[1]}"
    return ""


def _secret(raw: Mapping[str, Any], defaults: Defaults) -> str:
    output = raw.get("spec", {}).get("output")
    return defaults.output_secret if output is None else str((output.get("secretRef") or {}).get("name", ""))
