"""What the kernel is asked and Python has no words for: prctl, Landlock, seccomp, capabilities, namespaces. EDGE.

Only the standard library is imported. Each function raises OSError with the kernel's error number.
"""

from __future__ import annotations

import ctypes
import os
import struct

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 24, 36, 38, 47
_CAP_AMBIENT_CLEAR_ALL = 4
# linux/capability.h: version 3 has two words of each set; 64 bounds the numbers of capabilities for good.
_CAPABILITY_VERSION_3, _MAX_CAPABILITIES = 0x20080522, 64
# linux/seccomp.h
_SECCOMP_SET_MODE_FILTER, _SECCOMP_FLAG_TSYNC = 1, 1
# linux/landlock.h; the numbers of these calls are the same on every machine.
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_LANDLOCK_VERSION_FLAG, _LANDLOCK_RULE_PATH = 1, 1
# Rights over files and folders by the version that brought them: 13 at first, then moving, emptying, ioctl on devices.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
# From version 4 on TCP (bind, connect), from version 6 on abstract sockets and signals to processes outside.
_TCP_RIGHTS, _TCP_VERSION, _SCOPES, _SCOPE_VERSION = 3, 4, 3, 6
WRITE_FILE, READ_FILE, READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
# A scratch folder: everything but to execute, and to make devices, sockets and pipes with names.
_NEVER = 1 << 0 | 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11
# linux/sched.h: mounts, hostname, SysV objects, users, processes, network.
_NAMESPACES = 0x00020000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# linux/mount.h: nosuid, nodev, noexec; private, recursively.
_MOUNT_FLAGS, _PRIVATE = 2 | 4 | 8, 1 << 18 | 1 << 14


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _syscall(number: int, *arguments: object) -> int:
    whole = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *whole))


def _prctl(option: int, *arguments: int) -> int:
    words = (*arguments, 0, 0, 0, 0)[:4]
    return _checked(_LIBC.prctl(option, *(ctypes.c_ulong(word) for word in words)))


def die_with_parent(signal_number: int) -> None:
    """Have a signal sent to this process when its parent ends."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def gain_nothing() -> None:
    """Take no privilege from any program that is executed from now on, and none back that is given up."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities(capset: int) -> None:
    """Give up all capabilities for good; `capset` is the number of that call."""
    for capability in range(_MAX_CAPABILITIES):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the last one, or no right to drop, which no right to gain makes up for
    _prctl(_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL)
    _syscall(capset, struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), bytes(24))


def set_filter(program: bytes) -> None:
    """Set a seccomp filter for all threads of this process."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer))
    seccomp = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
    _syscall(seccomp, _SECCOMP_SET_MODE_FILTER, _SECCOMP_FLAG_TSYNC, header)


def landlock_version() -> int:
    """Return the version of the kernel's Landlock; OSError: ENOSYS where there is none, EOPNOTSUPP where it is off."""
    return _syscall(_LANDLOCK_CREATE, None, 0, _LANDLOCK_VERSION_FLAG)


def lock_files(readable: list[tuple[str, int]], scratch: str) -> None:
    """Allow what the rights on paths say, everything but devices and programs in `scratch`, and nothing else."""
    version = landlock_version()
    rights = sum(right for since, right in _FILE_RIGHTS.items() if since <= version)
    tcp = _TCP_RIGHTS if version >= _TCP_VERSION else 0
    scopes = _SCOPES if version >= _SCOPE_VERSION else 0
    attributes = struct.pack("=QQQ", rights, tcp, scopes)
    # An older kernel takes a longer structure only if the rest is zero, which it is.
    ruleset = _syscall(_LANDLOCK_CREATE, attributes, len(attributes), 0)
    try:
        for path, right in [*readable, (scratch, rights & ~_NEVER)]:
            _allow(ruleset, path, right & rights)
        _syscall(_LANDLOCK_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, right: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what cannot be opened needs no permission
    try:
        _syscall(_LANDLOCK_ADD, ruleset, _LANDLOCK_RULE_PATH, struct.pack("=Qi", right, beneath), 0)
    finally:
        os.close(beneath)


def enter_namespaces(scratch: str, bytes_allowed: int, files_allowed: int) -> None:
    """Move to new namespaces, the processes of which the next child is the first; `scratch` becomes a file system."""
    user, group = os.getuid(), os.getgid()
    _checked(_LIBC.unshare(_NAMESPACES))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _mount(b"none", b"/", None, _PRIVATE, None)
    options = f"size={bytes_allowed},nr_inodes={files_allowed},mode=700".encode()
    _mount(b"tmpfs", os.fsencode(scratch), b"tmpfs", _MOUNT_FLAGS, options)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    _checked(_LIBC.mount(source, target, kind, ctypes.c_ulong(flags), options))
