"""Runs the command that fetches a model into the cache and tells how far it is: `fetch.py MODEL REVISION -- COMMAND …`.

It stands alone (standard library, Python 3.8 and newer), since pods mount it from a ConfigMap and run it with their
image's own Python. It passes the command's output on, prints a line of JSON every few seconds, and leaves a report in
the file that TOOLORCH_TERMINATION_LOG names.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from typing import Any

REPORT_BYTES = 4096  # what the kubelet reads of a termination message
TICK_SECONDS = 5.0  # a model takes minutes; nobody looks more often
LAST_LINES = 20  # of a failed command's output, for the report; the cause stands at the end
NO_COMMAND = 127  # a shell's exit code for a command that is not there
SECRET_NAME = re.compile("TOKEN|KEY|SECRET|PASS", re.IGNORECASE)  # variables whose values belong in no report
COMMIT = re.compile(r"[0-9a-f]{40,64}")
COLOR = re.compile(r"\x1b\[[0-9;]*m")
SHORTEST_SECRET = 6  # a shorter value, such as "1" or "true", would blank ordinary words
INDEX = "model.safetensors.index.json"


class Cache:
    """The folder of one model in the hub's cache layout."""

    def __init__(self, model: str, revision: str, environ: dict[str, str]) -> None:
        home = environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
        hub = environ.get("HF_HUB_CACHE") or os.path.join(home, "hub")
        self.folder = os.path.join(hub, "models--" + model.replace("/", "--"))
        self.revision = revision

    def size(self) -> int:
        """Return the bytes that are there, unfinished files included; links to them do not count twice."""
        total = 0
        for folder, _, names in os.walk(self.folder):
            for path in (os.path.join(folder, name) for name in names):
                with contextlib.suppress(OSError):  # an unfinished file gets its last name at any time
                    total += 0 if os.path.islink(path) else os.stat(path).st_size
        return total

    def weights(self) -> int | None:
        """Return the bytes of the revision's weights, as its index lists them; None where it has no safetensors."""
        snapshot = os.path.join(self.folder, "snapshots", self._commit())
        try:
            with open(os.path.join(snapshot, INDEX)) as file:
                names = set(json.load(file)["weight_map"].values())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            names = {n for n in self._names(snapshot) if n.endswith(".safetensors") and "consolidated" not in n}
        paths = [os.path.join(snapshot, name) for name in names]
        sizes = [os.stat(path).st_size for path in paths if os.path.isfile(path)]
        return sum(sizes) if sizes else None

    def commit(self) -> str | None:
        """Return the commit that the revision names, as the hub's own command keeps it; None where none is there."""
        commit = self._commit()
        is_there = COMMIT.fullmatch(commit) and os.path.isdir(os.path.join(self.folder, "snapshots", commit))
        return commit if is_there else None

    def _commit(self) -> str:
        try:
            with open(os.path.join(self.folder, "refs", self.revision)) as file:
                return file.read().strip()
        except OSError:
            return self.revision

    @staticmethod
    def _names(folder: str) -> list[str]:
        try:
            return os.listdir(folder)
        except OSError:
            return []


class Fetch:
    """The command while it runs: what it printed last, and how many bytes there will be."""

    def __init__(self, command: list[str]) -> None:
        self.lines: collections.deque[str] = collections.deque(maxlen=LAST_LINES)
        self.total: int | None = None
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda caught, _frame: self.child.send_signal(caught))
        self.reader = threading.Thread(target=self._carry, daemon=True)
        self.reader.start()

    def ask_total(self, model: str, revision: str) -> None:
        """Ask the hub, through the library that its own command is made with, for the size of all files."""
        with contextlib.suppress(Exception):  # a total is a comfort: no trouble with it may touch the fetch
            hub: Any = importlib.import_module("huggingface_hub")
            files = hub.HfApi().model_info(model, revision=revision, files_metadata=True).siblings
            self.total = sum(file.size for file in files)

    def _carry(self) -> None:
        for raw in self.child.stdout or ():
            line = raw.decode("utf-8", "replace").rstrip()
            self.lines.append(line.rpartition("\r")[2])
            say(line)

    def wait(self, cache: Cache, tick_seconds: float) -> int:
        """Wait for the command's end and tell the progress meanwhile; return its exit code."""
        while True:
            try:
                code = self.child.wait(tick_seconds)
            except subprocess.TimeoutExpired:
                self.tell(cache.size())
                continue
            self.reader.join(tick_seconds)  # what a grandchild keeps open must not hold the end back
            self.tell(cache.size())
            return code if code >= 0 else 128 - code

    def tell(self, done: int) -> None:
        """Print how far it is; files of another revision in the same folder are no progress."""
        say(json.dumps({"done": done if self.total is None else min(done, self.total), "total": self.total}))


def say(line: str) -> None:
    """Print one line at once, whole, whichever thread prints it."""
    with contextlib.suppress(OSError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def clean(text: str, environ: dict[str, str]) -> str:
    """Return a text without colours, and without the values of variables that are named like secrets."""
    text = COLOR.sub("", text)
    for name, value in environ.items():
        if SECRET_NAME.search(name) and len(value) >= SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text


def write_report(path: str, report: dict[str, Any]) -> None:
    """Leave the report where the kubelet looks for it; of a long message the end stays, which tells the cause."""
    while len(json.dumps(report)) > REPORT_BYTES:
        report["msg"] = report["msg"][len(report["msg"]) // 4 + 1 :]
    with contextlib.suppress(OSError), open(path, "w") as file:
        file.write(json.dumps(report))


def main(model: str, revision: str, command: list[str], tick_seconds: float = TICK_SECONDS) -> int:
    """Fetch a model; return the command's exit code."""
    environ = dict(os.environ)
    cache = Cache(model, revision, environ)
    try:
        fetch = Fetch(command)
    except OSError as error:
        code, message = NO_COMMAND, f"cannot run {command[0]}: {error}"
        say(message)
    else:
        if os.path.basename(command[0]) == "hf":
            threading.Thread(target=fetch.ask_total, args=(model, revision), daemon=True).start()
        code, message = fetch.wait(cache, tick_seconds), "\n".join(fetch.lines)
    report: dict[str, Any] = {"v": 1, "done": cache.size(), "weights": cache.weights()}
    commit = cache.commit()
    if commit is not None:
        report["commit"] = commit
    if code:
        report["msg"] = clean(message, environ)
    write_report(environ.get("TOOLORCH_TERMINATION_LOG", "/dev/termination-log"), report)
    return code


if __name__ == "__main__":
    usage = "usage: fetch.py MODEL REVISION -- COMMAND …"
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[4:]) if sys.argv[3:4] == ["--"] and sys.argv[4:] else usage)
