"""What an error answer of a model server means: whether to try again, when, and whose doing it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from toolorch_api.shard import Unit
from toolorch_evaluator.overflow import asks_too_much, is_too_long, tokens_left
from toolorch_evaluator.unwanted import find_unwanted

MAX_SENTENCE = 300


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a try got no completion.

    `passing`: another try may help. `overflow`: prompt and answer do not fit the model; `left`: tokens that an answer
    may have after all. `pause`: seconds that the server asked for. `lost`: the server died while it had the request;
    `beside`: other units that it had a request of. `unwanted`: the field of the request that it refuses.
    """

    cause: str
    message: str
    passing: bool
    overflow: bool = False
    left: int | None = None
    pause: float | None = None
    lost: bool = False
    beside: frozenset[Unit] = frozenset()
    unwanted: str = ""


_PASSING_4XX = {408: "model_timeout", 409: "model_busy", 425: "model_busy", 429: "model_busy"}
_PERMANENT = {401: "model_unauthorized", 403: "model_unauthorized", 404: "model_not_found"}
_TOO_LONG_STATUS = (400, 413, 422)
# vLLM says this where its engine died under a request; its API server ends a moment later.
_ENGINE_DIED = re.compile(r"EngineDeadError|EngineCore encountered an? (issue|fatal error)", re.IGNORECASE)


def classify(
    status: int, text: str, now: datetime, retry_after: str | None = None, max_tokens: int | None = None
) -> Trouble:
    """Say what an error answer means; `max_tokens` is what the call asked for."""
    message = f"HTTP {status}: {' '.join(text.split())[:MAX_SENTENCE]}"
    if status >= 500 or status in _PASSING_4XX:
        cause = _PASSING_4XX.get(status, "model_server_error")
        lost = status >= 500 and _ENGINE_DIED.search(text) is not None
        return Trouble(cause, message, passing=True, pause=parse_pause(retry_after, now), lost=lost)
    if status in _TOO_LONG_STATUS and asks_too_much(text, max_tokens):
        # No conversation would ever fit: the spec's mistake must not be scored as the model's.
        return Trouble("max_tokens_too_large", message, passing=False)
    if status in _TOO_LONG_STATUS and is_too_long(text):
        left = tokens_left(text, max_tokens)
        return Trouble("context_window_exceeded", message, passing=False, overflow=True, left=left)
    if 300 <= status < 400:
        # Followed, it would bring a conversation, and perhaps a key, to a server that the spec does not name.
        return Trouble("model_redirects", message, passing=False)
    unwanted = find_unwanted(text) if status in _TOO_LONG_STATUS else ""
    return Trouble(_PERMANENT.get(status, "model_refused"), message, passing=False, unwanted=unwanted)


def parse_pause(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or the date of when to come again; None where it says neither."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return _seconds_until(text or "", now)


def _seconds_until(date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(date)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())
