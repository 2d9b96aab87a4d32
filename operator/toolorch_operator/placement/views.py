"""What placement reads and returns, as small frozen values. PURE.

Amounts are integers: cpu in millicores, memory in bytes, anything else in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolorch_api.pod import Toleration
from toolorch_api.pool_reasons import PoolReason

CPU, MEMORY, PODS = "cpu", "memory", "pods"


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node."""

    name: str
    allocatable: Mapping[str, int]
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    ready: bool = True
    lost: bool = False
    """Not ready for longer than its pods are left on it."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What one pod holds of a node; a demand's own pod is left out, unless it is elsewhere than the demand's node."""

    node: str
    holder: str
    """How messages call it, such as "pool evals/qwen3-32b" or "pod ml/notebook"."""
    requests: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Quota:
    """What the pods of a namespace may request of a resource."""

    namespace: str
    name: str
    """Name of its ResourceQuota."""
    resource: str
    """As in a demand's requests, such as nvidia.com/gpu."""
    hard: int
    used: int
    """By all but the demands' own pods."""


@dataclass(frozen=True, slots=True)
class Demand:
    """One replica that needs, or has, a node."""

    instance: str
    """Namespace and name, such as evals/orchestrator-0."""
    pool: str
    """Namespace and name of its pool."""
    gpu_resource: str
    """Empty: none."""
    requests: Mapping[str, int]
    strategy: Literal["Pack", "Spread"] = "Pack"
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    gpu_products: tuple[str, ...] = ()
    node: str = ""
    """Where it is, or was told to go; it stays there as long as that node can take it."""
    runs: bool = True
    """Its pod is on that node already; one that was only told to go there does not wait for a node's return."""
    min_gpu_gib: float = 0.0
    """GiB that each GPU must have, where the node's labels say how many it has; 0: any."""

    @property
    def namespace(self) -> str:
        """Namespace of the replica."""
        return self.instance.partition("/")[0]

    @property
    def gpus(self) -> int:
        """GPUs that it needs on one node."""
        return self.requests.get(self.gpu_resource, 0)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why no node takes a replica; `nodes` are the nodes that come closest, each with its reason."""

    reason: PoolReason
    message: str
    nodes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where replicas go, by Demand.instance; each demand is in exactly one of the two."""

    assigned: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, Rejection] = field(default_factory=dict)
