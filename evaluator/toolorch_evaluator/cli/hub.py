"""Which commit of a model the user's own hub cache holds: servers on one machine load from there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{40,64}")


def find_commit(model: str, revision: str, env: Mapping[str, str]) -> str:
    """Return the commit that a revision names in the cache of a server's environment; empty where nobody knows."""
    if _COMMIT.fullmatch(revision):
        return revision
    home = Path(env.get("HF_HOME") or Path(env.get("HOME") or "~").expanduser() / ".cache" / "huggingface")
    hub = Path(env.get("HF_HUB_CACHE") or home / "hub")
    folder = hub / f"models--{model.replace('/', '--')}"
    try:
        commit = (folder / "refs" / (revision or "main")).read_text().strip()
        return commit if _COMMIT.fullmatch(commit) and (folder / "snapshots" / commit).is_dir() else ""
    except (OSError, ValueError):
        return ""
