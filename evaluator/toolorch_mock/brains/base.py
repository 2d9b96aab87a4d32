"""What a brain sees and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toolorch_mock.caller import Caller


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The next message: a text or one tool call."""

    text: str | None = None
    call: Call | None = None


class Action(Protocol):
    """One reference action of a task."""

    @property
    def name(self) -> str:
        """The tool's name."""
        ...

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments to call it with."""
        ...

    @property
    def requestor(self) -> str:
        """Who calls it: assistant or user."""
        ...


class Reference(Protocol):
    """A task's reference solution."""

    @property
    def actions(self) -> Sequence[Action]:
        """All actions of both sides, in order."""
        ...

    @property
    def communicate(self) -> Sequence[str]:
        """What the agent must have said."""
        ...


Lookup = Callable[[str, str], Reference | None]
"""From a domain and a task's slug to its reference; None where there is none."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a brain decides upon: the request's messages and tools, who asks, and the task's reference."""

    messages: Sequence[Mapping[str, Any]]
    tools: Mapping[str, Mapping[str, Any]]
    """Offered functions by name (OpenAI function objects)."""
    caller: Caller | None = None
    reference: Reference | None = None

    @property
    def is_of_benchmark(self) -> bool:
        """Whether a benchmark's conversation is played, rather than a check or somebody's own question."""
        return self.caller is not None or self.reference is not None

    def own_calls(self) -> Iterator[str]:
        """Names of the tools that this side has called, in order."""
        for message in self.messages:
            if message.get("role") == "assistant":
                for call in message.get("tool_calls") or ():
                    yield call.get("function", {}).get("name", "")

    def texts(self, role: str) -> list[str]:
        """Texts of a role (assistant is this side itself), in order, empty ones left out."""
        return [t for m in self.messages if m.get("role") == role and (t := text_of(m))]


Brain = Callable[[Turn], Answer]


def text_of(message: Mapping[str, Any]) -> str:
    """Return a message's text; content parts are joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return ""


def count_done(actions: Sequence[Action], calls: Iterator[str]) -> int:
    """Count the leading actions that were called, by name and in order; other calls between them do not matter."""
    done = 0
    for name in calls:
        if done < len(actions) and actions[done].name == name:
            done += 1
    return done
