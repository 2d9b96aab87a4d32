"""Has the operator imported once and forks a process for each that is to run; a program of its own.

Each line of its input asks for one: {"environ": {...}, "tune": {...}, "log": "path"}. Each line of its output is about
one: {"pid": 1} in the order in which they were asked for, and {"pid": 1, "code": 0} as they end.
"""

import dataclasses
import gc
import json
import os
import random
import selectors
import signal
import sys

# What the operator imports only when it first needs it; each of its processes would do so again.
import anyio._backends._asyncio  # noqa: F401
import httpcore  # noqa: F401
from programs import die_with_parent

from toolorch_operator import __main__ as operator


def main():
    """Fork until the input ends."""
    # What is imported is nobody's garbage; the processes need not look through it, and share its pages.
    gc.freeze()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched = selectors.DefaultSelector()
    watched.register(0, selectors.EVENT_READ)
    watched.register(reading, selectors.EVENT_READ)
    text = b""
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
    """Fork one operator and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        become(asked, own)
        operator.main(lambda settings: tune(settings, asked["tune"]))
    except SystemExit as end:
        code = end.code or 0
    except BaseException:  # noqa: BLE001 - whatever it was, it must never go on as a second zygote
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def become(asked, own):
    """Leave behind what is the zygote's: signals, files, environment, chance."""
    die_with_parent()
    os.setsid()
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


def tune(settings, changes):
    """Return settings with some fields changed; those of `defaults` one by one."""
    defaults = dataclasses.replace(settings.defaults, **changes.pop("defaults", {}))
    return dataclasses.replace(settings, defaults=defaults, **changes)


if __name__ == "__main__":
    main()
