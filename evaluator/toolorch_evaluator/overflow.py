"""What a server says that refuses a call as too long, and how long an answer it would still give.

A conversation that fits must not be scored as too long because its answer was asked to be longer than what is left.
"""

from __future__ import annotations

import re

# vLLM's wordings over its versions, OpenAI's code, and what other servers say.
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|(longer|greater) than the maximum model length"
    r"|exceeds? the (model's )?(maximum |max )?(context|model) (length|window)",
    re.IGNORECASE,
)
# vLLM 0.32 names the two numbers, and OpenAI's newer name of the field.
_ASKS_TOO_MUCH = re.compile(r"max_(completion_)?tokens=\d+ cannot be greater than max_model_len", re.IGNORECASE)
_WINDOW = re.compile(r"maximum context length (?:is|of) (\d+)", re.IGNORECASE)
_PROMPT = re.compile(r"(?:prompt contains|request has) (\d+) input tokens|\((\d+) in the messages", re.IGNORECASE)
# A vLLM that stops counting where the prompt can no longer fit names a lower bound, of tokens or by characters.
_PROMPT_OR_MORE = re.compile(
    r"prompt contains (?:at least (\d+) input tokens|\d+ characters \(more than \d+ .{0,60}? for (\d+) input tokens)",
    re.IGNORECASE,
)

# An answer of so many tokens says something whatever was asked for; else an eighth of what was asked for does.
ENOUGH_TOKENS = 256
ENOUGH_SHARE = 8


def is_too_long(text: str) -> bool:
    """Whether an error answer says that prompt and answer do not fit the model."""
    return _TOO_LONG.search(text) is not None


def asks_too_much(text: str, asked: int | None) -> bool:
    """Whether the answer alone, `asked` tokens long, would not fit the model whatever the prompt."""
    if _ASKS_TOO_MUCH.search(text):
        return True
    window = _WINDOW.search(text)
    if window is None or asked is None:
        return False
    # Newer vLLM takes the whole window for "as many as are left"; an older one may be told how many those are.
    tells_prompt = _PROMPT.search(text) or _PROMPT_OR_MORE.search(text)
    return asked > int(window[1]) or (asked == int(window[1]) and not tells_prompt)


def tokens_left(text: str, asked: int | None) -> int | None:
    """Tokens that an answer may have after all, fewer than `asked`; None where the prompt alone is too long.

    Where the server stopped counting the prompt, half of what was asked: it may take some steps to what fits.
    """
    window = _WINDOW.search(text)
    if window is None or asked is None:
        return None
    left = _left(text, int(window[1]), asked)
    return left if left is not None and 0 < left < asked else None


def _left(text: str, window: int, asked: int) -> int | None:
    if exact := _PROMPT.search(text):
        return window - int(exact[1] or exact[2])
    if at_least := _PROMPT_OR_MORE.search(text):
        return min(window - int(at_least[1] or at_least[2]), asked // 2)
    return None


def is_enough(left: int, asked: int) -> bool:
    """Whether an answer of `left` tokens is worth having where `asked` were asked for."""
    return left >= min(ENOUGH_TOKENS, -(-asked // ENOUGH_SHARE))
