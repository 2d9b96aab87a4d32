"""Assertions in natural language, put to a judge: what it is sent, and what its answer means.

A judge that answers anything but a verdict on each assertion has judged nothing: that is an infra error, never a pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from toolorch_api.foreign_json import parse_json
from toolorch_evaluator.benchmarks.base import ModelError
from toolorch_evaluator.benchmarks.tau2 import prompts
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, USER, Message

_OBJECT = re.compile(r"\{.*\}", re.DOTALL)
_SPEAKERS = {ASSISTANT: "agent", USER: "customer"}


def build_question(statements: Sequence[str], messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the messages that ask a judge about a conversation, in OpenAI form; tools' answers are left out."""
    lines = [f"{_SPEAKERS[m.role]}: {m.content}" for m in messages if m.role in _SPEAKERS and m.has_text]
    numbered = [f"{number}. {statement}" for number, statement in enumerate(statements, 1)]
    asked = (
        f"<conversation>\n{chr(10).join(lines)}\n</conversation>\n<statements>\n{chr(10).join(numbered)}\n</statements>"
    )
    return [{"role": "system", "content": prompts.text("judge.md")}, {"role": "user", "content": asked}]


def parse_verdicts(text: str | None, count: int) -> list[bool]:
    """Return whether each of `count` statements is met; raises ModelError where the answer does not say so of all."""
    found = _OBJECT.search(text or "")
    try:
        rows = parse_json(found[0])["verdicts"] if found else []
        met = {int(row["number"]): row["met"] for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError("judge_unusable", f"the judge's answer is no list of verdicts: {error}") from error
    if sorted(met) != list(range(1, count + 1)) or not all(isinstance(m, bool) for m in met.values()):
        raise ModelError("judge_unusable", f"the judge gave {len(met)} verdicts on {count} statements, or unclear ones")
    return [met[number] for number in range(1, count + 1)]
