"""How long conversations may be, as the model servers say: read once per server, where a role asks for long answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import openai
import structlog

from toolorch_api.foreign_json import parse_json
from toolorch_api.roles import Role
from toolorch_api.shard import Endpoint, PoolInput
from toolorch_evaluator.clients import Clients
from toolorch_evaluator.exits import BadInputError

log = structlog.get_logger(__name__)

# A list of models is at hand in any server that serves; nothing waits longer for it.
ASK_SECONDS = 10.0


class Windows:
    """The windows of a run's pools: tokens that prompt and answer may have together."""

    def __init__(self, pools: Mapping[str, PoolInput], clients: Clients) -> None:
        self._pools = pools
        self._clients = clients
        self._read: dict[tuple[str, str], int | None] = {}

    async def of(self, pool: str, endpoints: Sequence[Endpoint]) -> int | None:
        """Return the smallest window of a pool's ready servers, None where nobody says; raises BadInputError."""
        known = self._pools[pool]
        if not known.external and known.serving.max_model_len is not None:
            return known.serving.max_model_len
        found = await asyncio.gather(*(self._at(pool, e.url) for e in endpoints if e.ready))
        return min((window for window in found if window is not None), default=None)

    async def _at(self, pool: str, url: str) -> int | None:
        if (pool, url) not in self._read:
            client = await self._clients.get(pool, url)
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    response = await client.get("/models", cast_to=httpx2.Response)
                self._read[pool, url] = find_window(response.content, self._pools[pool].served_model_name)
            except (TimeoutError, openai.APIError, ValueError, LookupError, TypeError, AttributeError) as error:
                log.warning("window_unknown", pool=pool, server=url, error=type(error).__name__)
                return None
        return self._read[pool, url]


def find_window(body: bytes, model: str) -> int | None:
    """Return a model's window in a list of models; hosted servers tell none."""
    cards: list[dict[str, Any]] = parse_json(body)["data"]
    window = next((card.get("max_model_len") for card in cards if card.get("id") == model), None)
    return window if isinstance(window, int) and window > 0 else None


def check_answers(role: str, player: Role, window: int | None) -> None:
    """Raise BadInputError where a role's answers alone would not fit the model: none of its calls could work."""
    asked = player.max_tokens
    # The whole window means "as many as are left" to vLLM.
    if asked is None or window is None or asked <= window:
        return
    field = f"roles.{role}" if role in ("agent", "user", "judge") else f"roles.experts.{role}"
    sentence = f"{field}.maxTokens is {asked}, but prompt and answer have {window} tokens in all at pool {player.pool}"
    raise BadInputError("MaxTokensTooLarge", sentence)
