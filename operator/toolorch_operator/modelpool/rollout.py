"""Which replicas take up changed settings now, and which serve on: a run is not robbed of its servers. PURE."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from toolorch_api.meta import GROUP
from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.observed import StartView
from toolorch_operator.modelpool.slots import grant
from toolorch_operator.plan import Manifest

ANNOTATION_ROLLOUT = f"{GROUP}/rollout"
"""Annotation of a pool: `now` rolls it although runs use it."""

ANNOTATION_TEMPLATE = f"{GROUP}/template-hash"
"""Annotation of a pod template: its own hash, since the API server's defaults make live templates differ."""

# A sentence in a column: the runs that began first are told, the rest is counted.
_NAMED_RUNS = 3


class Step(StrEnum):
    """What becomes of a replica's Deployment."""

    APPLY = "Apply"
    """It gets the desired template now, or has it already."""
    WAIT = "Wait"
    """It serves on as it is until there is a start slot for it."""
    KEEP = "Keep"
    """It serves on as it is as long as runs use the pool."""


@dataclass(frozen=True, slots=True)
class RollView:
    """One wanted replica, and how its Deployment compares with the desired one."""

    start: StartView
    is_outdated: bool = False
    """Its live Deployment has another template than the desired one."""
    is_rolling: bool = False
    """Its live Deployment has the desired template, and a pod of an earlier one still runs."""
    is_remedied: bool = False
    """The ladder changed the settings since this very replica crashed."""

    @property
    def serves_earlier(self) -> bool:
        """It serves with earlier settings, and nothing is wrong with it."""
        return self.is_outdated and not self.is_remedied and self.start.state is InstanceState.READY


@dataclass(frozen=True, slots=True)
class Rollout:
    """The step of each replica, by StartView.instance, and what the pool says of it."""

    steps: Mapping[str, Step] = field(default_factory=dict)
    reason: PoolReason | None = None
    """RolloutDeferred, RollingOut, or None: every replica that serves has the desired settings."""
    message: str = ""


def plan_rollout(
    replicas: Sequence[RollView], others: Sequence[StartView], runs: Sequence[str], now: datetime, *, forced: bool
) -> Rollout:
    """Return what each replica does about changed settings; `others` are other pools' replicas, `runs` hold leases.

    A replica that does not serve has nothing to lose and takes them up at once; one that serves does so when no run
    uses the pool, and only when it can start again at once.
    """
    late = [r for r in replicas if r.serves_earlier]
    steps = {r.start.instance: Step.APPLY for r in replicas}
    if late and runs and not forced:
        kept = {r.start.instance: Step.KEEP for r in late}
        return Rollout(steps | kept, PoolReason.ROLLOUT_DEFERRED, _describe_deferral(len(late), len(replicas), runs))
    granted = grant([*others, *(_as_start(r, now) for r in replicas)], now)
    waiting = {r.start.instance: Step.WAIT for r in late if r.start.instance not in granted}
    rolling = [r for r in replicas if r.serves_earlier or _is_going(r)]
    if not rolling:
        return Rollout(steps)
    message = f"{len(rolling)} of {len(replicas)} replicas still serve with earlier settings"
    return Rollout(steps | waiting, PoolReason.ROLLING_OUT, message)


def _as_start(replica: RollView, now: datetime) -> StartView:
    """Return a replica as it counts for slots: to roll a server is to start one, after those that wait already."""
    if replica.serves_earlier:
        return replace(replica.start, state=InstanceState.WAITING_FOR_SLOT, since=now)
    return replace(replica.start, state=InstanceState.STARTING) if _is_going(replica) else replica.start


def _is_going(replica: RollView) -> bool:
    is_told = replica.is_rolling or (replica.is_outdated and replica.is_remedied)
    return is_told and replica.start.state is InstanceState.READY


def _describe_deferral(late: int, count: int, runs: Sequence[str]) -> str:
    more = f" and {len(runs) - _NAMED_RUNS} more" if len(runs) > _NAMED_RUNS else ""
    return (
        f"{late} of {count} replicas serve on with earlier settings as long as runs use the pool"
        f" ({', '.join(runs[:_NAMED_RUNS])}{more}); the annotation {ANNOTATION_ROLLOUT}=now rolls them at once"
    )


def is_forced(pool: ModelPool) -> bool:
    """Tell whether the pool is to be rolled although runs use it."""
    return pool.metadata.annotations.get(ANNOTATION_ROLLOUT) == "now"


def template_hash(template: Mapping[str, Any]) -> str:
    """Return 12 hex digits over a pod template; the annotation that holds them does not count."""
    text = json.dumps(_with_annotation(template, ""), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def with_template_hash(deployment: Manifest) -> Manifest:
    """Return a desired Deployment whose pod template carries its own hash."""
    template = deployment["spec"]["template"]
    marked = _with_annotation(template, template_hash(template))
    return {**deployment, "spec": {**deployment["spec"], "template": marked}}


def is_outdated(live: Manifest | None, desired: Manifest) -> bool:
    """Tell whether a live Deployment has another template than the desired one, which carries its hash."""
    return live is not None and _marked_hash(live) != _marked_hash(desired)


def is_rolling(live: Manifest | None) -> bool:
    """Tell whether a Deployment's pods do not follow its template yet."""
    told = live or {}
    status, generation = told.get("status") or {}, told.get("metadata", {}).get("generation", 0)
    is_seen = status.get("observedGeneration", generation) >= generation
    return not is_seen or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def _marked_hash(deployment: Manifest) -> str:
    annotations = deployment["spec"]["template"].get("metadata", {}).get("annotations") or {}
    return str(annotations.get(ANNOTATION_TEMPLATE, ""))


def _with_annotation(template: Mapping[str, Any], value: str) -> dict[str, Any]:
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), ANNOTATION_TEMPLATE: value}
    return {**template, "metadata": {**metadata, "annotations": annotations}}
