"""Where small operators show what plans and oracles find: one EvalRun whose spec changes once, on the ground."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from arena import Outcome, play
from chronicle import Chronicle
from fault_plan import FaultPlan
from oracles import judge, learn
from programs import die_with_parent
from proxy import Proxy
from stage import Absences, Stage
from supervisor import Supervisor
from tracing import Trace
from workloads import Workload, run_spec

PROGRAM = Path(__file__).with_name("wrong_operators.py")
PATIENCE = 60
"""Seconds for what takes one, and longer where the machine is everybody's."""
REQUESTS = 20
"""Requests of a look for quiet on an idle machine: who learnt on a busy one has seen fewer."""
AT_ONCE = 16
"""Plans at a time: they mostly wait."""


class SmallLife:
    """One process of a small operator, as a Supervisor wants it."""

    def __init__(self, process, log):
        self._process, self._log = process, log
        self.agent = f"small-{process.pid}"

    def kill(self):
        """Kill it on the spot."""
        self._send(signal.SIGKILL)

    def terminate(self):
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def _send(self, number):
        # Not by the process itself: that would take its exit code from who waits for it.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    @property
    def runs(self):
        """Whether it has not ended."""
        return self._process.returncode is None

    async def wait(self, seconds=PATIENCE):
        """Return its exit code."""
        return await asyncio.wait_for(self._process.wait(), seconds)

    async def started(self):
        """Tell that it runs: whatever it misses is for it to find."""
        return True

    def lines(self):
        """Return what it said: nothing, unless it broke."""
        return [{"event": line} for line in self._log.read_text().splitlines()]


def repeat_shards(patience):
    """Return how to have a run repeated, and to change it once, which may take so many seconds."""

    async def play(stage):
        await stage.create("EvalRun", "run", run_spec(shards=1))
        await stage.story.until(lambda: repeats(stage.story, "1"), PATIENCE, "a run that is repeated")
        async with stage.change():
            await stage.patch("EvalRun", "run", {"shards": 2})
        await stage.story.until(lambda: repeats(stage.story, "2"), patience, "a change that is repeated")

    return play


def has_looked(life, trace):
    """Tell whether a life has taken all that it finds: it watches then."""
    return life.runs and any(record.verb == "watch" and record.agent == life.agent for record in trace.records)


def repeats(story, shards):
    """Tell whether a run's shards are repeated, and its status says so."""
    run, echo = story.find("EvalRun", "run") or {}, story.find("ConfigMap", "run-echo") or {}
    is_said = run.get("status", {}).get("reason") == f"Echoed{shards}"
    return is_said and echo.get("data", {}).get("shards") == shards


class SmallWorld:
    """Plays plans with small operators, some at a time."""

    def __init__(self, ground, folder):
        self._ground, self._folder = ground, folder
        self._numbers = itertools.count(1)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self):
        self._chronicle = await Chronicle(self._ground.session).__aenter__()
        return self

    async def __aexit__(self, *_):
        await self._chronicle.__aexit__()

    async def learn(self, habit, patience):
        """Return what an operator of some habit comes to without faults, and what oracles say of that."""
        plan = FaultPlan("none", "small")
        outcome = await self.play(habit, plan, patience)
        reference = learn([outcome])
        reference.requests = max(reference.requests, REQUESTS)
        return reference, judge(plan, reference, outcome)

    async def judge(self, habit, plan, reference, patience):
        """Return the violations of a plan; it must have done its faults."""
        outcome = await self.play(habit, plan, patience)
        assert outcome.fired, f"{plan.faults} never happened to {habit}"
        return judge(plan, reference, outcome)

    async def play(self, habit, plan, patience):
        """Return the outcome of a plan with an operator of some habit, which has so many seconds for a change."""
        async with self._turns:
            return await self._play(habit, plan, patience)

    async def _play(self, habit, plan, patience):
        namespace = f"small{next(self._numbers)}"
        await self._ground.make_namespace(namespace)
        story, trace = self._chronicle.open(namespace), Trace()
        outcome = Outcome(plan.workload, story, trace, self._folder)
        supervisor = Supervisor(lambda: self._start(habit, proxy.url, namespace))
        proxy = Proxy(self._ground, namespace, plan, supervisor.kill, trace)

        def is_end(_):
            return has_looked(supervisor.lives[-1], trace)

        try:
            async with proxy:
                await supervisor.begin()
                stage = Stage(self._ground, story, None, None, Absences(plan, supervisor, trace), patience)
                await play(Workload("small", repeat_shards(patience)), stage, outcome, is_end)
                outcome.fired = [*proxy.fired, *stage.absences.fired]
                outcome.codes = [*supervisor.codes, await supervisor.end(in_order=True)]
                outcome.logs = [line for life in supervisor.lives for line in life.lines()]
        finally:
            self._chronicle.close(namespace)
        return outcome

    async def _start(self, habit, url, namespace):
        log = self._folder / f"{namespace}.log"
        with log.open("a") as said:
            words = (sys.executable, "-S", PROGRAM, url, habit)
            process = await asyncio.create_subprocess_exec(
                *words, stdout=said, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
            )
        return SmallLife(process, log)
