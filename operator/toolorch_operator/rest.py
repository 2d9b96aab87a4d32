"""Which objects want nothing more: only a change of themselves or of what belongs to them can alter that. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from toolorch_api import evalrun
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_operator.evalrun.settled import is_settled


def is_at_rest(raw: Mapping[str, Any]) -> bool:
    """Tell whether a run is settled; what then is still to come has its time, and is waited for: its Jobs go.

    A pool never rests: its servers are watched only for as long as somebody looks at it.
    """
    if raw["kind"] != evalrun.KIND:
        return False
    try:
        return is_settled(EvalRunStatus.model_validate(raw.get("status") or {}))
    except pydantic.ValidationError:
        return False
