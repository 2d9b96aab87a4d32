"""The examples as a user gives them: they are valid, and their benchmarks take them with what they name."""

from pathlib import Path

import pytest

from toolorch_evaluator.benchmarks.questions.sample import read_sample
from toolorch_evaluator.benchmarks.registry import benchmark
from toolorch_evaluator.cli.documents import load_run
from toolorch_evaluator.cli.sweep_documents import load_sweep

EXAMPLES = Path(__file__).parents[3] / "examples"
UNITS = {
    "tau2-experts/evalrun.yaml": 278,
    "tau2-local/evalrun.yaml": 278,
    "emotional-users/evalrun.yaml": 114 * 4 * 5,
    # Twenty of our own, in place of the user's.
    "questions-experts/hle.yaml": 20,
    "questions-experts/frames.yaml": 20,
    "questions-nvidia/hle.yaml": 20,
}


async def sample(uri):
    """Read our own questions, whatever is named."""
    return read_sample("questions")


@pytest.mark.parametrize("name", UNITS)
async def test_a_run_is_taken_with_as_many_units_as_are_meant(name):
    path = EXAMPLES / name
    spec = load_run([path.parent / "pools.yaml", path]).run.spec
    chosen = benchmark(spec.benchmark.name)
    await chosen.load(spec, sample)
    assert len(chosen.list_units(spec).units) == UNITS[name]


def test_the_sweep_is_24_runs_of_five_trials():
    folder = EXAMPLES / "taubench-sweep"
    runs = load_sweep([folder / "pools.yaml", folder / "sweep.yaml"], with_pools=True).runs
    counts = [len(benchmark("tau-bench").list_units(each.run.spec).units) for each in runs[::12]]
    assert (len(runs), counts) == (24, [114 * 5, 50 * 5])


def test_each_file_is_tested():
    given = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.glob("*/*.yaml") if path.name != "pools.yaml"}
    assert given == {*UNITS, "taubench-sweep/sweep.yaml"}
