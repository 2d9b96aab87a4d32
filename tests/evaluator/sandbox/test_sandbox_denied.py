"""Where a kernel or a runtime denies a layer: the denial is real, by a filter of system calls around the evaluator."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolorch_evaluator.sandbox import kernel
from toolorch_evaluator.sandbox.errors import SandboxUnavailableError
from toolorch_evaluator.sandbox.sandbox import Sandbox, refuse_gaps
from toolorch_evaluator.sandbox.terms import REQUIRED, Layer, Layers

ROOT = str(Path(sys.modules[kernel.__name__].__file__).parents[2])
# Denies some calls to itself and to what it starts, then opens a sandbox, strict and weaker.
DENIED = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
from toolorch_evaluator.sandbox import bpf, kernel
from toolorch_evaluator.sandbox.errors import SandboxUnavailableError
from toolorch_evaluator.sandbox.sandbox import Sandbox
from toolorch_evaluator.sandbox.syscalls import DEADLY, MACHINES, numbers
machine, denied = sys.argv[2], json.loads(sys.argv[3])
calls = numbers(DEADLY, machine) | {"landlock": 444}
rules = [(calls[name], (), bpf.refuse(number)) for name, number in denied.items()]
kernel.gain_nothing()
kernel.set_filter(bpf.assemble(MACHINES[machine][1], 0, rules, bpf.ALLOW))

async def main():
    try:
        strict = (await Sandbox.open()).layers
    except SandboxUnavailableError as error:
        strict = str(error)
    weaker = await Sandbox.open(allow_weaker=True)
    outcome = await weaker.run("print(1)")
    return strict, weaker.layers, outcome.stdout

print(json.dumps(asyncio.run(main())))
"""


def denied(**calls):
    command = [sys.executable, "-c", DENIED, ROOT, os.uname().machine, json.dumps(calls)]
    got = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert got.returncode == 0, got.stderr
    return json.loads(got.stdout)


def test_without_landlock_it_refuses_unless_the_weaker_sandbox_is_allowed(pod_layers):
    # As on gVisor, where user namespaces are forbidden as well.
    strict, weaker, printed = denied(landlock=errno.ENOSYS, unshare=errno.EPERM)
    assert strict.startswith("the sandbox layer landlock does not work here ([Errno 38] Function not implemented): ")
    assert "gVisor" in strict
    assert weaker == [layer for layer in REQUIRED if layer is not Layer.LANDLOCK]
    assert printed == "1\n"


def test_without_seccomp_it_refuses(pod_layers):
    strict, weaker, _ = denied(seccomp=errno.EINVAL)
    assert strict.startswith("the sandbox layer seccomp does not work here")
    assert Layer.SECCOMP not in weaker


async def test_where_everything_works_it_opens(pod_layers):
    sandbox = await Sandbox.open()
    assert set(pod_layers) <= set(sandbox.layers)


@pytest.mark.parametrize("layer", REQUIRED)
def test_each_needed_layer_that_lacks_is_named_with_what_to_do(layer):
    with pytest.raises(
        SandboxUnavailableError, match=rf"^the sandbox layer {layer} does not work here \(gone\): \w.+ or "
    ):
        refuse_gaps(Layers(missing={layer: "gone"}))


def test_namespaces_are_not_needed():
    refuse_gaps(Layers(missing={Layer.NAMESPACES: "forbidden"}))


def test_a_machine_that_ends_nothing_in_time_is_refused():
    with pytest.raises(SandboxUnavailableError, match="not ended in time"):
        refuse_gaps(Layers(kill=False))
