"""Who holds which blocks of a queue, as the claims in storage say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from pydantic import ValidationError

from toolorch_api.keys import left_key
from toolorch_api.shard import Claim
from toolorch_evaluator.blocks import Board
from toolorch_evaluator.results import Results


@dataclass(slots=True)
class Holders:
    """The claims of a queue, each read once: they never change."""

    results: Results
    board: Board
    _claims: dict[str, Claim | None] = field(default_factory=dict)

    def take(self, key: str, body: bytes) -> Claim | None:
        """Take in a claim and return who claims; None for what nobody can read, which then holds nothing."""
        try:
            self._claims[key] = Claim.model_validate_json(body)
        except ValidationError:
            self._claims[key] = None
        return self._claims[key]

    async def read(self, blocks: Collection[int]) -> dict[int, Claim | None]:
        """Return the newest claim on each of these claimed blocks."""
        keys = {self.board.newest_key(block): block for block in sorted(blocks)}
        async for key, body in self.results.get_all(k for k in keys if k not in self._claims):
            self.take(key, body)
        return {block: self._claims.get(key) for key, block in keys.items()}

    async def abandoned(self, blocks: Collection[int], lapsed: Collection[int]) -> list[int]:
        """Return those whose holder's lease is over (`lapsed`: shards), or that it gave back."""
        if not lapsed and not self.board.left:
            return []

        def is_gone(claim: Claim | None) -> bool:
            folder = self.board.share.folder
            return claim is None or claim.shard in lapsed or left_key(folder, claim.pod) in self.board.left

        return [block for block, claim in (await self.read(blocks)).items() if is_gone(claim)]
