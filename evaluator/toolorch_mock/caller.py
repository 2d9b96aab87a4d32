"""Who asks: the unit, role and count that a request's id carries."""

from __future__ import annotations

from dataclasses import dataclass

# variant, domain, task, trial, role, n: what follows the run's name, which may hold slashes of its own.
_SEGMENTS = 6


@dataclass(frozen=True, slots=True)
class Caller:
    """A parsed X-Request-Id: `<run>/<variant>/<domain>/<task slug>/<trial>/<role>/<n>`."""

    unit_key: str
    domain: str
    task_slug: str
    role: str
    number: int


def parse_caller(request_id: str) -> Caller | None:
    """Parse a request's id from its right end; None if it is not of that form."""
    parts = request_id.split("/")[-_SEGMENTS:]
    if len(parts) < _SEGMENTS or not parts[-1].isdecimal() or not all(parts):
        return None
    _, domain, task_slug, _, role, number = parts
    return Caller("/".join(parts[:4]), domain, task_slug, role, int(number))
