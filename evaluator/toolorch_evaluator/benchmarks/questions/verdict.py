"""Whether an answer is right: rules first, then a judge, whose unclear word is an infra error and never a verdict."""

from __future__ import annotations

import re
from typing import Any

from toolorch_evaluator.benchmarks.base import Ask, ContextWindowExceededError, InvalidReplyError, ModelError
from toolorch_evaluator.benchmarks.questions import prompts
from toolorch_evaluator.benchmarks.questions.dataset import Question

# Longer answers are essays: upstream counts them as wrong unread.
MOST_WORDS = 500
# An unclear word may be chance; three are not.
TRIES = 3
WANTS = {"temperature": 1.0}
_VERDICT = re.compile(r"<correct>\s*(true|false)\s*</correct>", re.IGNORECASE)


async def judge_answer(answer: str, question: Question, ask: Ask, seed: int) -> dict[str, Any]:
    """Return `correct`, and `by`: empty, length, match or judge; raises ModelError where the judge gives no verdict."""
    given = answer.strip()
    if not given:
        return {"correct": False, "by": "empty"}
    if len(given.split()) > MOST_WORDS:
        return {"correct": False, "by": "length"}
    if given.casefold() == question.answer.strip().casefold():
        return {"correct": True, "by": "match"}
    return {"correct": await _ask_judge(given, question, ask, seed), "by": "judge"}


async def _ask_judge(given: str, question: Question, ask: Ask, seed: int) -> bool:
    messages = [
        {"role": "system", "content": prompts.text("judge.md")},
        {"role": "user", "content": prompts.verdict(question.text, given, question.answer)},
    ]
    for number in range(TRIES):
        try:
            reply = await ask("judge", messages, (), seed + number, wants=WANTS)
        except (ContextWindowExceededError, InvalidReplyError) as error:
            raise ModelError("judge_unusable", f"the judge could not answer: {error}") from error
        found = _VERDICT.findall(reply.content or "")
        if found:
            return str(found[-1]).lower() == "true"
    raise ModelError("judge_unusable", f"the judge gave no verdict in {TRIES} answers")
