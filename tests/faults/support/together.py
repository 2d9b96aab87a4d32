"""Several operators that run at once, for who expects one."""

import asyncio


class Together:
    """Operators as one life of a Supervisor; it lasts as long as any of them."""

    def __init__(self, each):
        self.each = each

    def kill(self):
        """Kill all on the spot."""
        for operator in self.each:
            operator.kill()

    def terminate(self):
        """Ask all to end."""
        for operator in self.each:
            operator.terminate()

    async def wait(self, **limit):
        """Wait until all have ended, and return the exit code of the last that ran to the end."""
        codes = await asyncio.gather(*(operator.wait(**limit) for operator in self.each))
        return max(codes)

    async def started(self):
        """Wait until one watches: with a lease no other does."""
        waiting = [asyncio.create_task(operator.started()) for operator in self.each]
        done, others = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return next(iter(done)).result()

    def lines(self):
        """Return what all said."""
        return [line for operator in self.each for line in operator.lines()]
