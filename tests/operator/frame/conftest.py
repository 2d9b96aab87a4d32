"""Fakes for the frame: an API server in a dict, with the semantics that the frame relies on."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from toolorch_operator.defaults import Defaults
from toolorch_operator.errors import Conflict, NotFound
from toolorch_operator.metrics import Metrics
from toolorch_operator.resources import BY_KIND

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "11111111-2222"


class FakeCluster:
    """Objects by kind and name in one namespace; `writes` is what was done, `fail` raises before the nth write."""

    def __init__(self, *objects: Mapping[str, Any]) -> None:
        self.objects = {(o["kind"], o["metadata"]["name"]): copy.deepcopy(dict(o)) for o in objects}
        self.writes: list[str] = []
        self.failures: dict[str, Exception] = {}
        self.logs: dict[str, str | Exception] = {}
        self.version = 1

    def _write(self, what: str) -> None:
        if what in self.failures:
            raise self.failures.pop(what)
        self.writes.append(what)
        self.version += 1

    def find(self, kind: str, name: str) -> dict[str, Any]:
        return self.objects[kind, name]

    async def get(self, resource, namespace, name):
        return copy.deepcopy(self.objects.get((resource.kind, name)))

    async def list(self, resource, namespace="", selector="", fields=""):
        wanted = dict(pair.split("=") for pair in selector.split(",") if "=" in pair)
        present = {name for name in selector.split(",") if name and "=" not in name}
        found = [
            copy.deepcopy(o)
            for (kind, _), o in self.objects.items()
            if kind == resource.kind
            and wanted.items() <= (o["metadata"].get("labels") or {}).items()
            and present <= set(o["metadata"].get("labels") or {})
        ]
        for item in found:
            del item["kind"], item["apiVersion"]
        return found

    async def collect(self, resource, view, namespace="", labelSelector="", fieldSelector=""):
        return [view(item) for item in await self.list(resource, namespace, labelSelector, fieldSelector)]

    async def read_log(self, namespace, pod, tail_lines=1, most=0):
        said = self.logs.get(pod, NotFound(f"no pod {pod}"))
        if isinstance(said, Exception):
            raise said
        return said

    async def apply(self, namespace, manifest):
        key = (manifest["kind"], manifest["metadata"]["name"])
        self._write(f"apply {key[0]}/{key[1]}")
        self.objects[key] = _merge(self.objects.get(key, {}), manifest)
        return self.objects[key]

    async def create(self, namespace, manifest):
        key = (manifest["kind"], manifest["metadata"]["name"])
        if key in self.objects:
            return None
        self._write(f"create {key[0]}/{key[1]}")
        self.objects[key] = copy.deepcopy(dict(manifest))
        return self.objects[key]

    async def delete(self, namespace, ref):
        self._write(f"delete {ref.kind}/{ref.name}")
        self.objects.pop((ref.kind, ref.name), None)

    async def write_status(self, manifest, status):
        live = self.objects[manifest["kind"], manifest["metadata"]["name"]]
        if live["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        self._write(f"status {status.get('reason', '')}")
        live["status"] = copy.deepcopy(dict(status))
        live["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(live)

    async def merge(self, resource, namespace, name, body):
        self._write(f"merge {resource.kind}/{name}")
        self.objects[resource.kind, name] = _merge(self.objects[resource.kind, name], body)
        return self.objects[resource.kind, name]


def _merge(live: Any, desired: Any) -> Any:
    if isinstance(live, Mapping) and isinstance(desired, Mapping):
        return {**live, **{k: _merge(live.get(k), v) for k, v in desired.items()}}
    return copy.deepcopy(desired)


def build_pool(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "toolorch.dev/v1alpha1",
        "kind": "ModelPool",
        "metadata": {
            "name": "pool",
            "namespace": "default",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-02T03:00:00Z",
        },
        "spec": {"model": "m", **spec},
    }


def build_run(**spec: Any) -> dict[str, Any]:
    return {
        **build_pool(),
        "kind": "EvalRun",
        "metadata": {**build_pool()["metadata"], "name": "run"},
        "spec": {
            "benchmark": {"name": "tau2", "domains": ["retail"]},
            "roles": {"agent": {"pool": "pool"}, "user": {"pool": "user"}},
            **spec,
        },
    }


def build_child(kind: str, name: str, uid: str = UID, **more: Any) -> dict[str, Any]:
    owner = {"kind": "ModelPool", "name": "pool", "uid": uid, "controller": True}
    labels = {
        "app.kubernetes.io/managed-by": "toolorch",
        "toolorch.dev/kind": "ModelPool",
        "toolorch.dev/name": "pool",
    }
    metadata = {"name": name, "namespace": "default", "labels": labels, "ownerReferences": [owner]}
    return {"apiVersion": BY_KIND[kind].api_version, "kind": kind, "metadata": metadata, **more}


class Frame:
    """What tests of the frame share."""

    now = NOW
    uid = UID
    defaults = Defaults("vllm:1", "evaluator:1", "memory://evals/runs", "", "print()")
    cluster = staticmethod(FakeCluster)
    pool = staticmethod(build_pool)
    run = staticmethod(build_run)
    child = staticmethod(build_child)
    metrics = staticmethod(Metrics)

    @staticmethod
    def clock() -> datetime:
        return NOW

    @staticmethod
    def samples(metrics: Metrics, name: str, labels: Iterable[str] = ()) -> dict[tuple[str, ...], float]:
        return {
            tuple(s.labels[label] for label in labels): s.value
            for family in metrics.registry.collect()
            for s in family.samples
            if s.name == name
        }


@pytest.fixture
def frame() -> type[Frame]:
    return Frame
