"""`toolorch-evaluator` over a scripted benchmark, imported once and forked for each step that is to run.

Its first line says that it is ready; then it speaks as `forks` says. A line that asks has a step and a patience too:
{"step": "shard", "environ": {...}, "log": "path", "patience": 15}.
"""

import importlib

from forks import BROKEN, serve

from toolorch_api.shard import Unit
from toolorch_evaluator.__main__ import build_app
from toolorch_evaluator.benchmarks.base import Listing, Packaged, Score
from toolorch_evaluator.results import Results, open_store

LATE = (
    "toolorch_evaluator.plan_step",
    "toolorch_evaluator.report_step",
    "toolorch_evaluator.shard_step",
    "anyio._backends._asyncio",
    "httpcore2",
    "truststore",
    "matplotlib.backends.backend_agg",
    "PIL.JpegImagePlugin",
)
"""What the steps and their libraries import late: once here, not in each process."""
# Every third unit fails, so that a reward that went astray is seen.
FAILS = 3


class Scripted(Packaged):
    """Asks the agent once for each unit; what a unit gets depends on its number alone."""

    name = "tau2"

    def list_units(self, spec):
        units = (Unit("control", "retail", str(n), 0) for n in range(spec.benchmark.num_tasks))
        return Listing(tuple(units), "d" * 64)

    def describe(self, spec):
        return {"texts": {"agent": "Answer."}}

    async def converse(self, unit, spec, ask):
        messages = [{"role": "user", "content": unit.task_id}]
        messages.append({"role": "assistant", "content": (await ask("agent", messages)).content})
        return {
            "domain": unit.domain,
            "task_id": unit.task_id,
            "termination_reason": "user_stop",
            "messages": messages,
        }

    def score(self, transcript):
        reward = float(int(transcript["messages"][0]["content"]) % FAILS != 0)
        return Score(reward, {"DB": reward})


def step(asked):
    """Do one step, which ends this process by itself."""

    def open_results(root, env):
        return Results(open_store(root, env), asked["patience"], longest_pause=1.0)

    build_app(lambda name: Scripted(), open_results)([asked["step"]])
    return BROKEN


if __name__ == "__main__":
    for name in LATE:
        importlib.import_module(name)
    serve(step, hello={"ready": True})
