"""One replica of a pool as a local server under the launcher, seen as the pod that it would be in a cluster."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolorch_api.shard import ENV_TERMINATION_LOG
from toolorch_evaluator.cli.children import Child, Children
from toolorch_evaluator.cli.gpus import VISIBLE
from toolorch_evaluator.cli.notes import KeptServer
from toolorch_operator.modelpool.pods import ANNOTATION_SPEC, ANNOTATION_TEMPLATE, PodView, Termination

HOST = "127.0.0.1"
# A pod remembers its present and its last end; so does the brain.
_REMEMBERED_ENDS = 2
# As the kubelet: the pause before a restart doubles. It starts lower, since somebody waits at a terminal.
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 30.0


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Ground:
    """What all replicas stand on."""

    children: Children
    launcher: Path
    """The operator's launcher.py."""
    scratch: Path
    """Folder for termination messages."""
    node: str = field(default_factory=socket.gethostname)


class Replica:
    """A server, started, watched and replaced; `command` changes make a new pod, crashes restart the old one."""

    def __init__(
        self, name: str, log: Path, gpus: Sequence[str], environment: Mapping[str, str], ground: Ground
    ) -> None:
        self.name = name
        self.log = log
        self.port = free_port()
        self.healthy = False
        self.command: tuple[str, ...] = ()
        self.started_at = 0.0
        self.has_served = False
        self.failed_starts = 0
        self.restarts = 0
        self._gpus = gpus
        self._environment = environment
        self._ground = ground
        self._child: Child | KeptServer | None = None
        self._serial = 0
        self._annotations: Mapping[str, str] = {}
        self._ends: tuple[Termination, ...] = ()
        self._backed_off_at = 0.0

    @property
    def url(self) -> str:
        """OpenAI base URL."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def is_running(self) -> bool:
        """Whether its server is there; it may have ended without anybody having looked."""
        return self._child is not None

    @property
    def identity(self) -> str:
        """Names this one start of the server."""
        return f"{self._serial}/{self.restarts}"

    @property
    def is_reused(self) -> bool:
        """Whether an earlier command started its server."""
        return isinstance(self._child, KeptServer)

    @property
    def has_gpus(self) -> bool:
        """Whether GPUs were allotted to it."""
        return bool(self._gpus)

    @property
    def template(self) -> str:
        """Hash of the template that its pod was made from; empty: it has no pod."""
        return self._annotations.get(ANNOTATION_TEMPLATE, "")

    @property
    def may_start(self) -> bool:
        """Whether the pause after the last end is over."""
        return self._child is None and time.monotonic() >= self._backed_off_at

    async def start(self, command: Sequence[str], annotations: Mapping[str, str]) -> None:
        """Start the server; `annotations` are those of the pod template, and another template means a new pod."""
        self.has_served = False
        if annotations != self._annotations:
            self.command, self._annotations, self.restarts, self.failed_starts = tuple(command), annotations, 0, 0
            self._serial += 1
        elif self._ends:
            self.restarts += 1
        self._word().unlink(missing_ok=True)
        launcher = [sys.executable, "-I", str(self._ground.launcher), "--"]
        environment = {**self._environment, ENV_TERMINATION_LOG: str(self._word())}
        if self._gpus:
            environment[VISIBLE] = ",".join(self._gpus)
        self.started_at = time.monotonic()
        self._child = await self._ground.children.start([*launcher, *command], environment, self.log)

    def take_over(self, server: KeptServer, command: Sequence[str], annotations: Mapping[str, str]) -> None:
        """Have a server in its place that runs already, as if it had been started so."""
        self._annotations, self.port = annotations, server.note.port
        self.command, self._child, self.has_served, self.healthy = tuple(command), server, True, True
        self.started_at = time.monotonic()
        self._serial += 1

    def let_go(self) -> tuple[int, list[str]] | None:
        """Let its server run on when the command ends; return pid and GPUs, None where there is none that serves."""
        child = self._child
        if not isinstance(child, Child) or not self.healthy or child.has_ended:
            return None
        self._ground.children.release(child)
        return child.group, list(self._gpus)

    async def look(self) -> bool:
        """Notice the server's end; True where it has just ended."""
        if self._child is None or not self._child.has_ended:
            return False
        if isinstance(self._child, KeptServer):
            self._child, self.healthy = None, False
            return True
        code = await self._ground.children.wait(self._child)
        message = self._word().read_text(errors="replace") if self._word().exists() else ""
        end = Termination(self.restarts, code, "Completed" if code == 0 else "Error", message)
        self._ends = (*self._ends, end)[-_REMEMBERED_ENDS:]
        self._child, self.healthy = None, False
        self.failed_starts = 0 if self.has_served else self.failed_starts + 1
        pause = min(_FIRST_PAUSE_SECONDS * 2**self.restarts, _LONGEST_PAUSE_SECONDS)
        self._backed_off_at = time.monotonic() + pause
        return True

    async def stop(self) -> None:
        """Stop the server, if it runs: its pod goes."""
        self._annotations, self._ends, self._backed_off_at = {}, (), 0.0
        if isinstance(self._child, KeptServer):
            await self._child.stop()
        elif self._child is not None:
            await self._ground.children.stop(self._child)
        self._child, self.healthy = None, False

    def end(self) -> None:
        """Ask a server that does not come up to end, as the kubelet does; `look` notices it."""
        if self._child is not None and not self._child.has_ended:
            self._child.terminate()

    def view(self) -> PodView | None:
        """Show the server as a pod; None where it was never started, or was stopped."""
        if not self._annotations:
            return None
        crashed = self._child is None and bool(self._ends)
        return PodView(
            name=f"{self.name}-{self._serial}",
            uid=f"{self.name}-{self._serial}",
            instance=self.name,
            created=f"{self._serial:08d}",
            node=self._ground.node,
            ip=HOST,
            phase="Running",
            ready=self.healthy,
            restart_count=self.restarts,
            waiting_reason="CrashLoopBackOff" if crashed else "",
            terminations=self._ends,
            command=self.command,
            spec_hash=self._annotations.get(ANNOTATION_SPEC, ""),
            template=self.template,
        )

    def _word(self) -> Path:
        return self._ground.scratch / f"{self.name}.end"
