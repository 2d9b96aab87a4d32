"""A Kubernetes API in a dict, for the operator's real frame and brain: what `Cluster` offers, in one namespace."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import Any

from toolorch_operator.errors import Conflict, NotFound
from toolorch_operator.resources import BY_KIND

Manifest = dict[str, Any]


def merge(live: Any, wanted: Any) -> Any:
    """Merge an applied manifest into a live one."""
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        return {**live, **{k: merge(live.get(k), v) for k, v in wanted.items()}}
    return copy.deepcopy(wanted)


class DictApi:
    """Objects by kind and name; `changed` is set by each write, `made` is called with each new Job."""

    def __init__(self, *objects: Mapping[str, Any]) -> None:
        self.objects: dict[tuple[str, str], Manifest] = {}
        self.changed = asyncio.Event()
        self.made: Callable[[Manifest], None] = lambda job: None
        self.gone: Callable[[str], None] = lambda job: None
        self.statuses: list[Manifest] = []
        """Every status of the run that was written."""
        self.logs: dict[str, str] = {}
        self.on_status: Callable[[Manifest], None] = lambda status: None
        self._version = 0
        for manifest in objects:
            self.put(manifest)

    def put(self, manifest: Mapping[str, Any]) -> Manifest:
        """Store an object, as a controller does."""
        self._version += 1
        key = (manifest["kind"], manifest["metadata"]["name"])
        uid = self.objects.get(key, {}).get("metadata", {}).get("uid") or f"uid-{self._version}"
        metadata = {"uid": uid, **manifest["metadata"], "resourceVersion": str(self._version)}
        self.objects[key] = {**copy.deepcopy(dict(manifest)), "metadata": metadata}
        self.changed.set()
        return copy.deepcopy(self.objects[key])

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return an object, or None."""
        return self.objects.get((kind, name))

    async def get(self, resource: Any, namespace: str, name: str) -> Manifest | None:
        return copy.deepcopy(self.find(resource.kind, name))

    async def list(self, resource: Any, namespace: str = "", selector: str = "", fields: str = "") -> list[Manifest]:
        wanted = dict(pair.split("=") for pair in selector.split(",") if "=" in pair)
        found = [o for (kind, _), o in self.objects.items() if kind == resource.kind]
        return [copy.deepcopy(o) for o in found if wanted.items() <= (o["metadata"].get("labels") or {}).items()]

    async def create(self, namespace: str, manifest: Mapping[str, Any]) -> Manifest | None:
        if self.find(manifest["kind"], manifest["metadata"]["name"]) is not None:
            return None
        made = self.put(manifest)
        if made["kind"] == "Job":
            self.made(made)
        return made

    async def apply(self, namespace: str, manifest: Mapping[str, Any]) -> Manifest:
        live = self.find(manifest["kind"], manifest["metadata"]["name"]) or {}
        return self.put(merge(live, manifest))

    async def delete(self, namespace: str, ref: Any) -> None:
        if self.objects.pop((ref.kind, ref.name), None) is not None and ref.kind == "Job":
            self.gone(ref.name)
        self.changed.set()

    async def write_status(self, manifest: Mapping[str, Any], status: Mapping[str, Any]) -> Manifest:
        live = self.find(manifest["kind"], manifest["metadata"]["name"])
        if live is None:
            raise NotFound("gone")
        if live["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        self.statuses.append(copy.deepcopy(dict(status)))
        self.on_status(self.statuses[-1])
        return self.put({**live, "status": status})

    async def merge(self, resource: Any, namespace: str, name: str, body: Mapping[str, Any]) -> Manifest:
        return self.put(merge(self.objects[resource.kind, name], body))

    async def read_log(self, namespace: str, pod: str, tail_lines: int, most: int) -> str:
        if pod not in self.logs:
            raise NotFound(f"no pod {pod}")
        return self.logs[pod][-most:]


def typed(kind: str, name: str, **more: Any) -> Manifest:
    """Build a manifest of a kind."""
    metadata = {"name": name, "namespace": "lab", **more.pop("metadata", {})}
    return {"apiVersion": BY_KIND[kind].api_version, "kind": kind, "metadata": metadata, **more}
