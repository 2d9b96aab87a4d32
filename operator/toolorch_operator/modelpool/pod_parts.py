"""Parts that a pool's pods share: restricted security, folders that a read-only root leaves open, the cache. PURE."""

from __future__ import annotations

from typing import Any

from toolorch_api.modelpool import ModelPool, ModelPoolSpec

PROGRAMS_FOLDER = "/etc/toolorch/launcher"
CACHE_FOLDER = "/models"
HOME = "/home/server"

# Any number but root's: the name that belongs to it is given by USER, since images lack it in /etc/passwd.
_USER_ID = 1000

POD_SECURITY: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": _USER_ID,
    "runAsGroup": _USER_ID,
    "fsGroup": _USER_ID,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
# Without a name for the uid, getpass and what builds on it fail.
USER_ENV = {"HOME": HOME, "USER": "server"}
CACHE_ENV = {"HF_HOME": f"{CACHE_FOLDER}/huggingface"}

Pair = tuple[dict[str, Any], dict[str, Any]]
"""A volume mount, and the volume that it mounts."""


def pair(name: str, path: str, source: dict[str, Any], *, read_only: bool = False) -> Pair:
    """Return a mount at a path with its volume."""
    mount = {"name": name, "mountPath": path, **({"readOnly": True} if read_only else {})}
    return mount, {"name": name, **source}


def programs_pair(pool: ModelPool) -> Pair:
    """Return the mount of the programs that run around a pool's commands."""
    return pair("launcher", PROGRAMS_FOLDER, {"configMap": {"name": launcher_name(pool)}}, read_only=True)


def launcher_name(pool: ModelPool) -> str:
    """Return the name of the ConfigMap with those programs."""
    return f"{pool.metadata.name}-launcher"


def cache_source(spec: ModelPoolSpec) -> dict[str, Any]:
    """Return the volume source in which weights are kept."""
    if spec.cache is None:
        return {"emptyDir": {}}
    if spec.cache.host_path is not None:
        return {"hostPath": {"path": spec.cache.host_path, "type": "Directory"}}
    return {"persistentVolumeClaim": {"claimName": spec.cache.persistent_volume_claim}}


def merge_env(spec: ModelPoolSpec, ours: dict[str, str]) -> list[dict[str, Any]]:
    """Return our variables and then the spec's, which win over ours of the same name."""
    theirs = [entry.model_dump(by_alias=True, exclude_none=True) for entry in spec.env]
    taken = {entry["name"] for entry in theirs}
    return [{"name": k, "value": v} for k, v in ours.items() if k not in taken] + theirs


def tolerations(spec: ModelPoolSpec) -> list[dict[str, Any]]:
    """Return the tolerations of a pool's pods."""
    return [t.model_dump(by_alias=True, exclude_none=True) for t in spec.placement.tolerations]
