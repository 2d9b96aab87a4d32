"""Forks a process for each line of the input: what a program has imported, its children need not.

Each line asks for one: {"environ": {...}, "log": "path", ...}. Each line of the output is about one: {"pid": 1} in the
order in which they were asked for, and {"pid": 1, "code": 0} as they end.
"""

import gc
import json
import os
import random
import selectors
import signal
import sys

from programs import die_with_parent

BROKEN = 70
"""Exit code of a process whose work raised, or did not end it."""


def serve(work, hello=None):
    """Fork until the input ends; `work(asked)` returns a process's exit code, `hello` is the output's first line."""
    # What is imported is nobody's garbage: a process that looks through it writes to its pages, and makes them its own.
    gc.freeze()
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    watched = selectors.DefaultSelector()
    watched.register(0, selectors.EVENT_READ)
    watched.register(reading, selectors.EVENT_READ)
    text = b""
    if hello:
        say(**hello)
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
                say(pid=fork(work, json.loads(line), (reading, writing)))


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


def fork(work, asked, own):
    """Fork one process and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = BROKEN
    try:
        become(asked, own)
        code = work(asked)
    except BaseException:  # noqa: BLE001 - whatever it was, it must never go on as a second server of forks
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


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
