"""Options that are given as NAME=VALUE, any number of times. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from toolorch_evaluator.cli.errors import BadInputError


def read_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Return the values by name; raises BadInputError."""
    for text in texts:
        if not all(text.partition("=")):
            raise BadInputError([f"{option}: {text!r} must have the form POOL=VALUE"])
    return dict(text.split("=", 1) for text in texts)
