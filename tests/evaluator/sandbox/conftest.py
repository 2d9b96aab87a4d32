"""A sandbox as a restricted pod has it: every layer but namespaces."""

import sys

import pytest

from toolorch_evaluator.sandbox import kernel
from toolorch_evaluator.sandbox.terms import Layer

POD = tuple(layer for layer in Layer if layer is not Layer.NAMESPACES)


def lacking():
    """Say what this machine's kernel lacks for these tests, or nothing."""
    if sys.platform != "linux":
        return "the sandbox is made of Linux's layers"
    try:
        kernel.landlock_version()
    except OSError as error:
        return f"this kernel has no Landlock ({error.strerror})"
    return ""


@pytest.fixture(scope="session")
def pod_layers():
    """The layers of a restricted pod; skips where the kernel has no Landlock."""
    if reason := lacking():
        pytest.skip(reason)
    return POD
