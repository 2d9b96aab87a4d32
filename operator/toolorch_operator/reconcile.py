"""The loop, once for both kinds: observe, plan, carry out, one status write, Events. EDGE.

An object is read afresh at each look, and what surrounds it wherever an event or an own write may have changed it: it
does not matter which event woke it, nor what was lost before a crash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

import pydantic
import structlog

from toolorch_operator.carry_out import Target, apply_child, create_child, delete_child, write_status
from toolorch_operator.cluster import Cluster
from toolorch_operator.defaults import Defaults
from toolorch_operator.echoes import Echoes
from toolorch_operator.errors import Invalid
from toolorch_operator.freshness import Freshness
from toolorch_operator.metrics import Metrics
from toolorch_operator.observation import Observation
from toolorch_operator.owner import Key
from toolorch_operator.plan import Plan
from toolorch_operator.recorder import post_event
from toolorch_operator.refusal import build_sentence, compute_refused_status
from toolorch_operator.resources import BY_KIND

R = TypeVar("R")
O = TypeVar("O")  # noqa: E741 - what is observed

log = structlog.get_logger("reconcile")


@dataclass(frozen=True, slots=True)
class Brain(Generic[R, O]):
    """One kind: how it is parsed, observed and planned."""

    parse: Callable[[Mapping[str, Any]], R]
    observe: Callable[[R], Awaitable[Observation[O]]]
    plan: Callable[[R, O, datetime, Defaults], Plan]
    note: Callable[[Key, Mapping[str, Any]], None] = lambda key, status: None
    """Told of the status that was planned, before anything else is planned: what it claims is taken."""


@dataclass(frozen=True, slots=True)
class World:
    """All that reconcile touches."""

    cluster: Cluster
    brains: Mapping[str, Brain[Any, Any]]
    defaults: Defaults
    clock: Callable[[], datetime]
    metrics: Metrics
    expire: Callable[[], None] = lambda: None
    """Says that what is remembered of the whole cluster is out of date."""
    expire_run: Callable[[Key], None] = lambda key: None
    """Says that which pools a run uses is to be read again."""
    forget: Callable[[Key], None] = lambda key: None
    """Says that an object is gone: its servers are asked no more."""
    freshness: Freshness = field(default_factory=Freshness)
    """What is known around each object."""
    echoes: Echoes = field(default_factory=Echoes)
    """What this operator wrote itself."""
    refused: dict[Key, int] = field(default_factory=dict)
    """Generation whose children the API server refused: not tried again until it moves, or the next resync."""


async def reconcile(key: Key, world: World) -> timedelta | None:
    """Bring one object's world to what its spec says; return when to look again, None: on the next event."""
    try:
        return await _reconcile(key, world)
    except BaseException:
        # Whatever broke off may have been done, or have rested on what is no longer so.
        world.freshness.mark(key)
        raise


async def _reconcile(key: Key, world: World) -> timedelta | None:
    raw = await world.cluster.get(BY_KIND[key.kind], key.namespace, key.name)
    if raw is None or raw["metadata"].get("deletionTimestamp"):
        world.refused.pop(key, None)
        world.metrics.forget(key)
        for forget in (world.forget, world.freshness.forget, world.echoes.forget):
            forget(key)
        return None
    target = Target(key, raw, world.cluster, world.metrics, world.echoes)
    generation = raw["metadata"].get("generation", 0)
    if world.refused.get(key) == generation:
        return None
    world.refused.pop(key, None)
    brain = world.brains[key.kind]
    try:
        resource = brain.parse(raw)
    except pydantic.ValidationError as error:
        await write_status(target, compute_refused_status(raw, build_sentence(error), world.clock()))
        return None
    observation = await brain.observe(resource)
    plan = brain.plan(resource, observation.seen, world.clock(), world.defaults)
    if plan.status is not None:
        brain.note(key, plan.status)
    try:
        after = await carry_out(plan, target, observation, world.clock)
    except Invalid as error:
        world.refused[key] = generation
        world.freshness.mark(key)
        log.warning("refused", key=str(key), error=str(error))
        await write_status(target, compute_refused_status(target.raw, str(error), world.clock()))
        return None
    if target.touched:
        world.freshness.mark(key, *target.touched)
    return after


async def carry_out(
    plan: Plan, target: Target, observation: Observation[Any], clock: Callable[[], datetime]
) -> timedelta | None:
    """Do what a plan says, in its order, and return when to look again."""
    before = target.raw.get("status") or {}
    try:
        await _write(plan, target, observation, clock)
    finally:
        after = target.raw.get("status") or {}
        target.metrics.show_transition(target.key, before, after, clock())
        target.metrics.show_status(target.key, after)
    return plan.requeue_after


async def _write(plan: Plan, target: Target, observation: Observation[Any], clock: Callable[[], datetime]) -> None:
    if plan.status_first and plan.status is not None:
        await write_status(target, plan.status)
    for ref in plan.delete:
        await delete_child(target, ref)
    for blob in plan.blobs:
        if observation.blobs is not None and await observation.blobs.create(blob.key, blob.body):
            target.changed("blob", blob.key)
    for manifest in plan.create:
        await create_child(target, manifest, observation.live)
    for manifest in plan.apply:
        await apply_child(target, manifest, observation.live)
    if not plan.status_first and plan.status is not None:
        await write_status(target, plan.status)
    for event in plan.events:
        await post_event(target.cluster, target.raw, event, clock())
        target.changed("event", event.reason, message=event.message)
