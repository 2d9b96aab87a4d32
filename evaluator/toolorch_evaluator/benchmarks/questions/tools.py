"""What the three tools do: a model writes a program, a query or the answer, and what comes of it goes to the notes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from toolorch_evaluator.benchmarks.base import Ask, ContextWindowExceededError, InvalidReplyError, ModelError
from toolorch_evaluator.benchmarks.questions import prompts
from toolorch_evaluator.benchmarks.questions.dataset import Question
from toolorch_evaluator.benchmarks.questions.notes import Budget, Notes
from toolorch_evaluator.benchmarks.questions.rules import Rules
from toolorch_evaluator.benchmarks.questions.search import Found
from toolorch_evaluator.sandbox.errors import KeeperError

# What upstream asks of the models behind the tools.
WANTS: Mapping[str, Any] = {"temperature": 0.2, "max_tokens": 8000}
WITHOUT_THINKING = {**WANTS, "chat_template_kwargs": {"enable_thinking": False}}
LONGEST_QUERY = 390
# Shares of the notes that are tried in turn where a served model's window is smaller than the budget.
SHARES = (1.0, 0.5, 0.25, 0.0)

_PROGRAM = re.compile(r"```python\s*\n(.*?)```", re.DOTALL)
_QUERY = re.compile(r"<query>(.*?)</query>", re.DOTALL)
_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


class Ran(Protocol):
    """How a program ended."""

    @property
    def ending(self) -> str:
        """`ok`, or one word for what stopped it."""
        ...

    @property
    def stdout(self) -> str:
        """What it printed."""
        ...


class Programs(Protocol):
    """Runs programs that a model wrote; the sandbox is one."""

    async def run(self, program: str) -> Ran:
        """Return how a program ended; raises KeeperError where it could not be run as safely as it has to be."""
        ...


class Searches(Protocol):
    """Searches documents."""

    async def search(self, query: str, question: str, count: int) -> Found:
        """Return the documents found, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a tool call: how it ended, and figures for the transcript; `answer` ends the question."""

    outcome: str
    figures: Mapping[str, Any]
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The tools at one question."""

    ask: Ask
    rules: Rules
    question: Question
    seed: int
    programs: Programs
    searches: Searches | None

    async def reason(self, model: str, notes: Notes) -> Done:
        """Have a program written and run; what it prints is noted, and nothing where it prints nothing."""
        text = await self._write(model, "reason.md", notes, self.rules.reasoning, WANTS)
        blocks = _PROGRAM.findall(text)
        if not blocks:
            return Done("no_program", {})
        try:
            ran = await self.programs.run(blocks[-1])
        except KeeperError as error:
            raise ModelError("sandbox_failed", str(error)) from error
        printed = ran.stdout.strip()
        if ran.ending != "ok" or not printed:
            return Done(f"program_{ran.ending}" if ran.ending != "ok" else "program_silent", {"program": blocks[-1]})
        notes.programs.append((blocks[-1].strip(), printed))
        return Done("ok", {"program": blocks[-1], "printed": printed})

    async def search(self, model: str, notes: Notes) -> Done:
        """Have a query written and documents searched; a service that is away is an outcome of its own."""
        text = await self._write(model, self.rules.query_prompt, notes, self.rules.querying, WANTS)
        written = _QUERY.findall(text)
        query = (written[-1] if written else self.question.text).strip()[:LONGEST_QUERY]
        if len(query) < self.rules.shortest_query:
            return Done("query_too_short", {"query": query})
        if self.searches is None:
            return Done("retrieval_unavailable", {"query": query})
        found = await self.searches.search(query, self.question.id, self.rules.documents)
        if found.failed:
            return Done("retrieval_unavailable", {"query": query, "why": found.failed})
        new = notes.add_documents(found.documents)
        return Done("ok" if found.documents else "nothing_found", {"query": query, "documents": new})

    async def answer(self, model: str, notes: Notes) -> Done:
        """Have the question answered: the text between the marks, or all of it without marks."""
        text = await self._write(model, "answer.md", notes, self.rules.answering, WITHOUT_THINKING)
        marked = _ANSWER.findall(text)
        given = (marked[-1] if marked else text.rpartition("</think>")[2]).strip()
        return Done("ok" if given else "empty_answer", {}, given)

    async def _write(self, model: str, task: str, notes: Notes, budget: Budget, wants: Mapping[str, Any]) -> str:
        """Return what a model writes; empty where even without notes it could not."""
        for share in SHARES:
            shown = notes.show(budget.shrink(share), self.question.text) if share else ""
            prompt = prompts.task(task, self.question.text, shown)
            try:
                reply = await self.ask(model, [{"role": "user", "content": prompt}], (), self.seed, wants=wants)
            except ContextWindowExceededError:
                continue
            except InvalidReplyError:
                return ""
            return reply.content or ""
        return ""
