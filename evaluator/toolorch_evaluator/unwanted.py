"""Fields of a request that a hosted server does not take, and the request without them.

Hosted models differ in what they refuse: one wants the answer's length under another name, one has a single
temperature, and only vLLM knows settings of a chat template. What the benchmark means by a call is left out there, and
counted; what the spec itself says is not, so that a refusal of it stands as the user's to mend.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from toolorch_api.roles import Role
from toolorch_api.shard import PoolInput

# OpenAI's words for both, and for a field that it has never heard of.
_REFUSED = re.compile(
    r"(?:unsupported (?:parameter|value)|unrecognized request arguments? supplied):?\s*'?([a-z_]+)'?", re.IGNORECASE
)
RENAMED = {"max_tokens": "max_completion_tokens"}
"""Fields that mean the same under another name."""
_MEANT = frozenset({"temperature", "seed", "chat_template_kwargs"})


def find_unwanted(text: str) -> str:
    """Return the field of a request that an error answer refuses; empty where it names none."""
    found = _REFUSED.search(text)
    return found[1] if found else ""


def may_leave_out(field: str, role: Role, pool: PoolInput) -> bool:
    """Whether a field may be sent otherwise than it was: the spec does not say it, or it has another name."""
    said = {"temperature": role.temperature is not None, "chat_template_kwargs": bool(pool.chat_template_kwargs)}
    return field in RENAMED or (field in _MEANT and not said.get(field, False))


def leave_out(body: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """Return a request's body without fields, or with their other names."""
    unwanted = set(fields)
    kept = {name: value for name, value in body.items() if name not in unwanted}
    return kept | {RENAMED[name]: body[name] for name in unwanted & RENAMED.keys() if name in body}
