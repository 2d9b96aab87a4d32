"""Where the model servers of a run are: mounted endpoint lists, followed while they change, and the choice."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from toolorch_api.shard import Endpoint, Endpoints
from toolorch_evaluator.exits import BadInputError

log = structlog.get_logger(__name__)

# Servers of the cluster ask for no key, but OpenAI's client wants one.
NO_KEY = "EMPTY"


def choose(
    endpoints: Sequence[Endpoint], unit: str, avoid: Collection[str], load: Mapping[str, int]
) -> Endpoint | None:
    """Choose a ready endpoint for a unit that has none yet, or None.

    The one with the fewest units of this shard (`load`, by name); among equals the unit's hash decides, so that shards
    do not all begin with the same one. What has just failed is avoided as long as another one is ready.
    """
    ready = [e for e in endpoints if e.ready]
    fresh = [e for e in ready if e.name not in avoid]

    def rank(endpoint: Endpoint) -> tuple[int, bytes]:
        return load.get(endpoint.name, 0), hashlib.sha256(f"{unit} {endpoint.name}".encode()).digest()

    return min(fresh or ready, key=rank, default=None)


@dataclass(slots=True)
class _Read:
    stamp: tuple[int, int]
    endpoints: list[Endpoint]


class PoolFiles:
    """The pools' files below a step's input folder."""

    def __init__(self, input_dir: Path) -> None:
        self._input_dir = input_dir
        self._read: dict[str, _Read] = {}

    def endpoints(self, pool: str) -> list[Endpoint]:
        """Return the pool's endpoints as the file says now; unreadable or half written: the last ones read."""
        path = self._input_dir / "pools" / pool / "endpoints.json"
        known = self._read.get(pool)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if known is None or known.stamp != stamp:
                known = self._read[pool] = _Read(stamp, Endpoints.model_validate_json(path.read_bytes()).endpoints)
        except (OSError, ValidationError) as error:
            log.warning("endpoints_unreadable", pool=pool, error=str(error).splitlines()[0])
        return known.endpoints if known else []

    def key(self, pool: str) -> str:
        """Return an external pool's API key: `keys/<pool>`, a file or a folder that holds one; raises BadInputError."""
        path = self._input_dir / "keys" / pool
        try:
            files = [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file() and f.name[0] != ".")
            return files[0].read_text().strip()
        except (OSError, IndexError) as error:
            raise BadInputError("NoApiKey", f"pool {pool} is external and its API key is not mounted") from error
