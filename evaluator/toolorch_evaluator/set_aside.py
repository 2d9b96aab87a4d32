"""Units that were set aside since they kept killing what ran them: which, how often, and of what. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from toolorch_api.deaths import Death, judge_deaths
from toolorch_api.shard import Manifest, Unit


@dataclass(frozen=True, slots=True)
class SetAside:
    """A unit that is not run any more."""

    unit: Unit
    alone: int
    """Deaths while it ran alone."""
    together: int
    """Deaths while others ran beside it."""
    why: str
    """Such as "pod: OOMKilled 2 times, exit code 137"."""

    @property
    def deaths(self) -> int:
        """How often something died of it, or may have."""
        return self.alone + self.together


def list_set_aside(manifest: Manifest, deaths: Sequence[Death], quarantine_after: int) -> list[SetAside]:
    """Return the quarantined units in the manifest's order."""
    verdict = judge_deaths(deaths, manifest.spec_hash, quarantine_after)
    own = [death for death in deaths if death.spec_hash == manifest.spec_hash]
    known = [index for index in sorted(verdict.quarantined) if 0 <= index < len(manifest.units)]
    return [_describe(manifest.unit(index), [d for d in own if index in d.units]) for index in known]


def _describe(unit: Unit, deaths: Sequence[Death]) -> SetAside:
    alone = sum(d.count for d in deaths if len(d.units) == 1)
    causes = Counter[str]()
    for death in deaths:
        causes[f"{death.what}: {death.why or 'no reason given'}"] += death.count
    why = ", ".join(cause if count == 1 else f"{cause} {count} times" for cause, count in causes.most_common())
    return SetAside(unit, alone, sum(d.count for d in deaths) - alone, why)
