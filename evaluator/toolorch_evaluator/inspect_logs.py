"""Stored runs as Inspect's logs, so that `inspect view` shows every conversation: one .eval file per run.

A unit is a sample, its trial the epoch. What a gated benchmark does not store is not there either.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalError,
    EvalLog,
    EvalMetric,
    EvalResults,
    EvalSample,
    EvalScore,
    EvalSpec,
    EvalStats,
    write_eval_log,
)
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageTool, ChatMessageUser, ModelUsage
from inspect_ai.scorer import Score
from inspect_ai.tool import ToolCall

from toolorch_api.keys import transcript_key
from toolorch_api.shard import Manifest, Result, Unit, UnitStatus
from toolorch_evaluator.results import Results
from toolorch_evaluator.small_store import unpack_bytes

SCORER = "reward"
# What Inspect demands of a log of no unit at all.
NO_TIME = "1970-01-01T00:00:00+00:00"


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run as it lies in storage."""

    name: str
    document: Mapping[str, Any]
    """run.json."""
    manifest: Manifest
    ends: Mapping[Unit, Result]
    """Final results, and infra errors of units that have none."""


async def write_inspect_log(run: StoredRun, results: Results, folder: Path) -> Path:
    """Write a run's log into a folder and return its path; raises StorageError."""
    samples = [sample async for sample in _samples(run, results)]
    return await asyncio.to_thread(_write, _build_log(run, samples), folder / f"{run.name}.eval")


def _write(log: EvalLog, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_eval_log(log, str(path), format="eval")
    return path


async def _samples(run: StoredRun, results: Results) -> AsyncIterator[EvalSample]:
    units = {transcript_key(unit): unit for unit in run.ends}
    talked: set[Unit] = set()
    async for key, body in results.get_all(units):
        talked.add(units[key])
        yield build_sample(units[key], run.ends[units[key]], _unpack(body))
    for unit, result in run.ends.items():
        if unit not in talked:
            yield build_sample(unit, result, {})


def _unpack(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(unpack_bytes(body))
    except (zstandard.ZstdError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def build_sample(unit: Unit, result: Result, transcript: Mapping[str, Any]) -> EvalSample:
    """Build the sample of a unit; `transcript` is empty where none is stored."""
    failed = result.status is UnitStatus.INFRA_ERROR
    why = f"{result.cause}: {result.message}"
    score = Score(
        value=result.reward or 0.0,
        explanation=", ".join(f"{part} {value:g}" for part, value in result.reward_breakdown.items()),
        metadata={"termination_reason": result.termination_reason, "verdict": result.verdict},
    )
    left_out = ("messages", "run", "domain", "task_id", "trial", "variant")
    return EvalSample(
        id=f"{unit.variant}/{unit.domain}/{unit.task_id}",
        epoch=unit.trial + 1,
        input=str(transcript.get("question") or f"{unit.domain} {unit.task_id}"),
        target=str(transcript.get("reference") or ""),
        messages=[*_messages(transcript)],
        scores=None if failed else {SCORER: score},
        error=EvalError(message=why, traceback=why, traceback_ansi=why) if failed else None,
        metadata={
            **{name: value for name, value in transcript.items() if name not in left_out},
            "variant": unit.variant,
            "status": str(result.status),
            "endpoints": result.endpoints,
            "served": result.served,
            "counts": result.counts,
        },
        model_usage={result.served.get("agent", "agent"): _usage([result])},
        started_at=result.started_at.isoformat(),
        completed_at=result.ended_at.isoformat(),
        total_time=(result.ended_at - result.started_at).total_seconds(),
    )


def _messages(transcript: Mapping[str, Any]) -> Iterable[ChatMessage]:
    if "messages" in transcript:
        return [_message(row) for row in transcript["messages"]]
    return [_round(row) for row in transcript.get("rounds", ())]


def _message(row: Mapping[str, Any]) -> ChatMessage:
    content = row.get("content") or ""
    calls = [
        ToolCall(id=c.get("id") or "", function=c["name"], arguments=c["arguments"])
        for c in row.get("tool_calls") or ()
    ]
    if row["role"] == "tool":
        return ChatMessageTool(content=content, tool_call_id=row.get("id"), metadata={"for": row.get("requestor")})
    if row["role"] == "assistant":
        metadata = {"expert": row["expert"]} if row.get("expert") else None
        return ChatMessageAssistant(content=content, tool_calls=calls or None, metadata=metadata)
    # A simulated user may call tools of its own, for which Inspect's user messages have no place.
    shown = "\n".join([content, *(f"[calls {c.function}({json.dumps(c.arguments)})]" for c in calls)]).strip()
    return ChatMessageUser(content=shown)


def _round(row: Mapping[str, Any]) -> ChatMessage:
    return ChatMessageAssistant(content="\n".join(f"{name}: {value}" for name, value in row.items()))


def _build_log(run: StoredRun, samples: Sequence[EvalSample]) -> EvalLog:
    scored = [r for r in run.ends.values() if r.status is not UnitStatus.INFRA_ERROR]
    started = min((r.started_at.isoformat() for r in run.ends.values()), default=NO_TIME)
    ended = max((r.ended_at.isoformat() for r in run.ends.values()), default=NO_TIME)
    mean = sum(r.reward or 0.0 for r in scored) / len(scored) if scored else 0.0
    spec = run.document.get("spec", {})
    metric = EvalMetric(name="mean", value=mean)
    models = sorted({model for r in scored for role, model in r.served.items() if role == "agent"})
    return EvalLog(
        status="success",
        eval=EvalSpec(
            created=str(run.document.get("createdAt") or started),
            task=str(spec.get("benchmark", {}).get("name", run.name)),
            task_args={"run": run.name, "spec": spec},
            dataset=EvalDataset(samples=len(run.manifest.units)),
            model=", ".join(models) or "unknown",
            config=EvalConfig(epochs=spec.get("trials", 1)),
            packages=run.document.get("packages", {}),
            metadata={"specHash": run.manifest.spec_hash, "datasetHash": run.manifest.dataset_hash},
        ),
        results=EvalResults(
            total_samples=len(run.manifest.units),
            completed_samples=len(scored),
            scores=[EvalScore(name=SCORER, scorer=SCORER, scored_samples=len(scored), metrics={"mean": metric})],
        ),
        stats=EvalStats(
            started_at=started,
            completed_at=ended,
            role_usage={"all": _usage(run.ends.values())},
        ),
        samples=list(samples),
    )


def _usage(results: Iterable[Result]) -> ModelUsage:
    every = list(results)
    sent = sum(r.usage.prompt_tokens for r in every)
    written = sum(r.usage.completion_tokens for r in every)
    return ModelUsage(input_tokens=sent, output_tokens=written, total_tokens=sent + written)
