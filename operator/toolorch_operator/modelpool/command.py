"""The command line of a model server, the same in a pod and on a user's machine. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from toolorch_api.modelpool import SERVER_PORT, ModelPoolSpec
from toolorch_api.modelpool_status import Effective

UTILIZATION = "--gpu-memory-utilization"


def serve_command(
    spec: ModelPoolSpec,
    effective: Effective,
    *,
    port: int = SERVER_PORT,
    host: str | None = None,
    chat_template: str | None = None,
) -> list[str]:
    """Return `vllm serve` with the arguments of a spec after remediation.

    `host` None listens on every interface; `chat_template` is the path at which the server finds spec's template.
    """
    tools = spec.tool_calling
    optional: tuple[tuple[str, object], ...] = (
        ("--host", host),
        ("--revision", spec.revision),
        ("--max-model-len", effective.max_model_len),
        ("--max-num-seqs", effective.max_num_seqs),
        ("--max-num-batched-tokens", effective.max_num_batched_tokens),
        ("--tool-call-parser", tools.parser if tools else None),
        ("--chat-template", chat_template),
        ("--reasoning-parser", spec.reasoning_parser),
    )
    percent = (
        spec.gpu_memory_utilization if effective.gpu_memory_utilization is None else effective.gpu_memory_utilization
    )
    return [
        *("vllm", "serve", spec.model, "--port", str(port), "--served-model-name", spec.served_name),
        *("--tensor-parallel-size", str(spec.tensor_parallel_size), UTILIZATION, fraction_text(percent)),
        *(["--enable-auto-tool-choice"] if tools else []),
        *(part for name, value in optional if value is not None for part in (name, str(value))),
        *spec.extra_args,
    ]


def fraction_text(percent: int) -> str:
    """Return percent as the fraction that vLLM reads: 95 → "0.95", 100 → "1.00"."""
    return f"{percent // 100}.{percent % 100:02d}"


def parse_utilization(command: Sequence[str]) -> int | None:
    """Return the percent that a server was started with, or None where its command does not say."""
    following = (value for name, value in pairwise(command) if name == UTILIZATION)
    text = next(following, "")
    return round(float(text) * 100) if text.replace(".", "", 1).isdigit() else None
