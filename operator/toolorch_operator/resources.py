"""Which resource of the API server a kind is, and the paths of its objects. PURE."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from toolorch_api import evalrun, modelpool
from toolorch_api.meta import API_VERSION, LABEL_MANAGED_BY, MANAGED_BY

Objects = list[dict[str, Any]]
"""Objects as the API server lists them: without their kind."""
# A spec may name anything. Names of objects, and a Service's with its port; all else could be read as steps in a path.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.:-]*")
_NOBODY = "..."
"""A name that no object can have and no client shortens: it is not found."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource; objects of one that is in no namespace, such as nodes, are addressed without."""

    kind: str
    api_version: str
    plural: str

    @property
    def group_version(self) -> tuple[str, str]:
        """API group, empty for the core group, and version."""
        group, _, version = self.api_version.rpartition("/")
        return group, version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of the collection, or of one object of it; no namespace means all of them."""
        parts = ["apis" if "/" in self.api_version else "api", self.api_version]
        if namespace:
            parts += ["namespaces", _as_segment(namespace)]
        parts += [part for part in (self.plural, _as_segment(name), subresource) if part]
        return "/" + "/".join(parts)


def _as_segment(name: str) -> str:
    return name if not name or _NAME.fullmatch(name) else _NOBODY


MODEL_POOLS = Resource(modelpool.KIND, API_VERSION, "modelpools")
EVAL_RUNS = Resource(evalrun.KIND, API_VERSION, "evalruns")
DEPLOYMENTS = Resource("Deployment", "apps/v1", "deployments")
JOBS = Resource("Job", "batch/v1", "jobs")
PODS = Resource("Pod", "v1", "pods")
SERVICES = Resource("Service", "v1", "services")
CONFIG_MAPS = Resource("ConfigMap", "v1", "configmaps")
SECRETS = Resource("Secret", "v1", "secrets")
EVENTS = Resource("Event", "v1", "events")
NODES = Resource("Node", "v1", "nodes")
LEASES = Resource("Lease", "coordination.k8s.io/v1", "leases")
NAMESPACES = Resource("Namespace", "v1", "namespaces")
RESOURCE_QUOTAS = Resource("ResourceQuota", "v1", "resourcequotas")

OWNERS = (MODEL_POOLS, EVAL_RUNS)
CHILDREN = (DEPLOYMENTS, JOBS, PODS, SERVICES, CONFIG_MAPS)
BY_KIND = {r.kind: r for r in (*OWNERS, *CHILDREN, SECRETS, EVENTS, LEASES)}
MANAGED_SELECTOR = f"{LABEL_MANAGED_BY}={MANAGED_BY}"
