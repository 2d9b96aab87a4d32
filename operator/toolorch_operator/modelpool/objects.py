"""The children of a pool as manifests: Deployments, Services and the two ConfigMaps. PURE."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from toolorch_api.meta import API_VERSION, LABEL_INSTANCE, child_labels
from toolorch_api.modelpool import KIND, SERVER_PORT, Engine, ModelPool
from toolorch_api.modelpool_status import Effective, InstanceState
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.instances import Replica
from toolorch_operator.modelpool.memory.climb import spec_hash
from toolorch_operator.modelpool.pod import build_pod_spec, choose_nodes
from toolorch_operator.modelpool.pods import ANNOTATION_SPEC, ANNOTATION_TEMPLATE
from toolorch_operator.modelpool.rollout import template_hash
from toolorch_operator.plan import Manifest
from toolorch_operator.queueing import queue_labels

# Spare time for the kubelet before a Deployment calls a start late, which only tools like `kubectl rollout` read.
_ROLLOUT_SPARE_SECONDS = 60


def build_objects(
    pool: ModelPool, template: Mapping[str, Any], replicas: Sequence[Replica], live: Container[str], defaults: Defaults
) -> tuple[Manifest, ...]:
    """Return all children in the order in which they must exist; an external pool has its endpoints only.

    `live` are the names of the Deployments that exist.
    """
    endpoints = build_endpoints(pool, replicas)
    if pool.spec.engine is Engine.EXTERNAL:
        return (endpoints,)
    lasting = [r for r in replicas if r.state is not InstanceState.DRAINING]
    # A replica that found no node, or whose model is not there yet, is not created.
    placed = (r for r in lasting if not r.keeps and (r.runs or r.state is not InstanceState.PENDING or r.name in live))
    return (
        build_launcher(pool, defaults),
        endpoints,
        build_service(pool),
        *(build_service(pool, r.name) for r in lasting),
        *(build_deployment(pool, r, template) for r in placed),
    )


def build_template(
    pool: ModelPool, effective: Effective, defaults: Defaults, *, nodes_known: bool = True
) -> dict[str, Any]:
    """Return the pod template that all replicas share; each adds its own labels and its node.

    `nodes_known` is False where the scheduler alone chooses them.
    """
    annotations = {ANNOTATION_SPEC: spec_hash(pool.spec)}
    queued = queue_labels(pool.metadata.labels)
    spec = build_pod_spec(pool, effective, defaults, nodes_known=nodes_known)
    template = {"metadata": {"annotations": annotations} | ({"labels": queued} if queued else {}), "spec": spec}
    annotations[ANNOTATION_TEMPLATE] = template_hash(template)
    return template


def build_deployment(pool: ModelPool, replica: Replica, template: Mapping[str, Any]) -> Manifest:
    """Return the Deployment of one replica; it never runs two pods at once, since the GPU is taken."""
    instance = replica.name
    labels = _labels(pool, instance)
    queued = template["metadata"].get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(pool, instance, labels | queued),
        "spec": {
            "replicas": int(replica.runs),
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": pool.spec.startup.timeout_seconds + _ROLLOUT_SPARE_SECONDS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {**template["metadata"], "labels": labels | queued},
                "spec": {**template["spec"], **choose_nodes(pool.spec, replica.node)},
            },
        },
    }


def build_service(pool: ModelPool, instance: str | None = None) -> Manifest:
    """Return the Service of one replica, or of all of them."""
    labels = _labels(pool, instance)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(pool, instance or pool.metadata.name, labels),
        "spec": {
            "type": "ClusterIP",
            "selector": labels,
            "ports": [{"name": "http", "port": SERVER_PORT, "targetPort": SERVER_PORT, "protocol": "TCP"}],
        },
    }


def build_launcher(pool: ModelPool, defaults: Defaults) -> Manifest:
    """Return the ConfigMap with the programs that pods run around a model server."""
    return _config_map(pool, f"{pool.metadata.name}-launcher", dict(defaults.programs))


def build_endpoints(pool: ModelPool, replicas: Sequence[Replica]) -> Manifest:
    """Return the ConfigMap by which runs, and ToolOrchestra's scripts, find the servers."""
    lasting = [r for r in replicas if r.state is not InstanceState.DRAINING]
    endpoints = {
        "model": pool.spec.model,
        "servedModelName": pool.spec.served_name,
        "generation": pool.metadata.generation,
        "endpoints": [{"name": r.name, "url": r.url, "ready": r.state is InstanceState.READY} for r in lasting],
    }
    # Those scripts draw a server at random and put "http://" before its address: only what answers so is listed.
    plain = (urlsplit(r.url) for r in lasting if r.state is InstanceState.READY and r.url.startswith("http://"))
    servers = [{"ip_addr": url.hostname, "port": str(url.port or 80)} for url in plain]
    texts = {
        "endpoints.json": json.dumps(endpoints),
        "model_config.json": json.dumps({pool.spec.served_name: servers}),
    }
    return _config_map(pool, endpoints_name(pool), texts)


def endpoints_name(pool: ModelPool) -> str:
    """Return the name of the endpoints ConfigMap."""
    return f"{pool.metadata.name}-endpoints"


def pod_selector(pool: ModelPool) -> str:
    """Return the label selector of all pods of a pool, as text."""
    return ",".join(f"{key}={value}" for key, value in _labels(pool).items())


def _labels(pool: ModelPool, instance: str | None = None) -> dict[str, str]:
    return child_labels(KIND, pool.metadata.name, **({LABEL_INSTANCE: instance} if instance else {}))


def _metadata(pool: ModelPool, name: str, labels: dict[str, str]) -> dict[str, Any]:
    owner = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": pool.metadata.name,
        "uid": pool.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"name": name, "namespace": pool.metadata.namespace, "labels": labels, "ownerReferences": [owner]}


def _config_map(pool: ModelPool, name: str, texts: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(pool, name, _labels(pool)), "data": texts}
