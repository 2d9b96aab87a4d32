"""The rounds at one question: the agent chooses a tool, the tool is used, until the question is answered or rounds end.

The agent is told everything anew in each round and sees no earlier reply of its own. A reply that chooses nothing valid
costs a round.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from toolorch_evaluator.benchmarks.base import ContextWindowExceededError, InvalidReplyError, Reply
from toolorch_evaluator.benchmarks.questions import prompts
from toolorch_evaluator.benchmarks.questions.notes import Notes
from toolorch_evaluator.benchmarks.questions.seal import fingerprint
from toolorch_evaluator.benchmarks.questions.team import ANSWER, REASON, SEARCH, Choice, Team
from toolorch_evaluator.benchmarks.questions.tools import SHARES, Done, Toolbox

# What upstream asks of the orchestrator.
WANTS = {"temperature": 1.0, "max_tokens": 12_000}


@dataclass(slots=True)
class Rounds:
    """The rounds at one question, under way."""

    box: Toolbox
    team: Team
    limit: int
    notes: Notes = field(default_factory=Notes)
    log: list[dict[str, Any]] = field(default_factory=list)
    """One entry per round: what was chosen, and what became of it."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often what happened, by `<tool>_<outcome>`."""
    answer: str = ""
    _taken_away: set[str] = field(default_factory=set)

    async def hold(self) -> str:
        """Hold the rounds and return how they ended: answered, max_rounds or context_window_exceeded."""
        for number in range(1, self.limit + 1):
            try:
                reply = await self._choose(number)
            except ContextWindowExceededError:
                return "context_window_exceeded"
            except InvalidReplyError as error:
                self._wasted(number, str(error))
                continue
            choices, wrong = self.team.choices(reply)
            taken = self._take(choices)
            if not taken:
                self._wasted(number, wrong or "a tool that is no longer there")
                continue
            done = await asyncio.gather(*(self._use(choice) for choice in taken))
            self._note(number, taken, done)
            given = next((d.answer for d in done if d.answer is not None), None)
            if given is not None:
                self.answer = given
                return "answered"
        return "max_rounds"

    async def _choose(self, number: int) -> Reply:
        """Ask the agent, with a smaller share of the notes where its window does not hold them all."""
        box, offered = self.box, self.team.schemas(without=tuple(self._taken_away))
        for share in SHARES:
            shown = self.notes.show(box.rules.shown.shrink(share), box.question.text) if share else ""
            messages = [
                {"role": "system", "content": prompts.text("system.md")},
                {"role": "user", "content": prompts.rounds(box.question.text, shown)},
            ]
            try:
                # Notes may be the same as in the round before: with the same seed the choice would be, too.
                return await box.ask("agent", messages, offered, box.seed + number, wants=WANTS)
            except ContextWindowExceededError:
                if share == SHARES[-1]:
                    raise
        raise AssertionError("unreachable: the last share raises or returns")

    def _take(self, choices: list[Choice]) -> list[Choice]:
        """Return what is carried out of the valid choices: the first, or the first of each tool up to an answer."""
        there = [c for c in choices if c.tool not in self._taken_away]
        if not self.box.rules.several_tools:
            return there[:1]
        first = {c.tool: c for c in reversed(there)}
        ordered = [c for c in there if first[c.tool] is c]
        answers = [n for n, c in enumerate(ordered, 1) if c.tool == ANSWER]
        return ordered[: answers[0]] if answers else ordered

    async def _use(self, choice: Choice) -> Done:
        use = {REASON: self.box.reason, SEARCH: self.box.search, ANSWER: self.box.answer}[choice.tool]
        return await use(choice.model, self.notes)

    def _note(self, number: int, taken: list[Choice], done: list[Done]) -> None:
        for choice, end in zip(taken, done, strict=True):
            self.counts[f"{choice.tool}_{end.outcome}"] += 1
            figures = {name: self._safe(value) for name, value in end.figures.items()}
            self.log.append(
                {"round": number, "tool": choice.tool, "model": choice.model, "outcome": end.outcome, **figures}
            )
            found = choice.tool == SEARCH and end.outcome == "ok"
            if found and self.box.rules.searches_once:
                self._taken_away.add(SEARCH)

    def _wasted(self, number: int, why: str) -> None:
        self.counts["wasted_rounds"] += 1
        self.log.append({"round": number, "tool": "", "outcome": "wasted", "why": why[:200]})

    def _safe(self, value: Any) -> Any:
        """Return a text as its fingerprint where the question is gated; numbers tell nothing."""
        return fingerprint(value) if self.box.rules.gated and isinstance(value, str) else value
