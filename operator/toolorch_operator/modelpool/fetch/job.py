"""The Job that fetches a model into a pool's cache: whether one is needed, what it is called, and its pod. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from toolorch_api.modelpool import Engine, ModelPool, ModelPoolSpec
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.jobs import build_job
from toolorch_operator.modelpool.pod_parts import (
    CACHE_ENV,
    CACHE_FOLDER,
    CONTAINER_SECURITY,
    HOME,
    POD_SECURITY,
    PROGRAMS_FOLDER,
    USER_ENV,
    cache_source,
    merge_env,
    pair,
    programs_pair,
    tolerations,
)
from toolorch_operator.plan import Manifest
from toolorch_operator.raw import digest

PURPOSE = "fetch"
_PROGRAM = "fetch.py"
_HUB_COMMAND = ("hf", "download", "{model}")
# What the hub calls the newest version of a model.
_NEWEST = "main"
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
_COMMAND_ENV = {
    # A bar that draws itself anew all the time would hide the lines that tell the progress.
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Nothing is called that the spec does not name.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "NO_COLOR": "1",
    "PYTHONUNBUFFERED": "1",
}
_TRUE = ("1", "on", "yes", "true")
_HASH_DIGITS = 8

# A terabyte at 50 MB a second; what takes longer has come to a halt.
_DEADLINE_SECONDS = 6 * 3600
# It waits for the network most of the time; the limit leaves room for what is not yet on disk.
_RESOURCES = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}


def needs_fetch(spec: ModelPoolSpec) -> bool:
    """Tell whether servers share a cache that a hub's model must come into; an offline server finds it there."""
    is_path = spec.model.startswith(("/", "./"))
    is_offline = any(e.name in _OFFLINE and (e.value or "").lower() in _TRUE for e in spec.env)
    return spec.engine is Engine.VLLM and spec.cache is not None and not is_path and not is_offline


def is_per_node(spec: ModelPoolSpec) -> bool:
    """Tell whether every node has a cache of its own."""
    return spec.cache is not None and spec.cache.host_path is not None


def offline_env(pool: ModelPool, *, nodes_known: bool = True) -> dict[str, str]:
    """Return the variables by which servers ask no hub for what was fetched; spec.env wins over them.

    Where the scheduler alone knows a pool's nodes, nothing can be fetched to them ahead of the servers.
    """
    is_fetched = needs_fetch(pool.spec) and (nodes_known or not is_per_node(pool.spec))
    return dict(_OFFLINE) if is_fetched else {}


def purpose(spec: ModelPoolSpec, node: str | None = None) -> str:
    """Return what a fetch is for: one model, revision and cache, and the node where each has its own cache."""
    cache = spec.cache.model_dump(by_alias=True, exclude_none=True) if spec.cache else {}
    name = f"{PURPOSE}-{digest([spec.model, spec.revision or _NEWEST, cache], _HASH_DIGITS)}"
    return f"{name}-{digest(node, _HASH_DIGITS)}" if node else name


def job_name(pool: ModelPool, defaults: Defaults, node: str = "") -> str:
    """Return the name of the pool's fetch Job; it changes with all that may turn a failure into a success."""
    spec = pool.spec
    env = [e.model_dump(by_alias=True, exclude_none=True) for e in spec.env]
    inputs = [purpose(spec, node), _image(spec, defaults), _command(spec, defaults), env, tolerations(spec)]
    return f"{pool.metadata.name}-{PURPOSE}-{digest(inputs, _HASH_DIGITS)}"


def build_fetch_job(pool: ModelPool, defaults: Defaults, node: str = "", near: str = "") -> Manifest:
    """Return the Job: on `node`, or anywhere but best on the node `near`, to which its claim may become bound."""
    spec = pool.spec
    volumes = [
        programs_pair(pool),
        pair("cache", CACHE_FOLDER, cache_source(spec)),
        pair("home", HOME, {"emptyDir": {}}),
        pair("tmp", "/tmp", {"emptyDir": {}}),
    ]
    program = ["python3", f"{PROGRAMS_FOLDER}/{_PROGRAM}", spec.model, spec.revision or _NEWEST]
    container = {
        "name": PURPOSE,
        "image": _image(spec, defaults),
        "command": [*program, "--", *_command(spec, defaults)],
        "workingDir": CACHE_FOLDER,
        "env": merge_env(spec, USER_ENV | CACHE_ENV | _COMMAND_ENV),
        "resources": _RESOURCES,
        "terminationMessagePolicy": "File",
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [mount for mount, _ in volumes],
    }
    pod_spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "securityContext": POD_SECURITY,
        "tolerations": tolerations(spec),
        "affinity": {"nodeAffinity": _affinity(spec, node, near)},
        "containers": [container],
        "volumes": [volume for _, volume in volumes],
    }
    return build_job(pool, job_name(pool, defaults, node), purpose(spec, node), pod_spec, _DEADLINE_SECONDS)


def _affinity(spec: ModelPoolSpec, node: str, near: str) -> dict[str, Any]:
    if node:
        return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_is_node(node)]}}
    labels = [{"key": k, "operator": "In", "values": [v]} for k, v in sorted(spec.placement.node_selector.items())]
    wish = _is_node(near) if near else {"matchExpressions": labels} if labels else None
    return {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": wish}]} if wish else {}


def _is_node(node: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}


def _image(spec: ModelPoolSpec, defaults: Defaults) -> str:
    return spec.image or defaults.vllm_image


def _command(spec: ModelPoolSpec, defaults: Defaults) -> list[str]:
    own = (*_HUB_COMMAND, *(("--revision", "{revision}") if spec.revision else ()))
    return list(_fill(defaults.fetch_command or own, {"{model}": spec.model, "{revision}": spec.revision or _NEWEST}))


def _fill(words: Iterable[str], values: Mapping[str, str]) -> Iterable[str]:
    for word in words:
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        yield word
