"""What the pod that asks an external server is given, and the word that it leaves, with no key in it. PURE."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from toolorch_api.foreign_json import parse_json
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import Exam, JobView, Probe, ServedModel, Verdict

ENV_QUESTION = "TOOLORCH_QUESTION"
"""Variable of the asking pod: address and exam, as JSON."""
ENV_KEY = "TOOLORCH_API_KEY"
"""Variable of the asking pod: the server's key, out of the Secret."""

# What the kubelet reads of a termination message.
_REPORT_BYTES = 4096
_LONGEST_TEXT = 500
# As many letters of a key that stand together are taken for a piece of it: a server may print a part of what it got.
_PIECE = 8
_HIDDEN = "***"


def dump_question(url: str, exam: Exam) -> str:
    """Return what the asking pod needs but the key, as JSON."""
    fields = {**asdict(replace(exam, template_kwargs={})), "template_kwargs": dict(exam.template_kwargs)}
    return json.dumps({"url": url, "exam": fields}, sort_keys=True)


def parse_question(text: str) -> tuple[str, Exam]:
    """Return address and exam."""
    question = json.loads(text)
    return question["url"], Exam(**question["exam"])


def dump_probe(probe: Probe, served_name: str, key: str, at: datetime) -> str:
    """Return an answer as JSON, short enough for a termination message, without the key or a piece of it."""
    verdict = probe.preflight
    report: dict[str, Any] = {
        "v": 1,
        "at": at.isoformat(),
        "healthy": probe.healthy,
        "version": hide_key(probe.version, key),
        "error": hide_key(probe.error, key),
        "preflight": verdict and [verdict.passed, str(verdict.reason), hide_key(verdict.message, key)],
        "models": [[_hide_in_name(m.id, key), m.max_model_len] for m in probe.models],
    }
    report["models"].sort(key=lambda m: m[0] != served_name)
    return _shorten(report)


def _shorten(report: dict[str, Any]) -> str:
    """Return a report as JSON that fits: first with fewer models, then with shorter texts."""
    limit = _LONGEST_TEXT
    while True:
        verdict = report["preflight"]
        cut = {key: report[key][:limit] for key in ("version", "error")}
        text = json.dumps(report | cut | {"preflight": verdict and [*verdict[:2], verdict[2][:limit]]})
        if len(text) <= _REPORT_BYTES:
            return text
        limit = limit if report["models"] else limit // 2
        report = report | {"models": report["models"][: len(report["models"]) // 2]}


def parse_probe(job: JobView) -> Probe | None:
    """Return the answer that a Job's pod left, None where it left none."""
    try:
        report = parse_json(job.message)
        verdict = report.get("preflight")
        return Probe(
            healthy=report["healthy"] is True,
            models=tuple(ServedModel(str(name), length) for name, length in report["models"]),
            version=str(report["version"]),
            error=str(report["error"]),
            preflight=Verdict(verdict[0] is True, PoolReason(verdict[1]), str(verdict[2])) if verdict else None,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def parse_time(job: JobView) -> datetime | None:
    """Return when a Job's pod left its answer, None where it left none."""
    try:
        at = datetime.fromisoformat(parse_json(job.message)["at"])
    except (ValueError, KeyError, TypeError):
        return None
    return at if at.tzinfo is not None else None


def hide_key(text: str, key: str) -> str:
    """Return a text in which every piece of the key is blanked."""
    size = min(_PIECE, len(key))
    if not size:
        return text
    pieces = {key[i : i + size] for i in range(len(key) - size + 1)}
    hits = [i for i in range(len(text) - size + 1) if text[i : i + size] in pieces]
    blank = {position for hit in hits for position in range(hit, hit + size)}
    kept = (("" if i - 1 in blank else _HIDDEN) if i in blank else letter for i, letter in enumerate(text))
    return "".join(kept)


def _hide_in_name(name: str, key: str) -> str:
    """Blank a model's name too, but not for such keys as `EMPTY`, which are no secrets and may stand in any name."""
    return hide_key(name, key) if len(key) >= _PIECE else name
