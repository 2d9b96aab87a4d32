"""What a shard has claimed and not begun, and which unit of it is next. No I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from toolorch_api.deaths import Verdict
from toolorch_api.keys import result_key, transcript_key
from toolorch_api.shard import Manifest, Unit


@dataclass(frozen=True, slots=True)
class Turn:
    """A unit that is to be begun now."""

    index: int
    """Of the unit in the manifest."""
    unit: Unit
    talked: bool = False
    """Whether a conversation of it may lie in storage already."""
    alone: bool = False
    """Whether nothing else may run beside it."""


@dataclass(slots=True)
class Held:
    """Units that are this shard's to begin.

    Suspects come first: they run one after another, and the longest chain of work is begun first. What dies of one then
    dies early.
    """

    manifest: Manifest
    done: set[str]
    """Keys of results that this shard knows of."""
    talked: set[str]
    """Keys of transcripts that were there at the start."""
    verdict: Verdict = field(default_factory=Verdict)
    begun: set[int] = field(default_factory=set)
    """What this pod has begun is not begun by it again, even if another shard has held it meanwhile."""
    _waiting: deque[int] = field(default_factory=deque)
    _taken_over: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._waiting)

    def ended(self, indexes: Iterable[int]) -> list[int]:
        """Return those that have a result."""
        return [index for index in indexes if result_key(self.manifest.unit(index)) in self.done]

    def unfinished(self, indexes: Iterable[int]) -> list[int]:
        """Return those that are still to be begun by somebody."""
        every = list(indexes)
        over = {*self.ended(every), *self.begun, *self.verdict.quarantined}
        return [index for index in every if index not in over]

    def add(self, indexes: Iterable[int], taken_over: bool) -> None:
        """Hold units, that another pod may have talked through where they are taken over."""
        fresh = list(indexes)
        self._waiting.extend(fresh)
        if taken_over:
            self._taken_over.update(fresh)

    def judge(self, verdict: Verdict) -> None:
        """Take in what deaths say by now: who is set aside is not begun."""
        self.verdict = verdict
        self._waiting = deque(index for index in self._waiting if index not in verdict.quarantined)

    def begin(self) -> Turn:
        """Take the next unit."""
        index = next((i for i in self._waiting if i in self.verdict.suspects), self._waiting[0])
        self._waiting.remove(index)
        self.begun.add(index)
        unit = self.manifest.unit(index)
        talked = transcript_key(unit) in self.talked or index in self._taken_over
        return Turn(index, unit, talked, alone=index in self.verdict.suspects)
