"""Which objects want nothing more: only a change of themselves or of what belongs to them can alter that. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from toolorch_api import evalrun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.pool_reasons import PoolCondition
from toolorch_operator.evalrun.settled import is_settled
from toolorch_operator.raw import is_raw_true


def is_at_rest(raw: Mapping[str, Any]) -> bool:
    """Tell whether a run is settled, or all replicas that a pool wants serve as its spec says.

    What then is still to come has its time, and is waited for: a finished run's Jobs go, an idle pool sleeps.
    """
    status = raw.get("status") or {}
    if raw["kind"] != evalrun.KIND:
        serves = is_raw_true(status, PoolCondition.READY) and not is_raw_true(status, PoolCondition.RECONCILING)
        return serves and not _reads_others(raw.get("spec") or {})
    try:
        return is_settled(EvalRunStatus.model_validate(status))
    except pydantic.ValidationError:
        return False


def _reads_others(pool: Mapping[str, Any]) -> bool:
    """Whether a pool hangs on what nobody tells of: Jobs of other pools, a Secret, a chat template of the user's."""
    tools = pool.get("toolCalling") or {}
    return bool(pool.get("cache") or pool.get("external") or tools.get("chatTemplate"))
