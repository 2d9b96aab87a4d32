"""ConfigMaps and Secrets that stand in the same files, for the fields that name them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS = ("ConfigMap", "Secret")


@dataclass(frozen=True, slots=True)
class References:
    """Texts by (kind, namespace, name, key). Values of Secrets are never printed."""

    texts: Mapping[tuple[str, str, str, str], str] = field(default_factory=dict, repr=False)

    def find(self, kind: str, namespace: str, name: str, key: str) -> str | None:
        """Return the text under a key, or None."""
        return self.texts.get((kind, namespace, name, key))


def parse_reference(document: Mapping[str, Any]) -> dict[tuple[str, str, str, str], str]:
    """Return the texts of a ConfigMap or Secret; raises ValueError with a sentence that holds no value."""
    kind, meta = document["kind"], document.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str):
        raise ValueError(f"{kind}: metadata.name is missing")
    texts: dict[str, str] = {}
    for part in ("data", "stringData"):
        for key, value in _entries(document, part):
            texts[key] = _decoded(f"{kind} {meta['name']}", key, value) if (kind, part) == ("Secret", "data") else value
    return {(kind, meta.get("namespace", "default"), meta["name"], key): text for key, text in texts.items()}


def _entries(document: Mapping[str, Any], part: str) -> list[tuple[str, str]]:
    entries = document.get(part) or {}
    if not isinstance(entries, Mapping) or not all(isinstance(value, str) for value in entries.values()):
        raise ValueError(f"{document['kind']} {document['metadata']['name']}: {part} must map keys to texts")
    return [(str(key), value) for key, value in entries.items()]


def _decoded(subject: str, key: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"{subject}: data.{key} is not base64 of UTF-8 text; stringData takes plain text") from None
