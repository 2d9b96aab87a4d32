"""The counters of one server and their Prometheus text, under vLLM's names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

# The upper bounds of vLLM's histogram of tokens per step.
_STEP_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)


@dataclass(slots=True)
class Counters:
    """What /metrics tells."""

    running: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})
    """Finished requests by vLLM's finished_reason; a tool call counts as stop, as there."""
    steps: list[int] = field(default_factory=lambda: [0] * (len(_STEP_TOKENS) + 1))
    """Steps of the engine by the first bound that their tokens do not exceed; the last has none."""

    def add(self, prompt_tokens: int, generation_tokens: int, finish_reason: str) -> None:
        """Count an answered request: one step for its prompt and first token, one for each of the others."""
        self.prompt_tokens += prompt_tokens
        self.generation_tokens += generation_tokens
        self.finished["length" if finish_reason == "length" else "stop"] += 1
        place = next((n for n, bound in enumerate(_STEP_TOKENS) if prompt_tokens + 1 <= bound), len(_STEP_TOKENS))
        self.steps[place] += 1
        self.steps[0] += generation_tokens - 1

    def write_token(self) -> None:
        """Count one token of a request that takes its time."""
        self.generation_tokens += 1
        self.steps[0] += 1


def render_metrics(counters: Counters, model_name: str) -> str:
    """Render the exposition text."""
    escaped = model_name.replace("\\", "\\\\").replace('"', '\\"')
    label = f'engine="0",model_name="{escaped}"'
    rows = [
        ("num_requests_running", "gauge", "Number of requests in model execution batches.", counters.running),
        ("num_requests_waiting", "gauge", "Number of requests waiting to be processed.", 0),
        ("kv_cache_usage_perc", "gauge", "KV-cache usage. 1 means 100 percent usage.", 0),
        ("prompt_tokens", "counter", "Number of prefill tokens processed.", counters.prompt_tokens),
        ("generation_tokens", "counter", "Number of generation tokens processed.", counters.generation_tokens),
    ]
    lines = [line for row in rows for line in _metric(*row, label)]
    lines += [*_histogram(counters, escaped), *_finished(counters, label)]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, value: int, label: str) -> list[str]:
    sample = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
    return [f"# HELP {sample} {text}", f"# TYPE {sample} {kind}", f"{sample}{{{label}}} {float(value)}"]


def _finished(counters: Counters, label: str) -> Iterator[str]:
    yield "# HELP vllm:request_success_total Count of finished requests."
    yield "# TYPE vllm:request_success_total counter"
    for reason, count in counters.finished.items():
        yield f'vllm:request_success_total{{{label},finished_reason="{reason}"}} {float(count)}'


def _histogram(counters: Counters, model_name: str) -> Iterator[str]:
    """Yield the tokens per step; its own name ends in _total there, which makes it look like a counter."""
    name, label = "vllm:iteration_tokens_total", f'engine="0",model_name="{model_name}"'
    yield f"# HELP {name} Histogram of number of tokens per engine_step."
    yield f"# TYPE {name} histogram"
    reached = 0
    for bound, count in zip((*map(float, _STEP_TOKENS), "+Inf"), counters.steps, strict=True):
        reached += count
        yield f'{name}_bucket{{engine="0",le="{bound}",model_name="{model_name}"}} {float(reached)}'
    yield f"{name}_count{{{label}}} {float(reached)}"
    yield f"{name}_sum{{{label}}} {float(counters.prompt_tokens + counters.generation_tokens)}"
