"""`toolorch-evaluator` over a benchmark that asks the agent a few times: run as a program by the tests of processes."""

import sys

from toolorch_api.shard import Unit
from toolorch_evaluator.__main__ import build_app
from toolorch_evaluator.benchmarks.base import Listing, Packaged, Score


class Scripted(Packaged):
    name = "tau2"

    def list_units(self, spec):
        if spec.benchmark.task_ids == ["nowhere"]:
            raise ValueError("unknown task 'nowhere'")
        return Listing(tuple(Unit("control", "retail", str(n), 0) for n in range(spec.benchmark.num_tasks or 0)), "d")

    async def converse(self, unit, spec, ask):
        replies = [(await ask("agent", [{"role": "user", "content": unit.task_id}])).content for _ in range(2)]
        return {"domain": unit.domain, "task_id": unit.task_id, "termination_reason": "user_stop", "messages": replies}

    def score(self, transcript):
        return Score(1.0, {"DB": 1.0})


if __name__ == "__main__":
    build_app(lambda name: Scripted())(sys.argv[1:])
