"""What the models are told: this project's own texts around the dataset's policy and scenario.

A text is changed only together with VERSION; transcripts carry the version and the hash of the user's whole prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

VERSION = "1"
# τ²-bench's fixed first message; a conversation that starts otherwise is not comparable.
GREETING = "Hi! How can I help you today?"
# A persona first, then what the instructions hold, in the dataset's order of fields.
_INSTRUCTION_FIELDS = ("domain", "reason_for_call", "known_info", "unknown_info", "task_instructions")


def agent_prompt(policy: str, *, leads_experts: bool = False) -> str:
    """Return the agent's system prompt: how to act, how to lead experts where there are some, the domain's policy."""
    team = f"\n\n{text('team.md')}" if leads_experts else ""
    return _framed(text("agent.md") + team, policy)


def solo_prompt(policy: str, ticket: str, *, leads_experts: bool = False) -> str:
    """Return the system prompt of an agent that works on a ticket alone."""
    team = f"\n\n{text('team.md')}" if leads_experts else ""
    return f"{_framed(text('solo.md') + team, policy)}\n<ticket>\n{ticket}\n</ticket>"


def _framed(instructions: str, policy: str) -> str:
    return f"<instructions>\n{instructions}\n</instructions>\n<policy>\n{policy}\n</policy>"


def user_prompt(scenario: Mapping[str, Any], mood: str, *, has_tools: bool) -> str:
    """Return the simulated user's system prompt: how to play a user, the scenario, and a mood if there is one."""
    guidelines = text("user_tools.md" if has_tools else "user.md")
    plain = f"{guidelines}\n\n<scenario>\n{scenario_text(scenario)}\n</scenario>"
    return f"{plain}\n\n{mood}" if mood else plain


def scenario_text(scenario: Mapping[str, Any]) -> str:
    """Return a task's scenario as headed paragraphs; fields that it leaves empty are left out."""
    instructions = scenario["instructions"]
    if isinstance(instructions, str):
        rows = {"instructions": instructions}
    else:
        rows = {name: instructions[name] for name in _INSTRUCTION_FIELDS if instructions.get(name)}
    if scenario.get("persona"):
        rows = {"persona": scenario["persona"], **rows}
    return "\n\n".join(f"{name.replace('_', ' ').capitalize()}:\n{value}" for name, value in rows.items())


@cache
def text(name: str) -> str:
    """Return one of the texts beside this module, by its file's name."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def sha256(value: str) -> str:
    """Return the sha256 of a text, in hex."""
    return hashlib.sha256(value.encode()).hexdigest()
