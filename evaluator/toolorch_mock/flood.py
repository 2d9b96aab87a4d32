"""An answer too large for its reader, though short on the wire: each empty list in it takes twenty times its length.

It is written piece by piece, so that the server itself needs no room for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from toolorch_mock.caller import Caller

_PIECE = b"[]," * (2**20 // 3)
# Where the lists go in the answer that surrounds them; no answer of a brain holds it.
_PLACE = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class Flood:
    """Whom it falls upon: the agent's calls in one unit; no unit, no flood."""

    unit: str = ""
    """Its key: `<variant>/<domain>/<task slug>/<trial>`."""
    mib: int = 0

    def falls_on(self, caller: Caller | None) -> bool:
        """Whether a request is answered so."""
        return caller is not None and caller.role == "agent" and caller.unit_key == self.unit

    async def answer(self, request: web.Request, body: Mapping[str, Any]) -> web.StreamResponse:
        """Answer with a whole chat completion, and so many MiB of JSON beside it."""
        head, _, tail = json.dumps({**body, "flood": [_PLACE]}, ensure_ascii=False).partition(f'"{_PLACE}"')
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(head.encode())
        for _ in range(self.mib):
            await response.write(_PIECE)
        await response.write(b"[]" + tail.encode())
        return response
