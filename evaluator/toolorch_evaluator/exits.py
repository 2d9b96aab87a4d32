"""Ends of a step that its caller must understand: exit code, reason and one sentence, where Kubernetes reads it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from toolorch_api.shard import ExitCode

# What Kubernetes reads of a termination log, from its end: of a longer one it would see no beginning.
MAX_WORD_BYTES = 4096


class StepError(Exception):
    """A step cannot go on; `reason` is CamelCase and stable, `message` one sentence for the user."""

    code = ExitCode.INFRA

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class BadInputError(StepError):
    """The spec, the dataset or the pod's input cannot work; trying again is of no use."""

    code = ExitCode.BAD_INPUT


class StorageError(StepError):
    """Storage refuses, or stayed away for longer than anyone should wait."""

    code = ExitCode.INFRA


def leave(code: int) -> NoReturn:
    """End the process with a code, past the interpreter's own teardown.

    obstore's threads still let go of Python objects when the last answer is long there; one that does so while the
    interpreter is torn down aborts the process (SIGABRT), and a finished step would look like a crash.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


def leave_word(error: StepError, termination_log: Path) -> None:
    """Write reason and message as JSON to stderr and to the termination log, where that can be written."""
    message = error.message[:MAX_WORD_BYTES]
    while len(text := _word(error.reason, message)) > MAX_WORD_BYTES:
        message = message[: -max(1, (len(text) - MAX_WORD_BYTES) // 6)]  # "\u0000" is the longest of characters
    print(text.decode(errors="replace"), file=sys.stderr, flush=True)
    try:
        termination_log.write_bytes(text)
    except OSError:
        return  # no pod around us: stderr has it


def _word(reason: str, message: str) -> bytes:
    return json.dumps({"reason": reason, "message": message}, ensure_ascii=False).encode(errors="replace")
