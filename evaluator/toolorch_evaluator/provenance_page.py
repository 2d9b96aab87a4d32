"""Provenance as rows that people read: what served each pool at the end, and when that was something else. PURE."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

# Digits of a digest by which people tell two images apart.
_DIGEST = 12


def show_pools(provenance: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row per pool of provenance.json; what nobody knows is an empty text."""
    return [_show(name, pool) for name, pool in provenance["pools"].items()]


def short_image(image: str) -> str:
    """Return an image with the first digits of its digest, without what a container runtime puts before it."""
    name, mark, digest = image.rpartition("://")[2].rpartition("sha256:")
    return f"{name}{mark}{digest[:_DIGEST]}" if mark else digest


def _show(name: str, pool: Mapping[str, Any]) -> dict[str, Any]:
    serving = pool["serving"]
    engine = "external" if pool["external"] else f"vLLM {serving['engineVersion']}" if serving["engineVersion"] else ""
    return {
        "name": name,
        "model": pool["model"],
        "revision": serving["revision"],
        "engine": engine,
        # On a machine without a cluster no image is run, whatever the spec asks for.
        "image": short_image(serving["imageId"]),
        "settings": ", ".join(f"{key} {value}" for key, value in serving["effective"].items() if value is not None),
        "command": shlex.join(serving["arguments"]),
    }
