"""What an answer of the API server means that is no success. PURE."""

from __future__ import annotations

import json
from collections.abc import Mapping

from toolorch_operator.errors import ClusterError, Conflict, Denied, Invalid, NotFound, Throttled, Unavailable

TOO_MANY_REQUESTS = 429
_FORBIDDEN = 403
_GOING = "NamespaceTerminating"
_BY_STATUS: dict[int, type[ClusterError]] = {
    400: Invalid, 401: Denied, 403: Denied, 404: NotFound, 409: Conflict, 410: Conflict, 422: Invalid,
}  # fmt: skip


def parse_error(code: int, headers: Mapping[str, str], body: bytes, what: str) -> ClusterError:
    """Return the error for an HTTP status; `what` says what was asked."""
    message = f"{what}: {code} {_parse_message(body)}"
    if _is_namespace_going(code, body):
        return Conflict(message)
    if code == TOO_MANY_REQUESTS:
        wait = headers.get("Retry-After", "")
        return Throttled(message, float(wait) if wait.isdigit() else None)
    return _BY_STATUS.get(code, Unavailable)(message)


def name_answer(code: int, body: bytes) -> str:
    """Return the status of an answer for metrics, or the cause of a refusal that is no matter of rights."""
    return _GOING if _is_namespace_going(code, body) else str(code)


def _is_namespace_going(code: int, body: bytes) -> bool:
    return code == _FORBIDDEN and f'"{_GOING}"'.encode() in body


def _parse_message(body: bytes) -> str:
    try:
        return str(json.loads(body).get("message", ""))
    except (ValueError, AttributeError):
        return body[:200].decode(errors="replace")
