"""When a run on this machine gives a pool up, and with which words: somebody waits at a terminal."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

from toolorch_api.conditions import find_condition, is_true
from toolorch_api.modelpool import ModelPool
from toolorch_api.pool_reasons import PoolCondition, PoolReason
from toolorch_evaluator.cli.errors import RunFailedError
from toolorch_operator.modelpool.preflight.patience import PASSING

# A crash that nothing can cure may still be a race: a replica gets as many further starts before the run gives up.
_HOPELESS_RESTARTS = 2
# Crashes without a remedy that a plain restart may still get past.
_MAY_PASS = (PoolReason.UNCLASSIFIED_CRASH, PoolReason.REMEDIATION_UNKNOWN, PoolReason.START_TIMED_OUT)


class Patience:
    """What is left of it for one pool; `logs` are the files of its servers, by instance."""

    def __init__(self, logs: Mapping[str, Path]) -> None:
        self._logs = logs
        self._away_since: float | None = None

    def spend(self, pool: ModelPool, failed_starts: int) -> None:
        """Raise RunFailedError where waiting is of no use; `failed_starts` is that of its worst replica."""
        self._mind_crashes(pool, failed_starts)
        self._mind_preflight(pool)
        self._mind_absence(pool)

    def _mind_crashes(self, pool: ModelPool, failed_starts: int) -> None:
        stalled = find_condition(pool.status.conditions, PoolCondition.STALLED)
        if stalled is None or stalled.status != "True":
            return
        is_worn = failed_starts > _HOPELESS_RESTARTS
        if not is_worn and stalled.reason in _MAY_PASS:
            return
        named = next((log for name, log in self._logs.items() if name in stalled.message), None)
        log = f" Its log: {named}" if named is not None else ""
        raise RunFailedError(f"pool {pool.metadata.name}: {stalled.reason}: {_without_kubectl(stalled.message)}{log}")

    def _mind_preflight(self, pool: ModelPool) -> None:
        judged = find_condition(pool.status.conditions, PoolCondition.PREFLIGHT_PASSED)
        if judged is None or judged.status != "False" or pool.spec.external is not None:
            return
        if judged.reason not in (*PASSING, PoolReason.MODEL_SERVER_UNREACHABLE):
            raise RunFailedError(f"pool {pool.metadata.name}: {judged.reason}: {judged.message}")

    def _mind_absence(self, pool: ModelPool) -> None:
        ready = find_condition(pool.status.conditions, PoolCondition.READY)
        external = pool.spec.external
        if external is None or ready is None or is_true(pool.status.conditions, PoolCondition.READY):
            self._away_since = None
            return
        patience = pool.spec.preflight.timeout_seconds
        self._away_since = self._away_since or time.monotonic()
        if time.monotonic() - self._away_since > patience:
            raise RunFailedError(
                f"pool {pool.metadata.name}: {external.base_url} was not ready for {patience} s:"
                f" {ready.reason}: {ready.message}"
            )


def _without_kubectl(advice: str) -> str:
    """Leave out the sentences that name a cluster's commands."""
    return " ".join(sentence for sentence in re.split(r"(?<=\.) (?=[A-Z])", advice) if "kubectl" not in sentence)
