"""Other people's layouts in our fields: the command lines that come of them, and nothing known against them."""

from pathlib import Path

import pytest
import yaml

from toolorch_api.modelpool import Engine, ModelPool
from toolorch_mock.arguments import parse_options
from toolorch_operator.modelpool.command import serve_command
from toolorch_operator.modelpool.memory.climb import initial_effective
from toolorch_operator.modelpool.presets.verdict import judge_preset

FOLDER = Path(__file__).parents[3] / "examples"
POOLS = {
    f"{path.parent.name}: {pool.metadata.name}": pool
    for path in sorted(FOLDER.glob("*/pools.yaml"))
    for pool in map(ModelPool.model_validate, yaml.safe_load_all(path.read_text()))
    if pool.spec.engine is Engine.VLLM
}
each_pool = pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS)


def command(pool):
    return serve_command(pool.spec, initial_effective(pool.spec))


def test_the_command_lines_of_all_pools(golden):
    assert len(POOLS) == 22
    golden("examples.json", {name: command(pool) for name, pool in POOLS.items()})


@each_pool
def test_nothing_that_is_known_of_the_model_contradicts_the_example(pool):
    assert judge_preset(pool.spec, None)[1] == "MatchesPreset"


@each_pool
def test_vllm_knows_every_argument_of_the_example(pool):
    options = parse_options(command(pool)[1:])
    assert options.tensor_parallel_size == pool.spec.tensor_parallel_size == pool.spec.gpus_per_replica


@pytest.mark.parametrize(
    ("folder", "gpus"),
    [
        ("tau2-experts", 20),
        ("tau2-local", 4),
        ("questions-experts", 24),
        ("questions-nvidia", 14),
        ("taubench-sweep", 7),
        ("emotional-users", 3),
    ],
)
def test_the_layout_has_as_many_gpus_as_its_page_says(folder, gpus):
    pools = [pool for name, pool in POOLS.items() if name.startswith(f"{folder}: ")]
    assert sum(pool.spec.replicas * pool.spec.gpus_per_replica for pool in pools) == gpus
    row = next(line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith(f"| [{folder}]"))
    assert row.endswith(f"| {gpus} |")
