"""Twenty questions and documents of this project's own, for trying things out; README.md says what they are."""

from __future__ import annotations

from importlib.resources import files

NAMES = ("questions", "documents")


def read_sample(name: str) -> bytes:
    """Return one of the two files; raises ValueError for another name."""
    if name not in NAMES:
        raise ValueError(f"there is no sample {name!r}: take {' or '.join(NAMES)}")
    return files(__package__).joinpath(f"{name}.jsonl").read_bytes()
