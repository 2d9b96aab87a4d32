"""What a start leaves behind and what it takes: a count in the home folder, and memory of the host."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toolorch_mock.variables import BadFaultError

# A pod's home folder outlives its containers, so the count goes on when one is restarted.
_COUNT = ".mock-vllm-starts"
_MIB = 2**20


def count_start(environment: Mapping[str, str]) -> int:
    """Count a start in $HOME and return its number, from 1; raises BadFaultError where nothing can be kept there."""
    path = Path(environment.get("HOME", "")) / _COUNT
    try:
        number = int(path.read_text()) + 1 if path.exists() else 1
        path.write_text(str(number))
    except (OSError, ValueError) as error:
        raise BadFaultError(f"MOCK_RACE_STARTS counts starts in {path}, which does not work: {error}.") from None
    return number


def hold_memory(mib: int) -> bytes:
    """Take so much memory of the host for as long as the result is kept; it is written to, so it is really taken."""
    return b"\1" * (mib * _MIB)
