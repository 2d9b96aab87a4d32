"""Texts of others without the secrets that they may quote: errors, last words, logs. PURE."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORTEST_SECRET = 3
"""Characters up to which a value is a setting, such as `on`, and not worth a hole in each text."""
_URL_PASSWORD = re.compile(r"//[^/@\s]+@")


def blank_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text with each secret of it, each line of a long one, and each password in an address blanked."""
    values = {part.strip() for secret in secrets for part in (secret, *secret.splitlines())}
    for value in sorted(values, key=len, reverse=True):
        if len(value) > SHORTEST_SECRET:
            text = text.replace(value, "***")
    return _URL_PASSWORD.sub("//***@", text)
