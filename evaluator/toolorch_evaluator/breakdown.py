"""Units of a run in groups, and how each group came out: by variant and domain, by variant, by trial. PURE."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from toolorch_api.figures import wilson_interval
from toolorch_api.shard import Result, Unit, UnitStatus


@dataclass(frozen=True, slots=True)
class Row:
    """Units of one group, and how they ended."""

    name: str
    total: int
    scored: int
    passed: int
    infra_errors: int
    quarantined: int
    reward: float
    """Sum over the scored units."""

    @property
    def score(self) -> float | None:
        """Mean reward over the scored units; None where none is scored."""
        return self.reward / self.scored if self.scored else None

    @property
    def score_scheduled(self) -> float:
        """Mean reward over all units, an unscored one counting 0."""
        return self.reward / self.total if self.total else 0.0

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the share of passed units; None where none is scored."""
        return wilson_interval(self.passed, self.scored)

    @property
    def interval_scheduled(self) -> tuple[float, float] | None:
        """95 % Wilson interval of the share of passed units among all; None where there are none."""
        return wilson_interval(self.passed, self.total)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How units ended, by unit."""

    finals: Mapping[Unit, Result]
    errors: Mapping[Unit, Result]
    aside: Set[Unit]
    """Quarantined units without a final result."""

    def row(self, name: str, units: Sequence[Unit]) -> Row:
        """Return how these units came out."""
        scored = [self.finals[u] for u in units if u in self.finals]
        return Row(
            name=name,
            total=len(units),
            scored=len(scored),
            passed=sum(r.status is UnitStatus.PASSED for r in scored),
            infra_errors=sum(u in self.errors for u in units),
            quarantined=sum(u in self.aside for u in units),
            reward=sum(r.reward or 0.0 for r in scored),
        )

    def by_domain(self, units: Sequence[Unit]) -> list[Row]:
        """Return a row per variant and domain, in the order of the units."""
        plain = len({unit.variant for unit in units}) <= 1
        return self._rows(units, lambda u: u.domain if plain else f"{u.variant} / {u.domain}")

    def by_variant(self, units: Sequence[Unit]) -> list[Row]:
        """Return a row per variant over all its domains; none where there is one variant, or one domain."""
        if len({unit.domain for unit in units}) <= 1:
            return []
        return self._several(units, lambda u: f"{u.variant}, all domains")

    def by_trial(self, units: Sequence[Unit]) -> list[Row]:
        """Return a row per trial; none where there is one."""
        return self._several(units, lambda u: f"trial {u.trial}")

    def _several(self, units: Sequence[Unit], name: Callable[[Unit], str]) -> list[Row]:
        rows = self._rows(units, name)
        return rows if len(rows) > 1 else []

    def _rows(self, units: Sequence[Unit], name: Callable[[Unit], str]) -> list[Row]:
        groups: dict[str, list[Unit]] = defaultdict(list)
        for unit in units:
            groups[name(unit)].append(unit)
        return [self.row(group, members) for group, members in groups.items()]
