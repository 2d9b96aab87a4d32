"""Nodes, pods and ResourceQuotas as the API gives them, parsed to placement's views. PURE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from toolorch_api.quantity import parse_bytes, parse_milli
from toolorch_operator.placement.views import CPU, MEMORY, PODS, NodeView, Quota, Taint
from toolorch_operator.raw import find_raw_condition

# Kubernetes' own tolerationSeconds for a node that is gone: then its pods are deleted.
LOST_AFTER = timedelta(seconds=300)

# Pods of a pool have requests, no deadline, and no priority class of their own.
_OUR_SCOPES = frozenset(("NotBestEffort", "NotTerminating"))
_REQUESTS, _LIMITED_MEMORY = "requests.", "limits.memory"


def parse_node(manifest: Mapping[str, Any], now: datetime) -> NodeView:
    """Return the view of a node."""
    meta, spec, status = (manifest.get(part) or {} for part in ("metadata", "spec", "status"))
    ready = find_raw_condition(status, "Ready")
    is_ready = ready.get("status") == "True"
    since = ready.get("lastTransitionTime")
    return NodeView(
        name=meta.get("name", ""),
        allocatable=parse_amounts(status.get("allocatable")),
        labels=meta.get("labels") or {},
        taints=tuple(
            Taint(t.get("key", ""), t.get("value") or "", t.get("effect", "")) for t in spec.get("taints") or ()
        ),
        cordoned=bool(spec.get("unschedulable")),
        ready=is_ready,
        lost=not is_ready and since is not None and now - datetime.fromisoformat(since) > LOST_AFTER,
    )


def parse_amounts(quantities: Mapping[str, Any] | None) -> dict[str, int]:
    """Return quantities by resource as integers: millicores, bytes, pieces."""
    return {
        name: parse_milli(str(text)) if name == CPU else parse_bytes(str(text))
        for name, text in (quantities or {}).items()
    }


def parse_requests(pod: Mapping[str, Any]) -> dict[str, int]:
    """Return what the scheduler counts for a pod: its containers together, or the greediest moment of its start."""
    spec = pod.get("spec") or {}
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(_requests_of(container))
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        own = _requests_of(container)
        peak |= sidecars + Counter(own)
        if container.get("restartPolicy") == "Always":
            sidecars.update(own)
    whole = (total + sidecars) | peak
    whole_pod = Counter({**whole, **_requests_of(spec)})
    whole_pod.update(parse_amounts(spec.get("overhead")))
    return {**whole_pod, PODS: 1}


def _requests_of(owner: Mapping[str, Any]) -> dict[str, int]:
    return parse_amounts((owner.get("resources") or {}).get("requests"))


def parse_quotas(manifest: Mapping[str, Any]) -> Iterator[Quota]:
    """Yield what a ResourceQuota says of the resources that a pool's pods request; nothing where it is not for them."""
    meta, spec, status = (manifest.get(part) or {} for part in ("metadata", "spec", "status"))
    if not _is_for_pools(spec):
        return
    used = status.get("used") or {}
    for key, hard in (status.get("hard") or spec.get("hard") or {}).items():
        resource = _resource(key)
        if resource:
            amounts = (parse_amounts({resource: text})[resource] for text in (hard, used.get(key, "0")))
            yield Quota(meta.get("namespace", ""), meta.get("name", ""), resource, *amounts)


def _is_for_pools(spec: Mapping[str, Any]) -> bool:
    selector: Iterable[Mapping[str, Any]] = (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    named = [*(spec.get("scopes") or ()), *(e.get("scopeName", "") for e in selector)]
    return _OUR_SCOPES.issuperset(named)


def _resource(key: str) -> str:
    """Return the resource that a quota counts, empty where it counts something else, such as Services."""
    if key.startswith(_REQUESTS):
        return key.removeprefix(_REQUESTS)
    # Memory is limited to what it requests.
    return {CPU: CPU, MEMORY: MEMORY, _LIMITED_MEMORY: MEMORY, PODS: PODS}.get(key, "")
