"""The names of vLLM's serve arguments by type, without their dashes; a switch also exists with `no-` before it."""

from __future__ import annotations


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHORT_FLAGS = {
    "tensor-parallel-size": ("-tp",),
    "pipeline-parallel-size": ("-pp",),
    "data-parallel-size": ("-dp",),
    "data-parallel-size-local": ("-dpl",),
    "data-parallel-rank": ("-dpn",),
    "data-parallel-address": ("-dpa",),
    "data-parallel-rpc-port": ("-dpp",),
    "data-parallel-backend": ("-dpb",),
    "quantization": ("-q",),
    "compilation-config": ("-cc",),
}

INTEGERS = _names(
    """
    port api-server-count tensor-parallel-size pipeline-parallel-size data-parallel-size data-parallel-size-local
    data-parallel-rank data-parallel-start-rank data-parallel-rpc-port nnodes node-rank master-port
    decode-context-parallel-size prefill-context-parallel-size max-parallel-loading-workers seed block-size
    kv-cache-memory-bytes num-gpu-blocks-override max-num-seqs max-num-batched-tokens max-num-partial-prefills
    max-long-partial-prefills long-prefill-token-threshold max-logprobs max-loras max-lora-rank max-cpu-loras
    max-log-len h11-max-incomplete-event-size h11-max-header-count ssl-cert-reqs max-cudagraph-capture-size
    stream-interval
    """
)

FLOATS = (
    "video-pruning-rate",
    "gpu-memory-utilization",
    "swap-space",
    "cpu-offload-gb",
    "mm-processor-cache-gb",
    "rope-theta",
)

TEXTS = _names(
    """
    model host root-path uds tokenizer revision code-revision tokenizer-revision config hf-config-path hf-token
    download-dir quantization chat-template tool-call-parser tool-parser-plugin tool-server reasoning-parser
    reasoning-parser-plugin response-role ssl-keyfile ssl-certfile ssl-ca-certs log-config-file
    data-parallel-address data-parallel-backend master-addr load-format generation-config logits-processor-pattern
    allowed-local-media-path worker-cls worker-extension-cls scheduler-cls otlp-traces-endpoint attention-backend
    disable-access-log-for-endpoints
    """
)

CHOICES: dict[str, tuple[str, ...]] = {
    "dtype": ("auto", "bfloat16", "float", "float16", "float32", "half"),
    "kv-cache-dtype": ("auto", "bfloat16", "fp8", "fp8_ds_mla", "fp8_e4m3", "fp8_e5m2", "fp8_inc"),
    "tokenizer-mode": ("auto", "deepseek_v32", "hf", "mistral", "slow", "custom"),
    "runner": ("auto", "draft", "generate", "pooling"),
    "convert": ("auto", "classify", "embed", "none", "reward"),
    "config-format": ("auto", "hf", "mistral"),
    "model-impl": ("auto", "terratorch", "transformers", "vllm"),
    "distributed-executor-backend": ("external_launcher", "mp", "ray", "uni"),
    "chat-template-content-format": ("auto", "openai", "string"),
    "uvicorn-log-level": ("critical", "debug", "error", "info", "trace", "warning"),
    "prefix-caching-hash-algo": ("sha256", "sha256_cbor", "xxhash", "xxhash_cbor"),
    "scheduling-policy": ("fcfs", "priority"),
    "logprobs-mode": ("processed_logits", "processed_logprobs", "raw_logits", "raw_logprobs"),
    "lora-dtype": ("auto", "bfloat16", "float16"),
    "mamba-cache-dtype": ("auto", "float32"),
    "mamba-ssm-cache-dtype": ("auto", "float32"),
}

LISTS = _names(
    """
    served-model-name api-key lora-modules middleware ignore-patterns allowed-media-domains logits-processors
    cudagraph-capture-sizes collect-detailed-traces
    """
)

JSONS = _names(
    """
    limit-mm-per-prompt mm-processor-kwargs media-io-kwargs hf-overrides rope-scaling override-generation-config
    pooler-config override-pooler-config model-loader-extra-config speculative-config compilation-config
    kv-transfer-config kv-events-config ec-transfer-config additional-config structured-outputs-config
    attention-config profiler-config default-chat-template-kwargs allowed-origins allowed-methods allowed-headers
    eplb-config
    """
)

SWITCHES = _names(
    """
    headless enable-auto-tool-choice exclude-tools-when-tool-choice-none trust-remote-code
    trust-request-chat-template enable-prefix-caching enable-chunked-prefill async-scheduling enforce-eager
    enable-lora fully-sharded-loras enable-expert-parallel enable-eplb enable-dbo enable-sleep-mode
    enable-prompt-embeds enable-prompt-tokens-details enable-server-load-tracking enable-force-include-usage
    enable-tokenizer-info-endpoint enable-log-outputs enable-log-requests disable-log-requests disable-log-stats
    disable-uvicorn-access-log disable-fastapi-docs disable-sliding-window disable-cascade-attn
    disable-custom-all-reduce disable-chunked-mm-input disable-hybrid-kv-cache-manager enable-request-id-headers
    enable-ssl-refresh allow-credentials return-tokens-as-token-ids skip-tokenizer-init calculate-kv-scales
    aggregate-engine-logging use-tqdm-on-load ray-workers-use-nsight language-model-only skip-mm-profiling
    interleave-mm-strings enable-mm-embeds data-parallel-hybrid-lb data-parallel-external-lb
    kv-sharing-fast-prefill log-error-stack tokens-only
    """
)

TOOL_PARSERS = _names(
    """
    deepseek_v3 deepseek_v31 deepseek_v32 ernie45 gigachat3 glm45 glm47 granite granite-20b-fc hermes hunyuan_a13b
    internlm jamba kimi_k2 llama3_json llama4_json llama4_pythonic longcat minimax minimax_m2 mistral olmo3 openai
    phi4_mini_json pythonic qwen3_coder qwen3_xml seed_oss step3 xlam
    """
)
