"""`toolorch run` with vLLM itself as the agent: nonsense is the model's failure and none of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.vllm

# The rules of retail and its tools take 20 thousand tokens of this model's small vocabulary.
CONTEXT_TOKENS = 65536
LIMIT_SECONDS = 300
EXTRA = ["--load-format", "dummy", "--dtype", "float32", "--enforce-eager"]
LONGER = ["--hf-overrides", json.dumps({"max_position_embeddings": CONTEXT_TOKENS})]


def document(kind, name, **spec):
    return {"apiVersion": "toolorch.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def documents(folder):
    """A pool of the real vLLM, one of the mock that plays the user, and a run of one conversation between them."""
    agent = document(
        "ModelPool",
        "agent",
        model=str(folder / "tiny-model"),
        servedModelName="tiny",
        maxModelLen=CONTEXT_TOKENS,
        toolCalling={"parser": "hermes"},
        # It would rightly refuse this model.
        preflight={"toolCalling": "Off"},
        resources={"gpuResource": ""},
        extraArgs=[*EXTRA, *LONGER],
    )
    user = document("ModelPool", "user", model="mock/user", servedModelName="user", image="toolorch/mock-vllm:dev")
    run = document(
        "EvalRun",
        "nonsense",
        benchmark={"name": "tau2", "domains": ["retail"], "numTasks": 1, "options": {"maxSteps": 4}},
        userVariants=["control"],
        # Told no limit, a model that knows no end fills its context.
        roles={"agent": {"pool": "agent", "maxTokens": 32}, "user": {"pool": "user"}},
    )
    return agent, user, run


def programs_of(mark):
    """Running programs that were started with this text in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes())
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def ended(vllm_folder, vllm_environment, tmp_path_factory):
    """The folder of the run, and how the command ended."""
    folder = tmp_path_factory.mktemp("run")
    path, mark = folder / "documents.yaml", f"TOOLORCH_TEST={folder}"
    path.write_text(yaml.safe_dump_all(documents(vllm_folder)))
    command = [sys.executable, "-m", "toolorch_evaluator.cli", "run", "-f", path, "--output", folder / "runs"]
    name, _, value = mark.partition("=")
    environment = {**os.environ, **vllm_environment, name: value, "VLLM_CACHE_ROOT": str(folder / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    (runs,) = (folder / "runs").glob("nonsense-*")
    return runs, done, programs_of(mark)


def test_the_run_comes_to_its_end(ended):
    _, done, _ = ended
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("nonsense "))
    assert row.split()[:6] == ["nonsense", "tau2", "1/1", "0.000", "0", "RunComplete"]


def test_the_conversation_is_scored_as_the_models_failure(ended):
    runs, _, _ = ended
    (path,) = runs.glob("results/**/*.json")
    result = json.loads(path.read_text())
    assert (result["status"], result["reward"], result["cause"], result["toolCalls"]) == ("failed", 0.0, "", 0)
    assert result["served"] == {"agent": "tiny", "user": "user"}
    assert result["usage"]["completionTokens"] > 0


def test_its_servers_are_gone_with_it(ended):
    runs, _, left = ended
    assert "Application startup complete" in (runs / "logs/agent-0.log").read_text()
    assert left == []
