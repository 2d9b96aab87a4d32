"""Waiting for what an API server and an operator do."""

import asyncio
import json

PATIENCE = 30
"""Seconds for anything that takes one on an idle machine: two cores may be everybody's."""
PAUSE = 0.05
"""Seconds between two looks."""


async def until(look, is_it=bool, *, seconds=PATIENCE):
    """Look again and again until something is so, and return it; the last sight fails the test."""
    end = asyncio.get_running_loop().time() + seconds
    while not is_it(seen := await look()):
        late = asyncio.get_running_loop().time() >= end
        assert not late, f"not so after {seconds} s: {json.dumps(seen, default=str)[:3000]}"
        await asyncio.sleep(PAUSE)
    return seen
