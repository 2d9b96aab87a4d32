"""Benchmarks by name; the module of a benchmark, and its dataset's package, is imported only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from toolorch_evaluator.benchmarks.base import Benchmark

_MAKERS = {
    "tau2": ("toolorch_evaluator.benchmarks.tau2.benchmark", "Tau2"),
    "tau-bench": ("toolorch_evaluator.benchmarks.taubench.benchmark", "TauBench"),
    "hle": ("toolorch_evaluator.benchmarks.questions.benchmark", "hle"),
    "frames": ("toolorch_evaluator.benchmarks.questions.benchmark", "frames"),
}


def benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name; raises ValueError with the known names."""
    if name not in _MAKERS:
        raise ValueError(f"unknown benchmark {name!r}: known are {', '.join(sorted(_MAKERS))}")
    module, maker = _MAKERS[name]
    return cast("Benchmark", getattr(import_module(module), maker)())
