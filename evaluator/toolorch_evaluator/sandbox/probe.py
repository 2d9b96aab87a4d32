"""Which layers work here: each is put on a process of its own, which then tries what the layer must prevent. EDGE."""

from __future__ import annotations

import asyncio
import json

from toolorch_evaluator.sandbox.errors import KeeperError
from toolorch_evaluator.sandbox.sandbox import Sandbox
from toolorch_evaluator.sandbox.terms import Ending, Layer, Layers, Limits, outcome

# Nothing here takes longer; a machine that is overrun may take its time to start an interpreter.
_LIMITS = Limits(wall_seconds=30.0, cpu_seconds=10, file_bytes=1 << 20)
_SHORT = Limits(wall_seconds=0.3)

_NAP = "import time; time.sleep(600)"
# Says by layer what it did not prevent. A kernel, or a runtime in its place, may accept a layer and not keep it.
_TRY = """
import ctypes, json, os, resource
libc = ctypes.CDLL(None)
leaks = {}
if libc.prctl(39, 0, 0, 0, 0) != 1:
    leaks["no_new_privs"] = "it was accepted and is not in force"
if not 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[1] <= MOST_BYTES:
    leaks["rlimits"] = "they were accepted and are not in force"
try:
    open("/etc/passwd").close()
    leaks["landlock"] = "it was accepted and does not keep files from being read"
except PermissionError:
    pass
try:
    import socket
    socket.socket().close()
    leaks["seccomp"] = "it was accepted and does not keep sockets from being opened"
except PermissionError:
    pass
header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
if libc.capget(header, sets) or any(sets):
    leaks["capabilities"] = "they were given up and are still there"
if os.getpid() != 1:
    leaks["namespaces"] = "they were entered and processes outside are still seen"
print(json.dumps(leaks))
"""


async def probe(folder: str | None = None) -> Layers:
    """Find out which layers work, by trying each; raises KeeperError where a confined process cannot even start."""
    everything = tuple(Layer)
    tried, nap = await asyncio.gather(
        Sandbox(everything, _LIMITS, folder=folder).report(
            _TRY.replace("MOST_BYTES", str(_LIMITS.file_bytes)), required=()
        ),
        Sandbox(everything, _SHORT, folder=folder).report(_NAP, required=()),
    )
    found = outcome(tried, _LIMITS, ())
    if found.ending is not Ending.OK:
        raise KeeperError(f"the probe of the layers ended with {found.ending}: {found.stderr[-300:]}")
    errors = {name: error for name, error in tried["layers"].items() if error}
    return Layers(
        missing={Layer(name): error for name, error in {**json.loads(found.stdout), **errors}.items()},
        landlock_version=tried["landlock_version"],
        kill=outcome(nap, _SHORT, ()).ending is Ending.TIMEOUT,
    )
