"""What a benchmark is to the runner: it lists units, converses with models through `Ask`, and scores a transcript.

A benchmark knows nothing of endpoints, retries or storage, and the runner knows nothing of turns or rewards.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from toolorch_api.evalrun import EvalRunSpec
from toolorch_api.shard import Unit


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of a model; `arguments` is the decoded JSON object."""

    id: str
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered: text, tool calls, or both."""

    content: str | None
    tool_calls: tuple[ToolCall, ...] = ()


class ModelError(Exception):
    """A model server failed for good: an infra error of the unit, never a failed task."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


class ModelServerLostError(ModelError):
    """Model servers died, one after the other, in the middle of the same call."""

    def __init__(self, message: str, losses: int, beside: frozenset[Unit] = frozenset()) -> None:
        super().__init__("model_server_lost", message)
        self.losses = losses
        self.beside = beside
        """Other units of this shard that were in a call to one of those servers as it died."""


class ContextWindowExceededError(Exception):
    """The conversation no longer fits the served model: a final outcome of the unit, scored 0."""


class InvalidReplyError(Exception):
    """The model's reply cannot be decoded (tool arguments that are no JSON object): the model's doing, not ours."""


class Ask(Protocol):
    """How a conversation reaches the model that plays a role."""

    async def __call__(
        self,
        role: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        seed: int | None = None,
        wants: Mapping[str, Any] | None = None,
    ) -> Reply:
        """Ask the role's model for its next message.

        `messages` and `tools` are in OpenAI chat-completions form. `wants` is what the benchmark means by a call
        (temperature, max_tokens, tool_choice, chat_template_kwargs); what the spec says itself wins, but for
        tool_choice. Raises ModelError, ContextWindowExceededError or
        InvalidReplyError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """All units of a run, in the manifest's order, and the sha256 of the dataset that they come from."""

    units: tuple[Unit, ...]
    dataset_hash: str
    weights: tuple[float, ...] = ()
    """What the benchmark itself expects of each unit, in any measure: the longer, the more. Empty: nothing."""


@dataclass(frozen=True, slots=True)
class Score:
    """A transcript's reward in [0, 1] and its parts; `error` says why it could not be graded (reward is then None)."""

    reward: float | None
    breakdown: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None


Read = Callable[[str], Awaitable[bytes]]
"""Reads a file that the spec names by URI; raises BadInputError or StorageError."""


class Benchmark(Protocol):
    """One benchmark of the field, as the runner and the plan Job use it."""

    @property
    def name(self) -> str:
        """Its name in the spec."""
        ...

    async def load(self, spec: EvalRunSpec, read: Read) -> None:
        """Read what the user brings; called before anything else. Raises ValueError with a sentence."""
        ...

    async def equip(self, spec: EvalRunSpec) -> None:
        """Get ready what conversations need besides models; called once, before the first. Raises StepError."""
        ...

    async def close(self) -> None:
        """Let go of what `equip` brought."""
        ...

    def list_units(self, spec: EvalRunSpec) -> Listing:
        """List the units of a spec; raises ValueError with a sentence for an unknown domain, split or task id."""
        ...

    def describe(self, spec: EvalRunSpec) -> dict[str, Any]:
        """Return what models are told, for the run's record: `versions`, `texts` and `tools` by whom they are for.

        What is each task's own is left out, and so is all that must not be stored. Empty: nothing is to be told.
        """
        ...

    async def converse(self, unit: Unit, spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Hold the unit's conversation to its end and return the transcript.

        The transcript is JSON: domain, task_id, termination_reason, and what grading needs besides; `counts` tells how
        often what happened.
        """
        ...

    async def judge(self, transcript: Mapping[str, Any], spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Return what a judge decides of a transcript, empty where rules alone do.

        Raises ModelError where the judge gives no verdict: an infra error, and the conversation is not held again.
        """
        ...

    def score(self, transcript: Mapping[str, Any]) -> Score:
        """Grade a transcript, with the judge's verdict in it under `verdict`; pure over the dataset."""
        ...


class Packaged:
    """What a benchmark does not need that brings its own data and grades by rules."""

    async def load(self, spec: EvalRunSpec, read: Read) -> None:
        """Read nothing: tasks come with a package."""

    async def equip(self, spec: EvalRunSpec) -> None:
        """Need nothing but models."""

    async def close(self) -> None:
        """Hold nothing open."""

    def describe(self, spec: EvalRunSpec) -> dict[str, Any]:
        """Tell nothing."""
        return {}

    async def judge(self, transcript: Mapping[str, Any], spec: EvalRunSpec, ask: Ask) -> dict[str, Any]:
        """Ask no judge."""
        return {}
