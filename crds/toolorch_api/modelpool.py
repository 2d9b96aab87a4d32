"""The spec of a ModelPool: n equal model servers, each with its own endpoint."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from toolorch_api.foreign_json import has_more_levels
from toolorch_api.meta import API_VERSION, ApiModel, ObjectMeta, Rule, name_rules
from toolorch_api.modelpool_status import ModelPoolStatus
from toolorch_api.pod import EnvVar
from toolorch_api.serving import (
    Cache,
    Engine,
    External,
    Percent,
    Placement,
    Preflight,
    Remediation,
    Remedy,
    Resources,
    Startup,
    ToolCalling,
)

KIND = "ModelPool"
SERVER_PORT = 8000

# Arguments that the spec sets itself; in extraArgs they would silently win over what status reports.
RESERVED_ARGS = (
    "--model", "--revision", "--served-model-name", "--host", "--port", "--tensor-parallel-size", "-tp",
    "--gpu-memory-utilization", "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens",
    "--enable-auto-tool-choice", "--tool-call-parser", "--chat-template", "--reasoning-parser", "--api-key",
)  # fmt: skip

# Settings of chat templates are flat, or lists of flat ones; the API server takes ten thousand levels.
MAX_DEPTH = 4


def _any_value(levels: int) -> dict[str, Any]:
    """Build the schema of any JSON value that is nested no deeper: structural schemas have no recursion."""
    anything = {"x-kubernetes-preserve-unknown-fields": True, "nullable": True}
    if not levels:
        return {**anything, "maxItems": 0, "maxProperties": 0}
    inner = _any_value(levels - 1)
    return {**anything, "items": inner, "maxItems": 128, "additionalProperties": inner, "maxProperties": 128}


def _is_shallow(value: Any) -> Any:
    if has_more_levels(value, MAX_DEPTH):
        raise ValueError(f"must not be nested deeper than {MAX_DEPTH} levels")
    return value


FreeForm = Annotated[
    dict[str, Any],
    Field(max_length=32),
    AfterValidator(_is_shallow),
    WithJsonSchema({"type": "object", "maxProperties": 32, "additionalProperties": _any_value(MAX_DEPTH - 1)}),
]


def _has_no_reserved_argument(spec: ModelPoolSpec) -> bool:
    return not any(a == r or a.startswith(r + "=") for a in spec.extra_args for r in RESERVED_ARGS)


class ModelPoolSpec(ApiModel):
    """What a ModelPool should be."""

    engine: Engine = Engine.VLLM
    """vllm: toolorch runs the servers; external: somebody else does."""
    model: Annotated[str, Field(min_length=1, max_length=512)]
    """Hub id, or a path inside the cache volume."""
    revision: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """Branch, tag or commit of the model."""
    served_model_name: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Name that clients ask for; default: model."""
    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image with a `vllm` executable; default: the chart's."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of servers; also set through the scale subresource."""
    tensor_parallel_size: Annotated[int, Field(ge=1, le=64)] = 1
    """GPUs that one replica splits the model over."""
    gpu_memory_utilization: Percent = 90
    """Percent of a GPU's memory that vLLM plans with; where the ladder starts."""
    max_model_len: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Longest context in tokens; default: the model's own."""
    max_num_seqs: Annotated[int, Field(ge=1, le=65536)] | None = None
    """Most sequences in one batch; default: vLLM's own."""
    max_num_batched_tokens: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    """Most tokens in one batch; default: vLLM's own."""
    tool_calling: ToolCalling | None = None
    """Absent: the pool is not asked to call tools."""
    reasoning_parser: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=63)] | None = None
    """vLLM's --reasoning-parser, such as qwen3."""
    extra_args: Annotated[list[Annotated[str, Field(max_length=4096)]], Field(max_length=64)] = Field(
        default_factory=list
    )
    """Arguments appended to `vllm serve` as they are."""
    env: Annotated[list[EnvVar], Field(max_length=64)] = Field(default_factory=list)
    """Environment of the server's container."""
    resources: Resources = Resources()
    """What one replica needs of a node."""
    placement: Placement = Placement()
    """Where replicas run."""
    startup: Startup = Startup()
    """How replicas start."""
    cache: Cache | None = None
    """Where weights are kept."""
    remediation: Remediation = Remediation()
    """What a memory crash may change."""
    preflight: Preflight = Preflight()
    """How a replica proves that it is useful."""
    chat_template_kwargs: FreeForm = Field(default_factory=dict)
    """Sent with every request to this pool as chat_template_kwargs; nested at most 4 levels deep."""
    external: External | None = None
    """The server behind an external pool."""
    idle_after_seconds: Annotated[int, Field(ge=0, le=31_536_000)] = 0
    """Scale to zero when no run has used the pool for so long; 0: never."""

    rules: ClassVar = (
        Rule("self.engine == oldSelf.engine", "spec.engine is immutable: make a new ModelPool"),
        Rule("self.model == oldSelf.model", "spec.model is immutable: make a new ModelPool"),
        Rule(
            "(self.engine == 'external') == has(self.external)",
            "engine external needs spec.external with its baseURL, and engine vllm must not have it",
            lambda s: (s.engine is Engine.EXTERNAL) == (s.external is not None),
        ),
        Rule(
            "!self.extraArgs.exists(a, {reserved}.exists(r, a == r || a.startsWith(r + '=')))".replace(
                "{reserved}", str(list(RESERVED_ARGS))
            ),
            "extraArgs must not hold an argument that the spec sets itself, such as --max-model-len or --port:"
            " use the field of that name",
            _has_no_reserved_argument,
        ),
        Rule(
            "!has(self.resources.gpus) || self.resources.gpuResource == '' ||"
            " self.resources.gpus >= self.tensorParallelSize",
            "resources.gpus must be at least tensorParallelSize",
            lambda s: (
                s.resources.gpus is None or not s.resources.gpu_resource or s.resources.gpus >= s.tensor_parallel_size
            ),
        ),
        Rule(
            "self.gpuMemoryUtilization >= self.remediation.gpuMemoryUtilization.min &&"
            " self.gpuMemoryUtilization <= self.remediation.gpuMemoryUtilization.max",
            "gpuMemoryUtilization must lie between remediation.gpuMemoryUtilization.min and max (default 50 and 95)",
            lambda s: (
                s.remediation.gpu_memory_utilization.min
                <= s.gpu_memory_utilization
                <= s.remediation.gpu_memory_utilization.max
            ),
        ),
        Rule(
            "self.preflight.toolCalling != 'Required' || has(self.toolCalling) || self.engine == 'external'",
            "preflight.toolCalling Required needs spec.toolCalling with a parser",
            lambda s: (
                s.preflight.tool_calling != "Required" or s.tool_calling is not None or s.engine is Engine.EXTERNAL
            ),
        ),
    )

    @property
    def served_name(self) -> str:
        """Name that clients put into requests."""
        return self.served_model_name or self.model

    @property
    def gpus_per_replica(self) -> int:
        """GPUs that one replica requests; 0 where gpuResource is empty."""
        if not self.resources.gpu_resource:
            return 0
        return self.tensor_parallel_size if self.resources.gpus is None else self.resources.gpus


class ModelPool(ApiModel):
    """A set of equal model servers."""

    api_version: Literal[API_VERSION] = API_VERSION  # type: ignore[valid-type]
    kind: Literal["ModelPool"] = "ModelPool"
    metadata: ObjectMeta
    spec: ModelPoolSpec
    """What the pool should be."""
    status: ModelPoolStatus = ModelPoolStatus()
    """What the operator saw."""

    rules: ClassVar = name_rules()


__all__ = ["KIND", "RESERVED_ARGS", "SERVER_PORT", "Engine", "ModelPool", "ModelPoolSpec", "Remedy"]
