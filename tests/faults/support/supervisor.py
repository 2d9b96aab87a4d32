"""What keeps one operator running, as a Deployment does: one that ended, however, is started again."""

import asyncio

START_SECONDS = 60
PAUSE_SECONDS = 0.1
"""Between an end and the next start; a kubelet would take longer, each time."""


class Supervisor:
    """One operator after another; `start()` starts one."""

    def __init__(self, start):
        self._start = start
        self.lives = []
        """All operators, in their order."""
        self.is_killed = False
        self.codes = []
        """Exit codes of lives that nobody ended on purpose."""
        self._may_run = asyncio.Event()
        self._may_run.set()
        self._task = None

    async def begin(self):
        """Start the first one and wait until one watches."""
        await self._launch()
        self._task = asyncio.create_task(self._keep())
        async with asyncio.timeout(START_SECONDS):
            while not await self._has_started(self.lives[-1]):
                pass

    def kill(self):
        """Kill the one that runs."""
        self.is_killed = True
        self.lives[-1].kill()

    async def leave(self):
        """Kill the one that runs and start no other."""
        self._may_run.clear()
        self.kill()
        await self.lives[-1].wait()

    def come_back(self):
        """Let one run again."""
        self._may_run.set()

    async def end(self, *, in_order):
        """End the last one, in order or at once, and return its exit code, None where it was killed."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if in_order:
            self.lives[-1].terminate()
        else:
            self.lives[-1].kill()
        code = await self.lives[-1].wait()
        return code if in_order else None

    async def _has_started(self, life):
        try:
            return await life.started()
        except AssertionError:
            # It ended before that, and another follows.
            await asyncio.sleep(2 * PAUSE_SECONDS)
            return False

    async def _keep(self):
        while True:
            code = await self.lives[-1].wait(seconds=None)
            if not self.is_killed:
                self.codes.append(code)
            self.is_killed = False
            await self._may_run.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            await self._launch()

    async def _launch(self):
        self.lives.append(await self._start())
