"""Programs of the ground: each ends with us, however we end."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess

PR_SET_PDEATHSIG = 1
"""Linux: which signal a process gets when the one that started it ends, killed or not."""
END_SECONDS = 60
"""Seconds that a killed program may take to be gone: the kernel has its memory to give back, and others to serve."""

libc = ctypes.CDLL(None)


def die_with_parent():
    """Have this process killed when the one that started it ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def find_free_ports(count):
    """Return ports of the loopback that nothing listens on."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [opened.getsockname()[1] for opened in sockets]


class Program:
    """A program that runs in a session of its own, so that Ctrl-C reaches us alone; what it says goes to a log."""

    def __init__(self, command, log, environ=None):
        self.name = os.path.basename(command[0])
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(environ or {})},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    @property
    def pid(self):
        return self._process.pid

    def check(self):
        """Fail where it has ended by itself."""
        code = self._process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.log.read_text()[-2000:]}"

    def kill(self):
        """End it on the spot and wait until it is gone."""
        self._process.kill()
        self._process.wait(timeout=END_SECONDS)
