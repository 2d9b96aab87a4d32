"""What status.ladder remembers of crashes and remedies, in the little room that it has. PURE."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from toolorch_operator.modelpool.memory.changes import RESTART, step_key
from toolorch_operator.modelpool.memory.crashes import Crash

# As many as the schema of status.ladder takes of both; a part of the steps is kept for what is not a restart.
_MAX_COUNTED = 64
_MAX_RESTARTED = 40


def with_key(counted: Sequence[str], key: str, present: Collection[str]) -> list[str] | None:
    """Return the counted crashes with one more; where there is no room, one that no pod remembers gives way.

    `present` are the keys of all crashes that pods remember; None: all that are counted are among them.
    """
    if len(counted) < _MAX_COUNTED:
        return [*counted, key]
    gone = next((k for k in counted if k not in present), None)
    return None if gone is None else [*(k for k in counted if k != gone), key]


def with_step(steps: Mapping[str, int], crash: Crash, remedy: str) -> dict[str, int]:
    """Return the steps with one more of a remedy against the crash's class."""
    key = step_key(crash, remedy)
    taken = {**steps, key: steps.get(key, 0) + 1}
    return with_restart(taken, crash) if remedy == RESTART else taken


def with_restart(steps: Mapping[str, int], crash: Crash) -> dict[str, int]:
    """Return the steps with one more restart of the crash's replica, as far as there is room for another replica."""
    key = _restart_key(crash)
    has_room = key in steps or len(steps) < _MAX_RESTARTED
    return {**steps, key: steps.get(key, 0) + 1} if has_room else dict(steps)


def restarts_of(crash: Crash, steps: Mapping[str, int]) -> int:
    """Return how often this replica was restarted as it was after this class of crash."""
    return steps.get(_restart_key(crash), 0)


def _restart_key(crash: Crash) -> str:
    return f"{step_key(crash, RESTART)}/{crash.instance}"
