"""What the frame saw of a pool, as small frozen views that hold only what the brain reads. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from toolorch_api.modelpool import ModelPool
from toolorch_api.modelpool_status import Fit, InstanceState
from toolorch_api.pool_reasons import PoolReason
from toolorch_operator.modelpool.pods import PodView
from toolorch_operator.placement.views import Placement
from toolorch_operator.plan import Manifest


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One entry of a server's /v1/models."""

    id: str
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the preflight of one server found."""

    passed: bool
    reason: PoolReason
    message: str
    """One sentence, without the server's name, address or any secret."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What a server has to show before it counts as useful."""

    served_name: str
    calls_tools: bool
    template_kwargs: Mapping[str, Any]
    """Sent with every request as chat_template_kwargs."""
    timeout_seconds: int
    """For all checks together."""
    label: str
    """Name of the pool, for the request ids."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server answered to /health, /v1/models and /version; `error` says why it did not, without secrets."""

    healthy: bool
    models: tuple[ServedModel, ...] = ()
    version: str = ""
    error: str = ""
    preflight: Verdict | None = None
    """None: not examined yet."""
    stalled_seconds: float = 0.0
    """For how long requests have run without a single token of progress."""


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A server to probe. A successful Probe may be kept as long as `identity` is the same."""

    key: str
    """Key of the answer in ObservedPool.probes: the instance's name, or the pool's for an external pool."""
    url: str
    """OpenAI base URL, including /v1."""
    identity: str
    """Pod UID and restart count, or the URL of an external pool."""
    external: bool = False
    exam: Exam | None = None
    """None: this start of the server has passed before."""


@dataclass(frozen=True, slots=True)
class StartView:
    """Where one replica of any pool is on its way to serving."""

    instance: str
    """Namespace and name, such as evals/orchestrator-0."""
    node: str
    state: InstanceState
    since: datetime | None
    """When it came into this state."""
    limit: int = 1
    """Its pool's startup.maxConcurrentPerNode."""
    settle_seconds: int = 0
    """Its pool's startup.settleSeconds."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What a pool must know of everything beside it."""

    placement: Placement | None = None
    """Where all pools' replicas go; None: the nodes may not be listed, and the scheduler decides."""
    starts: Sequence[StartView] = ()
    """Replicas of the other pools, as their latest status has them."""


@dataclass(frozen=True, slots=True)
class RunUse:
    """An unfinished, unsuspended EvalRun that names the pool."""

    name: str
    since: datetime


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job of a pool: one that fetches its model, or one that asks an external server."""

    name: str
    uid: str = ""
    pool: str = ""
    """Name of the pool that it belongs to."""
    purpose: str = ""
    """Value of the label that tells the Job's purpose apart: fetch or probe, and a hash."""
    succeeded: bool = False
    failed: bool = False
    message: str = ""
    """Termination message of its last pod."""
    log: str = ""
    """Last line that its running pod printed."""
    holdup: str = ""
    """Why its pod does not run yet, as the kubelet or the scheduler says."""


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """A pool's children and what its servers say. Children are raw manifests, by name."""

    deployments: Mapping[str, Manifest] = field(default_factory=dict)
    services: Mapping[str, Manifest] = field(default_factory=dict)
    config_maps: Mapping[str, Manifest] = field(default_factory=dict)
    pods: Sequence[PodView] = ()
    probes: Mapping[str, Probe] = field(default_factory=dict)
    """By ProbeTarget.key; a target that was not asked yet is absent."""
    jobs: Sequence[JobView] = ()
    """The pool's own, and other pools' of the namespace that fetch."""
    namesakes: Sequence[ModelPool] = ()
    """Other pools of the namespace that run the same model from the same cache."""
    runs: Sequence[RunUse] = ()
    chat_template: str | None = None
    """Text of spec.toolCalling.chatTemplate, where one is named and found."""
    cluster: ClusterView = ClusterView()
    fit: Fit = field(default_factory=Fit)
    """Whether the model's weights fit the nodes' GPUs, as far as their size is known."""
