"""The pod of a replica: `vllm serve` under the launcher, with restricted pod security and a read-only root. PURE."""

from __future__ import annotations

from typing import Any

from toolorch_api.modelpool import SERVER_PORT, ModelPool, ModelPoolSpec
from toolorch_api.modelpool_status import Effective
from toolorch_operator.defaults import Defaults
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.fetch.job import offline_env
from toolorch_operator.modelpool.pod_parts import (
    CACHE_ENV,
    CACHE_FOLDER,
    CONTAINER_SECURITY,
    HOME,
    POD_SECURITY,
    PROGRAMS_FOLDER,
    USER_ENV,
    Pair,
    cache_source,
    merge_env,
    pair,
    programs_pair,
    tolerations,
)
from toolorch_operator.modelpool.pods import CONTAINER

LAUNCHER_FILE = "launcher.py"
_TEMPLATE_FOLDER = "/etc/toolorch/chat-template"
_TEMPLATE_FILE = "template.jinja"
_COMPILE_CACHE = "/var/cache/vllm"

# In a volume that lives as long as the pod: only a container that is not the pod's first finds it.
_START_MARK = "/tmp/toolorch-started"

# A refused connection costs nothing, and every second of it delays the runs that wait for the pool.
_STARTUP_PERIOD_SECONDS = 1
_READINESS_PERIOD_SECONDS = 2
# A loaded node answers late; one second, the default, would count that as a failure.
_PROBE_TIMEOUT_SECONDS = 5
# Time for the answers that are under way when a server is told to go.
_GRACE_SECONDS = 30


def build_pod_spec(
    pool: ModelPool, effective: Effective, defaults: Defaults, *, nodes_known: bool = True
) -> dict[str, Any]:
    """Return the pod spec of a replica; all replicas of a pool are equal but for their node."""
    spec = pool.spec
    volumes = _volumes(pool)
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": POD_SECURITY,
        **choose_nodes(spec),
        "containers": [
            {
                "name": CONTAINER,
                **_image(spec.image or defaults.vllm_image),
                "command": ["python3", f"{PROGRAMS_FOLDER}/{LAUNCHER_FILE}", "--", *_command(spec, effective)],
                "workingDir": CACHE_FOLDER,
                "env": _env(pool, nodes_known=nodes_known),
                "ports": [{"name": "http", "containerPort": SERVER_PORT}],
                "resources": _resources(spec, effective),
                "startupProbe": _health(
                    _STARTUP_PERIOD_SECONDS, spec.startup.timeout_seconds + spec.startup.settle_seconds
                ),
                "readinessProbe": _health(_READINESS_PERIOD_SECONDS, 3 * _READINESS_PERIOD_SECONDS),
                "terminationMessagePolicy": "File",
                "securityContext": CONTAINER_SECURITY,
                "volumeMounts": [mount for mount, _ in volumes],
            }
        ],
        "volumes": [volume for _, volume in volumes],
    }


def _image(image: str) -> dict[str, str]:
    """Return an image with its pull policy where that is not the usual one.

    The API server fills it in for an image that has no tag, when the Deployment is made; it would not when one changes.
    """
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    moves = tag == "latest" or not (tag or "@" in image)
    return {"image": image, **({"imagePullPolicy": "Always"} if moves else {})}


def _command(spec: ModelPoolSpec, effective: Effective) -> list[str]:
    tools = spec.tool_calling
    own_template = tools is not None and tools.chat_template is not None
    return serve_command(
        spec, effective, chat_template=f"{_TEMPLATE_FOLDER}/{_TEMPLATE_FILE}" if own_template else None
    )


def _env(pool: ModelPool, *, nodes_known: bool) -> list[dict[str, Any]]:
    spec = pool.spec
    ours = {
        **USER_ENV,
        **CACHE_ENV,
        **offline_env(pool, nodes_known=nodes_known),
        "VLLM_CACHE_ROOT": f"{_COMPILE_CACHE}/root",
        "TRITON_CACHE_DIR": f"{_COMPILE_CACHE}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{_COMPILE_CACHE}/inductor",
        "VLLM_ENGINE_READY_TIMEOUT_S": str(spec.startup.timeout_seconds),
        # Nothing is called that the spec does not name.
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONUNBUFFERED": "1",
        # A container that is restarted where it was waits until the memory of its last run is released.
        "TOOLORCH_SETTLE_SECONDS": str(spec.startup.settle_seconds),
        "TOOLORCH_START_MARK": _START_MARK,
    }
    return merge_env(spec, ours)


def _resources(spec: ModelPoolSpec, effective: Effective) -> dict[str, Any]:
    """Return requests and limits: equal but for the CPU, which is not worth a throttled server."""
    gpus = {spec.resources.gpu_resource: str(spec.gpus_per_replica)} if spec.gpus_per_replica else {}
    both = {"memory": effective.memory or spec.resources.memory, **gpus}
    return {"requests": {"cpu": spec.resources.cpu, **both}, "limits": both}


def _health(period_seconds: int, budget_seconds: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/health", "port": SERVER_PORT},
        "periodSeconds": period_seconds,
        "timeoutSeconds": _PROBE_TIMEOUT_SECONDS,
        "failureThreshold": -(-budget_seconds // period_seconds),
    }


def choose_nodes(spec: ModelPoolSpec, node: str = "") -> dict[str, Any]:
    """Return the fields that say where a pod may run; `node` is the one that placement chose, empty: any."""
    choice: dict[str, Any] = {}
    if spec.placement.node_selector:
        choice["nodeSelector"] = dict(spec.placement.node_selector)
    if spec.placement.tolerations:
        choice["tolerations"] = tolerations(spec)
    term: dict[str, Any] = {}
    if spec.placement.gpu_products:
        product = {"key": "nvidia.com/gpu.product", "operator": "In", "values": list(spec.placement.gpu_products)}
        term["matchExpressions"] = [product]
    if node:
        term["matchFields"] = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    if term:
        required = {"nodeSelectorTerms": [term]}
        choice["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return choice


def _volumes(pool: ModelPool) -> list[Pair]:
    """Return (mount, volume) pairs: the launcher, the cache, and every place that a read-only root must leave open."""
    spec = pool.spec
    memory = {"emptyDir": {"medium": "Memory", "sizeLimit": spec.resources.shared_memory}}
    pairs = [
        programs_pair(pool),
        pair("cache", CACHE_FOLDER, cache_source(spec)),
        pair("compile-cache", _COMPILE_CACHE, {"emptyDir": {}}),
        pair("home", HOME, {"emptyDir": {}}),
        pair("tmp", "/tmp", {"emptyDir": {}}),
        pair("shared-memory", "/dev/shm", memory),
    ]
    template = spec.tool_calling.chat_template if spec.tool_calling else None
    if template is not None:
        ref = template.config_map_key_ref
        items = [{"key": ref.key, "path": _TEMPLATE_FILE}]
        source = {"configMap": {"name": ref.name, "items": items}}
        pairs.append(pair("chat-template", _TEMPLATE_FOLDER, source, read_only=True))
    return pairs
