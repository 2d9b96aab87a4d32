"""Start slots: engines that start side by side mis-measure each other's GPU memory, so they start one after another."""

from __future__ import annotations


class Slots:
    """Who is starting on this machine, over all pools; a name keeps its slot through crashes until it serves."""

    def __init__(self) -> None:
        self._starting: set[str] = set()

    def take(self, instance: str, limit: int) -> bool:
        """Take a slot for a replica whose pool allows so many starts at a time; False where none is free."""
        if instance not in self._starting and len(self._starting) >= limit:
            return False
        self._starting.add(instance)
        return True

    def give_back(self, instance: str) -> None:
        """Free the slot of a replica that serves, or that is gone."""
        self._starting.discard(instance)
