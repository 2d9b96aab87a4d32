"""An answer too large for its reader: written piece by piece, so that the server itself needs no room for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from toolorch_mock.caller import Caller

_PIECE = b"x" * 2**20
# Where the text goes in the answer that surrounds it; no answer of a brain holds it.
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
        """Answer with a whole chat completion whose text has so many MiB."""
        (choice,) = body["choices"]
        flooded = {**body, "choices": [{**choice, "message": {**choice["message"], "content": _PLACE}}]}
        head, _, tail = json.dumps(flooded, ensure_ascii=False).partition(_PLACE)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(head.encode())
        for _ in range(self.mib):
            await response.write(_PIECE)
        await response.write(tail.encode())
        return response
