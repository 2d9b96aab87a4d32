"""The conversation of a unit: agent, user and environment take turns, one message per step, until one of them ends it.

Rules of τ²-bench v0.2.0, with what it leaves open decided here; where v1 differs, rules.py says so:

- The agent's fixed greeting comes first; it is no step, and the agent's model is not shown it. Every later hop is one
  step: a message of the agent or of the user, or all tool answers to one message. A message with tool calls goes to the
  environment, whatever text it has beside them, and the answers go back to who asked. At `max_steps` the conversation
  ends as `max_steps`, even where the user stopped in that very step.
- A stop mark in a user's message without tool calls ends it as `user_stop`.
- `max_errors` counts all tool errors since the task's history. v0.2.0 has the setting and never counts; later versions
  count like this.
- An empty reply, or one that cannot be decoded, stops v0.2.0's run without a result. Here the agent's is its own doing:
  `agent_error`, which scores 0. The user's is not the agent's doing: an infra error, never a score.
- A conversation that outgrows a model's context ends as `context_window_exceeded`.

Solo mode and experts change how the agent's turn comes about, and nothing else: see alone.py and experts.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolorch_evaluator.benchmarks.base import Ask, ContextWindowExceededError, InvalidReplyError, ModelError, Reply
from toolorch_evaluator.benchmarks.tau2.alone import last_message, solo_tools
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.experts import Team
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, TOOL, USER, Call, Message
from toolorch_evaluator.benchmarks.tau2.prompts import GREETING
from toolorch_evaluator.benchmarks.tau2.rules import DEFAULT_RULES, Rules
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas
from toolorch_evaluator.benchmarks.tau2.task import Task
from toolorch_evaluator.benchmarks.tau2.views import agent_view, user_view

STOP_MARKS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
# τ²-bench's defaults of its command line.
MAX_STEPS = 200
MAX_ERRORS = 10


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation is held under."""

    agent_prompt: str
    user_prompt: str
    seed: int
    max_steps: int = MAX_STEPS
    max_errors: int = MAX_ERRORS
    solo: bool = False
    """The agent works on the task's ticket, without a user."""
    experts: Mapping[str, str] = field(default_factory=dict)
    """What the agent is told of each expert, by name."""
    expert_prompt: str = ""
    rules: Rules = DEFAULT_RULES


@dataclass(slots=True)
class Conversation:
    """A conversation under way; `ended` is its termination reason once there is one."""

    task: Task
    setting: Setting
    ask: Ask
    messages: list[Message] = field(default_factory=list)
    steps: int = 0
    ended: str | None = None
    _team: Team = field(init=False)
    delegations: list[dict[str, Any]] = field(default_factory=list)
    """Turns that an expert wrote: index of the message, the expert, and what the agent had said beside calling it."""

    def __post_init__(self) -> None:
        """Put the agent and its experts together."""
        given, domain = self.setting, self.task.domain
        desk = solo_tools(domain) if given.solo else tool_schemas(domain, ASSISTANT)
        self._team = Team(
            self.ask, given.experts, given.agent_prompt, given.expert_prompt, desk, given.seed, given.solo
        )

    async def hold(self) -> str:
        """Hold the conversation to its end and return the termination reason; raises ModelError."""
        environment = Environment(self.task, self.setting.solo)
        self._open(environment)
        if not self.messages:
            # Upstream has the first turn of an agent alone before it counts steps.
            await self._speak(ASSISTANT)
        while self.ended is None:
            await self._step(environment)
            self.steps += 1
            if self.setting.rules.may_end(self.messages[-1]):
                self._check_limits()
        return self.ended

    def _check_limits(self) -> None:
        if self.steps >= self.setting.max_steps:
            self.ended = "max_steps"
        if sum(m.error for m in self.messages[len(self.task.history) :]) >= self.setting.max_errors:
            self.ended = "too_many_errors"

    def _open(self, environment: Environment) -> None:
        self.messages = list(self.task.history) or ([] if self.setting.solo else [Message(ASSISTANT, GREETING)])
        for call in (c for m in self.task.history for c in m.calls or ()):
            environment.answer(call)
        if self.messages and _is_stop(self.messages[-1]):
            self.ended = "user_stop"

    async def _step(self, environment: Environment) -> None:
        last = self.messages[-1]
        if last.calls is not None:
            self.messages += [environment.answer(call) for call in last.calls]
        elif last.role == USER or (last.role == TOOL and last.requestor == ASSISTANT):
            await self._speak(ASSISTANT)
        else:
            await self._speak(USER)

    async def _speak(self, role: str) -> None:
        try:
            message = await (self._agents_turn() if role == ASSISTANT else self._users_turn())
        except ContextWindowExceededError:
            self.ended = "context_window_exceeded"
        except InvalidReplyError as error:
            if role == USER:
                raise ModelError("user_invalid_reply", f"the simulated user's reply is unusable: {error}") from error
            self.ended = "agent_error"
        else:
            self.messages.append(message)
            if _is_stop(message):
                self.ended = "user_stop"
            elif self.setting.solo and message.calls is None:
                self.ended = "agent_stop"

    async def _users_turn(self) -> Message:
        system = {"role": "system", "content": self.setting.user_prompt}
        tools = tool_schemas(self.task.domain, USER)
        return self._message(
            USER, await self.ask("user", [system, *user_view(self.messages)], tools, self.setting.seed)
        )

    async def _agents_turn(self) -> Message:
        greeted = not self.task.history and not self.setting.solo
        unseen = 1 if greeted and not self.setting.rules.shows_greeting else 0
        turn = await self._team.speak(agent_view(self.messages[unseen:]))
        if turn.expert:
            self.delegations.append({"message": len(self.messages), "expert": turn.expert, "said": turn.said})
        stop = last_message(turn.reply) if self.setting.solo else None
        return stop or self._message(ASSISTANT, turn.reply, turn.expert)

    def _message(self, role: str, reply: Reply, expert: str = "") -> Message:
        calls = tuple(Call(c.id or self._call_id(n), c.name, c.arguments, role) for n, c in enumerate(reply.tool_calls))
        message = Message(role, reply.content, calls or None, expert=expert)
        if not (message.has_text or calls):
            raise InvalidReplyError("neither text nor tool calls")
        return message

    def _call_id(self, number: int) -> str:
        return f"call_{len(self.messages)}_{number}"


def _is_stop(message: Message) -> bool:
    spoken = message.role == USER and message.calls is None and message.content is not None
    return spoken and any(mark in str(message.content) for mark in STOP_MARKS)
