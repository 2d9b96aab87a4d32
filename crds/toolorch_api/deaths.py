"""Which units kill what runs them: the record of a death, and the rule that both programs read it by.

A pod works on several units at a time, so that its death names suspects only. A suspect then runs alone in its pod, and
a death of that pod is its own. What has died alone, and `retry.quarantineAfter` times in all, is set aside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from toolorch_api.meta import StatusModel


class LastWord(StatusModel):
    """What a shard keeps in its termination log while it works; Kubernetes reads it however the container ends."""

    running: list[int] = Field(default_factory=list)
    """Indexes of the units under way."""


class Death(StatusModel):
    """deaths/<attempt>/<name>.json: what died, and of which units; created once, never overwritten."""

    v: int = 1
    spec_hash: str
    attempt: int
    what: Literal["pod", "server"]
    """A pod of the run, or a model server in the middle of a call."""
    units: list[int]
    """Indexes into the manifest of what was running."""
    count: int = 1
    """Times that it died of them."""
    why: str = ""
    """Such as OOMKilled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What deaths say of units, by their indexes into the manifest."""

    suspects: frozenset[int] = frozenset()
    """They run alone from now on."""
    quarantined: frozenset[int] = frozenset()
    """They are not run any more."""


def judge_deaths(deaths: Iterable[Death], spec_hash: str, quarantine_after: int) -> Verdict:
    """Return who is suspect and who is set aside; another configuration's deaths count for nothing."""
    together, alone = Counter[int](), Counter[int]()
    for death in deaths:
        if death.spec_hash == spec_hash:
            (alone if len(death.units) == 1 else together).update(dict.fromkeys(set(death.units), death.count))
    known = together.keys() | alone.keys()
    quarantined = {unit for unit in known if alone[unit] and together[unit] + alone[unit] >= quarantine_after}
    return Verdict(frozenset(known - quarantined), frozenset(quarantined))
