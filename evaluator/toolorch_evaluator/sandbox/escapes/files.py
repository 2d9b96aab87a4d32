"""Attempts on files: of the evaluator, of the pod, of Python, and the own process through /proc. PURE."""

from __future__ import annotations

from toolorch_evaluator.sandbox.escapes.escape import Escape
from toolorch_evaluator.sandbox.terms import Layer

_FILES = (Layer.LANDLOCK,)
_FILES_AND_CALLS = (Layer.LANDLOCK, Layer.SECCOMP)

ESCAPES = (
    Escape(
        "read the evaluator's environment",
        "landlock",
        'escaped_if(open(f"/proc/{PARENT}/environ", "rb").read())',
        (Layer.LANDLOCK, Layer.CAPABILITIES),
    ),
    Escape(
        "read the service account's token",
        "landlock",
        'escaped_if(open("/var/run/secrets/kubernetes.io/serviceaccount/token").read())',
    ),
    Escape("read a file of the evaluator", "landlock", "escaped_if(open(SECRET).read())", _FILES),
    Escape("list a folder of the evaluator", "landlock", "escaped_if(os.listdir(OUTSIDE))", _FILES),
    Escape("read the users of the machine", "landlock", 'escaped_if(open("/etc/passwd").read())', _FILES),
    Escape(
        "write a file outside",
        "landlock",
        'open(OUTSIDE + "/new", "w").write("x"); escaped_if(os.path.exists(OUTSIDE + "/new"))',
        _FILES,
    ),
    Escape(
        "append to a file outside",
        "landlock",
        'open(SECRET, "a").write("more"); escaped_if(os.path.getsize(SECRET) > 6)',
        _FILES,
    ),
    Escape("delete a file outside", "landlock", "os.unlink(SECRET); escaped_if(not os.path.exists(SECRET))", _FILES),
    Escape(
        "empty a file outside by its name",
        "landlock, seccomp",
        "os.truncate(SECRET, 0); escaped_if(os.path.getsize(SECRET) == 0)",
        _FILES_AND_CALLS,
    ),
    Escape(
        "empty a file outside by opening it for reading",
        "landlock, seccomp",
        "os.open(SECRET, os.O_RDONLY | os.O_TRUNC); escaped_if(os.path.getsize(SECRET) == 0)",
        _FILES_AND_CALLS,
    ),
    Escape(
        "read through a symbolic link",
        "landlock",
        'os.symlink(SECRET, "link"); escaped_if(open("link").read())',
        _FILES,
    ),
    Escape("take a file in by a hard link", "landlock", 'os.link(SECRET, "l"); escaped_if(open("l").read())', _FILES),
    Escape("move a file in", "landlock", 'os.rename(SECRET, "moved"); escaped_if(open("moved").read())', _FILES),
    Escape(
        "open a file to everybody",
        "seccomp",
        "os.chmod(SECRET, 0o777); escaped_if(os.stat(SECRET).st_mode & 0o077)",
        (Layer.SECCOMP,),
    ),
    Escape(
        "make a program that runs as its owner",
        "seccomp",
        'open("p", "w").close(); os.chmod("p", 0o4755); escaped_if(os.stat("p").st_mode & 0o4000)',
        (Layer.SECCOMP,),
    ),
    Escape(
        "watch a folder for names",
        "seccomp",
        'escaped_if(call("inotify_add_watch", call("inotify_init1", 0), os.fsencode(OUTSIDE), 0x100) > 0)',
        (Layer.SECCOMP,),
    ),
    Escape(
        "rewrite its own memory through /proc",
        "landlock",
        """
        word = ctypes.create_string_buffer(b"before")
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(ctypes.addressof(word))
            memory.write(b"after!")
        escaped_if(word.value == b"after!")
        """,
        _FILES,
    ),
    Escape(
        "leave the folder by its descriptor",
        "landlock",
        'above = os.open("..", os.O_PATH); escaped_if(os.listdir(os.open(".", os.O_RDONLY, dir_fd=above)))',
        _FILES,
    ),
    Escape(
        "remove its own scratch folder",
        "landlock",
        'here = os.getcwd(); os.chdir("/"); os.rmdir(here); escaped_if(not os.path.exists(here))',
        _FILES,
    ),
)
