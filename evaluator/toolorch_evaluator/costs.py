"""What a run's tokens cost, by role: tokens of its call events times the prices that the run was told. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from toolorch_api.run_input import Price
from toolorch_evaluator.latency import RoleLatency

# Prices are per so many tokens.
_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class RoleCost:
    """Tokens of one role at one pool."""

    role: str
    pool: str
    part: str
    """As RoleLatency tells it: what judges cost is the evaluator's, and no part of what the agent's work cost."""
    prompt_tokens: int
    completion_tokens: int
    dollars: Decimal | None
    """None where the pool has no price."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Tokens and what they cost."""

    rows: Sequence[RoleCost]
    prices: Mapping[str, Price]

    @property
    def dollars(self) -> Decimal | None:
        """Sum over the roles whose pools have a price; None where none has."""
        return _add(self.rows)

    @property
    def evaluator(self) -> Decimal | None:
        """Of that, what judging cost."""
        return _add([row for row in self.rows if row.part == "evaluator"])

    @property
    def unpriced(self) -> list[str]:
        """Roles that used tokens nobody knows the price of."""
        return [row.role for row in self.rows if row.dollars is None and row.prompt_tokens + row.completion_tokens]


def compute_costs(latency: Sequence[RoleLatency], prices: Mapping[str, Price]) -> Costs:
    """Price the tokens of all calls; `prices` are by pool."""
    rows = [
        RoleCost(
            row.role,
            row.pool,
            row.part,
            row.prompt_tokens,
            row.completion_tokens,
            _price(row, prices[row.pool]) if row.pool in prices else None,
        )
        for row in latency
    ]
    return Costs(rows, prices)


def write_dollars(dollars: Decimal | None) -> str:
    """Write an amount in USD, cents and small ones to a hundredth of a cent; "unknown" for None."""
    if dollars is None:
        return "unknown"
    return f"{dollars:.2f}" if not 0 < dollars < 1 else f"{dollars:.4f}"


def _price(row: RoleLatency, price: Price) -> Decimal:
    spent = row.prompt_tokens * Decimal(price.input) + row.completion_tokens * Decimal(price.output)
    return spent / _TOKENS


def _add(rows: Sequence[RoleCost]) -> Decimal | None:
    known = [row.dollars for row in rows if row.dollars is not None]
    return sum(known, Decimal()) if known else None
