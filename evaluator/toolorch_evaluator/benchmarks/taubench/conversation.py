"""A conversation of τ-bench: the user opens, then the agent acts step by step until the user stops or it gives up.

Rules of tau_bench/envs/base.py, with what it leaves open decided as in tau2: an agent's reply that holds no action ends
the conversation as `agent_error`, which scores 0; the user's unusable reply is an infra error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from toolorch_evaluator.benchmarks.base import Ask, ContextWindowExceededError, InvalidReplyError, ModelError
from toolorch_evaluator.benchmarks.tau2.environment import Environment
from toolorch_evaluator.benchmarks.tau2.message import ASSISTANT, USER, Call, Message
from toolorch_evaluator.benchmarks.tau2.prompts import GREETING
from toolorch_evaluator.benchmarks.tau2.task import Task
from toolorch_evaluator.benchmarks.taubench.strategies import RESPOND, TEXT_STRATEGIES, Action, observed, parse_action

MAX_STEPS = 30
STOP = "###STOP###"
# Calling it ends the conversation; upstream's only terminating tool.
TERMINATING = "transfer_to_human_agents"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a conversation is held under."""

    agent_prompt: str
    user_prompt: str
    strategy: str
    tools: Sequence[Mapping[str, Any]]
    seed: int
    max_steps: int = MAX_STEPS


@dataclass(slots=True)
class Conversation:
    """A conversation under way; `messages` is what happened, in the form that tau2's transcripts have."""

    task: Task
    setting: Setting
    ask: Ask
    messages: list[Message] = field(default_factory=list)
    written: list[str | None] = field(default_factory=list)
    """The agent's replies as it wrote them, one per step."""
    _of_agent: list[dict[str, Any]] = field(default_factory=list)
    _of_user: list[dict[str, Any]] = field(default_factory=list)

    async def hold(self) -> str:
        """Hold the conversation to its end and return the termination reason; raises ModelError."""
        environment = Environment(self.task)
        self._of_user = [_row("system", self.setting.user_prompt), _row("user", GREETING)]
        self._of_agent = [_row("system", self.setting.agent_prompt), _row("user", await self._hear_user())]
        for _ in range(self.setting.max_steps):
            try:
                ended = await self._step(environment)
            except ContextWindowExceededError:
                return "context_window_exceeded"
            except InvalidReplyError:
                return "agent_error"
            if ended:
                return ended
        return "max_steps"

    async def _step(self, environment: Environment) -> str:
        """Let the agent act once; return how that ended the conversation, empty where it did not."""
        offered = () if self.setting.strategy in TEXT_STRATEGIES else self.setting.tools
        reply = await self.ask("agent", self._of_agent, offered, self.setting.seed)
        self.written.append(reply.content)
        action = parse_action(reply, self.setting.strategy)
        action = replace(action, id=action.id or f"call_{len(self.messages)}")
        if action.name == RESPOND:
            observation = await self._speak(str(action.arguments["content"]))
        else:
            observation = self._use(environment, action)
        self._of_agent += observed(action, reply, observation, self.setting.strategy)
        if action.name == RESPOND:
            return "user_stop" if STOP in observation else ""
        return "agent_stop" if action.name == TERMINATING else ""

    async def _speak(self, content: str) -> str:
        self.messages.append(Message(ASSISTANT, content))
        self._of_user.append(_row("user", content))
        return await self._hear_user()

    async def _hear_user(self) -> str:
        try:
            reply = await self.ask("user", self._of_user, (), self.setting.seed)
        except InvalidReplyError as error:
            raise ModelError("user_invalid_reply", f"the simulated user's reply is unusable: {error}") from error
        except ContextWindowExceededError as error:
            raise ModelError("user_context_exceeded", f"the conversation no longer fits the user: {error}") from error
        if not (reply.content or "").strip():
            raise ModelError("user_invalid_reply", "the simulated user said nothing")
        said = str(reply.content)
        self._of_user.append(_row("assistant", said))
        self.messages.append(Message(USER, said))
        return said

    def _use(self, environment: Environment, action: Action) -> str:
        """Call a tool and return what it answered."""
        call = Call(action.id, action.name, action.arguments, ASSISTANT)
        answer = environment.answer(call)
        # Text beside a call is thought, not speech: upstream's check of outputs never reads it.
        self.messages += [Message(ASSISTANT, None, (call,)), answer]
        return answer.content or ""


def _row(role: str, content: str | None) -> dict[str, Any]:
    return {"role": role, "content": content}
