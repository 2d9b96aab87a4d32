"""The last part of a run: the verdict and the report. PURE.

Complete means that every result is audited and the score is final; it does not wait for the report's pod to start.
The score comes from the shards' counts where they add up to the results, else from the report, which reads them all;
then the verdict waits for it. ReportReady follows; a report that fails takes nothing back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from toolorch_api.conditions import RunCondition, RunReason
from toolorch_api.evalrun import EvalRun
from toolorch_api.evalrun_status import UnitCounts
from toolorch_api.shard import Summary
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.attempts import current_attempt
from toolorch_operator.evalrun.audit import Audit
from toolorch_operator.evalrun.deaths import describe_quarantine
from toolorch_operator.evalrun.gate import say_gate
from toolorch_operator.evalrun.names import report_job
from toolorch_operator.evalrun.objects import build_report_job, build_suspension
from toolorch_operator.evalrun.observed import ObservedRun
from toolorch_operator.evalrun.progress import sum_usage
from toolorch_operator.evalrun.report import (
    LOOK_AGAIN,
    REPORTING,
    next_report_look,
    say_report,
    say_reporting,
    summary_fields,
)
from toolorch_operator.evalrun.score import score_fields
from toolorch_operator.evalrun.step import Says, Step, go_on
from toolorch_operator.evalrun.verdict import judge
from toolorch_operator.plan import Plan, Ref


def fail(
    run: EvalRun, observed: ObservedRun, reason: RunReason, message: str, also: Mapping[RunCondition, bool]
) -> Step:
    """Return the step of a run that ends without a report: what still runs is suspended."""
    says = {**_say_end(Says(False, reason, message)), RunCondition.REPORT_READY: Says(False, reason)}
    says |= {type_: Says(truth, reason, message) for type_, truth in also.items()} | say_gate(run, None)
    return Step(says, {"eta": ""}, delete=release_jobs(observed), apply=stop_jobs(run, observed))


def stop_jobs(run: EvalRun, observed: ObservedRun) -> tuple[dict[str, Any], ...]:
    """Return the suspension of every Job that may still start pods, but for those in a queue."""
    going = [job for job in observed.jobs.values() if not (job.has_ended or job.is_suspended or job.queue)]
    return tuple(dict(build_suspension(run, job.name, suspend=True, size=job.size)) for job in going)


def release_jobs(observed: ObservedRun) -> tuple[Ref, ...]:
    """Return the Jobs in a queue that may still start pods: only without them Kueue starts none and frees its quota."""
    return tuple(Ref("Job", job.name, job.uid) for job in observed.jobs.values() if job.queue and not job.has_ended)


def leave_namespace(observed: ObservedRun) -> Plan:
    """Return what is left to do in a namespace that is being deleted: its Jobs have to go.

    Kubernetes waits for pods before it deletes anything else, and a Job keeps a failed pod until there is one in its
    place, which can no longer be made.
    """
    return Plan(delete=tuple(Ref("Job", job.name, job.uid) for job in observed.jobs.values()), requeue_after=LOOK_AGAIN)


def conclude(
    run: EvalRun, observed: ObservedRun, defaults: Defaults, found: Audit, cause: Says | None, now: datetime
) -> Step:
    """Return the step after the last attempt: the report's Job, and the verdict where the counts can be trusted."""
    usage = sum_usage(observed.storage.progress)
    create = (build_report_job(run, defaults, current_attempt(run, observed)),)
    if found.agrees:
        changes = {**score_fields(found.units, run.spec.trials), "usage": usage}
        end = finish(run, found.units, cause, changes, REPORTING, now)
        return Step(end.says, end.changes, create=create, status_first=True, requeue=LOOK_AGAIN)
    counted = found.units.passed + found.units.failed
    why = f"shards counted {counted} of {found.units.done} results; the report counts them again"
    step = go_on(RunReason.REPORTING, why, units=found.units, usage=usage, eta="")
    says = {**step.says, RunCondition.REPORT_READY: REPORTING}
    return Step(says, step.changes, create=create, status_first=True, requeue=LOOK_AGAIN)


def await_summary(run: EvalRun, observed: ObservedRun, defaults: Defaults, cause: Says | None, now: datetime) -> Step:
    """Return the step of a run whose verdict needs the report's counts."""
    summary, job = observed.storage.summary, observed.jobs[report_job(run)]
    if summary is None and job.has_ended:
        end = finish(run, run.status.units, cause, {}, say_report(run, observed), now)
        return replace(end, says={**end.says, **say_gate(run, None)})
    if summary is None:
        said = say_reporting(observed, job.name)
        # The verdict waits too: what holds up the report holds up the run.
        going = Says(said == REPORTING, RunReason.REPORTING, said.message)
        says = {RunCondition.REPORT_READY: said, RunCondition.PROGRESSING: going}
        return Step(says, requeue=next_report_look(job, now))
    changes = summary_fields(run, summary, defaults)
    end = finish(run, changes["units"], cause, changes, say_report(run, observed), now, summary.refusal)
    return Step({**end.says, **say_suspects(run, summary), **say_gate(run, summary)}, end.changes)


def follow_report(run: EvalRun, observed: ObservedRun, defaults: Defaults, now: datetime) -> Step:
    """Return the step of a finished run whose report is still to come."""
    name, summary = report_job(run), observed.storage.summary
    job = observed.jobs.get(name)
    if summary is not None:
        said = {**say_suspects(run, summary), **say_gate(run, summary)}
        says = {RunCondition.REPORT_READY: say_report(run, observed), **said}
        return Step(says, summary_fields(run, summary, defaults))
    if job is not None and job.has_ended and observed.storage.reachable:
        return Step({RunCondition.REPORT_READY: say_report(run, observed), **say_gate(run, None)})
    absent = job is None and observed.storage.reachable and not observed.live_pods(name)
    create = (build_report_job(run, defaults, current_attempt(run, observed)),) if absent else ()
    says = {RunCondition.REPORT_READY: say_reporting(observed, name)}
    return Step(says, create=create, requeue=next_report_look(job, now))


def say_suspects(run: EvalRun, summary: Summary) -> dict[RunCondition, Says]:
    """Return what ResultsSuspect says: numbers that look like broken plumbing, or counts that do not agree."""
    counted, suspects = run.status.units, list(summary.suspect)
    known = run.status.score != "" and counted.done == summary.scored
    if known and counted.passed != summary.passed:
        suspects.append(f"shards counted {counted.passed} passed units, the results hold {summary.passed}")
    if run.status.score and summary.refused and summary.scored < counted.done:
        suspects.append(f"shards counted {counted.done} results, {summary.scored} can be read: {summary.refusal}")
    if suspects:
        return {RunCondition.RESULTS_SUSPECT: Says(True, RunReason.RESULTS_LOOK_BROKEN, "; ".join(suspects))}
    return {RunCondition.RESULTS_SUSPECT: Says(False, RunReason.RESULTS_PLAUSIBLE)}


def finish(
    run: EvalRun,
    units: UnitCounts,
    cause: Says | None,
    changes: Mapping[str, Any],
    report: Says,
    now: datetime,
    refusal: str = "",
) -> Step:
    """Return the verdict on a run's units, with what is said of its report; `refusal`: results that do not count."""
    verdict = judge(run, units, cause)
    score = changes.get("score", "")
    if verdict.truth and score:
        verdict = replace(verdict, message=f"{verdict.message}, score {score} ({changes['interval']})")
    set_aside = describe_quarantine(units, run.status.quarantined)
    unscored = set_aside + (f"; {refusal}" if refusal else "")
    verdict = replace(verdict, message=verdict.message + unscored)
    missing = units.total - units.done
    results = (
        Says(False, RunReason.UNITS_MISSING, f"{missing} of {units.total} units have no result{unscored}")
        if missing
        else Says(True, RunReason.ALL_UNITS_SCORED, f"{units.done} of {units.total} scored")
    )
    says = {**_say_end(verdict), RunCondition.RESULTS_COMPLETE: results, RunCondition.REPORT_READY: report}
    ended = {"units": units, "eta": "", "completion_time": now.replace(microsecond=0)}
    return Step(says, {**changes, **ended}, requeue=LOOK_AGAIN)


def _say_end(verdict: Says) -> dict[RunCondition, Says]:
    end = RunReason.RUN_COMPLETE if verdict.truth else RunReason.RUN_FAILED
    return {
        RunCondition.PROGRESSING: Says(False, end, verdict.message),
        RunCondition.STALLED: Says(False, RunReason.NOT_STALLED),
        RunCondition.COMPLETE: Says(verdict.truth, end, verdict.message),
        RunCondition.FAILED: Says(not verdict.truth, verdict.reason, verdict.message),
    }
