"""What a confined program may read: Python itself, the system's libraries, some packages for computing. EDGE."""

from __future__ import annotations

import glob
import os
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache

from toolorch_evaluator.sandbox.kernel import READ_FILE, READ_FOLDER, WRITE_FILE

# What computes, and what that imports. Nothing else that is installed is readable: benchmark packages hold the answers.
PACKAGES = (
    "numpy", "scipy", "sympy", "mpmath", "gmpy2", "networkx", "pandas", "dateutil", "pytz", "six", "tzdata",
)  # fmt: skip
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/urandom", "/dev/random", "/dev/zero")
_NOT_PYTHON_ITSELF = frozenset(("site-packages", "dist-packages"))


@cache
def readable(packages: tuple[str, ...] = PACKAGES) -> list[tuple[str, int]]:
    """Return paths with the rights of `kernel` on them; installed packages do not change while we run."""
    read = READ_FILE | READ_FOLDER
    rights = [(path, READ_FOLDER) for path in (*_own_folders(), *sites())]
    rights += [(path, read) for path in (*_SYSTEM, *_own(), *_installed(packages))]
    rights += [(path, READ_FILE) for path in (*_DEVICES, *_shared_libraries())] + [
        ("/dev/null", READ_FILE | WRITE_FILE)
    ]
    # A right over folders cannot be given on a file.
    return [
        (path, right if os.path.isdir(path) else right & ~READ_FOLDER) for path, right in rights if os.path.exists(path)
    ]


def search_path() -> list[str]:
    """Return where a confined program imports Python's own modules from."""
    own = _own_folders()
    return [*own, *(os.path.join(folder, "lib-dynload") for folder in own)]


def _own_folders() -> list[str]:
    return _unique(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))


def sites() -> list[str]:
    """Return the folders that installed packages lie in."""
    return _unique(sysconfig.get_path(name) for name in ("purelib", "platlib"))


def _own() -> Iterator[str]:
    for folder in _own_folders():
        yield from (entry.path for entry in os.scandir(folder) if entry.name not in _NOT_PYTHON_ITSELF)


def _installed(packages: Iterable[str]) -> Iterator[str]:
    for site in sites():
        for package in packages:
            # With the libraries that wheels bring along, and what names its version.
            for tail in ("", ".py", ".libs", "-*.dist-info"):
                yield from glob.glob(os.path.join(glob.escape(site), package + tail))


def _shared_libraries() -> list[str]:
    folder = sysconfig.get_config_var("LIBDIR") or ""
    return glob.glob(os.path.join(glob.escape(folder), "*.so*"))


def _unique(paths: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(path for path in paths if os.path.isdir(path)))
