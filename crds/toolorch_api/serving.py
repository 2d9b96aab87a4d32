"""The pieces of a ModelPool's spec: tool calling, resources, placement, start, cache, remediation, preflight."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from toolorch_api.meta import ApiModel, Quantity, Rule, SecretKeyRef
from toolorch_api.pod import Toleration

# A 70B model on cold network storage takes most of this to load.
DEFAULT_START_TIMEOUT_SECONDS = 1800

Percent = Annotated[int, Field(ge=1, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=253)]


class Engine(StrEnum):
    """What serves the model."""

    VLLM = "vllm"
    EXTERNAL = "external"


class Remedy(StrEnum):
    """What the ladder may change after a memory crash."""

    GPU_MEMORY_UTILIZATION = "GpuMemoryUtilization"
    MAX_MODEL_LEN = "MaxModelLen"
    MAX_NUM_SEQS = "MaxNumSeqs"
    MAX_NUM_BATCHED_TOKENS = "MaxNumBatchedTokens"
    HOST_MEMORY = "HostMemory"


class ConfigMapKeySource(ApiModel):
    """Text that stands in a ConfigMap."""

    config_map_key_ref: SecretKeyRef
    """The ConfigMap's name and the key in it."""


class ToolCalling(ApiModel):
    """How the server turns a model's text into tool calls."""

    parser: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)]
    """vLLM's --tool-call-parser, such as hermes, openai or llama3_json."""
    chat_template: ConfigMapKeySource | None = None
    """A chat template in place of the model's own."""


class Resources(ApiModel):
    """What one replica needs of a node."""

    gpu_resource: Annotated[str, Field(max_length=253, pattern=r"^$|^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = "nvidia.com/gpu"
    """Extended resource that counts GPUs, such as nvidia.com/gpu, amd.com/gpu or habana.ai/gaudi; empty: none."""
    gpus: Annotated[int, Field(ge=0, le=64)] | None = None
    """GPUs per replica; default: tensorParallelSize."""
    cpu: Quantity = "4"
    """CPU request."""
    memory: Quantity = "32Gi"
    """Memory request and limit."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm; it counts towards memory."""


class Placement(ApiModel):
    """Where replicas may and should run."""

    strategy: Literal["Pack", "Spread"] = "Pack"
    """Pack fills nodes one after another; Spread evens replicas out."""
    node_selector: Annotated[dict[str, Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(
        default_factory=dict
    )
    """Labels that a node must carry."""
    tolerations: Annotated[list[Toleration], Field(max_length=16)] = Field(default_factory=list)
    """Taints that replicas tolerate."""
    gpu_products: Annotated[list[Annotated[str, Field(max_length=63)]], Field(max_length=16)] = Field(
        default_factory=list
    )
    """Values of the node label nvidia.com/gpu.product that are allowed; empty: any."""


class Startup(ApiModel):
    """How replicas start."""

    max_concurrent_per_node: Annotated[int, Field(ge=1, le=64)] = 1
    """Replicas of all pools that may start on one node at a time."""
    settle_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    """Pause after a crash before the next start."""
    timeout_seconds: Annotated[int, Field(ge=10, le=86400)] = DEFAULT_START_TIMEOUT_SECONDS
    """Time within which a replica must answer /health."""


class Cache(ApiModel):
    """Where model weights are kept; absent: an emptyDir of each pod."""

    persistent_volume_claim: Name | None = None
    """Name of a claim in the same namespace."""
    host_path: Annotated[str, Field(pattern=r"^/", max_length=4096)] | None = None
    """Absolute folder on the node."""

    rules: ClassVar = (
        Rule(
            "has(self.persistentVolumeClaim) != has(self.hostPath)",
            "cache takes exactly one of persistentVolumeClaim and hostPath",
            lambda c: (c.persistent_volume_claim is None) != (c.host_path is None),
        ),
    )


class UtilizationLadder(ApiModel):
    """Bounds of the changes to gpuMemoryUtilization, in percent."""

    min: Percent = 50
    max: Percent = 95
    step: Annotated[int, Field(ge=1, le=50)] = 5

    rules: ClassVar = (
        Rule(
            "self.min <= self.max",
            "remediation.gpuMemoryUtilization.min must not be above max",
            lambda ladder: ladder.min <= ladder.max,
        ),
    )


class Remediation(ApiModel):
    """What may be changed after a memory crash, how far and how often."""

    max_attempts: Annotated[int, Field(ge=0, le=20)] = 6
    """Changes per generation of the spec; 0: none."""
    gpu_memory_utilization: UtilizationLadder = UtilizationLadder()
    """Bounds and step of gpuMemoryUtilization."""
    allow: Annotated[list[Remedy], Field(max_length=8)] = Field(default_factory=lambda: list(Remedy))
    """Fields that the ladder may change."""


class Preflight(ApiModel):
    """How a replica must prove that it is useful."""

    tool_calling: Literal["Auto", "Required", "Off"] = "Auto"
    """Auto probes tool calling where spec.toolCalling is set."""
    timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 120
    """Time for all checks of one replica."""


class External(ApiModel):
    """A model server that somebody else runs."""

    base_url: Annotated[str, Field(alias="baseURL", pattern=r"^https?://[^\s]+$", max_length=2048)]
    """OpenAI-compatible base URL, such as https://api.openai.com/v1."""
    api_key_secret_ref: SecretKeyRef | None = None
    """Key sent as a bearer token; only pods that call this pool can read it."""
