"""What placement reads and returns, as small frozen values. PURE.

Amounts are integers: cpu in millicores, memory in bytes, anything else in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from toolorch_api.pod import Toleration
from toolorch_api.pool_reasons import PoolReason

CPU, MEMORY = "cpu", "memory"


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


@dataclass(frozen=True, slots=True)
class Holding:
    """What one pod holds of a node; `holder` is how messages call it, such as "pool qwen3-32b" or "pod ml/notebook"."""

    node: str
    holder: str
    requests: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Quota:
    """What a namespace may still request of a resource, under `name` of its ResourceQuota."""

    namespace: str
    name: str
    resource: str
    hard: int
    used: int


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
