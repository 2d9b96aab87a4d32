"""τ²-bench as the runner knows it: its units, a unit's conversation, a transcript's score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.unit import Unit
from toolorch_evaluator.benchmarks import variants
from toolorch_evaluator.benchmarks.base import (
    Ask,
    ContextWindowExceededError,
    InvalidReplyError,
    Listing,
    ModelError,
    Packaged,
    Score,
)
from toolorch_evaluator.benchmarks.tau2 import dataset, prompts
from toolorch_evaluator.benchmarks.tau2.conversation import Conversation
from toolorch_evaluator.benchmarks.tau2.counting import count_tools
from toolorch_evaluator.benchmarks.tau2.described import describe
from toolorch_evaluator.benchmarks.tau2.judge import build_question, parse_verdicts
from toolorch_evaluator.benchmarks.tau2.listing import list_units
from toolorch_evaluator.benchmarks.tau2.scoring import COMPLETED, NL_ASSERTION, score
from toolorch_evaluator.benchmarks.tau2.setting import build_setting, check_options
from toolorch_evaluator.benchmarks.tau2.transcript import dump_transcript, parse_transcript


class Tau2(Packaged):
    """The benchmark `tau2`, by the rules of τ²-bench v0.2.0, or of v1 where the spec's profile says so."""

    name = "tau2"

    def list_units(self, spec: EvalRunSpec) -> Listing:
        """List variant by variant, domain by domain, task by task, trial by trial; raises ValueError."""
        return list_units(spec, spec.benchmark.domains or dataset.DOMAINS, check_options)

    def describe(self, spec: EvalRunSpec) -> dict[str, Any]:
        """Return prompts and tools by domain and role."""
        return describe(spec)

    async def converse(self, unit: Unit, spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Hold the unit's conversation; raises ModelError where a model server, or the simulated user, fails."""
        task = dataset.task(unit.domain, unit.task_id)
        setting = build_setting(unit, spec, task)
        conversation = Conversation(task, setting, ask)
        reason = await conversation.hold()
        return {
            **dump_transcript(task, reason, conversation.messages),
            "variant": unit.variant,
            "trial": unit.trial,
            "seed": setting.seed,
            "steps": conversation.steps,
            "counts": count_tools(unit.domain, conversation.messages[len(task.history) :], conversation.delegations),
            "profile": setting.rules.profile,
            "prompt_version": prompts.VERSION,
            "variant_version": variants.VERSION,
            "user_prompt_sha256": prompts.sha256(setting.user_prompt),
            "agent_prompt_sha256": prompts.sha256(setting.agent_prompt),
            **({"solo": True} if setting.solo else {}),
            **({"delegations": conversation.delegations} if setting.experts else {}),
        }

    async def judge(self, transcript: Mapping[str, Any], spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Return a judge's verdict on the task's assertions in natural language, empty where none is asked for.

        Raises ModelError where the judge does not give one.
        """
        parsed = parse_transcript(transcript)
        criteria = parsed.task.criteria
        wanted = criteria is not None and (spec.benchmark.options.judge_assertions or NL_ASSERTION in criteria.basis)
        if criteria is None or not wanted or not criteria.statements or parsed.termination_reason not in COMPLETED:
            return {}
        try:
            reply = await ask("judge", build_question(criteria.statements, parsed.messages), (), spec.seed)
        except (ContextWindowExceededError, InvalidReplyError) as error:
            raise ModelError("judge_unusable", f"the judge could not answer: {error}") from error
        return {"met": parse_verdicts(reply.content, len(criteria.statements))}

    def score(self, transcript: Mapping[str, Any]) -> Score:
        """Grade a transcript, with a judge's verdict in `verdict` where there is one; raises ValueError."""
        parsed = parse_transcript(transcript)
        met = (transcript.get("verdict") or {}).get("met")
        return score(
            parsed.task, parsed.termination_reason, parsed.messages, solo=parsed.solo, met=met, rules=parsed.rules
        )
