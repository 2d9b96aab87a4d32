"""All attempts, in the order in which they are told. PURE."""

from __future__ import annotations

from toolorch_evaluator.sandbox.escapes import calls, files, means, processes

ESCAPES = (*files.ESCAPES, *processes.ESCAPES, *calls.ESCAPES, *means.ESCAPES)
