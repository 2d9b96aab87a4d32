"""The writes of a reconcile, each skipped where the cluster already is as it should be. EDGE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic
import structlog

from toolorch_api import evalrun, modelpool
from toolorch_api.evalrun_status import EvalRunStatus
from toolorch_api.meta import StatusModel
from toolorch_api.modelpool_status import ModelPoolStatus
from toolorch_operator.cluster import Cluster
from toolorch_operator.drift import has_drifted, with_applied_hash
from toolorch_operator.echoes import Echoes
from toolorch_operator.errors import Invalid, Unavailable
from toolorch_operator.metrics import Metrics
from toolorch_operator.owner import Key, build_owner_reference, is_owned, is_owned_by_namesake, parse_owner
from toolorch_operator.plan import Manifest, Ref
from toolorch_operator.resources import BY_KIND, Resource

log = structlog.get_logger("reconcile")
Live = Mapping[tuple[str, str], Manifest]
_STATUS_MODELS: Mapping[str, type[StatusModel]] = {modelpool.KIND: ModelPoolStatus, evalrun.KIND: EvalRunStatus}


@dataclass(slots=True)
class Target:
    """The object that is being reconciled; `raw` follows its own writes."""

    key: Key
    raw: dict[str, Any]
    cluster: Cluster
    metrics: Metrics
    echoes: Echoes = field(default_factory=Echoes)
    touched: set[Resource] = field(default_factory=set)
    """Of which its children may no longer be as they were read."""

    @property
    def uid(self) -> str:
        """Uid of the object."""
        return str(self.raw["metadata"]["uid"])

    def changed(self, what: str, name: str, **more: str) -> None:
        """Count and log one write."""
        self.metrics.count_write(self.key.kind, what)
        log.info(what, key=str(self.key), name=name, **more)


async def delete_child(target: Target, ref: Ref) -> None:
    """Delete a child as it was observed."""
    target.touched.add(BY_KIND[ref.kind])
    await target.cluster.delete(target.key.namespace, ref)
    target.changed("delete", f"{ref.kind}/{ref.name}")


async def create_child(target: Target, manifest: Manifest, live: Live) -> None:
    """Create a child unless it exists."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if (kind, name) in live:
        return
    target.touched.add(BY_KIND[kind])
    if await target.cluster.create(target.key.namespace, _with_owner(target, manifest)) is not None:
        target.changed("create", f"{kind}/{name}")
        return
    _check_owner(target, manifest, await target.cluster.get(BY_KIND[kind], target.key.namespace, name))


async def apply_child(target: Target, manifest: Manifest, live: Live) -> None:
    """Apply a child where it is not as desired; one that is being deleted comes back with its last event."""
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    desired = with_applied_hash(_with_owner(target, manifest))
    # What the list by label did not show may still be there: without our labels, or a stranger's.
    found = live.get((kind, name)) or await target.cluster.get(BY_KIND[kind], target.key.namespace, name)
    if (kind, name) not in live:
        target.touched.add(BY_KIND[kind])
    _check_owner(target, manifest, found)
    if found is not None and found["metadata"].get("deletionTimestamp"):
        return
    if has_drifted(desired, found):
        target.touched.add(BY_KIND[kind])
        await _apply(target, desired, was_there=(kind, name) in live)
        target.changed("apply", f"{kind}/{name}")


async def _apply(target: Target, desired: Manifest, *, was_there: bool) -> None:
    kind, name = desired["kind"], desired["metadata"]["name"]
    try:
        await target.cluster.apply(target.key.namespace, desired)
    except Invalid as error:
        # Some fields of a Job make no new Job: that it is gone says nothing about the spec.
        if was_there and await target.cluster.get(BY_KIND[kind], target.key.namespace, name) is None:
            raise Unavailable(f"{kind} {name} was deleted meanwhile") from error
        raise


async def write_status(target: Target, status: Mapping[str, Any]) -> None:
    """Replace the object's status unless it is equal."""
    wanted = _without_nulls(status)
    if _is_same_status(target.key.kind, wanted, target.raw.get("status") or {}):
        return
    with target.echoes.writing(target.key) as write:
        target.raw = await target.cluster.write_status(target.raw, wanted)
        write.version = target.raw["metadata"].get("resourceVersion", "")
    target.changed("status", str(wanted.get("reason", "")))


def _with_owner(target: Target, manifest: Manifest) -> dict[str, Any]:
    reference = build_owner_reference(target.key.kind, target.key.name, target.uid)
    meta = {"ownerReferences": [reference], **manifest["metadata"], "namespace": target.key.namespace}
    return {**manifest, "metadata": meta}


def _check_owner(target: Target, manifest: Manifest, found: Manifest | None) -> None:
    if found is None or is_owned(found, target.uid):
        return
    child = f"{manifest['kind']} {manifest['metadata']['name']}"
    if is_owned_by_namesake(found, target.key):
        raise Unavailable(f"{child} still belongs to a deleted {target.key.kind} of this name")
    other = parse_owner(found)
    whose = f"belongs to the {other.kind} {other.name}" if other is not None else "is not toolorch's"
    raise Invalid(f"{child} exists and {whose}: rename it, or this {target.key.kind}")


def _is_same_status(kind: str, wanted: Mapping[str, Any], live: Mapping[str, Any]) -> bool:
    # Compared as models: the API server fills in defaults, which are no difference.
    try:
        return _STATUS_MODELS[kind].model_validate(wanted) == _STATUS_MODELS[kind].model_validate(live)
    except pydantic.ValidationError:
        return wanted == live


def _without_nulls(value: Any) -> Any:
    # The API server drops nulls of fields that are not nullable, so they are no difference.
    if isinstance(value, Mapping):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    return [_without_nulls(v) for v in value] if isinstance(value, list) else value
