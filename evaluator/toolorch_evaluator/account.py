"""What a unit's calls have used, and who answered them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field

from toolorch_api.evalrun_status import Usage
from toolorch_evaluator.wire import Answer


@dataclass(slots=True)
class Account:
    """What a unit's calls have used, and who answered them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    tool_calls: int = 0
    """Of the agent alone."""
    tools_offered: bool = False
    """Whether the agent could have called any."""
    failed_at: str = ""
    """Endpoint of the newest call that got no answer."""
    by_role: Counter[str] = field(default_factory=Counter)
    leaked: Counter[str] = field(default_factory=Counter)
    """Answers by role with thoughts in their text."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Calls in which a field was not sent as the benchmark means it, by `<field>_<role>`."""
    endpoints: set[str] = field(default_factory=set)
    served: dict[str, str] = field(default_factory=dict)
    outputs: str = ""
    """Hash of what the agent wrote so far: texts and tool calls in their order, without the calls' random ids."""

    def add(self, role: str, endpoint: str, answer: Answer) -> None:
        """Book one answered call."""
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens
        self.calls += 1
        self.by_role[role] += 1
        self.leaked.update([role] if answer.has_leaked else ())
        self.tool_calls += len(answer.reply.tool_calls) if role == "agent" else 0
        self.endpoints.add(endpoint)
        self.served[role] = answer.served
        if role == "agent":
            self.outputs = _hash_on(self.outputs, answer)

    @property
    def counts(self) -> dict[str, int]:
        """What is counted of the answers themselves, by name."""
        leaked = {f"leaked_thoughts_{role}": count for role, count in self.leaked.items()}
        return leaked | {f"left_out_{name}": count for name, count in self.left_out.items()}

    @property
    def usage(self) -> Usage:
        """Tokens and calls so far."""
        return Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens, calls=self.calls)


def _hash_on(before: str, answer: Answer) -> str:
    reply = answer.reply
    wrote = [before, reply.content, [[call.name, call.arguments] for call in reply.tool_calls]]
    return hashlib.sha256(json.dumps(wrote, sort_keys=True).encode()).hexdigest()[:16]
