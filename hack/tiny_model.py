"""Writes a language model without weights, as small as its architecture allows: `tiny_model.py FOLDER`.

Run by the Python of hack/vllm_cpu.sh. vLLM fills it with random weights (`--load-format dummy`): it answers nonsense,
but through everything that a real model goes through.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

CONTEXT_TOKENS = 2048
VOCABULARY = 512
END = "<|im_end|>"
# What the parsers named hermes and qwen3 look for must be tokens of their own.
SPECIAL = ["<|endoftext|>", "<|im_start|>", END, "<tool_call>", "</tool_call>", "<think>", "</think>"]
TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "torch_dtype": "float32",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": CONTEXT_TOKENS,
    "vocab_size": VOCABULARY,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": SPECIAL.index(END),
}


def build_tokenizer() -> Tokenizer:
    """Return a tokenizer of bytes, which can spell anything, with a few pieces of JSON."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=letters, show_progress=False)
    tokenizer.train_from_iterator(['{"name": "lookup", "arguments": {"id": 1}}'] * 20, trainer)
    return tokenizer


def write_model(folder: Path) -> None:
    """Write configuration, tokenizer and chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer().save(str(folder / "tokenizer.json"))
    speech = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL[0],
        "eos_token": END,
        "model_max_length": CONTEXT_TOKENS,
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(speech, indent=2))
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2))


if __name__ == "__main__":
    write_model(Path(sys.argv[1]))
