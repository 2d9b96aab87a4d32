"""The pod that every Job of a run starts: input as files, storage's keys as environment, security restricted. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolorch_api.shard import ENV_ATTEMPT, ENV_INPUT_DIR, ENV_POD, ENV_SHARD, INPUT_DIR
from toolorch_operator.defaults import Defaults
from toolorch_operator.evalrun.names import endpoints_config_map
from toolorch_operator.evalrun.observed import PoolView

INDEX_FIELD = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
HOME = "/home/toolorch"
# Between SIGTERM and SIGKILL a shard gives back its running units and writes its last progress.
GRACE_SECONDS = 30
# A shard waits for models most of the time; the limit leaves room for charts and the domains' databases.
RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}


def build_pod_spec(
    defaults: Defaults, step: str, attempt: int, secret: str, config_map: str, pools: Sequence[PoolView]
) -> dict[str, Any]:
    """Return the pod spec of one step (plan, shard or report); only a shard is told of pools."""
    env: list[dict[str, Any]] = [
        {"name": ENV_INPUT_DIR, "value": INPUT_DIR},
        {"name": ENV_ATTEMPT, "value": str(attempt)},
        {"name": ENV_POD, "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "HOME", "value": HOME},
    ]
    if step == "shard":
        env.append({"name": ENV_SHARD, "valueFrom": {"fieldRef": {"fieldPath": INDEX_FIELD}}})
    container = {
        "name": "evaluator",
        "image": defaults.evaluator_image,
        "command": ["toolorch-evaluator", step],
        "env": env,
        "envFrom": [{"secretRef": {"name": secret}}] if secret else [],
        "resources": defaults.run_resources or RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "input", "mountPath": INPUT_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
            {"name": "home", "mountPath": HOME},
        ],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "input", "projected": {"sources": _input_sources(config_map, pools)}},
            {"name": "tmp", "emptyDir": {}},
            {"name": "home", "emptyDir": {}},
        ],
    }


def _input_sources(config_map: str, pools: Sequence[PoolView]) -> list[dict[str, Any]]:
    # One projected volume, mounted as a folder: a mount by subPath would never see a pool's endpoints change.
    sources: list[dict[str, Any]] = [{"configMap": {"name": config_map, "items": [_item("run.json", "run.json")]}}]
    for pool in pools:
        endpoints = _item("endpoints.json", f"pools/{pool.name}/endpoints.json")
        sources.append({"configMap": {"name": endpoints_config_map(pool.name), "items": [endpoints]}})
    for pool in pools:
        if pool.key_secret is not None:
            name, key = pool.key_secret
            sources.append({"secret": {"name": name, "items": [_item(key, f"keys/{pool.name}")]}})
    return sources


def _item(key: str, path: str) -> dict[str, str]:
    return {"key": key, "path": path}
