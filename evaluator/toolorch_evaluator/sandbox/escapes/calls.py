"""Attempts on the network and on the kernel itself. PURE."""

from __future__ import annotations

from toolorch_evaluator.sandbox.escapes.escape import Escape
from toolorch_evaluator.sandbox.terms import Layer

_CALLS = (Layer.SECCOMP,)
_WITHOUT_RIGHTS = (Layer.SECCOMP, Layer.CAPABILITIES, Layer.LANDLOCK)


def _socket(family: str, kind: str) -> str:
    return f"import socket; socket.socket(socket.{family}, socket.{kind}).close(); escaped_if(True)"


ESCAPES = (
    Escape("open an internet socket", "seccomp", _socket("AF_INET", "SOCK_STREAM"), _CALLS),
    Escape("open a datagram socket", "seccomp", _socket("AF_INET6", "SOCK_DGRAM"), _CALLS),
    Escape("open a local socket", "seccomp", _socket("AF_UNIX", "SOCK_STREAM"), _CALLS),
    Escape("open a netlink socket", "seccomp", _socket("AF_NETLINK", "SOCK_RAW"), _CALLS),
    Escape(
        "connect to a server of this machine",
        "seccomp, landlock",
        'import socket; socket.create_connection(("127.0.0.1", PORT), 5).close(); escaped_if(True)',
        (Layer.SECCOMP, Layer.LANDLOCK),
    ),
    Escape("become another user", "seccomp", "os.setresuid(-1, -1, -1); escaped_if(True)", _CALLS),
    Escape("enter a new user namespace", "seccomp", 'escaped_if(call("unshare", 0x10000000) == 0)', _CALLS),
    Escape(
        "clone into a new namespace",
        "seccomp",
        """
        child = call("clone", 0x10000000 | 17, 0, 0, 0, 0)
        if child == 0:
            os._exit(0)
        escaped_if(child > 0)
        """,
        _CALLS,
    ),
    Escape(
        "mount a file system",
        "seccomp",
        'escaped_if(call("mount", b"none", os.fsencode(OUTSIDE), b"tmpfs", 0, None) == 0)\n'
        'call("umount2", os.fsencode(OUTSIDE), 2)',
        _WITHOUT_RIGHTS,
        needs="root",
    ),
    Escape("change the root folder", "seccomp", 'escaped_if(call("chroot", b"/") == 0)', _WITHOUT_RIGHTS, needs="root"),
    Escape("use the kernel's keys", "seccomp", 'escaped_if(call("keyctl", 0, -2, 1) > 0)', _CALLS),
    Escape(
        "make calls through a ring",
        "seccomp",
        'escaped_if(call("io_uring_setup", 1, (ctypes.c_uint8 * 120)()) > 0)',
        (Layer.SECCOMP, Layer.RLIMITS),
    ),
    Escape("handle its own page faults", "seccomp", 'escaped_if(call("userfaultfd", 1) > 0)', _CALLS),
    Escape(
        "load a program into the kernel",
        "seccomp",
        'escaped_if(call("bpf", 0, (ctypes.c_uint32 * 18)(2, 4, 4, 1), 72) > 0)',
        _WITHOUT_RIGHTS,
        needs="root",
    ),
    Escape("change how memory is laid out", "seccomp", 'escaped_if(call("personality", 0x0040000) >= 0)', _CALLS),
    Escape(
        "keep memory in the kernel",
        "seccomp",
        'number = call("shmget", 0, 4096, 0o1600); call("shmctl", number, 0, None); escaped_if(number >= 0)',
        _CALLS,
    ),
    Escape(
        "call by the 32-bit numbers",
        "seccomp",
        """
        import mmap
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex("53 b8 14 00 00 00 cd 80 5b c3"))  # getpid there, by int 0x80
        function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
        escaped_if(function() == os.getpid())
        """,
        _CALLS,
        machines=("x86_64",),
    ),
    Escape(
        "call by the x32 numbers",
        "seccomp",
        "escaped_if(call(0x40000000 + 39) == os.getpid())",
        machines=("x86_64",),
    ),
    Escape(
        "replace the filter",
        "seccomp",
        """
        allow_all = (ctypes.c_uint64 * 1)(0x7FFF000000000006)
        header = (ctypes.c_size_t * 2)(1, ctypes.addressof(allow_all))
        call("seccomp", 1, 0, header)
        import socket
        socket.socket().close()
        escaped_if(True)
        """,
        _CALLS,
    ),
)
