"""Attempts to take more than a program's share: memory, disk, time, output. PURE."""

from __future__ import annotations

from toolorch_evaluator.sandbox.escapes.escape import Escape
from toolorch_evaluator.sandbox.terms import Layer

_MEGABYTE = 1 << 20

ESCAPES = (
    Escape(
        "fill the memory",
        "rlimits",
        "kept = bytearray(600 << 20); escaped_if(len(kept))",
        loosen={"memory_bytes": 1024 * _MEGABYTE},
    ),
    Escape(
        "raise its own limits",
        "rlimits",
        """
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
        escaped_if(True)
        """,
        (Layer.RLIMITS,),
    ),
    Escape(
        "fill the disk with one file",
        "rlimits",
        'open("large", "wb").write(bytes(3 << 20)); escaped_if(True)',
        loosen={"file_bytes": 8 * _MEGABYTE},
    ),
    Escape(
        "fill the disk with many files",
        "the keeper",
        """
        for number in range(12):
            open(str(number), "wb").write(bytes(1 << 20))
        time.sleep(1)
        escaped_if(True)
        """,
        loosen={"scratch_bytes": 32 * _MEGABYTE},
    ),
    Escape(
        "fill the disk with files that have no name",
        "the keeper",
        """
        kept = []
        for number in range(12):
            kept.append(open("f", "wb", buffering=0))
            kept[-1].write(bytes(1 << 20))
            os.unlink("f")
        time.sleep(1)
        escaped_if(True)
        """,
        loosen={"scratch_bytes": 32 * _MEGABYTE},
    ),
    Escape(
        "make too many files",
        "the keeper",
        """
        for number in range(300):
            open(str(number), "w").close()
        time.sleep(1)
        escaped_if(True)
        """,
        loosen={"scratch_files": 1000},
    ),
    Escape(
        "nest folders deeper than any path",
        "the keeper",
        """
        for _ in range(100):
            os.mkdir("d" * 200, 0o700)
            os.chdir("d" * 200)
        time.sleep(1)
        escaped_if(True)
        """,
    ),
    Escape(
        "sleep past the end",
        "the keeper",
        """
        import signal
        for number in set(range(1, 65)) - {9, 19, 32, 33}:
            signal.signal(number, signal.SIG_IGN)
        time.sleep(1.5)
        escaped_if(True)
        """,
        limits={"wall_seconds": 1.0},
        loosen={"wall_seconds": 30.0},
    ),
    Escape(
        "go on in silence",
        "the keeper",
        """
        kept = os.dup(1)
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        time.sleep(1.5)
        os.dup2(kept, 1)
        escaped_if(True)
        """,
        limits={"wall_seconds": 1.0},
        loosen={"wall_seconds": 30.0},
    ),
    Escape(
        "compute past the end",
        "rlimits",
        """
        import signal
        signal.signal(signal.SIGXCPU, lambda *_: None)
        while time.process_time() < 1.5:
            pass
        escaped_if(True)
        """,
        limits={"cpu_seconds": 1},
    ),
    Escape(
        "print without end",
        "the keeper",
        'for _ in range(200_000): print("x" * 10)\nescaped_if(True)',
        loosen={"output_bytes": 4 * _MEGABYTE},
    ),
    Escape(
        "print one endless line",
        "the keeper",
        'import sys; sys.stdout.write("x" * (1 << 20)); escaped_if(True)',
        loosen={"output_bytes": 4 * _MEGABYTE},
    ),
    Escape(
        "leave a dump of its memory",
        "rlimits",
        """
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))
        escaped_if(True)
        """,
        (Layer.RLIMITS,),
    ),
    Escape(
        "use descriptors of the evaluator",
        "the keeper",
        """
        for descriptor in range(3, 5000):
            try:
                os.fstat(descriptor)
            except OSError:
                continue
            escaped_if(True)
        """,
    ),
    Escape(
        "read what others are typing",
        "the keeper, landlock",
        'escaped_if(os.read(0, 1))\nos.open("/dev/tty", os.O_RDWR)\nescaped_if(True)',
    ),
)
