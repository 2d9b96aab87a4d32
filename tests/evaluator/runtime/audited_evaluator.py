"""`toolorch-evaluator` over a benchmark that asks two roles; it writes down whom it connects to and looks up."""

import socket
import sys
from pathlib import Path

from scripted_evaluator import Scripted

from toolorch_evaluator.__main__ import build_app


class Both(Scripted):
    async def converse(self, unit, spec, ask):
        await ask("user", [{"role": "user", "content": unit.task_id}])
        return await super().converse(unit, spec, ask)


def watch(path):
    def note(event, arguments):
        if event == "socket.connect" and arguments[0].family != socket.AF_UNIX:
            tell(f"{arguments[1][0]}:{arguments[1][1]}")
        elif event in ("socket.getaddrinfo", "socket.sendto"):
            tell(f"{event} {arguments[:2]}")

    def tell(line):
        with Path(path).open("a") as file:
            file.write(line + "\n")

    sys.addaudithook(note)


if __name__ == "__main__":
    watch(sys.argv[1])
    build_app(lambda name: Both())(sys.argv[2:])
