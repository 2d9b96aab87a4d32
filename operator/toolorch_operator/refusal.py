"""What status says where a spec cannot work, or where the API server refuses a child made from it. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pydantic

from toolorch_api import modelpool
from toolorch_api.conditions import Condition, RunCondition, RunReason, Truth, with_condition
from toolorch_api.pool_reasons import PoolCondition, PoolReason

MAX_MESSAGE = 1024


def compute_refused_status(raw: Mapping[str, Any], message: str, now: datetime) -> dict[str, Any]:
    """Return the status of an object as read, with the conditions that say what the user has to change."""
    is_pool = raw["kind"] == modelpool.KIND
    ready, stalled = (
        (PoolCondition.READY, PoolCondition.STALLED) if is_pool else (RunCondition.PROGRESSING, RunCondition.STALLED)
    )
    reason = PoolReason.INVALID_SPEC if is_pool else RunReason.INVALID_SPEC
    before = dict(raw.get("status") or {})
    generation = raw["metadata"].get("generation", 0)
    conditions = _parse_conditions(before)
    for type_, truth in ((ready, Truth.FALSE), (stalled, Truth.TRUE)):
        conditions = with_condition(
            conditions, type_, truth, reason, message[:MAX_MESSAGE], generation=generation, now=now
        )
    dumped = [c.model_dump(mode="json", by_alias=True) for c in conditions]
    return {**before, "observedGeneration": generation, "reason": str(reason), "conditions": dumped}


def build_sentence(error: pydantic.ValidationError) -> str:
    """Return what is wrong with a spec: each field with its message."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'object'}: {e['msg']}" for e in error.errors())


def _parse_conditions(status: Mapping[str, Any]) -> list[Condition]:
    conditions = []
    for raw in status.get("conditions") or ():
        try:
            conditions.append(Condition.model_validate(raw))
        except pydantic.ValidationError:
            continue
    return conditions
