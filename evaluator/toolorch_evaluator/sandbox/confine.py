"""The confined side: the process that gives up everything and runs the program. EDGE; only the standard library."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, TracebackType

from toolorch_evaluator.sandbox import kernel
from toolorch_evaluator.sandbox.policy import build_filter
from toolorch_evaluator.sandbox.syscalls import DEADLY, MACHINES, numbers

# `typing` alone takes 3 ms to import, in each run; type checkers know this name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.metadata import Distribution, DistributionFinder
    from typing import Any

    Order = Mapping[str, Any]
    """What is to be run and how: `Sandbox` writes it."""

# What a program that ran out of memory exits with; sysexits.h and shells leave this number alone.
MEMORY_EXIT = 90
# The program's name in its own tracebacks.
_FILE = "program.py"
# The evaluator's loop must not starve beside programs that compute.
_NICENESS = 5


def confine(order: Order, scratch: str) -> dict[str, str]:
    """Put on the ordered layers, each with its error or nothing; what is ordered in `required` must not fail."""
    os.setsid()
    os.nice(_NICENESS)
    _go_first()
    os.chdir(scratch)
    os.umask(0o077)
    layers: dict[str, Callable[[], None]] = {
        "no_new_privs": kernel.gain_nothing,
        "rlimits": lambda: _limit(order["rlimits"]),
        "landlock": lambda: kernel.lock_files([(path, right) for path, right in order["readable"]], scratch),
        "capabilities": lambda: kernel.drop_capabilities(numbers(DEADLY, os.uname().machine)["capset"]),
        "seccomp": lambda: kernel.set_filter(_filter()),
    }
    # In this order: Landlock and seccomp need no_new_privs, the filter closes the calls that the others make.
    return {name: _attempt(put_on) for name, put_on in layers.items() if name in order["layers"]}


def _go_first() -> None:
    """Be the first that the kernel kills where memory runs out: the evaluator has more to lose."""
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
    except OSError:
        return  # without /proc there is no order to change


def _attempt(put_on: Callable[[], None]) -> str:
    try:
        put_on()
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__
    return ""


def _limit(limits: Mapping[str, int]) -> None:
    """Set each limit, soft and hard alike: a signal before the end, which a program may ignore, is of no use."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (bound, bound))


def _filter() -> bytes:
    machine = os.uname().machine
    if machine not in MACHINES:
        raise ValueError(f"there is no list of system calls for {machine}")
    return build_filter(machine, os.getpid())


class Installed:
    """Finds the packages that may be read; to the program, no other one is installed."""

    def __init__(self, names: list[str], folders: list[str]) -> None:
        self.names = frozenset(names)
        self.folders = folders

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Find a package, as Python's import asks for it."""
        return PathFinder.find_spec(name, self.folders) if path is None and name in self.names else None

    def find_distributions(self, context: DistributionFinder.Context) -> Iterable[Distribution]:
        """Find what tells a package's version, as importlib.metadata asks for it."""
        from importlib.metadata import DistributionFinder, MetadataPathFinder

        there = DistributionFinder.Context(name=context.name, path=self.folders)
        return MetadataPathFinder.find_distributions(there)


class Source:
    """The program's lines, for tracebacks and for whoever inspects functions."""

    def __init__(self, program: str) -> None:
        self.program = program

    def get_source(self, name: str) -> str:
        """Return the whole program, as `linecache` asks for it."""
        return self.program


def execute(program: str, search: list[str], installed: Installed, scratch: str) -> None:
    """Run a program as `__main__`; its end is Python's affair, but for the traceback and for a lack of memory."""
    for name in [name for name in sys.modules if name.startswith("toolorch_evaluator")]:
        del sys.modules[name]
    sys.path[:] = [scratch, *search]
    sys.meta_path.append(installed)
    sys.argv[:] = [_FILE]
    _add_site_names()
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=__builtins__, __file__=_FILE, __loader__=Source(program))
    sys.modules["__main__"] = main
    sys.excepthook = _show
    exec(compile(program, _FILE, "exec", dont_inherit=True), main.__dict__)


def _add_site_names() -> None:
    # `site` is not run, for it would read what is outside; its names are part of Python as models know it.
    import site

    site.setquit()


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print a traceback as Python would, without the frames that are not the program's."""
    if isinstance(error, MemoryError):
        os.write(2, b"MemoryError\n")
        os._exit(MEMORY_EXIT)
    import traceback

    while trace and trace.tb_frame.f_code.co_filename != _FILE:
        trace = trace.tb_next
    traceback.print_exception(kind, error, trace)


def reset_signals() -> None:
    """Take signals as Python takes them at its start, whatever the parent made of them."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
