"""One watch as a client of the proxy sees it, line by line to its end."""

import asyncio
import json

from aiohttp import ClientError


class SmallWatch:
    """What one watch brings: `lines` as they come, and at its end how it ended."""

    def __init__(self, session, path):
        self.lines, self.end = [], ""
        self._task = asyncio.create_task(self._read(session, path))

    async def _read(self, session, path):
        try:
            async with session.get(path) as answer:
                while text := await answer.content.readline():
                    self.lines.append(text)
            self.end = "ended"
        except ClientError:
            self.end = "broke"

    async def until_end(self):
        await self._task
        return self.end

    async def until(self, count):
        while len(self.lines) < count:  # noqa: ASYNC110 - it ends with the client's own patience
            await asyncio.sleep(0.005)
        return self.told()

    def told(self):
        read = [json.loads(text) for text in self.lines if text.endswith(b"\n")]
        return [(said["type"], said["object"]["metadata"].get("name", said["object"].get("code"))) for said in read]

    async def close(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
