"""The counters of one server and their Prometheus text, under vLLM's names."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Counters:
    """What /metrics tells."""

    running: int = 0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    finished: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "abort": 0})
    """Finished requests by vLLM's finished_reason; a tool call counts as stop, as there."""

    def add(self, prompt_tokens: int, generation_tokens: int, finish_reason: str) -> None:
        """Count an answered request."""
        self.prompt_tokens += prompt_tokens
        self.generation_tokens += generation_tokens
        self.finished["length" if finish_reason == "length" else "stop"] += 1


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
    lines += [
        "# HELP vllm:request_success_total Count of finished requests.",
        "# TYPE vllm:request_success_total counter",
    ]
    for reason, count in counters.finished.items():
        lines.append(f'vllm:request_success_total{{{label},finished_reason="{reason}"}} {float(count)}')
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, text: str, value: int, label: str) -> list[str]:
    sample = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
    return [f"# HELP {sample} {text}", f"# TYPE {sample} {kind}", f"{sample}{{{label}}} {float(value)}"]
