#!/usr/bin/env python3
"""A runc that asks for no more than its host can give.

Docker hands every container a fixed set of capabilities and limits. On a host whose own bounding set is smaller,
runc fails on the first one that is missing; here the container simply goes without it.
"""

import json
import os
import pathlib
import sys
from typing import Any

RUNC = "/usr/sbin/runc"
# In the kernel's order: the position is the bit (linux/capability.h).
CAPABILITIES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)


def lacking_capabilities() -> set[str]:
    """Names of the capabilities outside this process's bounding set."""
    status = pathlib.Path("/proc/self/status").read_text()
    bounding = int(status.split("CapBnd:")[1].split()[0], 16)
    return {f"CAP_{name}" for bit, name in enumerate(CAPABILITIES.split()) if not bounding & (1 << bit)}


def option(arguments: list[str], *names: str) -> str | None:
    """The value of the first of these options, given as `--name value` or `--name=value`."""
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else arguments[position + 1]
    return None


def process_files(arguments: list[str]) -> list[pathlib.Path]:
    """The JSON files in which this call describes the process to start."""
    if "exec" in arguments:
        given = option(arguments, "--process", "-p")
        return [pathlib.Path(given)] if given else []
    if "create" in arguments or "run" in arguments:
        return [pathlib.Path(option(arguments, "--bundle", "-b") or ".") / "config.json"]
    return []


def restrict(document: dict[str, Any], lacking: set[str]) -> dict[str, Any]:
    """The same description (a whole config.json, or its process alone) without what the host lacks."""
    process = document.get("process", document)
    for kind, granted in (process.get("capabilities") or {}).items():
        process["capabilities"][kind] = [name for name in granted if name not in lacking]
    if "CAP_SYS_RESOURCE" in lacking:
        process.pop("rlimits", None)
        own_score = int(pathlib.Path("/proc/self/oom_score_adj").read_text())
        if (process.get("oomScoreAdj") or 0) < own_score:
            process.pop("oomScoreAdj", None)
    return document


def main() -> None:
    """Rewrites what is about to start, then becomes runc."""
    lacking = lacking_capabilities()
    for path in process_files(sys.argv[1:]):
        if lacking and path.exists():
            path.write_text(json.dumps(restrict(json.loads(path.read_text()), lacking)))
    os.execv(RUNC, ["runc", *sys.argv[1:]])


if __name__ == "__main__":
    main()
