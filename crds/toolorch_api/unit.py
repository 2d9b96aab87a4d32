"""A unit of work and its path: the identity that every object key, request id and label of a unit is made from."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

# Long enough to read, short enough that four segments and a suffix stay far below a file name's 255 bytes.
MAX_SLUG_LENGTH = 80


def slug(text: str) -> str:
    """Return text as one path segment: [A-Za-z0-9._-], at most 80 characters, distinct texts staying distinct."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", text)
    if plain == text and len(text) <= MAX_SLUG_LENGTH and text.strip("."):
        return text
    return f"{plain[: MAX_SLUG_LENGTH - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest piece of work: one conversation, graded."""

    variant: str
    domain: str
    task_id: str
    trial: int

    @property
    def key(self) -> str:
        """Path of the unit: `<variant>/<domain>/<task slug>/<trial>`."""
        return f"{slug(self.variant)}/{slug(self.domain)}/{slug(self.task_id)}/{self.trial}"
