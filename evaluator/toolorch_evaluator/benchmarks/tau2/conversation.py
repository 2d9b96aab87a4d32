"""The conversation of a unit: agent, user and environment take turns, one message per step, until one of them ends it.

Rules of τ²-bench v0.2.0, with what it leaves open decided here:

- The agent's fixed greeting comes first; it is no step, and the agent's model is not shown it. Every later hop is one
  step: a message of the agent or of the user, or all tool answers to one message. A message with tool calls goes to the
  environment, whatever text it has beside them, and the answers go back to who asked. At `max_steps` the conversation
  ends as `max_steps`, even where the user stopped in that very step.
- A stop mark in a user's message without tool calls ends it as `user_stop`.
- `max_errors` counts all tool errors of the conversation. v0.2.0 has the setting and never counts; later versions count
  like this.
- An empty reply, or one that cannot be decoded, stops v0.2.0's run without a result. Here the agent's is its own doing:
  `agent_error`, which scores 0. The user's is not the agent's doing: an infra error, never a score.
- A conversation that outgrows a model's context ends as `context_window_exceeded`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from toolorch_evaluator.benchmarks.base import Ask, ContextWindowExceededError, InvalidReplyError, ModelError, Reply
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, TOOL, USER, Call, Message
from toolorch_evaluator.benchmarks.tau2.prompts import GREETING
from toolorch_evaluator.benchmarks.tau2.schemas import tool_schemas
from toolorch_evaluator.benchmarks.tau2.task import Task
from toolorch_evaluator.benchmarks.tau2.views import agent_view, user_view

STOP_MARKS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
# τ²-bench's defaults of its command line.
MAX_STEPS = 200
MAX_ERRORS = 10
_MODEL_ROLES = {ASSISTANT: "agent", USER: "user"}


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation is held under."""

    agent_prompt: str
    user_prompt: str
    seed: int
    max_steps: int = MAX_STEPS
    max_errors: int = MAX_ERRORS


@dataclass(slots=True)
class Conversation:
    """A conversation under way; `ended` is its termination reason once there is one."""

    task: Task
    setting: Setting
    ask: Ask
    messages: list[Message] = field(default_factory=list)
    steps: int = 0
    ended: str | None = None

    async def hold(self) -> str:
        """Hold the conversation to its end and return the termination reason; raises ModelError."""
        environment = Environment(self.task)
        self._open(environment)
        while self.ended is None:
            await self._step(environment)
            self.steps += 1
            if self.steps >= self.setting.max_steps:
                self.ended = "max_steps"
            if sum(m.error for m in self.messages) >= self.setting.max_errors:
                self.ended = "too_many_errors"
        return self.ended

    def _open(self, environment: Environment) -> None:
        self.messages = list(self.task.history) or [Message(ASSISTANT, GREETING)]
        for call in (c for m in self.task.history for c in m.calls or ()):
            environment.answer(call)
        if _is_stop(self.messages[-1]):
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
            message = self._message(role, await self._reply(role))
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

    async def _reply(self, role: str) -> Reply:
        view = agent_view if role == ASSISTANT else user_view
        prompt = self.setting.agent_prompt if role == ASSISTANT else self.setting.user_prompt
        messages = [{"role": "system", "content": prompt}, *view(self._seen_by(role))]
        tools = tool_schemas(self.task.domain, role)
        return await self.ask(_MODEL_ROLES[role], messages, tools, self.setting.seed)

    def _seen_by(self, role: str) -> list[Message]:
        opened_for_it = role == ASSISTANT and not self.task.history
        return self.messages[1:] if opened_for_it else self.messages

    def _message(self, role: str, reply: Reply) -> Message:
        calls = tuple(Call(c.id or self._call_id(n), c.name, c.arguments, role) for n, c in enumerate(reply.tool_calls))
        message = Message(role, reply.content, calls or None)
        if not (message.has_text or calls):
            raise InvalidReplyError("neither text nor tool calls")
        return message

    def _call_id(self, number: int) -> str:
        return f"call_{len(self.messages)}_{number}"


def _is_stop(message: Message) -> bool:
    spoken = message.role == USER and message.calls is None and message.content is not None
    return spoken and any(mark in str(message.content) for mark in STOP_MARKS)
