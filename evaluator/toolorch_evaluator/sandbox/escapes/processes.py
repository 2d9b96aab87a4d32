"""Attempts on other processes, and to become more than one. PURE."""

from __future__ import annotations

from toolorch_evaluator.sandbox.escapes.escape import Escape
from toolorch_evaluator.sandbox.terms import Layer

_CALLS = (Layer.SECCOMP,)
_ALL = (Layer.SECCOMP, Layer.LANDLOCK, Layer.CAPABILITIES)

ESCAPES = (
    Escape(
        "fork without end",
        "seccomp",
        """
        for children in range(40):
            if os.fork() == 0:
                time.sleep(600)
        escaped_if(True)
        """,
        _CALLS,
    ),
    Escape(
        "outlive the run in a session of its own",
        "seccomp",
        """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                escaped_if(os.getsid(0) != os.getpid())
                time.sleep(600)
            os._exit(0)
        os.wait()
        time.sleep(0.2)
        """,
        _CALLS,
    ),
    Escape(
        "fork by the newest call",
        "seccomp",
        """
        arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
        child = call(435, arguments, 88)
        if child == 0:
            os._exit(0)
        escaped_if(child > 0)
        """,
        _CALLS,
    ),
    Escape(
        "start too many threads",
        "the keeper",
        """
        import threading
        threading.stack_size(65536)
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(1.2,), daemon=True).start()
        time.sleep(1)
        escaped_if(True)
        """,
        loosen={"threads": 200},
    ),
    Escape("signal the evaluator", "seccomp, landlock", "os.kill(PARENT, 0); escaped_if(True)", _ALL),
    Escape("signal its keeper", "seccomp, landlock", "os.kill(os.getppid(), 0); escaped_if(True)", _ALL),
    Escape(
        "have a pipe signal the evaluator",
        "seccomp",
        """
        import fcntl
        fcntl.fcntl(os.pipe()[0], 8, PARENT)
        escaped_if(True)
        """,
        _ALL,
    ),
    Escape(
        "trace its keeper",
        "seccomp, landlock",
        'escaped_if(call("ptrace", 0x4206, os.getppid(), None, None) == 0)',
        _ALL,
        needs="yama",
    ),
    Escape(
        "read its keeper's memory",
        "seccomp, landlock",
        """
        found = ctypes.create_string_buffer(8)
        here = (ctypes.c_size_t * 2)(ctypes.addressof(found), 8)
        there = (ctypes.c_size_t * 2)(ctypes.cast(libc.getpid, ctypes.c_void_p).value, 8)
        escaped_if(call("process_vm_readv", os.getppid(), here, 1, there, 1, 0) == 8)
        """,
        _ALL,
        needs="yama",
    ),
    Escape(
        "read the evaluator's limits",
        "seccomp",
        "import resource; escaped_if(resource.prlimit(PARENT, resource.RLIMIT_CORE))",
        _ALL,
    ),
    Escape(
        "move the evaluator to one core",
        "seccomp",
        "os.sched_setaffinity(PARENT, os.sched_getaffinity(PARENT)); escaped_if(True)",
        _ALL,
    ),
    Escape(
        "execute a shell",
        "seccomp, landlock",
        'os.execv("/bin/sh", ["sh", "-c", "echo ESCAPED"])',
        (Layer.SECCOMP, Layer.LANDLOCK),
    ),
    Escape(
        "execute a program that only memory holds",
        "seccomp, landlock",
        """
        program = os.memfd_create("p", 0)
        os.write(program, open("/bin/echo", "rb").read())
        os.execve(program, ["echo", "ESCAPED"], {})
        """,
        (Layer.SECCOMP, Layer.LANDLOCK),
    ),
    Escape(
        "survive its keeper",
        "seccomp",
        "escaped_if(libc.prctl(1, 0, 0, 0, 0) == 0)",
        _CALLS,
    ),
)
