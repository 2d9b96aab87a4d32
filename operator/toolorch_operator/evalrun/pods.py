"""The pods of a run's Jobs, parsed at the border: how far one is, how it ended, and what it worked on then. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pydantic

from toolorch_api.deaths import LastWord
from toolorch_api.meta import LABEL_ATTEMPT, LABEL_STEP
from toolorch_api.shard import ENV_ATTEMPT
from toolorch_operator.evalrun.views import PodView
from toolorch_operator.raw import find_raw_condition, is_raw_true, parse_object, parse_time

# Set by the Job controller on every pod of a Job.
LABEL_JOB = "batch.kubernetes.io/job-name"
# An annotation always, a label since Kubernetes 1.28.
INDEX = "batch.kubernetes.io/job-completion-index"
STARTING_REASONS = frozenset({"ContainerCreating", "PodInitializing"})
# What the kubelet says of an end that it knows nothing about but the exit code.
PLAIN_REASONS = frozenset({"", "Error", "Completed"})
# A sentence names so many units; exit.json and the death name all.
UNITS_NAMED = 5


def parse_pod(raw: Mapping[str, Any]) -> PodView:
    """Return the view of a pod manifest."""
    meta, status = raw["metadata"], raw.get("status") or {}
    labels = meta.get("labels") or {}
    container: Mapping[str, Any] = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    ended = state.get("terminated") or {}
    code, word, reason = ended.get("exitCode"), ended.get("message") or "", _parse_reason(status, ended)
    phase = status.get("phase", "Pending")
    # One that was evicted, or never began, has no word of its own.
    unsaid = str(status.get("message") or "") or reason if phase == "Failed" else ""
    return PodView(
        name=meta["name"],
        job=labels.get(LABEL_JOB, ""),
        step=labels.get(LABEL_STEP, ""),
        attempt=parse_attempt(raw) or _parse_told_attempt(raw),
        phase=phase,
        exit_code=code,
        message=parse_last_word(word, name_end(code, reason)) or unsaid,
        waiting=_parse_waiting(status, state),
        index=_parse_index(meta),
        reason=reason,
        running=parse_running(word),
        node=(raw.get("spec") or {}).get("nodeName", ""),
        image_id=container.get("imageID", ""),
        started_at=parse_time((ended or state.get("running") or {}).get("startedAt")),
        finished_at=parse_time(ended.get("finishedAt")),
        is_disrupted=is_raw_true(status, "DisruptionTarget"),
        is_leaving=bool(meta.get("deletionTimestamp")),
        uid=meta.get("uid", ""),
    )


def parse_attempt(raw: Mapping[str, Any]) -> int:
    """Return the attempt that a Job or pod is part of; 0: none."""
    text = (raw["metadata"].get("labels") or {}).get(LABEL_ATTEMPT, "")
    return int(text) if text.isdecimal() else 0


def _parse_told_attempt(raw: Mapping[str, Any]) -> int:
    """Return the attempt that a pod without its label was told: the report's is none of an attempt's pods."""
    containers = (raw.get("spec") or {}).get("containers") or ()
    told = [e.get("value") or "" for c in containers for e in c.get("env") or () if e.get("name") == ENV_ATTEMPT]
    return int(told[0]) if told and told[0].isdecimal() else 0


def name_end(code: int | None, reason: str = "") -> str:
    """Return how a container ended in one or three words: the cluster's reason, else the exit code."""
    return reason if reason not in PLAIN_REASONS or code is None else f"exit code {code}"


def parse_last_word(text: str, why: str = "") -> str:
    """Return a container's last word as one sentence; `why` says how the container ended.

    The word is what a step left as JSON: its own sentence, or the units that it worked on; else its output's last line.
    """
    said = parse_object(text)
    if "message" in said:
        return str(said["message"])
    if "running" in said:
        units = parse_running(text)
        return f"{why or 'ended'} while {_name_units(units)} ran" if units else why
    return text.strip().rpartition("\n")[2]


def parse_running(text: str) -> tuple[int, ...]:
    """Return the units that a shard's last word names; none where it said something else."""
    try:
        return tuple(LastWord.model_validate_json(text).running)
    except pydantic.ValidationError:
        return ()


def _name_units(units: Sequence[int]) -> str:
    if len(units) == 1:
        return f"unit {units[0]}"
    named = [str(unit) for unit in units[:UNITS_NAMED]]
    more = len(units) - len(named)
    return f"units {', '.join(named[:-1])} and {named[-1]}" if not more else f"units {', '.join(named)} and {more} more"


def _parse_reason(status: Mapping[str, Any], ended: Mapping[str, Any]) -> str:
    reason = str(ended.get("reason") or "")
    return str(status.get("reason") or "") if reason in PLAIN_REASONS else reason


def _parse_index(meta: Mapping[str, Any]) -> int | None:
    text = (meta.get("annotations") or {}).get(INDEX) or (meta.get("labels") or {}).get(INDEX) or ""
    return int(text) if text.isdecimal() else None


def _parse_waiting(status: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    scheduled = find_raw_condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason", ""))
    reason = str((state.get("waiting") or {}).get("reason", ""))
    return "" if reason in STARTING_REASONS else reason
