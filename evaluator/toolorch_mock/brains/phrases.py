"""What the scripted agent and the scripted user say to each other, and how each reads the other's counters.

The agent asks the user for steps "up to step R of N"; the user reports "step R of N is done". Both count only the
user-side actions of the task's reference. The agent's closing words end the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

STOP = "###STOP###"

_CLOSING = "That is all from my side."
_ASKED = re.compile(r"up to step (\d+) of \d+ on your side")
_REPORTED = re.compile(r"Step (\d+) of \d+ is done on my side")
_REFUSED = re.compile(r"\b(?:cannot|can't|can not|unable to|not able to) (?:help|assist|do)\b", re.IGNORECASE)
_REASON = re.compile(r"Reason for call:?\s*(\S[^\n]*)", re.IGNORECASE)

IDLE_TURNS = (
    "Thank you for reaching out. Could you tell me a little more about it?",
    "I see. Let me think about that for a moment; please bear with me.",
    "Thank you for your patience. Is there anything else you would like to mention?",
)
THOUGHT = "The last message asks for something. I will look at what I have been offered and then answer."
GO_ON = "Yes, please go ahead with what I asked for."
GOODBYE = f"Thank you, I will leave it there. {STOP}"
# Long enough to say what it is about; more would only cost tokens.
_MAX_REASON = 300


def ask_user(names: Sequence[str], until: int, total: int) -> str:
    """Ask the user to call the named tools of their own."""
    return f"Please carry out on your device: {', '.join(names)} (up to step {until} of {total} on your side)."


def asked_until(text: str) -> int | None:
    """Return up to which step an agent's text asks the user to go."""
    match = _ASKED.search(text)
    return int(match[1]) if match else None


def report(done: int, total: int) -> str:
    """Tell the agent how far the user is."""
    return f"Step {done} of {total} is done on my side. What is next?"


def reported_done(texts: Iterable[str]) -> int:
    """Return the furthest step that a user's texts report."""
    return max((int(match[1]) for text in texts if (match := _REPORTED.search(text))), default=0)


def close(communicate: Sequence[str]) -> str:
    """Say what must be communicated, one fact a line, and end."""
    if not communicate:
        return f"Everything that can be done is done. {_CLOSING}"
    facts = "\n".join(communicate)
    return f"Everything that can be done is done. For your records:\n{facts}\n{_CLOSING}"


def is_closing(text: str) -> bool:
    """Whether an agent's text ends the conversation."""
    return _CLOSING in text


def is_refusal(text: str) -> bool:
    """Whether an agent's text says that it cannot help."""
    return _REFUSED.search(text) is not None


def missing_tool(name: str) -> str:
    """Say that a needed tool was not offered."""
    return f"I need the tool {name} for the next step, and it was not offered to me."


def open_with(system: str, domain: str) -> str:
    """State the user's reason in the scenario's own words where the system prompt gives one."""
    match = _REASON.search(system)
    reason = match[1].strip()[:_MAX_REASON] if match else ""
    return reason.replace("###", "") or f"Hello, I need help with a {domain or 'service'} matter."
