"""The command line of `vllm serve`."""

from __future__ import annotations

import argparse

import pytest

from toolorch_mock.arguments import StartError, build_parser, parse_human_int, parse_options

# As the launcher and users of real servers write them.
WRITTEN = """
serve Qwen/Qwen3-8B --host 127.0.0.1 --port 8123 --served-model-name a b --tensor-parallel-size 2 -pp 1
--data-parallel-size 1 --gpu-memory-utilization 0.85 --max-model-len 32k --max-num-seqs 64
--max-num-batched-tokens 8192 --enable-auto-tool-choice --tool-call-parser hermes --chat-template /x.jinja
--reasoning-parser qwen3 --revision main --tokenizer t --dtype bfloat16 --quantization fp8 --kv-cache-dtype fp8
--trust-remote-code --enable-prefix-caching --no-enable-chunked-prefill --async-scheduling --enforce-eager
--speculative-config {"method":"ngram"} --seed 1 --api-key k --root-path /p --uvicorn-log-level warning
--disable-log-requests --download-dir /d --load-format auto --swap-space 4 --cpu-offload-gb 1
--limit-mm-per-prompt {"image":1} --enable-lora --max_lora_rank=16 --kv-cache-memory-bytes 4G
"""


def test_realistic_arguments_are_taken():
    options = parse_options(WRITTEN.split())
    assert options.served_names == ("a", "b")
    assert (options.host, options.port) == ("127.0.0.1", 8123)
    assert (options.max_model_len, options.utilization, options.tensor_parallel_size) == (32000, 0.85, 2)
    assert options.auto_tools
    assert options.api_keys == ("k",)


def test_the_defaults_are_those_of_the_release():
    options = parse_options(["serve", "mock/idle"])
    assert options.served_names == ("mock/idle",)
    assert (options.port, options.utilization, options.auto_tools) == (8000, 0.9, False)


@pytest.mark.parametrize("text", ["auto", "-1"])
def test_an_automatic_context_length_is_the_models_own(text):
    assert parse_options(["serve", "m", "--max-model-len", text]).max_model_len == 131072


@pytest.mark.parametrize(("text", "number"), [("1k", 1000), ("1K", 1024), ("25.6k", 25600), ("2M", 2097152), ("7", 7)])
def test_human_integers(text, number):
    assert parse_human_int(text) == number


@pytest.mark.parametrize("text", ["1.5K", "x", "1kk"])
def test_other_integers_are_errors(text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse_human_int(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpu-memory-utilisation", "0.9"], "unrecognized arguments: --gpu-memory-utilisation"),
        (["--gpu-mem", "0.9"], "unrecognized arguments"),
        (["--port", "http"], "argument --port"),
        (["--dtype", "int4"], "invalid choice: 'int4'"),
        (["--speculative-config", "{"], "cannot be converted to JSON"),
    ],
    ids=["a misspelt name", "an abbreviation", "a port that is no number", "an unknown dtype", "bad JSON"],
)
def test_a_bad_argument_ends_with_usage_and_exit_code_2(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parse_options(["serve", "m", *arguments])
    assert ended.value.code == 2
    stderr = capsys.readouterr().err
    assert "usage: vllm" in stderr
    assert said in stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--enable-auto-tool-choice"], "requires --tool-call-parser"),
        (["--tool-call-parser", "herms"], "invalid tool call parser: herms"),
        (["--gpu-memory-utilization", "95"], "Got 95.0"),
        (["--max-model-len", "1M"], "greater than the derived max_model_len"),
    ],
)
def test_what_vllm_refuses_while_starting_is_a_start_error(arguments, said):
    with pytest.raises(StartError, match=said):
        parse_options(["serve", "m", *arguments])


def test_serve_is_the_only_command():
    with pytest.raises(SystemExit):
        build_parser().parse_args(["bench"])
