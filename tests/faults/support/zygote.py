"""Has the operator imported once and forks a process for each that is to run; a program of its own.

It speaks as `forks` says; a line that asks has "tune" too: {"environ": {...}, "tune": {...}, "log": "path"}.
"""

import dataclasses
import os

# What the operator imports only when it first needs it; each of its processes would do so again.
import anyio._backends._asyncio  # noqa: F401
import httpcore  # noqa: F401
from forks import serve

from toolorch_operator import __main__ as operator


def operate(asked):
    """Be an operator, and return its exit code."""
    os.setsid()
    try:
        operator.main(lambda settings: tune(settings, asked["tune"]))
    except SystemExit as end:
        return end.code or 0
    raise AssertionError("an operator ends by its exit code")


def tune(settings, changes):
    """Return settings with some fields changed; those of `defaults` one by one."""
    defaults = dataclasses.replace(settings.defaults, **changes.pop("defaults", {}))
    return dataclasses.replace(settings, defaults=defaults, **changes)


if __name__ == "__main__":
    serve(operate)
