"""What the images hold, weigh and share."""

import json
import subprocess

import pytest

pytestmark = pytest.mark.cluster

BASE = "python:3.11-slim-bookworm"
OPERATOR, EVALUATOR, MOCK = "toolorch/operator:dev", "toolorch/evaluator:dev", "toolorch/mock-vllm:dev"
MB = 1_000_000


def inspect(image):
    done = subprocess.run(["docker", "image", "inspect", image], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"there is no image {image}: run `make images`"
    return json.loads(done.stdout)[0]


def run_in(image, program, *arguments):
    """Run a program as a pod would: no network, read-only root, nothing but /tmp to write to."""
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]
    done = subprocess.run(
        [*command, "--entrypoint", program, image, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("image", "limit"), [(OPERATOR, 200), (EVALUATOR, 1000), (MOCK, 800)])
def test_size_beyond_the_base(image, limit):
    assert (inspect(image)["Size"] - inspect(BASE)["Size"]) / MB <= limit


def test_evaluator_and_mock_share_all_but_their_own_layers():
    evaluator, mock = (inspect(image)["RootFS"]["Layers"] for image in (EVALUATOR, MOCK))
    shared = len([pair for pair in zip(evaluator, mock, strict=False) if pair[0] == pair[1]])
    assert (len(mock) - shared, len(evaluator) - shared) == (1, 2), "mock: its code; evaluator: its libraries, its code"


@pytest.mark.parametrize("image", [OPERATOR, EVALUATOR, MOCK, "toolorch/versitygw:dev"])
def test_nobody_is_root(image):
    user = inspect(image)["Config"]["User"].split(":")[0]
    assert user.isdigit(), "kubelet's runAsNonRoot needs a number"
    assert int(user) > 0


LIST = """
import importlib.metadata as metadata
print(*(d.name.lower().replace("_", "-") for d in metadata.distributions(path=[%r])))
"""
SITE = "/opt/venv/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("image", "has", "has_not"),
    [
        (OPERATOR, {"kopf", "kubernetes", "obstore"}, {"openai", "inspect-evals", "matplotlib"}),
        (EVALUATOR, {"openai", "inspect-evals", "matplotlib", "obstore"}, {"kopf", "kubernetes"}),
        (MOCK, {"aiohttp", "inspect-evals"}, {"kopf", "kubernetes", "openai", "matplotlib"}),
    ],
)
def test_an_image_holds_its_role_and_no_other(image, has, has_not):
    names = set(run_in(image, "python", "-c", LIST % SITE).split())
    assert has <= names
    assert not names & (has_not | {"pytest", "ruff", "mypy", "pip", "setuptools", "uv"})


@pytest.mark.parametrize(
    ("image", "module"),
    [
        (OPERATOR, "toolorch_operator.__main__"),
        (EVALUATOR, "toolorch_evaluator.__main__"),
        (MOCK, "toolorch_mock.__main__"),
    ],
)
def test_a_role_starts_from_its_own_image_and_writes_no_bytecode(image, module):
    line = f"import {module} as m, pathlib; print(pathlib.Path(m.__cached__).exists())"
    assert run_in(image, "python", "-c", line).strip() == "True", "compiled in the image"


def test_the_mock_is_called_vllm():
    assert "serve" in run_in(MOCK, "sh", "-c", "vllm --help")
