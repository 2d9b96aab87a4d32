"""`toolorch-evaluator` over a scripted benchmark, imported once and forked for each step that is to run.

Its first line says that it is ready. Each line of its input asks for a step:
{"step": "shard", "environ": {...}, "log": "path", "patience": 15}. Each further line of its output is about one:
{"pid": 1} in the order in which they were asked for, and {"pid": 1, "code": 0} as they end.
"""

import gc
import importlib
import json
import os
import random
import selectors
import signal
import sys

from programs import die_with_parent

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


def main():
    """Fork until the input ends; the rest ends with this process."""
    for name in LATE:
        importlib.import_module(name)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched = selectors.DefaultSelector()
    watched.register(0, selectors.EVENT_READ)
    watched.register(reading, selectors.EVENT_READ)
    text = b""
    # A process that looks for garbage writes to all that it shares, and makes it its own.
    gc.freeze()
    say(ready=True)
    while True:
        for key, _ in watched.select():
            got = os.read(key.fd, 1 << 16)
            if key.fd == reading:
                report_ended()
                continue
            if not got:
                return
            *lines, text = (text + got).split(b"\n")
            for line in lines:
                say(pid=fork(json.loads(line), (reading, writing)))


def report_ended():
    """Say of each process that ended how it did."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        say(pid=pid, code=os.waitstatus_to_exitcode(status))


def say(**line):
    os.write(1, json.dumps(line).encode() + b"\n")


def fork(asked, own):
    """Fork one step and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        become(asked, own)

        def open_results(root, env):
            return Results(open_store(root, env), asked["patience"], longest_pause=1.0)

        build_app(lambda name: Scripted(), open_results)([asked["step"]])
    except BaseException:  # noqa: BLE001 - whatever it was, it must never go on as a second server of forks
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(70)


def become(asked, own):
    """Leave behind what is the parent's: signals, files, environment, chance."""
    die_with_parent()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log, nothing = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    for number in (*own, log, nothing):
        os.close(number)
    os.environ.clear()
    os.environ.update(asked["environ"])
    random.seed()


if __name__ == "__main__":
    main()
