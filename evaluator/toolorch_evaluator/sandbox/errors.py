"""What can go wrong with the sandbox itself, as opposed to a program in it. PURE."""

from __future__ import annotations


class SandboxUnavailableError(Exception):
    """A layer that the sandbox needs does not work here; the message names it and what to do."""


class KeeperError(Exception):
    """A program could not be run, or not under all layers: an infra error of the call, never the program's failure."""
