"""The keeper of one program: it starts the confined process, reads what it prints, and sees to its end. EDGE.

A program of its own (`python -I -S -c …`, nothing but the standard library): it takes an order as JSON on its standard
input and leaves a report as JSON on its standard output. SIGTERM ends it together with everything below it.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from toolorch_evaluator.sandbox import kernel
from toolorch_evaluator.sandbox.confine import Installed, confine, execute, reset_signals
from toolorch_evaluator.sandbox.watch import count_threads, end_descendants, measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from toolorch_evaluator.sandbox.confine import Order

# How often the keeper looks at what no limit of the kernel bounds: threads and the scratch folder's size.
_LOOK_SECONDS = 0.05
# An ending process closes its pipes a moment before it can be reaped.
_REAP_SECONDS = 0.002
_CHUNK = 65536


class Keeper:
    """One program's process and what it has printed so far."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.scratch: str = order["scratch"]
        self.started = time.monotonic()
        self.killed = ""
        self.layers: dict[str, str] = {}
        self.printed: dict[int, bytearray] = {}
        self.open: list[int] = []
        self.pid = 0
        self.reaped = False
        signal.signal(signal.SIGTERM, self._told_to_end)

    def run(self) -> dict[str, object]:
        """Run the program to its end; returns the report."""
        namespaces = self._enter_namespaces()
        out, err, setup = os.pipe(), os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            become_program(self.order, (out[1], err[1], setup[1]))
            raise SystemExit(0)
        for pipe in (out, err, setup):
            os.close(pipe[1])
        self.layers = {**namespaces, **json.loads(_read_all(setup[0]) or '{"setup": "the confined process broke"}')}
        self.open, self.printed = [out[0], err[0]], {out[0]: bytearray(), err[0]: bytearray()}
        status = self._follow()
        alone = end_descendants()
        self._drain()
        return self._report(status, alone, out[0], err[0])

    def _enter_namespaces(self) -> dict[str, str]:
        if "namespaces" not in self.order["layers"]:
            return {}
        try:
            kernel.enter_namespaces(self.scratch, self.order["scratch_bytes"], self.order["scratch_files"])
        except OSError as error:
            return {"namespaces": str(error)}
        kernel.die_with_parent(signal.SIGTERM)  # new credentials forget it
        return {"namespaces": ""}

    def _follow(self) -> int:
        """Read and watch until the process is reaped; returns its wait status."""
        poll = select.poll()
        for descriptor in self.open:
            os.set_blocking(descriptor, False)
            poll.register(descriptor, select.POLLIN)
        pause = _REAP_SECONDS
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.reaped = True
                return status
            if not self.open:
                pause = min(2 * pause, _LOOK_SECONDS)
            for descriptor, _ in poll.poll(1000 * self._patience(_LOOK_SECONDS if self.open else pause)):
                if not self._read(descriptor):
                    poll.unregister(descriptor)
                    self.open.remove(descriptor)
            self._judge()

    def _read(self, descriptor: int) -> bool:
        """Take what is there; False at the end of the stream."""
        try:
            chunk = os.read(descriptor, _CHUNK)
        except BlockingIOError:
            return True
        room = self.order["output_bytes"] - len(self.printed[descriptor])
        self.printed[descriptor] += chunk[:room]
        if len(chunk) > room:
            self._kill("output")
        return bool(chunk)

    def _drain(self) -> None:
        """Take what was printed just before the end."""
        for descriptor in self.open:
            while len(self.printed[descriptor]) < self.order["output_bytes"]:
                before = len(self.printed[descriptor])
                self._read(descriptor)
                if len(self.printed[descriptor]) == before:
                    break

    def _left(self) -> float:
        return float(self.started + self.order["wall_seconds"] - time.monotonic())

    def _patience(self, pause: float) -> float:
        return pause if self.killed else max(0.0, min(pause, self._left()))

    def _judge(self) -> None:
        if self.killed:
            return
        if self._left() <= 0:
            self._kill("timeout")
        elif count_threads(self.pid) > self.order["threads"]:
            self._kill("it has too many threads")
        else:
            bounds = self.order["scratch_bytes"], self.order["scratch_files"]
            self._kill(measure(self.scratch, self.pid, *bounds))

    def _kill(self, why: str) -> None:
        if not why or self.killed:
            return
        self.killed = why
        if not self.reaped:
            os.kill(self.pid, signal.SIGKILL)

    def _told_to_end(self, number: int, frame: object) -> None:
        if not self.pid:
            raise SystemExit(128 + number)
        self._kill("told to end")

    def _report(self, status: int, alone: bool, out: int, err: int) -> dict[str, object]:
        used = os.times()
        return {
            "layers": self.layers,
            "landlock_version": _landlock_version(),
            "status": os.waitstatus_to_exitcode(status),
            "killed": self.killed,
            "alone": alone,
            "wall_seconds": time.monotonic() - self.started,
            "cpu_seconds": used.children_user + used.children_system,
            "stdout": self.printed[out].decode(errors="replace"),
            "stderr": self.printed[err].decode(errors="replace"),
        }


def become_program(order: Order, pipes: tuple[int, int, int]) -> None:
    """Confine this process and run the program; raises what the program raises."""
    kernel.die_with_parent(signal.SIGKILL)
    reset_signals()
    out, err, setup = pipes
    os.dup2(setup, 3)
    for place, descriptor in ((1, out), (2, err)):
        os.dup2(descriptor, place)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    layers = confine(order, order["scratch"])
    os.write(3, json.dumps(layers).encode())
    os.close(3)
    if any(layers.get(name) for name in order["required"]):
        raise SystemExit(1)
    installed = Installed(order["packages"], order["sites"])
    execute(order["program"], order["search"], installed, order["scratch"])


def _landlock_version() -> int:
    try:
        return kernel.landlock_version()
    except OSError:
        return 0


def _read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def main() -> None:
    """Take the order, run it, leave the report."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the evaluator starts with its own blocked
    kernel.die_with_parent(signal.SIGTERM)
    kernel.adopt_orphans()
    order = json.loads(sys.stdin.buffer.read())
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    sys.stdout.write(json.dumps(Keeper(order).run()))
    sys.stdout.flush()
    os._exit(0)  # there is nothing left to take down, and that would take as long as a short program
